"""The pages of the site that are made of docstrings: one for each module of docs/api.md, all its public names on it."""

import functools
import importlib
import inspect
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

API = Path(__file__).parent / "api.md"
_HEAD = "# Reference\n\nThe docstrings of all public names. [API](../api.md) has one line for each.\n\n"


def write(folder: Path) -> None:
    """Writes a page for each module, and an index of them; what is there is replaced.

    Args:
        folder: where the pages go.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    modules = public_names()
    told: dict[int, str] = {}
    for module, names in modules.items():
        (folder / f"{module}.rst").write_text(_page(module, names, told))
    toctree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *modules, "```"])
    (folder / "index.md").write_text(f"{_HEAD}{toctree}\n")


def public_names() -> dict[str, list[str]]:
    """The public names of each module: those with a line in docs/api.md, and all that the module exports.

    Returns:
        {dotted name of a module: names in it}, modules in the order of docs/api.md.
    """
    found: dict[str, dict[str, None]] = {}
    for dotted in re.findall(r"`(aejax\.[\w.]+)`", API.read_text()):
        module, _, name = dotted.rpartition(".")
        if not inspect.ismodule(_object(dotted)):
            found.setdefault(module, {})[name] = None
    for module, names in found.items():
        exported = getattr(_object(module), "__all__", ())
        names |= dict.fromkeys(name for name in exported if not inspect.ismodule(getattr(_object(module), name)))
    return {module: list(names) for module, names in found.items()}


def as_plain_text(
    app: Sphinx,  # noqa: ARG001
    what: str,
    name: str,  # noqa: ARG001
    thing: Any,
    options: Any,  # noqa: ARG001
    lines: list[str],
) -> None:
    """Takes the marks of reStructuredText out of a docstring, which has literals and examples and no other of them.

    Args:
        app: the builder.
        what: the kind of object.
        name: its dotted name.
        thing: the object.
        options: of its directive.
        lines: of its docstring; they are changed.
    """
    if what == "data" and inspect.getdoc(thing) == inspect.getdoc(type(thing)):
        lines[:] = ["One of: " + ", ".join(f"``{each}``" for each in thing) + "."] if isinstance(thing, dict) else []
        return
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _escaped(line) for line in lines]


class LinkedNames(SphinxPostTransform):
    """A public name in running text, such as ``aejax.fit``, leads to its docstring."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:  # noqa: ARG002
        """Puts a link around each literal that is a public name; see SphinxPostTransform."""
        objects = self.env.domaindata["py"]["objects"]
        for literal in list(self.document.findall(nodes.literal)):
            known = objects.get(literal.astext())
            if known is None or isinstance(literal.parent, nodes.reference):
                continue
            uri = self.app.builder.get_relative_uri(self.env.docname, known.docname) + f"#{known.node_id}"
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri))


def _page(module: str, names: list[str], told: dict[int, str]) -> str:
    """A module's page; what ``told`` has under another name already is one line here."""
    parts = [f"{module}\n{'=' * len(module)}\n"]
    for name in sorted(names, key=str.lower):
        dotted = f"{module}.{name}"
        known = told.setdefault(id(_object(dotted)), dotted)
        parts.append(f".. {_directive(dotted)}:: {dotted}\n" if known == dotted else f"``{dotted}`` is ``{known}``.\n")
    return "\n".join(parts)


def _directive(dotted: str) -> str:
    thing = _object(dotted)
    if inspect.isclass(thing):
        return "autoexception" if issubclass(thing, BaseException) else "autoclass"
    return "autofunction" if callable(thing) else "autodata"


def _escaped(line: str) -> str:
    """A line whose stars and bars stand for themselves, such as that of ``(n, *event)``; literals stay as they are."""
    parts = re.split(r"(``.*?``)", line)
    return "".join(part if part.startswith("``") else re.sub(r"([*|])", r"\\\1", part) for part in parts)


@functools.cache
def _object(dotted: str) -> Any:
    """The object of a dotted name, whose first parts are modules."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module: ModuleType = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[count:], module)
    raise AttributeError(dotted)
