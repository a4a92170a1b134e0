import contextlib
import time

import pytest

from gair_search.errors import FilterError
from gair_search.gallery.filters import (
    OWN_FIELDS,
    BoolMatch,
    Bounds,
    Condition,
    Kind,
    TextMatch,
    json_path,
    parse_where,
)


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


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("price<20", Bounds("price", lt=20.0)),
        ("product.price>=-1.5e3", Bounds("product.price", gte=-1500.0)),
        ("variants[].size=L", TextMatch("variants[].size", "L", contains=False)),
        ("product-id!=7", Bounds("product-id", gte=7.0, lte=7.0, negated=True)),
        ("in_stock=TRUE", BoolMatch("in_stock", True)),
        ("in_stock!=false", BoolMatch("in_stock", False, negated=True)),
        ("in_stock~true", TextMatch("in_stock", "true", contains=True)),
        ("sku='007'", TextMatch("sku", "007", contains=False)),
        ('sku="true"', TextMatch("sku", "true", contains=False)),
        ("released>=2020-05", Bounds("released", gte="2020-05-01T00:00:00Z")),
        ("released='2020-05'", TextMatch("released", "2020-05", contains=False)),
        ("year>2020", Bounds("year", gt=2020.0)),
        ("größe=XL", TextMatch("größe", "XL", contains=False)),
        ("colour=red wine", TextMatch("colour", "red wine", contains=False)),
        ("size=wide", TextMatch("size", "wide", contains=False)),
    ],
)
def test_fields_of_ones_own_are_compared_as_their_values_are_written(
    expression: str, expected: Condition
) -> None:
    fields = {key: kind for key, kind in OWN_FIELDS.items() if key != "size"}
    assert parse_where(expression, fields, as_written=True) == (expected,)


def test_the_kind_of_a_known_field_wins_over_how_its_value_is_written() -> None:
    fields: dict[str, Kind] = {"sku": "text", "released": "time", "sold": "bool", "size": "number"}
    assert parse_where("sku=007", fields) == (TextMatch("sku", "007", contains=False),)
    assert parse_where("released>2020", fields) == (Bounds("released", gte="2021-01-01T00:00:00Z"),)
    for expression, said in (
        ("sku>7", "sku is a text and takes =, !=, ~ or !~"),
        ("sold>1", "sold is a truth value and takes = or !="),
        ("sold=yes", "neither true nor false"),
        ("size=wide", "wide is no number"),
        ("other=1", "no field other; there are sku, released, sold, size"),
    ):
        with pytest.raises(FilterError) as caught:
            parse_where(expression, fields)
        assert said in str(caught.value)


def test_an_and_within_quotes_stands_in_the_value() -> None:
    where = parse_where("path='salt and width>5' and width>1 and path~\"a or height>2\"")
    assert where == (
        TextMatch("path", "salt and width>5", contains=False),
        Bounds("width", gt=1.0),
        TextMatch("path", "a or height>2", contains=True),
    )
    assert parse_where("path~'tis and width>1") == (
        TextMatch("path", "'tis", contains=True),
        Bounds("width", gt=1.0),
    )


@pytest.mark.parametrize(
    "expression",
    [
        "width>1" + " " * 9_000 + "and" + " " * 900 + "height>1",
        " and " * 2000,
        "path=" + "'" * 9_900,
        "path='" + " and a=1" * 1200,
        "a" * 9_990,
        "a." * 4_990,
        "width>" + "9" * 9_900,
    ],
)
def test_long_expressions_are_read_at_once(expression: str) -> None:
    """Each takes milliseconds; a pattern that goes back and forth would take minutes."""
    began = time.process_time()
    with contextlib.suppress(FilterError):
        parse_where(expression, as_written=True)
    assert time.process_time() - began < 5


def test_an_expression_without_end_is_not_read() -> None:
    with pytest.raises(FilterError, match="has 60,008 characters; at most 10,000"):
        parse_where("width>1" + " " * 60_000 + "x")


def test_names_of_fields_as_qdrant_s_paths() -> None:
    assert json_path("a-b.c_d[].e") == "a-b.c_d[].e"
    assert json_path("größe.x") == '"größe".x'
