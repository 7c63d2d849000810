"""The first word chooses the command; what is not asked for is not loaded."""

import subprocess
import sys

import pytest

from aejax.cli import main as cli
from aejax.cli.commands.command import Command


def ended(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return caught.value.code, capsys.readouterr()


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_each_name_has_a_command_and_a_line_of_the_help(name, capsys):
    assert isinstance(cli._command(name), Command)
    code, said = ended(capsys, "--help")
    assert code == 0
    assert f"• {name} " in said.out


@pytest.mark.parametrize("words", [(), ("nonsense",), ("--nonsense",)])
def test_words_that_begin_with_no_command_are_told_the_commands(words, capsys):
    code, said = ended(capsys, *words)
    assert code == 2
    assert all(name in said.err for name in ("train", "detect", "verify"))


@pytest.mark.parametrize("words", [("detect",), ("detect", "run", "t.csv", "--nonsense")])
def test_wrong_options_are_told_the_help_of_the_command(words, capsys):
    code, said = ended(capsys, *words)
    assert code == 2
    assert "aejax detect --help" in said.err


def test_a_name_may_be_written_with_an_underscore(capsys):
    code, said = ended(capsys, "surrogate_predict", "--help")
    assert not code
    assert "aejax surrogate-predict" in said.out


def test_a_completion_knows_the_options_of_all_commands(capsys):
    code, said = ended(capsys, "--tyro-print-completion", "bash")
    assert not code
    assert all(option in said.out for option in ("--false-alarm-rate", "--num-epochs", "--estimate-time-zero"))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["detect", "--help"]])
def test_help_waits_for_nothing_that_it_does_not_need(words):
    code = (
        f"import atexit, sys; atexit.register(lambda: print('jax' in sys.modules, file=sys.stderr)); "
        f"from aejax.cli.main import main; main({words})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "False\n"
