"""The README's Python runs as it stands there, and its commands exist."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["new"].shape == (10, 15)
    assert names["found"].is_anomaly.shape == (1000,)
    assert names["settings"].history["loss"].shape[0] == 3


def test_the_commands_of_the_readme_exist(capsys):
    from aejax.cli import main as cli

    commands = set(re.findall(r"^aejax ([\w-]+)", README.read_text(), flags=re.MULTILINE))
    assert {"train", "evaluate", "detect", "encode", "reconstruct", "generate", "report"} <= commands
    for command in commands:
        with pytest.raises(SystemExit) as caught:
            cli.main([command, "--help"])
        assert caught.value.code == 0
    capsys.readouterr()
