"""Finds the metric in what a program prints, while it prints, whatever bytes these are.

It is looked for in JSON lines and as ``name: value``, ``name=value``, ``name | value`` or ``name value`` anywhere in a
line; of several in a line, the last counts. A number counts as it is printed: 93.2% is 93.2, only 9320/10000 is 0.932.
Of a meter, ``name value (average)``, the average counts: the value is that of the last batch. As on a terminal, what
follows a carriage return replaces what was before it in the line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping

from trainers.commands.epochs import LARGEST_EPOCH, Figures, Record
from trainers.recipe import RecipeError

MAX_LINE = 64 * 1024  # bytes; of a longer line, the end is read
MAX_MATCHED = 2000  # bytes of a line that a pattern is searched in
MAX_PARSED = 20_000  # lines with the metric; beyond that, of each read only the last are parsed
LAST_LINES = 20
MAX_WORD = 40  # characters before a name in which a word may tell it from others
TAIL_BYTES = 16 * 1024  # kept for people
ABSENT = object()  # in place of a field that a JSON object does not have

_NUMBER = r"""
    (?P<value> (?> [+-]? (?: (?:\d+\.?\d*|\.\d+) (?:e[+-]?\d+)? | nan | inf(?:inity)? ) ) )
    (?: (?<=\d) [ ]? / [ ]? (?P<total>(?>\d+)) )?
    (?! \w | [-.,:/]\d | [ ]?/ )
