"""The README is short, and its Python runs as it stands there. Its links and commands are tested with the pages."""

import re

from tests.docs.reading import README, sentences


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names = {}
    exec(compile(block, str(README), "exec"), names)
    assert names["codes"].shape == (1200, 4)
    assert names["new"].shape == (10, 15)
    assert names["found"].is_anomaly.shape == (200,)
    assert names["found"].contribution.shape == (200, 15)
    assert len([line for line in block.splitlines() if line]) <= 15


def test_the_readme_has_at_most_700_words():
    assert len(README.read_text().split()) <= 700


def test_no_sentence_of_the_readme_is_long():
    assert [sentence for sentence in sentences(README.read_text()) if len(sentence.split()) >= 25] == []
