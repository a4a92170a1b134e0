"""`where` expressions: `width>=1000 and taken_at>2020 and path~holiday/` -> conditions on the payload."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from gair_search.errors import FilterError

Kind = Literal["number", "text", "time", "bool"]
"""How the values of a field are compared."""

OWN_FIELDS: Mapping[str, Kind] = {
    "path": "text",
    "format": "text",
    "content_hash": "text",
    "width": "number",
    "height": "number",
    "size": "number",
    "taken_at": "time",
}
"""The fields of a gallery that was made by indexing folders."""

MAX_CHARACTERS = 10_000
"""Longest expression that is read."""

_FIELD = r"[\w-]+(?:\[\])?(?:\.[\w-]+(?:\[\])?)*"
_START = re.compile(rf"\s*(?P<field>{_FIELD})\s*(?P<op>>=|<=|!=|!~|=|>|<|~)\s*")
# beginning at the first blank of a run, so that many blanks cost no more than one look each
_JOIN = re.compile(rf"(?<!\s)\s+(?P<word>and|or)\s+(?={_FIELD}\s*(?:[<>=~]|!=|!~))", re.I)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?P<minute>[T ]\d{2}:\d{2}(?P<second>:\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?")
_WRITTEN_TIME = re.compile(rf"\d{{4}}-\d{{2}}|{_TIME.pattern}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "number": ("=", "!=", ">", ">=", "<", "<="),
    "time": ("=", "!=", ">", ">=", "<", "<="),
    "text": ("=", "!=", "~", "!~"),
    "bool": ("=", "!="),
}


@dataclass(frozen=True)
class Bounds:
    """A range on a payload field: numbers, or ISO 8601 times in UTC. None leaves a side open."""

    field: str
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None
    negated: bool = False

    @property
    def of_times(self) -> bool:
        """Whether the sides are times."""
        return any(isinstance(side, str) for side in (self.gt, self.gte, self.lt, self.lte))


@dataclass(frozen=True)
class TextMatch:
    """A text field that equals `value`, or contains it."""

    field: str
    value: str
    contains: bool
    negated: bool = False


@dataclass(frozen=True)
class BoolMatch:
    """A field that is true, or false."""

    field: str
    value: bool
    negated: bool = False


Condition = Bounds | TextMatch | BoolMatch
Where = tuple[Condition, ...]
"""Conditions that must all hold."""


def parse_where(
    expression: str | None, fields: Mapping[str, Kind] = OWN_FIELDS, *, as_written: bool = False
) -> Where:
    """Parse a filter on payload fields.

    Conditions are joined by `and`. Numbers and times take `= != > >= < <=`, texts `= != ~ !~`, where `~` means
    "contains", and truth values `= !=`. A dot reaches into a nested object (`product.price<20`), `[]` into the
    elements of a list. A time may be as coarse as `2020` or `2020-05`, and then means that whole year or month:
    `taken_at>2020` begins with 2021. Quotes make a value text and keep an `and` in it.

    Args:
        expression: as typed; None and blanks filter nothing.
        fields: how the values of each field are compared.
        as_written: whether other fields are read, too, and the value says how it is compared: `20` is a number,
            `2020-05` a time, `true` a truth value, anything else, and whatever stands in quotes, text.

    Raises:
        FilterError: naming the condition, what was expected and the fields there are.
    """
    if expression is None or not expression.strip():
        return ()
    if len(expression) > MAX_CHARACTERS:
        raise FilterError(
            f"the filter has {len(expression):,} characters; at most {MAX_CHARACTERS:,} are read"
        )
    return tuple(_parse_condition(part, fields, as_written) for part in _split_conditions(expression.strip()))


def _split_conditions(expression: str) -> list[str]:
    """The conditions between the `and`s. Raises FilterError on an `or`."""
    parts: list[str] = []
    begin = 0
    for join in _JOIN.finditer(expression):
        if join.start() < begin or _is_quoted(expression, begin, join.start()):
            continue
        if join["word"].lower() == "or":
            raise FilterError(
                f'"{expression}": conditions are joined by "and" alone; ask twice, once for each side of "or"'
            )
        parts.append(expression[begin : join.start()])
        begin = join.end()
    return [*parts, expression[begin:]]


def _is_quoted(expression: str, begin: int, place: int) -> bool:
    """Whether a place lies within the quotes around the value of the condition that begins at `begin`."""
    start = _START.match(expression, begin)
    if start is None or start.end() >= place or (quote := expression[start.end()]) not in "'\"":
        return False
    closed = expression.find(quote, start.end() + 1)
    return closed > place


def _parse_condition(part: str, fields: Mapping[str, Kind], as_written: bool) -> Condition:
    """One condition."""
    start = _START.match(part)
    typed = part[start.end() :].strip() if start else ""
    if start is None or not (value := _strip_quotes(typed)):
        raise FilterError(
            f'"{part}" is no condition; expected FIELD OPERATOR VALUE, as in taken_at>2020-01-01'
        )
    field, op = start["field"], start["op"]
    if field not in fields and not as_written:
        raise FilterError(f'"{part}": {no_field(field, fields)}')
    kind = fields.get(field) or _kind_as_written(typed, op)
    if op not in _OPERATORS[kind]:
        expected = f"takes {', '.join(_OPERATORS[kind][:-1])} or {_OPERATORS[kind][-1]}"
        raise FilterError(
            f'"{part}": {field} is a {"truth value" if kind == "bool" else kind} and {expected}'
        )
    if kind == "text":
        if field == "format" and fields.get(field):
            value = value.upper()  # as they are stored: JPEG, PNG
        return TextMatch(field, value, "~" in op, op.startswith("!"))
    if kind == "bool":
        return _bool_match(part, field, op, value)
    return _time_bounds(part, field, op, value) if kind == "time" else _number_bounds(part, field, op, value)


def no_field(field: str, fields: Mapping[str, Kind]) -> str:
    """What to say of a field that there isn't."""
    return f"no field {field}; there are {', '.join(fields) or 'none with an index'}"


def _kind_as_written(typed: str, op: str) -> Kind:
    """How a value of an unknown field is compared; what stands in quotes has none of the forms below."""
    if "~" in op:
        return "text"
    if typed.lower() in ("true", "false"):
        return "bool"
    if _WRITTEN_TIME.fullmatch(typed):
        return "time"
    return "number" if _NUMBER.fullmatch(typed) else "text"


def _strip_quotes(value: str) -> str:
    """A value without the pair of quotes around it."""
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _bool_match(part: str, field: str, op: str, value: str) -> BoolMatch:
    if value.lower() not in ("true", "false"):
        raise FilterError(f'"{part}": {value} is neither true nor false')
    return BoolMatch(field, value.lower() == "true", op == "!=")


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


def json_path(field: str) -> str:
    """A field's name as Qdrant's path into the payload: what isn't plain ASCII stands in quotes."""
    return ".".join(_quote_step(step) for step in field.split("."))


def _quote_step(step: str) -> str:
    name, brackets = (step[:-2], "[]") if step.endswith("[]") else (step, "")
    return (name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"') + brackets
