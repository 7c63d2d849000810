"""A tracker that writes JSON lines."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aejax.artefacts.storage import finite
from aejax.artefacts.writing import atomic_path, make_folder
from aejax.training.trackers.tracker import Tracker


def json_lines(path: str | Path) -> Tracker:
    r"""Notes to a file of JSON lines: ``{"epoch": 1, "loss": 0.5}`` and the like; a number that is not finite is null.

    Args:
        path: the file, which is added to. A last line that a killed process left unfinished is taken away.

    Returns:
        The Tracker.

    Raises:
        OSError: the file cannot be written.
        ValueError: a file of something else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "training.jsonl"
        >>> for _ in range(2):  # the second one is that of a run that is resumed
        ...     tracker = json_lines(path)
        ...     tracker.log(1, {"loss": 0.5})
        ...     tracker.finish()
        >>> path.read_text()
        '{"epoch": 1, "loss": 0.5}\n'
    """
    path = Path(path)
    make_folder(path.parent)
    noted = _noted(path)
    last = max((json.loads(line).get("epoch", 0) for line in noted), default=0)
    file = path.open("a", encoding="utf-8")

    def write(**content: Any) -> None:
        line = json.dumps(content, allow_nan=False, default=str)
        if line not in noted:
            noted.add(line)
            file.write(line + "\n")
            file.flush()

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        if epoch > last:
            write(epoch=epoch, **finite(metrics))
            last = epoch

    return Tracker(
        lambda values: write(hyperparameters=dict(values)),
        log,
        lambda figures: write(summary=finite(figures)),
        lambda path: write(artefact=str(path)),
        file.close,
    )


def _noted(path: Path) -> set[str]:
    """The lines of the file, which then ends with a whole one."""
    if not path.exists():
        return set()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        lines = whole.decode().splitlines()
        are_objects = all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        are_objects = False
    if not are_objects:
        raise ValueError(f"{path} holds something else than the JSON lines of a training; choose another name")
    if len(whole) < len(content):
        with atomic_path(path) as partial:
            partial.write_bytes(whole)
    return set(lines)
