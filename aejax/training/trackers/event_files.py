"""A tracker that writes the event files of TensorBoard."""

import json
import secrets
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aejax.artefacts.storage import finite
from aejax.training.trackers.tracker import Tracker

# What tensorboardX writes behind the name of a text.
_OF_TEXT = "/text_summary"


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
