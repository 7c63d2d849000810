"""A disk that loses what was not synced: records the writes to a folder, and lays out what a power cut would leave.

Names in a folder reach the disk in the order in which they were made, each folder for itself; what was not synced may
be there or not. So may the content of a file, whole, cut or empty, whether its name is there or not.
"""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

ROOT = 0


class Op(NamedTuple):
    """One change.

    Attributes:
        kind: "link", "unlink", "rename", "data" or "sync".
        where: number of the folder, or of the file for "data"; of either for "sync".
        what: of the kind.
    """

    kind: str
    where: int
    what: Any = None


class Recorder:
    """Records what happens to a folder while ``recording``.

    Args:
        folder: the folder.
    """

    def __init__(self, folder):
        self.folder = Path(os.path.realpath(folder))
        self.ops: list[Op] = []
        self.entries: dict[int, dict[str, int]] = {ROOT: {}}
        self.content: dict[int, bytes] = {}
        self._count = ROOT

    @contextlib.contextmanager
    def recording(self, monkeypatch):
        """Watches the folder inside the block; what it holds before counts as on the disk."""
        from aejax.artefacts import writing
        from aejax.training import checkpoint

        self._notice()
        self._sync_all()
        rename, unlink, sync = os.rename, os.unlink, writing.sync

        def renamed(function):
            def wrapped(source, target, **options):
                self._notice()
                before = self._find(source), self._find(target)
                function(source, target, **options)
                self._renamed(*before)

            return wrapped

        def unlinked(path, **options):
            self._notice()
            unlink(path, **options)
            self._notice()

        def synced(path):
            self._notice()
            sync(path)
            place = self._find(path)
            if place is not None and (number := self._number(place)) is not None:
                self.ops.append(Op("sync", number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", renamed(os.replace))
            patch.setattr(os, "rename", renamed(rename))
            patch.setattr(os, "unlink", unlinked)
            patch.setattr(writing, "sync", synced)
            patch.setattr(checkpoint, "sync", synced)
            yield
        self._notice()

    def _find(self, path):
        """A path as (folder's number, name); None outside of what is watched."""
        try:
            parts = Path(os.path.abspath(path)).relative_to(self.folder).parts  # noqa: PTH100
        except ValueError:
            return None
        if not parts:
            return (None, "")
        number = ROOT
        for part in parts[:-1]:
            number = self.entries.get(number, {}).get(part)
            if number is None:
                return None
        return number, parts[-1]

    def _number(self, place):
        return ROOT if place[0] is None else self.entries[place[0]].get(place[1])

    def _renamed(self, source, target):
        if source is None or target is None or source[0] != target[0]:
            self._notice()
            return
        names = self.entries[source[0]]
        names[target[1]] = names.pop(source[1])
        self.ops.append(Op("rename", source[0], (source[1], target[1])))
        self._notice()

    def _notice(self):
        """Changes since the last look, which other libraries may have made."""
        self._notice_folder(ROOT, self.folder)

    def _notice_folder(self, number, folder):
        names = self.entries[number]
        found = {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(folder)}
        for name in sorted(found):
            is_folder = found[name]
            if name in names and (names[name] in self.entries) != is_folder:
                self._unlink(number, name)
            if name not in names:
                self._count += 1
                names[name] = self._count
                if is_folder:
                    self.entries[self._count] = {}
                self.ops.append(Op("link", number, (name, self._count, is_folder)))
            if is_folder:
                self._notice_folder(names[name], folder / name)
            else:
                content = (folder / name).read_bytes()
                if content != self.content.get(names[name], b""):
                    self.content[names[name]] = content
                    self.ops.append(Op("data", names[name], content))
        for name in sorted(names.keys() - found.keys()):
            self._unlink(number, name)

    def _unlink(self, number, name):
        del self.entries[number][name]
        self.ops.append(Op("unlink", number, name))

    def _sync_all(self):
        self.ops += [Op("sync", number) for number in (*self.entries, *self.content)]
        self.begun = len(self.ops)


def lay_out(ops, folder, keep, data):
    """Writes what is on the disk after some changes.

    Args:
        ops: the changes up to the cut.
        folder: to write to.
        keep: (folder's number, how many of its changes are synced, how many there are) -> how many reach the disk.
        data: (content that is not synced) -> what of it reaches the disk.
    """
    synced = [0] * len(ops)
    last_sync = {op.where: place for place, op in enumerate(ops) if op.kind == "sync"}
    changes: dict[int, list[int]] = {}
    for place, op in enumerate(ops):
        synced[place] = place < last_sync.get(op.where, -1)
        if op.kind in ("link", "unlink", "rename"):
            changes.setdefault(op.where, []).append(place)
    kept = set()
    for number, places in changes.items():
        kept.update(places[: keep(number, sum(synced[place] for place in places), len(places))])
    entries: dict[int, dict[str, int]] = {ROOT: {}}
    content: dict[int, bytes] = {}
    for place, op in enumerate(ops):
        if op.kind == "data":
            content[op.where] = op.what if synced[place] else data(op.what)
        elif place in kept:
            names = entries.setdefault(op.where, {})
            if op.kind == "link":
                name, number, is_folder = op.what
                names[name] = number
                if is_folder:
                    entries.setdefault(number, {})
            elif op.kind == "unlink":
                names.pop(op.what, None)
            else:
                names[op.what[1]] = names.pop(op.what[0])
    _write(ROOT, Path(folder), entries, content)


def _write(number, folder, entries, content):
    folder.mkdir(exist_ok=True)
    for name, inside in entries[number].items():
        if inside in entries:
            _write(inside, folder / name, entries, content)
        else:
            (folder / name).write_bytes(content.get(inside, b""))
