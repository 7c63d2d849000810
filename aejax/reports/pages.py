"""Self-contained HTML pages and plain-text tables; nothing in a page comes from outside it."""

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aejax.artefacts.outside import shortened
from aejax.artefacts.writing import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_LABEL = 40

Rows = Sequence[Sequence[object]]


class Panel(NamedTuple):
    """A part of a page.

    Attributes:
        title: heading.
        text: a paragraph.
        table: rows of cells, the first of them the header.
        figure: a matplotlib Figure.
        caption: below the figure.
        markup: HTML that this package made, such as a chart; it is written as it is.
    """

    title: str
    text: str = ""
    table: Rows | None = None
    figure: Any = None
    caption: str = ""
    markup: str = ""


def write_page(path: str | Path, title: str, panels: Sequence[Panel], subtitle: str = "") -> None:
    """Writes a page atomically. Equal content gives equal bytes.

    Args:
        path: of the HTML file.
        title: of the page.
        panels: its parts.
        subtitle: a line below the title.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_page(Path(folder) / "page.html", "Title", [Panel("Part", text="1 < 2")])
        ...     "1 &lt; 2" in (Path(folder) / "page.html").read_text()
        True
    """
    path = Path(path)
    body = "\n".join(_panel(panel) for panel in panels)
    page = _PAGE.format(title=html.escape(title), subtitle=html.escape(subtitle), body=body)
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")  # names may be no text


def format_table(rows: Rows) -> str:
    """Rows as aligned text, numbers to the right with four significant digits.

    Args:
        rows: the first one is the header.

    Returns:
        Lines without a final line break.

    Example:
        >>> print(format_table([("sensor", "R2"), ("flow", 0.98765)]))
        sensor      R2
        ------  ------
        flow    0.9877
    """
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    is_number = [all(isinstance(row[i], int | float) for row in rows[1:]) for i in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, widths, is_number, strict=True)
        return "  ".join(text.rjust(w) if right else text.ljust(w) for text, w, right in cells).rstrip()

    return "\n".join([line(texts[0]), line(["-" * width for width in widths]), *map(line, texts[1:])])


def cell(value: object) -> str:
    """A value as the text of a cell.

    Example:
        >>> [cell(v) for v in (3, 0.123456, float("nan"), None, "text")]
        ['3', '0.1235', '-', '-', 'text']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _panel(panel: Panel) -> str:
    parts = [f"<section><h2>{html.escape(panel.title)}</h2>"]
    if panel.text:
        parts.append(f"<p>{html.escape(panel.text)}</p>")
    if panel.table:
        parts.append(_html_table(panel.table))
    if panel.figure is not None:
        parts.append(_figure(panel))
    if panel.markup:
        parts.append(panel.markup)
    return "".join([*parts, "</section>"])


def _figure(panel: Panel) -> str:
    try:
        png = _png(panel.figure)
    except Exception as error:  # of whatever is drawn: a page without a picture is better than none
        return f"<p>{html.escape(not_drawn(error))}</p>"
    return (
        f'<figure><img alt="{html.escape(panel.title)}" src="data:image/png;base64,{png}">'
        f"<figcaption>{html.escape(panel.caption)}</figcaption></figure>"
    )


def not_drawn(error: Exception) -> str:
    """What stands in the place of a picture.

    Args:
        error: raised while it was drawn.

    Returns:
        A sentence.
    """
    return shortened(f"This picture could not be drawn ({type(error).__name__}: {error})")


def label(name: str) -> str:
    r"""A name as a picture holds it: short, of characters that a font can have, and no formula.

    Args:
        name: any text.

    Returns:
        At most 40 characters, and a backslash before each dollar, which is not drawn.

    Example:
        >>> label("price [$]"), len(label("a" * 1000))
        ('price [\\$]', 40)
    """
    short = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 3]}..."
    return shortened(short).replace("\n", " ").replace("$", r"\$")


def _html_table(rows: Rows) -> str:
    def row(values: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell(value))}</{tag}>" for value in values) + "</tr>"

    return f"<table>{row(rows[0], 'th')}{''.join(row(values, 'td') for values in rows[1:])}</table>"


def _png(figure: "Figure") -> str:
    content = io.BytesIO()
    # Without the version of the software that drew it, equal pictures have equal bytes.
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(content.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }}
h1 + p {{ margin-top: 0; opacity: 0.7; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.25rem 1rem 0.25rem 0; text-align: left; border-bottom: 1px solid var(--line); }}
figure {{ margin: 1rem 0; }}
img {{ max-width: 100%; background: white; border-radius: 6px; }}
figcaption {{ opacity: 0.7; }}
pre {{ white-space: pre-wrap; }}
.chart svg {{ width: 100%; height: 15rem; border: 1px solid var(--line); cursor: crosshair; touch-action: none; }}
.chart output {{ display: block; min-height: 1.5em; font-variant-numeric: tabular-nums; }}
@media print {{ .chart output {{ display: none; }} section {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{subtitle}</p>
{body}
</body>
</html>
"""
