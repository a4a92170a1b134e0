"""`--where` expressions: `width>=1000 and taken_at>2020 and path~holiday/` -> conditions on the payload."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gair_search.errors import FilterError

NUMBERS = ("width", "height", "size")
TIMES = ("taken_at",)
TEXTS = ("path", "format", "content_hash")

_CONDITION = re.compile(r"\s*(?P<field>\w+)\s*(?P<op>>=|<=|!=|!~|=|>|<|~)\s*(?P<value>.*?)\s*$", re.S)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?P<minute>[T ]\d{2}:\d{2}(?P<second>:\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?")
_QUOTED = re.compile(r"(['\"])(.*)\1", re.S)
_JOIN = r"\s+{}\s+(?=\w+\s*(?:[<>=~]|!=|!~))"
_AND, _OR = (re.compile(_JOIN.format(word), re.I) for word in ("and", "or"))


@dataclass(frozen=True)
class Bounds:
    """A range on a payload field: numbers, or ISO 8601 times in UTC. None leaves a side open."""

    field: str
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None
    negated: bool = False


@dataclass(frozen=True)
class Text:
    """A text field that equals `value`, or contains it."""

    field: str
    value: str
    contains: bool
    negated: bool = False


Condition = Bounds | Text
Where = tuple[Condition, ...]
"""Conditions that must all hold."""


def parse_where(expression: str | None) -> Where:
    """Parse a filter on payload fields.

    Conditions are joined by `and`. Numbers (`width`, `height`, `size` in bytes) and times (`taken_at`)
    take `= != > >= < <=`; texts (`path`, `format`, `content_hash`) take `= != ~ !~`, where `~` means
    "contains". A time may be as coarse as `2020` or `2020-05`, and then means that whole year or month:
    `taken_at>2020` begins with 2021.

    Raises:
        FilterError: naming the condition, what was expected and the fields there are.
    """
    if expression is None or not expression.strip():
        return ()
    if _OR.search(expression):
        raise FilterError(
            f'"{expression}": conditions are joined by "and" alone; ask twice, once for each side of "or"'
        )
    return tuple(_parse_condition(part) for part in _AND.split(expression.strip()))


def _parse_condition(part: str) -> Condition:
    """One condition."""
    match = _CONDITION.match(part)
    if match is None or not _strip_quotes(match["value"]):
        raise FilterError(
            f'"{part}" is no condition; expected FIELD OPERATOR VALUE, as in taken_at>2020-01-01'
        )
    field, op, value = match["field"], match["op"], _strip_quotes(match["value"])
    if field in TEXTS:
        if op not in ("=", "!=", "~", "!~"):
            raise FilterError(f'"{part}": {field} is a text and takes =, !=, ~ (contains) or !~')
        value = value.upper() if field == "format" else value  # as they are stored: JPEG, PNG
        return Text(field, value, "~" in op, op.startswith("!"))
    if field not in NUMBERS + TIMES:
        raise FilterError(f'"{part}": no field {field}; there are {", ".join(TEXTS + NUMBERS + TIMES)}')
    if "~" in op:
        raise FilterError(f'"{part}": {field} takes =, !=, >, >=, < or <=')
    return _time_bounds(part, field, op, value) if field in TIMES else _number_bounds(part, field, op, value)


def _strip_quotes(value: str) -> str:
    """A value without the pair of quotes around it."""
    quoted = _QUOTED.fullmatch(value)
    return quoted[2] if quoted else value


def _number_bounds(part: str, field: str, op: str, value: str) -> Bounds:
    try:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except ValueError:
        raise FilterError(f'"{part}": {value} is no number') from None
    if op in ("=", "!="):
        return Bounds(field, gte=number, lte=number, negated=op == "!=")
    return {
        ">": Bounds(field, gt=number),
        ">=": Bounds(field, gte=number),
        "<": Bounds(field, lt=number),
        "<=": Bounds(field, lte=number),
    }[op]


def _time_bounds(part: str, field: str, op: str, value: str) -> Bounds:
    """Compare with the whole interval that the value names: `>` begins after it, `<=` reads to its end."""
    start, end = _parse_interval(part, value)
    if op in ("=", "!="):
        return Bounds(field, gte=start, lt=end, negated=op == "!=")
    return {
        ">": Bounds(field, gte=end),
        ">=": Bounds(field, gte=start),
        "<": Bounds(field, lt=start),
        "<=": Bounds(field, lt=end),
    }[op]


def _parse_interval(part: str, value: str) -> tuple[str, str]:
    """The year, month, day, minute or second that a time names, as [start, end) in UTC."""
    try:
        if re.fullmatch(r"\d{4}", value):
            start = datetime(int(value), 1, 1)
            end = start.replace(year=start.year + 1)
        elif re.fullmatch(r"\d{4}-\d{2}", value):
            start = datetime(int(value[:4]), int(value[5:]), 1)
            end = (start + timedelta(days=32)).replace(day=1)
        elif form := _TIME.fullmatch(value):
            start = datetime.fromisoformat(value)
            step = timedelta(days=1) if not form["minute"] else timedelta(minutes=1)
            end = start + (timedelta(seconds=1) if form["second"] else step)
        else:
            raise ValueError
        return _to_utc(start), _to_utc(end)
    except (ValueError, OverflowError):
        raise FilterError(
            f'"{part}": {value} is no time; expected 2020, 2020-05, 2020-05-31 or 2020-05-31T18:00:00'
        ) from None


def _to_utc(moment: datetime) -> str:
    """ISO 8601 in UTC; a time without a zone counts as UTC, which is how Qdrant reads the payload's."""
    naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return naive.isoformat() + "Z"
