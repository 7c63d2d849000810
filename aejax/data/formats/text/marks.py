"""Whether a point or a comma is the decimal mark of numbers, and which mark groups their digits."""

import re
from typing import Any, NamedTuple

_SPACES = " '\u00a0\u202f\u2019"
_EXPONENT = r"(?:[ed][+-]?\d+)?"


class Marks(NamedTuple):
    """How the numbers of a text are written.

    Attributes:
        decimal: a point or a comma; None where nothing decides.
        thousands: what groups digits by three; "" for nothing, None where nothing decides.
        usual: the decimal mark to take where nothing decides; None where none is known.
    """

    decimal: str | None = None
    thousands: str | None = None
    usual: str | None = None

    @property
    def taken(self) -> str:
        """The decimal mark that numbers are read with."""
        return self.decimal or self.usual or "."


WORDS = {".": "point", ",": "comma"}


def other(mark: str) -> str:
    """The other one of point and comma."""
    return "," if mark == "." else "."


def _decimal_evidence(mark: str) -> str:
    """What only a number with this decimal mark looks like."""
    m, o = re.escape(mark), re.escape(other(mark))
    grouped = rf"[1-9]\d{{0,2}}(?:[{o}{_SPACES}]\d{{3}})+"
    return (
        rf"^[+-]?(?:(?:{grouped}|\d+){m}(?:\d{{0,2}}|\d{{4,}}){_EXPONENT}"  # not three digits behind it
        rf"|(?:0\d*|\d{{4,}}|){m}\d+{_EXPONENT}"  # not one to three before it
        rf"|{grouped}{m}\d+{_EXPONENT}"  # another mark groups
        rf"|\d*{m}\d+e[+-]?\d+"
        rf"|[1-9]\d{{0,2}}(?:{o}\d{{3}}){{2,}})$"  # the other one groups more than once
    )


DECIMAL_EVIDENCE = {mark: f"(?i){_decimal_evidence(mark)}" for mark in ".,"}
_COMPILED = {mark: re.compile(pattern) for mark, pattern in DECIMAL_EVIDENCE.items()}


def decimal_of(cells: list[str]) -> str | None:
    """The decimal mark that cells of a column show; None where they show none, or both.

    Example:
        >>> decimal_of(["930", "1,041"]), decimal_of(["34.89"]), decimal_of(["1.282,96", "0,5"])
        (None, '.', ',')
    """
    shown = [mark for mark, pattern in _COMPILED.items() if any(map(pattern.match, cells))]
    return shown[0] if len(shown) == 1 else None


def decimal_in(cells: Any) -> str | None:
    """The same of a column of pyarrow."""
    import pyarrow.compute as pc

    shown = [
        mark for mark, pattern in DECIMAL_EVIDENCE.items() if pc.any(pc.match_substring_regex(cells, pattern)).as_py()
    ]
    return shown[0] if len(shown) == 1 else None


def agreed(decimals: list[str | None]) -> str | None:
    """What most columns show; None where as many show the other mark.

    Example:
        >>> agreed([".", None, "."]), agreed([".", ","])
        ('.', None)
    """
    votes = {mark: decimals.count(mark) for mark in ".,"}
    best = max(votes, key=lambda mark: votes[mark])
    return best if votes[best] > votes[other(best)] else None


def grouped_pattern(marks: Marks) -> str:
    """What a number whose digits are grouped looks like."""
    group = rf"[{_SPACES}]" if not marks.thousands else re.escape(marks.thousands)
    decimal = re.escape(marks.taken)
    return rf"(?i)^[+-]?\d{{1,3}}(?:{group}\d{{3}})+(?:{decimal}\d*)?{_EXPONENT}$"
