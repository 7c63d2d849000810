"""The pages of docs/ say what is true: their links, names and commands exist. Their Python runs as doctests."""

import functools
import importlib
import re

import pytest

import aejax
from tests.docs.reading import PAGES, README, ROOT, anchors, commands, links, sentences

MOST_WORDS = 30
by_name = pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)


@by_name
def test_links_lead_somewhere(page):
    for target in links(page.read_text()):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(found.read_text()), f"{target}: there is no such heading"


@by_name
def test_sentences_are_short(page):
    long = [sentence for sentence in sentences(page.read_text()) if len(sentence.split()) > MOST_WORDS]
    assert long == []


def test_the_index_has_all_pages():
    index = (ROOT / "docs" / "index.md").read_text()
    assert {page.name for page in PAGES} - set(links(index)) == {"index.md"}


def test_each_public_name_has_a_line():
    documented = set(re.findall(r"`aejax\.([\w.]+)`", (ROOT / "docs" / "api.md").read_text()))
    assert set(aejax.__all__) - documented == set()
    for name in documented:
        resolve(f"aejax.{name}")


def resolve(name):
    """The object of a dotted name, whose first parts are modules."""
    parts = name.split(".")
    module = aejax
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[count:], module)
    raise AssertionError(name)


@functools.cache
def help_of(command):
    import contextlib
    import io

    from aejax.cli import main as cli

    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0, command
    return text.getvalue()


@by_name
def test_commands_and_their_options_exist(page):
    for line in commands(page.read_text()):
        _, command, *words = line.split()
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"{word}\b", help_of(command)), f"{line}: {word} is no option of {command}"
        assert help_of(command)


def test_each_command_has_an_example():
    from aejax.cli import main as cli

    text = (ROOT / "docs" / "commands.md").read_text()
    assert {line.split()[1] for line in commands(text)} == set(cli._COMMANDS)
