"""``aejax watch``: rows are judged as they come, each by one line of JSON."""

import contextlib
import dataclasses
import functools
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from tyro.conf import FlagCreatePairsOff, Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet, Reading
from aejax.data.formats.options import ReadOptions, told_last

if TYPE_CHECKING:
    from aejax.tables.arrivals import Layout, Times
    from aejax.tables.watching import Memory, Watcher

_FORMAT = 1
_SECONDS_BETWEEN_STATES = 1.0
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclasses.dataclass(frozen=True)
class WatchCommand:
    """Judge rows as they come, each by one line of JSON."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run or of a monitor."""
    data: Positional[Annotated[str, arg(metavar="DATA")]]
    """CSV with a header, or JSON lines: a file that grows, or - for standard input."""
    state: Path | None = None
    """File that keeps what must be remembered over a restart."""
    false_alarm_rate: float | None = None
    """Share of normal rows that may be flagged; that of the run by default. A monitor has its own."""
    adaptive: float | None = None
    """Of a monitor: the step, such as 0.001, by which its limits follow a drift; a long fault raises them too."""
    stop_at_end: FlagCreatePairsOff[bool] = False
    """Stop at the end of the file, and wait for no more rows."""
    reading: Reading = ReadOptions()
    quiet: Quiet = False


class _Progress(NamedTuple):
    """How far a stream has been judged.

    Attributes:
        num_rows: that have been judged or refused.
        position: in the file, behind the last line that was dealt with; 0 for standard input.
        layout: of the lines, once it is known.
        times: of the rows.
        memory: of the watcher.
    """

    num_rows: int
    position: int
    layout: "Layout | None"
    times: "Times"
    memory: "Memory | None"


class _Stop(Exception):  # noqa: N818, it is no error
    """A signal asked to stop while a line was waited for."""


def run(command: WatchCommand) -> int:
    """Judges rows until there are no more, or until it is stopped.

    Args:
        command: the options.

    Returns:
        0, after SIGTERM too.

    Raises:
        ValueError: a run, a state or a stream that does not fit; the message says which.
        OSError: a file cannot be read or written.
        KeyboardInterrupt: after Ctrl-C.
    """
    import aejax
    from aejax import tables
    from aejax.tables.watching import watcher_of

    thing = aejax.load(command.run)
    if not isinstance(thing, aejax.Run | tables.TableMonitor):
        raise ValueError(
            f"RUN: {command.run} holds a {type(thing).__name__}, expected a run of aejax train or a monitor of "
            "aejax monitor"
        )
    watcher = watcher_of(thing, command.false_alarm_rate, command.adaptive)
    options = told_last(command.reading, watcher.reading)
    kept = _Kept(command, watcher)
    _warm_up(watcher)
    notice = functools.partial(note, quiet=command.quiet)
    notice(f"watching {command.data} from row {kept.progress.num_rows + 1} on")
    signals = _Signals()
    with signals.caught():
        try:
            lines = _lines(command, kept.progress.position, signals, notice)
            for progress in _judged(lines, watcher, options, kept.progress, notice):
                kept.take(progress)
        finally:
            kept.write()
    if signals.found == signal.SIGINT:
        raise KeyboardInterrupt(f"stopped after {kept.progress.num_rows} rows")
    return 0


class _Signals:
    """Ctrl-C and SIGTERM, which stop the command between two rows, or while it waits for one."""

    def __init__(self) -> None:
        self.found: int | None = None
        self._is_waiting = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def waited(self, wait: Callable[[], Any]) -> Any:
        """Calls what may take long; a signal ends it, or has ended it before."""
        self._is_waiting = True
        try:
            if self.found is not None:
                raise _Stop
            return wait()
        finally:
            self._is_waiting = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.found = number
        if self._is_waiting:
            raise _Stop


class _Kept:
    """The state file: what has been judged and delivered, written once a second and at the end."""

    def __init__(self, command: WatchCommand, watcher: "Watcher"):
        from aejax.artefacts.manifest import MANIFEST, file_digest

        manifest = command.run / MANIFEST
        self._path = command.state
        self._of = {
            "format": _FORMAT,
            "run": file_digest(manifest) if manifest.is_file() else "",
            "data": command.data if command.data == "-" else str(Path(command.data).resolve()),
            "adaptive": command.adaptive,
        }
        self.progress = self._written = self._read(watcher)
        self._next = time.monotonic() + _SECONDS_BETWEEN_STATES

    def take(self, progress: _Progress) -> None:
        self.progress = progress
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        from aejax.artefacts import storage
        from aejax.tables.watching import packed

        if self._path is None or self.progress is self._written:
            return
        content = self.progress._asdict() | {"memory": packed(self.progress.memory)}
        storage.write_json(self._path, self._of | content)
        self._written = self.progress
        self._next = time.monotonic() + _SECONDS_BETWEEN_STATES

    def _read(self, watcher: "Watcher") -> _Progress:
        from aejax.artefacts import storage
        from aejax.tables.arrivals import Layout, Times
        from aejax.tables.watching import unpacked

        if self._path is None or not self._path.exists():
            return _Progress(0, 0, None, Times(), watcher.begin())
        found = storage.read_json(self._path)
        if not isinstance(found, dict) or any(found.get(name) != value for name, value in self._of.items()):
            raise ValueError(
                f"state: {self._path} was not written for this RUN and this DATA with this --adaptive, or by another "
                "version; name another file, or remove it to begin anew"
            )
        try:
            layout = found["layout"] and Layout(found["layout"][0] and tuple(found["layout"][0]), *found["layout"][1:])
            times = Times(found["times"][0], tuple(found["times"][1]))
            memory = unpacked(watcher, found["memory"])
            return _Progress(int(found["num_rows"]), int(found["position"]), layout, times, memory)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"state: {self._path} is damaged ({error}); remove it to begin anew") from error


