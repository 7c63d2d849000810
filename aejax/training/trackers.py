"""Where the figures of a training go while it runs: JSON lines, TensorBoard, several at once."""

import json
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.artefacts.storage import finite
from aejax.artefacts.writing import atomic_path, make_folder
from aejax.training.progress import Progress

# What tensorboardX writes behind the name of a text.
_OF_TEXT = "/text_summary"


class Tracker(NamedTuple):
    """Five functions that note what happens to a training.

    What a place holds already, from before a run was killed and resumed, is not noted twice.

    Attributes:
        hyperparameters: (values by name) -> None, before the training.
        log: (epoch from 1, metrics by name) -> None.
        summary: (figures by name) -> None, after the training.
        artefact: (path) -> None, a file or folder that the training has made.
        finish: () -> None, after which none of them is called.
    """

    hyperparameters: Callable[[Mapping[str, Any]], None]
    log: Callable[[int, Mapping[str, float]], None]
    summary: Callable[[Mapping[str, float]], None]
    artefact: Callable[[Path], None]
    finish: Callable[[], None]


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


def tensorboard(folder: str | Path) -> Tracker:
    """Notes to a folder that TensorBoard shows, by tensorboardX.

    Args:
        folder: of event files, made if it is not there.

    Returns:
        The Tracker. An epoch is one event, which is there with all of its metrics or not at all.

    Raises:
        ImportError: without the extra ``tracking``.
        OSError: the folder cannot be written.
    """
    try:
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError as error:
        raise ImportError('tensorboard needs tensorboardX: pip install "aejax[tracking]"') from error
    folder = Path(folder)
    tags = [(value.tag, event.step) for event in _events(folder) for value in event.summary.value]
    texts = {tag for tag, _ in tags if tag.endswith(_OF_TEXT)}
    last = max((step for tag, step in tags if tag not in texts), default=0)
    # Its own names hold the second: a run resumed within it would write over the file of the one before.
    writer = SummaryWriter(str(folder), filename_suffix=f".{secrets.token_hex(4)}")

    def text(name: str, content: str) -> None:
        if name + _OF_TEXT not in texts:
            writer.add_text(name, content)
            writer.flush()

    def hyperparameters(values: Mapping[str, Any]) -> None:
        rows = [f"| {name} | {value} |" for name, value in values.items()]
        text("hyperparameters", "\n".join(["| name | value |", "| --- | --- |", *rows]))

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        if epoch > last:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
            writer.file_writer.add_summary(Summary(value=values), epoch)
            writer.flush()
            last = epoch

    return Tracker(
        hyperparameters,
        log,
        lambda figures: text("summary", json.dumps(finite(figures))),
        lambda path: text("artefact", str(path)),
        writer.close,
    )


def composite(trackers: Iterable[Tracker]) -> Tracker:
    """Notes to several places.

    Args:
        trackers: one for each place.

    Returns:
        The Tracker.
    """
    members = tuple(trackers)

    def each(name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            for member in members:
                getattr(member, name)(*arguments)

        return call

    return Tracker(*map(each, Tracker._fields))


def tracker_of(place: str) -> Tracker:
    """The tracker of a place as the command line names it.

    Args:
        place: ``jsonl:FILE`` or ``tensorboard:FOLDER``.

    Returns:
        The Tracker.

    Raises:
        ValueError: another kind, or no place.

    Example:
        >>> tracker_of("wandb:plant")
        Traceback (most recent call last):
        ValueError: track: found 'wandb:plant', expected jsonl:FILE or tensorboard:FOLDER
    """
    kinds = {"jsonl": json_lines, "tensorboard": tensorboard}
    kind, _, where = place.partition(":")
    if kind not in kinds or not where:
        raise ValueError(f"track: found {place!r}, expected jsonl:FILE or tensorboard:FOLDER")
    return kinds[kind](where)


def log_history(tracker: Tracker, history: Mapping[str, np.ndarray], first: int = 0) -> None:
    """Notes the epochs of a history.

    Args:
        tracker: the Tracker.
        history: metrics by name, each (epochs,).
        first: so many epochs have been noted before.
    """
    num_epochs = max((len(values) for values in history.values()), default=0)
    for epoch in range(first, num_epochs):
        tracker.log(epoch + 1, {name: float(values[epoch]) for name, values in history.items()})


def reporter(tracker: Tracker) -> Callable[[Progress], None]:
    """What ``aejax.fit(progress=...)`` takes: each epoch is noted once, also those before a run was resumed.

    Args:
        tracker: the Tracker.

    Returns:
        Takes Progress values.

    Example:
        >>> found = []
        >>> nothing = lambda *arguments: None
        >>> tracker = Tracker(nothing, lambda epoch, metrics: found.append((epoch, metrics)), *[nothing] * 3)
        >>> report = reporter(tracker)
        >>> report(Progress(2, 9, 1.0, 1.0, {}, False, history={"loss": np.array([3.0, 2.0])}))
        >>> found
        [(1, {'loss': 3.0}), (2, {'loss': 2.0})]
    """
    num_noted = 0

    def report(progress: Progress) -> None:
        nonlocal num_noted
        log_history(tracker, progress.history, num_noted)
        num_noted = max(num_noted, progress.epoch)

    return report


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


def _events(folder: Path) -> Iterator[Any]:
    """The events of a folder, up to where a killed process was writing."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, begin = path.read_bytes(), 0
        while begin + 12 <= len(content):
            # A record: its length, a check of it, the event, a check of that.
            (length,) = struct.unpack("<Q", content[begin : begin + 8])
            if begin + 16 + length > len(content):
                break
            yield Event.FromString(content[begin + 12 : begin + 12 + length])
            begin += 16 + length
