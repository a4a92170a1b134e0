import pytest

from gair_search.errors import FilterError
from gair_search.gallery.filters import Bounds, TextMatch, parse_where


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (None, ()),
        ("  ", ()),
        ("width>=1000", (Bounds("width", gte=1000.0),)),
        ("size < 1e6", (Bounds("size", lt=1e6),)),
        ("height=64", (Bounds("height", gte=64.0, lte=64.0),)),
        ("height!=64", (Bounds("height", gte=64.0, lte=64.0, negated=True),)),
        ("path~holiday/", (TextMatch("path", "holiday/", contains=True),)),
        ("path !~ 'my holiday'", (TextMatch("path", "my holiday", contains=True, negated=True),)),
        ("format=png", (TextMatch("format", "PNG", contains=False),)),
        ("path~this or that", (TextMatch("path", "this or that", contains=True),)),
        ("format=PNG", (TextMatch("format", "PNG", contains=False),)),
        ("path~salt and pepper", (TextMatch("path", "salt and pepper", contains=True),)),
        ("width>1 AND height>2", (Bounds("width", gt=1.0), Bounds("height", gt=2.0))),
        ("taken_at>2020-01-01", (Bounds("taken_at", gte="2020-01-02T00:00:00Z"),)),
        ("taken_at>=2020-01-01", (Bounds("taken_at", gte="2020-01-01T00:00:00Z"),)),
        ("taken_at<2020-02", (Bounds("taken_at", lt="2020-02-01T00:00:00Z"),)),
        ("taken_at<=2020-02", (Bounds("taken_at", lt="2020-03-01T00:00:00Z"),)),
        ("taken_at=2020", (Bounds("taken_at", gte="2020-01-01T00:00:00Z", lt="2021-01-01T00:00:00Z"),)),
        (
            "taken_at=2020-05-31T18:30",
            (Bounds("taken_at", gte="2020-05-31T18:30:00Z", lt="2020-05-31T18:31:00Z"),),
        ),
        ("taken_at>0500", (Bounds("taken_at", gte="0501-01-01T00:00:00Z"),)),
        ("path~it's", (TextMatch("path", "it's", contains=True),)),
        ("taken_at>=2020-01-01T10:00:00+02:00", (Bounds("taken_at", gte="2020-01-01T08:00:00Z"),)),
    ],
)
def test_conditions(expression: str | None, expected: tuple) -> None:
    assert parse_where(expression) == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("width", "FIELD OPERATOR VALUE"),
        ("path~a or path~b", '"and" alone'),
        ("width>1 or height>1", '"and" alone'),
        ("width>", "FIELD OPERATOR VALUE"),
        ('path~""', "FIELD OPERATOR VALUE"),
        ("colour=red", "no field colour; there are path"),
        ("width>big", "big is no number"),
        ("width~3", "width is a number and takes"),
        ("path>x", "path is a text"),
        ("taken_at>yesterday", "2020-05-31"),
        ("taken_at>2020-13", "is no time"),
        ("taken_at=9999", "is no time"),
        ("taken_at=20200531", "is no time"),
        ("taken_at>0001-01-01T00:00:00+05:00", "is no time"),
        ("width>=nan", "nan is no number"),
        ("width<inf", "inf is no number"),
        ("width>1 and", "is no number"),
    ],
)
def test_errors_name_the_condition(expression: str, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_where(expression)
    assert said in str(caught.value)
