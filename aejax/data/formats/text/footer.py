"""Lines behind the last row of a table that are no rows: totals, remarks, words for the end."""

from collections.abc import Callable, Sequence

from aejax.data.formats.text.totals import is_total
from aejax.data.formats.text.words import begins_date, kind_of

_TAIL = 1 << 14


def without_footer(
    text: bytes, start: int, kinds: Sequence[str], split: Callable[[str], list[str]]
) -> tuple[bytes, list[str]]:
    r"""A text without what stands behind its rows.

    Such a line begins with a word where the rows begin with a date or a number, and has another number of cells or
    no number; or a word stands in its cell of a date. A row that was cut begins as other rows do, and stays.

    Args:
        text: UTF-8.
        start: where the rows begin.
        kinds: of the c columns: number, date, text or empty.
        split: a line -> its cells.

    Returns:
        The text, and what was left out, a sentence or none.

    Example:
        >>> text = b"2024-01-01,20.5\n2024-01-02,21.5\n\nTotal,42\nEnd of file\n"
        >>> without_footer(text, 0, ["date", "number"], lambda line: line.split(","))
        (b'2024-01-01,20.5\n2024-01-02,21.5\n', ["2 lines at the end: left out, such as 'Total,42'"])
    """
    left_out: list[str] = []
    position = len(text)
    for line in reversed(text[max(start, position - _TAIL) :].splitlines(keepends=True)):
        words = line.decode(errors="replace").strip()
        if words.strip(' ,;|\t"\x1a'):
            if "\0" in words or not _is_remark([cell.strip() for cell in split(words)], kinds):
                break
            left_out.append(words)
        position -= len(line)
    if not left_out or position <= start:
        return text, []
    lines = "1 line" if len(left_out) == 1 else f"{len(left_out)} lines"
    return text[:position], [f"{lines} at the end: left out, such as {left_out[-1][:40]!r}"]


def _is_remark(cells: Sequence[str], kinds: Sequence[str]) -> bool:
    if len(cells) == len(kinds):
        return any(kind == "date" and _is_words(cell) for cell, kind in zip(cells, kinds, strict=True))
    if is_total(cells[0]):
        return True
    has_numbers = any(kind_of(cell) == "number" for cell in cells)
    return kinds[0] in ("date", "number") and _is_words(cells[0]) and (kinds[0] == "date" or not has_numbers)


def _is_words(cell: str) -> bool:
    return kind_of(cell) == "text" and not begins_date(cell)
