"""Tables as spreadsheets, historians and scripts write them are read as they were meant, or refused in a sentence."""

import contextlib
import csv
import io
import re

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aejax.data.formats.tables import read_table, write_table

MISSING = ["", "NA", "nan", "-", "null", "#N/A"]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000).map(float)
# No apostrophe before what begins a formula: it is that of a writer who keeps a spreadsheet from running it.
# No digits: a name of digits is a number or a date. No times, which are left out. The first name is text in any case.
LETTERS = st.characters(exclude_categories=["C", "Z", "N"]) | st.sampled_from(" ,;|\"'#")
NAME = re.compile(r"(?!time|date|epoch|'[=+@\uff1d\uff0b\uff0d\uff20-]).", re.I)
NAMES = st.text(LETTERS, min_size=1, max_size=6).map(str.strip).filter(NAME.match)


@st.composite
def tables(draw):
    """Names, and rows of numbers with gaps."""
    num_columns = draw(st.integers(1, 4))
    names = ["sensor", *draw(st.lists(NAMES, min_size=num_columns - 1, max_size=num_columns - 1, unique=True))]
    row = st.lists(NUMBERS | st.none(), min_size=num_columns, max_size=num_columns)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return names, rows


@st.composite
def files(draw):
    """A table, the bytes of a file that holds it, and whether its names are in the file."""
    names, rows = draw(tables())
    separator = draw(st.sampled_from(",;\t| ")) if len(names) > 1 else ","
    has_decimal_comma = separator != "," and draw(st.booleans())
    quoted = draw(st.booleans())
    # An empty last column is taken for a separator that ends each line; an empty first row of tabs for a blank line.
    is_open = any(row[-1] is not None for row in rows) and any(value is not None for value in rows[0])
    has_header = draw(st.booleans()) or not is_open
    if separator == " ":  # runs of it are one, and a comma in a name is one more decimal comma
        names = ["sensor", *(f"s{i}" for i in range(1, len(names)))]
    has_value = any(value is not None for row in rows for value in row)
    gap = draw(st.sampled_from(MISSING[1:] if separator == " " or not has_value else MISSING))
    mark = "," if has_decimal_comma else "."

    def cell(value):
        return gap if value is None else repr(value).replace(".", mark)

    text = io.StringIO()
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    if has_header:
        writer.writerow(names)
    text.write(draw(st.sampled_from(["", end, f"# this was written by hand on one day{end}"])))
    writer.writerows([[cell(value) for value in row] for row in rows])
    whole = text.getvalue()
    whole = whole if draw(st.booleans()) else whole.removesuffix(end)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    while len(names) > 1 and gap == "" and not any(value is not None for value in rows[-1]):
        rows.pop()  # what a spreadsheet leaves at the end
    return names, rows, whole.encode(encoding), has_header


@settings(max_examples=300)
@given(files())
def test_what_was_written_is_read(file):
    names, rows, data, has_header = file
    table = read_table(io.BytesIO(data))
    assert table.has_header == has_header
    if has_header:
        assert list(table.columns) == names
    np.testing.assert_array_equal(table.values, np.array(rows, float))


@given(tables())
def test_a_table_comes_back_as_it_was_written(table):
    names, rows = table
    columns = dict(zip(names, np.array(rows, float).T, strict=True))
    with contextlib.redirect_stdout(io.StringIO()) as text:
        write_table("-", columns)
    back = read_table(io.BytesIO(text.getvalue().encode()))
    assert list(back.columns) == names
    np.testing.assert_array_equal(back.values, np.array(rows, float))


# What means something to the reader; other text is drawn beside it.
PIECES = ['"', *',;\t| "', "\n", "\r\n", "\r", "#", "#N/A", "-", ".", "_", "1", "1,5", "2.5", "1e999", "nan", "true"]
PIECES += ["2024-01-01", "12:00", "Jan 5, 2024", "a", "time", "\ufeff", "\0", "\u2028", "\x1c", "°", "\u0661"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


@given(TEXTS, st.sampled_from(["utf-8", "utf-16", "cp1252"]), st.integers(0, 3), st.sampled_from([None, ["a", "b"]]))
@example('a,"b' + "2" * 140_000, "utf-8", 0, None)  # a quote that is not closed in the first line
@example("a\n1\n", "utf-16", 1, None)
def test_any_text_is_read_or_refused_in_a_sentence(text, encoding, cut, columns):
    data = text.encode(encoding, "replace")
    table, refusal = None, ""
    try:
        table = read_table(io.BytesIO(data[: len(data) - cut]), columns=columns)
    except ValueError as error:
        refusal = str(error)
    if table is None:
        assert "expected" in refusal or "look for an unclosed quote" in refusal
    else:
        assert table.values.shape[0] > 0
        assert table.values.shape[1] == len(table.columns) > 0
        assert not np.isinf(table.values).any()


@given(st.sampled_from([b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"PAR1", b"\xff\xfe", b""]), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(beginning, rest):
    with contextlib.suppress(ValueError):
        assert read_table(io.BytesIO(beginning + rest)).values.ndim == 2
