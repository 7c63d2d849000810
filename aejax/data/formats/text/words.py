"""What one cell of text may be: a number, a date, a word for a missing value."""

import re

MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?", "#n/a", "#na")
MINUS = "\u2212"
BOOLEANS = {"true": 1.0, "false": 0.0}
# What historians and spreadsheets write in the place of a value; read as missing where a user says so.
OF_HISTORIANS = frozenset({
    "bad", "bad input", "bad data", "no data", "no result", "no sample", "i/o timeout", "io timeout",
    "scan off", "scan timeout", "pt created", "point created", "shutdown", "comm fail", "comm failure",
    "not connect", "not connected", "configure", "over range", "under range", "overrange", "underrange",
    "out of serv", "out of service", "no good data", "no good data for calculation", "calc failed", "calc off",
    "calc timeout", "intf shut", "trace off", "error", "invalid", "offline", "missing", "questionable",
    "uncertain", "n.a.", "---", "--", "***", "1.#qnan", "1.#snan", "1.#ind", "-1.#ind", "-1.#qnan", "1.#inf",
    "-1.#inf", "nan(ind)", "-nan(ind)", "-nan", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!",
    "[-11059] no good data for calculation",
})  # fmt: skip

# What makes a spreadsheet run a cell, in wide letters too.
BEGIN_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mrz|mai|okt|dez)[a-z]*\.?"
_DAY = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})"
    rf"|\d{{1,2}}\.?[-/. ]{_MONTH}[-/., ]+(?:\d{{4}}|\d{{2}})|{_MONTH} \d{{1,2}},? \d{{4}}"
    rf"|\d{{4}}[-/. ]{_MONTH}[-/. ]\d{{1,2}}|(?:19|20|21)\d\d[-/][0-3]\d\d|\d{{4}}:\d\d:\d\d)"
)
_DATE = rf"(?:{_DAY}|\d{{8}})"  # eight digits alone are a number
_WEEKDAY_NAME = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_WEEKDAY = rf"(?:{_WEEKDAY_NAME},? )"
_ZONE = r"(?:Z|(?:UTC|GMT)[+-]\d{1,2}(?::?\d\d)?|[A-Z]{3,4}|[+-]\d\d(?::?\d\d)?|[A-Z]+/[A-Z_]+)"
_AFTER_MINUTES = rf"(?::?\d\d(?:[.,:]\d+)?)?(?:\s?[ap]\.?m\.?)?(?:\s?{_ZONE})?(?:\[[\w/+-]+\])?"
_TIME = rf"\d{{1,2}}(?::?\d\d{_AFTER_MINUTES}|[.-]\d\d(?:[.-]\d\d(?:\.\d+)?)?(?:\s?[ap]m)?)"
# RE2 and Python read it alike: no lookahead. After a date the hour alone may stand.
DATE_PATTERN = (
    rf"(?:{_WEEKDAY}?{_DATE}[-T ,_/]+(?:{_TIME}|\d{{1,2}}(?:\s?[ap]\.?m\.?)?)|{_WEEKDAY}?{_DAY}"
    rf"|{_WEEKDAY}{_MONTH} +\d{{1,2}} {_TIME} \d{{4}}|\d{{1,2}}:\d\d{_AFTER_MINUTES}"
    r"|(?:-?\d+ days?,? )?\+?\d{1,4}:\d\d:\d\d(?:\.\d+)?)"
)
_BEGINS_DATE = re.compile(rf"\d|(?:{_MONTH}|{_WEEKDAY_NAME})(?:\W|$)", re.IGNORECASE)
_DATE_CELL = re.compile(DATE_PATTERN, re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(
    r"[+\-\u2212]?(?:\d{1,3}(?:[.,' \u00a0\u202f\u2019]\d{3})+|\d+)?(?:[.,]\d*(?:d[+-]?\d+)?)?(?:e[+-]?\d+)?"
    r"|[+-]?inf(?:inity)?",
    re.IGNORECASE | re.ASCII,
)
_DIGIT = re.compile(r"\d|inf", re.IGNORECASE | re.ASCII)


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value.

    Example:
        >>> is_missing(" NA "), is_missing("Bad")
        (True, False)
    """
    return cell.strip().lower() in MISSING


def is_date(cell: str) -> bool:
    """Whether a cell is a date, a time of day, or both.

    Example:
        >>> is_date("01/03/24 00"), is_date("192.168.1.20")
        (True, False)
    """
    return _DATE_CELL.fullmatch(cell.strip()) is not None


def begins_date(cell: str) -> bool:
    """Whether a cell begins as a date does, which may have been cut.

    Example:
        >>> begins_date("2024-0"), begins_date("Jan 2"), begins_date("January total"), begins_date("Total")
        (True, True, True, False)
    """
    return _BEGINS_DATE.match(cell.strip()) is not None


def is_number(cell: str) -> bool:
    """Whether a cell is a number with whatever marks, or true or false.

    Example:
        >>> [is_number(cell) for cell in ("1.282,96", "1e-3", "-", "1.2.3", "TRUE")]
        [True, True, False, False, True]
    """
    cell = cell.strip()
    is_written = _NUMBER.fullmatch(cell) is not None and _DIGIT.search(cell) is not None
    return is_written or cell.lower() in BOOLEANS


def kind_of(cell: str, missing: tuple[str, ...] = ()) -> str:
    """One of missing, number, date, text.

    Args:
        cell: as it stands.
        missing: more words for a missing value, in lower case.

    Example:
        >>> [kind_of(cell) for cell in ("", "Bad", "1,5", "12:00", "degC")]
        ['missing', 'missing', 'number', 'date', 'text']
    """
    word = cell.strip().lower()
    if word in MISSING or word in missing or word in OF_HISTORIANS:
        return "missing"
    return "number" if is_number(cell) else "date" if is_date(cell) else "text"