"""  # as a whole: no part of a date, a version, a size with a unit or a number with separators of thousands
_AVERAGE = r"(?: [ ]* \( (?P<padding>[ ]*) (?P<average> [+-]? \d+\.\d+ (?:e[+-]?\d+)? ) [ ]* \) )?"
_METER = re.compile(r"(?P<value> \d+\.\d+ (?:e[+-]?\d+)? )" + _AVERAGE.removesuffix("?"), re.I | re.X)
_MISSING = r"(?P<value> (?: none | null | nil | n/a ) (?!\w) )"  # as languages print that there is no figure
WITH_COMMAS = r"(?P<value> [+-]? \d[\d.]* (?: ,\d[\d.]* )+ )"  # decimals or thousands: which, nobody can tell
_OPENED = r"""['"]? (?: [a-z_][\w.]*\( )?"""  # a string's quote, or the name of a type as in tensor(0.5)
_BEFORE = r"(?<![\w./@-])"  # names are whole words: acc is no part of val_acc, val/acc or acc@5
_PAIR = re.compile(
    rf"{_BEFORE}(?P<name>[a-z_][\w./@-]{{0,99}})['\"]?\s*[:=]\s*{_OPENED}{_NUMBER}{_AVERAGE}", re.I | re.X
)
_WORD_BEFORE = re.compile(r"([a-z_]\w*)\W*$", re.I)
_EPOCH = re.compile(r"\bepoch\b\W{0,4}?(\d+(?:\.\d+)?)", re.I)
_EPOCH_WORDS = (b"poch", b"POCH")
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_REPLACED = re.compile(rb"[\r\x08]+")
_BREAKS = (b"\n", b"\r")


class MetricReader:
    """Reads a program's output as it comes, in bounded memory.

    Args:
        metric: the name of the metric.
        pattern: regular expression whose group is the metric, instead of looking for the name.
    """

    def __init__(self, metric: str, pattern: str | None = None) -> None:
        self.value: float | None = None  #: the last value of the metric
        self.unread: str | None = None  #: what was printed for it after that and is no figure, e.g. 1,234.5 or null
        self.ambiguous: list[str] = []  #: what a line after that calls several figures of this name, e.g. train acc
        self._metric = metric
        self._pattern = None if pattern is None else re.compile(pattern)
        self._named = _named(metric, _NUMBER + _AVERAGE)
        self._unreadable = (_named(metric, WITH_COMMAS), _named(metric, _MISSING))
        self._needles = (_needle(metric), *_EPOCH_WORDS)
        self._rest = b""  # a line whose end is still to come
        self._recent = b""
        self._epoch: int | None = None  # the last that a line named
        self._replaceable: Record | None = None  # of the line that is being printed, if it named no epoch
        self._parsed = 0

    def feed(self, printed: bytes) -> list[Record]:
        """Read what was printed; return the figures of lines with the metric."""
        self._recent = (self._recent + printed)[-TAIL_BYTES:]
        text = self._rest + printed if self._rest else printed
        end = 1 + max(text.rfind(each) for each in _BREAKS)
        self._rest = text[end:]
        if len(self._rest) > MAX_LINE:
            kept = self._rest[-MAX_LINE // 2 :]
            self._rest = kept[kept.find(b" ") + 1 :]  # from a whole word on
        return list(self._read(text[:end])) if end else []

    def finish(self) -> list[Record]:
        """Read the end of an output that lacks a newline."""
        rest, self._rest = self._rest, b""
        return list(self._read(rest + b"\n"))

    @property
    def tail(self) -> str:
        """The last lines, for people."""
        return shown(self._recent)

    def _read(self, block: bytes) -> Iterator[Record]:
        """Read whole lines, or what was replaced in one; the last may not have ended."""
        position = 0
        for start, end in self._found_lines(block):
            if self._replaceable and block.find(b"\n", position, start + 1) >= 0:
                yield self._replaceable
                self._replaceable = None
            record = self._parse_line(block[start:end])
            if record and record.epoch is not None:
                yield record
            elif record:
                self._replaceable = record
            position = end
        if self._replaceable and block.find(b"\n", position) >= 0:
            yield self._replaceable
            self._replaceable = None

    def _found_lines(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield where the lines lie that may hold the metric or an epoch."""
        if self._pattern:
            yield from self._matching_lines(block, self._pattern)
            return
        if self._parsed > MAX_PARSED:
            yield from self._last_lines(block)
            return
        nearest = dict.fromkeys(self._needles, -1)
        position = 0
        while position < len(block):
            for needle, found in nearest.items():
                if found < position:
                    index = block.find(needle, position)
                    nearest[needle] = len(block) if index < 0 else index
            first = min(nearest.values())
            if first >= len(block):
                return
            end = block.find(b"\n", first)
            end = len(block) if end < 0 else end
            yield max(block.rfind(b"\n", 0, first) + 1, position), end
            position = end + 1

    def _matching_lines(self, block: bytes, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        start = 0
        for line in block.split(b"\n"):
            end = start + len(line)
            text = line[-MAX_MATCHED:].decode("utf-8", "replace")
            if pattern.search(text) or b"poch" in line or b"POCH" in line:
                yield start, end
            start = end + 1

    def _last_lines(self, block: bytes) -> list[tuple[int, int]]:
        """Return the last of these lines."""
        lines = {}
        for needle in self._needles:
            before = len(block)
            for _ in range(LAST_LINES):
                found = block.rfind(needle, 0, before)
                if found < 0:
                    break
                before = block.rfind(b"\n", 0, found) + 1
                end = block.find(b"\n", found)
                lines[before] = len(block) if end < 0 else end
        return sorted(lines.items())

    def _parse_line(self, line: bytes) -> Record | None:
        """Return the figures of a line with the metric; of one that was written over, the last."""
        if b"\r" not in line and b"\x08" not in line:
            return self._parse(line[-MAX_LINE:])
        end = line[-MAX_LINE:]
        segments = _REPLACED.split(end) if b"\x08" in end else end.rsplit(b"\r", 2 * LAST_LINES)
        last = [part for part in segments if part and b"\r" not in part][-LAST_LINES:]
        records = (self._parse(part) for part in reversed(last))
        return next((record for record in records if record), None)

    def _parse(self, segment: bytes) -> Record | None:
        """Return the figures of a line with the metric; remember the epoch that a line names."""
        self._parsed += 1
        line = _plain(segment)
        if self._pattern:
            figures = self._search(line[-MAX_MATCHED:])
        elif (fields := _json_object(line)) is not None:
            figures, epoch = flatten(fields), epoch_of(fields)
            found = look_up(fields, self._metric)
            if epoch is not None:
                self._epoch = epoch
            figures = {} if found is None else {**figures, self._metric: found}
            if find_field(fields, self._metric) is None:
                self.unread = "null"
        else:
            figures = self._find(line)
        if (named := _EPOCH.search(line)) is not None:
            self._epoch = _whole(float(named[1]))
        if not figures:
            return None
        self.value, self.unread, self.ambiguous = figures[self._metric], None, []
        return Record(figures, self._epoch)

    def _find(self, line: str) -> Figures:
        named = [(found, value) for found in self._named.finditer(line) if (value := _figure(found)) is not None]
        words = [_WORD_BEFORE.search(line, max(0, found.start() - MAX_WORD), found.start()) for found, _ in named]
        names = list(dict.fromkeys(f"{word[1]} {self._metric}" if word else self._metric for word in words))
        if len(names) > 1:
            self.ambiguous = names
            return {}
        if not named:
            for found in (found for each in self._unreadable for found in each.finditer(line)):
                self.unread = found["value"]
            return {}
        if _is_unclear(named[-1][0]):
            self.unread = f"{named[-1][0]['value']} ({named[-1][0]['average']})"
            return {}
        pairs = ((found["name"], _figure(found)) for found in _PAIR.finditer(line))
        return {**{name: value for name, value in pairs if value is not None}, self._metric: named[-1][1]}

    def _search(self, line: str) -> Figures:
        assert self._pattern is not None
        values = [value for found in self._pattern.finditer(line) if (value := to_number(found[1])) is not None]
        return {self._metric: values[-1]} if values else {}


def check_pattern(pattern: str) -> None:
    """Check the pattern of a command.

    Raises:
        RecipeError: if it is no regular expression with one group, or could be searched for without end.
    """
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise RecipeError(f"a pattern must be a regular expression of Python: got {pattern!r}, {error}.") from None
    if groups != 1:
        raise RecipeError(
            f"a pattern must have one group, around the metric: got {pattern!r} with {groups}. "
            r"Write e.g. 'accuracy: ([0-9.]+)', and (?:…) for other parentheses."
        )
    if _repeats_repetition(pattern):
        raise RecipeError(
            f"a pattern must not repeat what it repeats, which can take forever: got {pattern!r}. "
            "Write e.g. (\\w+) for ((?:\\w+)+)."
        )


def _repeats_repetition(pattern: str) -> bool:
    """Return whether a repetition holds another one, as in ``(a+)+``, whose search takes exponential time."""
    from re import _parser  # type: ignore[attr-defined]  # the only one that knows

    backtracking = {_parser.MAX_REPEAT, _parser.MIN_REPEAT}

    def visit(part: object, inside: bool) -> bool:
        if isinstance(part, tuple) and len(part) == 2 and part[0] in backtracking:
            _, most, repeated = part[1]
            repeats = most > 10
            return (repeats and inside) or visit(repeated, inside or repeats)
        if isinstance(part, _parser.SubPattern | list | tuple):
            return any(visit(each, inside) for each in part)
        return False

    return visit(_parser.parse(pattern), False)


def names_in(text: str) -> list[str]:
    """Return the names that figures have in a text, each once, in its order."""
    names: dict[str, None] = {}
    for line in text.splitlines():
        fields = _json_object(line)
        found = flatten(fields) if fields is not None else (match["name"] for match in _PAIR.finditer(line))
        names.update(dict.fromkeys(found))
    return list(names)


def shown(printed: bytes) -> str:
    """Return what a program printed as a terminal would show it, without colours."""
    lines = []
    for line in printed.split(b"\n"):
        visible = [part for part in _REPLACED.split(line) if part.strip()]
        lines.append(_plain(visible[-1]).rstrip() if visible else "")
    return "\n".join(lines).strip("\n")


def to_number(text: object) -> float | None:
    """Return a number, also one that was written as a string; None for anything else."""
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        return None
    try:
        return float(text.strip().rstrip("%")) if isinstance(text, str) else float(text)
    except (ValueError, OverflowError):
        return None


def flatten(fields: Mapping[str, object], prefix: str = "") -> Figures:
    """Return the numbers of a JSON object by their names, those of nested objects joined with dots."""
    figures: Figures = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            figures.update(flatten(value, f"{prefix}{name}."))
        elif (number := None if isinstance(value, str) else to_number(value)) is not None:
            figures[f"{prefix}{name}"] = number
    return {name: figures[name] for name in figures if 0 < len(name) <= 100 and name.isprintable()}


def look_up(fields: Mapping[str, object], name: str) -> float | None:
    """Return a number of a JSON object by its name, which may lead into nested objects: ``val.acc``, ``val/acc``."""
    return to_number(find_field(fields, name))


def find_field(fields: Mapping[str, object], name: str) -> object:
    """Return what a JSON object has by a name, None for its null; ``ABSENT`` if it has no such name."""
    if name in fields:
        return fields[name]
    for index, character in enumerate(name):
        inner = fields.get(name[:index]) if character in "./" else None
        if isinstance(inner, Mapping) and (found := find_field(inner, name[index + 1 :])) is not ABSENT:
            return found
    return ABSENT


def epoch_of(fields: Mapping[str, object]) -> int | None:
    """Return the epoch that a JSON object or a row names; 1.5 is in epoch 2."""
    number = to_number(fields.get("epoch"))
    return None if number is None or not math.isfinite(number) else _whole(number)


def _whole(epoch: float) -> int | None:
    return math.ceil(epoch) if 0 <= epoch <= LARGEST_EPOCH else None


def _json_object(line: str) -> dict[str, object] | None:
    stripped = line.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        fields = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _plain(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return _CONTROL.sub("", text) if "\x1b" in text else text


def _named(metric: str, value: str) -> re.Pattern[str]:
    name = re.escape(metric)
    separator = r"(?: \s*[:=|│┃]\s* | \s+ )"
    return re.compile(rf"{_BEFORE}(?-ix:{name})['\"]? {separator} {_OPENED} {value}", re.I | re.X)


def _figure(found: re.Match[str]) -> float | None:
    """Return the figure that was found: of a meter the average, and of a fraction its value."""
    if found["total"]:
        return float(found["value"]) / float(found["total"]) if float(found["total"]) else None
    return float(found["average"] if _is_meter(found) else found["value"])


def _is_meter(found: re.Match[str]) -> bool:
    """Return whether the number in parentheses is an average: it is written like the value, and as meters write it.

    These print several in a line, or pad the numbers: ``Loss 1.20 (1.31)  Acc@1  87.50 ( 75.20)``.
    """
    return _is_pair(found) and (bool(found["padding"]) or sum(map(_is_pair, _METER.finditer(found.string))) > 1)


def _is_unclear(found: re.Match[str]) -> bool:
    """Return whether the number in parentheses may be an average, a deviation or the best one, and is another."""
    return _is_pair(found) and not _is_meter(found) and float(found["average"]) != float(found["value"])


def _is_pair(found: re.Match[str]) -> bool:
    average = found["average"]
    return average is not None and _decimals(found["value"]) == _decimals(average) and "." in found["value"]


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _needle(metric: str) -> bytes:
    """Return what every line with the metric holds: in JSON, names are nested and their accents escaped."""
    parts = re.findall(r"[!-~]+", re.split(r"[./]", metric)[-1]) or [metric]
    return str(max(parts, key=len)).encode(errors="surrogatepass")
