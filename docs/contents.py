"""The table of contents of the site, as docs/index.md has it: a part for each of its headings with tables of pages."""

import re
from pathlib import PurePosixPath

_LINK_IN_A_CELL = re.compile(r"^\| \[([^\]]+)\]\(([^)#\s]+)\)", re.MULTILINE)
# Made when the site is built, so docs/index.md has no line for it.
_REFERENCE = "\n\n```{toctree}\n:hidden:\n\nreference/index\n```\n"


def with_contents(text: str) -> str:
    r"""Adds to a page the parts that the site's sidebar shows.

    Args:
        text: Markdown, with tables whose first column links to pages.

    Returns:
        The text, with a hidden list of pages for each heading.

    Example:
        >>> print(with_contents("## Use it\n\n| page |\n| --- |\n| [Data](data.md) |").partition("|\n\n")[2])
        ```{toctree}
        :hidden:
        :caption: Use it
        <BLANKLINE>
        Data <data>
        ```
        <BLANKLINE>
        ...
    """
    parts = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        caption = section.partition("\n")[0]
        pages = [f"{title} <{_without_ending(path)}>" for title, path in _LINK_IN_A_CELL.findall(section)]
        if pages:
            parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]))
    return "\n\n".join([text, *parts]) + _REFERENCE


def _without_ending(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))