def _lines(
    command: WatchCommand, position: int, signals: _Signals, notice: Callable[[str], None]
) -> Iterator[tuple[str, int]]:
    """The lines of the stream, and where in the file the next one begins."""
    with contextlib.suppress(_Stop):
        if command.data != "-":
            yield from _of_file(Path(command.data), position, command.stop_at_end, signals, notice)
            return
        while line := signals.waited(sys.stdin.buffer.readline):
            yield line.decode(errors="replace"), 0


def _of_file(
    path: Path, position: int, stop_at_end: bool, signals: _Signals, notice: Callable[[str], None]
) -> Iterator[tuple[str, int]]:
    """The lines of a file that grows, or is begun anew under its name."""
    while True:
        if path.stat().st_size < position:
            notice(f"{path} is shorter than before: read from its beginning")
            position = 0
        with path.open("rb") as file:
            file.seek(position)
            while line := signals.waited(file.readline):
                if not line.endswith(b"\n") and not stop_at_end:
                    break  # the rest of the line is still to come
                position = file.tell()
                yield line.decode(errors="replace"), position
        if stop_at_end:
            return
        signals.waited(lambda: time.sleep(_SECONDS_BETWEEN_LOOKS))


def _judged(
    lines: Iterator[tuple[str, int]],
    watcher: "Watcher",
    options: ReadOptions,
    progress: _Progress,
    notice: Callable[[str], None],
) -> Iterator[_Progress]:
    """Writes what is made of each row, and says how far that is."""
    from aejax.tables.arrivals import find_layout, is_header

    first: list[str] = []
    for line, position in lines:
        rows = [line]
        if progress.layout and is_header(line, progress.layout, watcher.columns):
            progress = progress._replace(layout=None)
        if progress.layout is None:
            first.append(line)
            found = find_layout(first, watcher.columns, watcher.has_header, options)
            if found is None:
                continue
            layout, num_above = found
            progress, rows, first = progress._replace(layout=layout), first[num_above:], []
            if lacking := [name for name in watcher.columns if layout.names and name not in layout.names]:
                notice(f"the header lacks {', '.join(lacking)}: all rows are incomplete")
        for row in rows:
            record, progress = _record(row, watcher, options, progress)
            if record is not None:
                print(json.dumps(record, allow_nan=False), flush=True)
        progress = progress._replace(position=position)
        yield progress


def _record(
    line: str, watcher: "Watcher", options: ReadOptions, progress: _Progress
) -> tuple[dict[str, Any] | None, _Progress]:
    """What is written of a line, and how far it brings us."""
    from aejax.tables.arrivals import placed, read
    from aejax.tables.watching import no_verdict

    assert progress.layout is not None
    number = progress.num_rows + 1
    after = progress._replace(num_rows=number)
    try:
        arrival = read(line, progress.layout, watcher.columns, options.missing, watcher.levels)
    except ValueError as error:
        return {"row": number, "status": "unreadable", **no_verdict(), "message": str(error)}, after
    if arrival is None:
        return None, progress
    status, message, times = placed(progress.times, arrival.time)
    record = {"row": number, "time": arrival.time, "status": status}
    after = after._replace(times=times)
    verdict = no_verdict()
    if progress.memory is None or status in ("ok", "late"):  # others would disturb what a monitor remembers
        try:
            verdict, memory = watcher.judge(progress.memory, arrival.values)
            after = after._replace(memory=memory)
        except ValueError as error:
            record["status"], message = "refused", str(error)
    message = "; ".join(filter(None, (message, arrival.problem)))
    return record | verdict | {"missing": list(arrival.missing), "message": message}, after


def _warm_up(watcher: "Watcher") -> None:
    """Compiles what rows need, with and without gaps, before the first of them comes."""
    import numpy as np

    with_gap = watcher.usual.copy()
    with_gap[-1] = np.nan
    for row in (watcher.usual, with_gap):
        watcher.judge(watcher.begin(), row)


COMMANDS = {"watch": Command(WatchCommand, run)}
