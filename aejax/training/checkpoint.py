"""Checkpoints between the parts of a run, written atomically by Orbax beside the steps that follow."""

import contextlib
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from aejax.artefacts import manifest, storage
from aejax.artefacts.locking import LOCK, locked
from aejax.artefacts.writing import clear_leftovers, sync, sync_tree
from aejax.base import Array, PyTree
from aejax.training.engine import RunState
from aejax.training.fingerprints import Fingerprint, differences
from aejax.training.plans import Keys
from aejax.training.snapshots import Snapshot

_FINGERPRINT = "begun_with.json"
# The SHA-256 of each file of each checkpoint, written once they are on the disk.
_FILES = "files.json"
# Orbax writes it into each of its folders.
_OF_ORBAX = "_CHECKPOINT_METADATA"
_UNFINISHED = "*.orbax-checkpoint-tmp*"
# Fields of a RunState whose structure is the algorithm's: they are stored leaf by leaf.
_TREES = ("state", "kept", "best")
# Those that only the end of an epoch changes.
_OF_AN_EPOCH = ("kept", "best")


class Checkpoints:
    """The checkpoints of one run; the newest two are kept.

    Nobody else writes them while this is open.

    Args:
        directory: their folder, made if it is not there.

    Raises:
        ValueError: it holds numbered folders that no run wrote.
        FolderInUseError: another run writes its checkpoints there.
    """

    def __init__(self, directory: str | Path):
        # Orbax takes a third of a second to import, which only runs with checkpoints should pay.
        import orbax.checkpoint as ocp

        self.directory = Path(directory).resolve()
        self._ocp = ocp
        self._damaged: set[int] = set()
        self._closing = contextlib.ExitStack()
        self._snapshot = Snapshot(of_an_epoch=_OF_AN_EPOCH)
        self._coming: Future[None] | None = None
        # Others wait for nothing here: see SharedCheckpoints.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(), active_processes={jax.process_index()}
        )
        with contextlib.ExitStack() as opened:
            opened.enter_context(locked(self.directory))
            _refuse_others(self.directory)
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=2, enable_async_checkpointing=False, multiprocessing_options=alone, create=False
                ),
                # Without it the shapes are not known before a save. Packing makes numbers of training hardly smaller,
                # and takes four times the processor's time.
                item_handlers=ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone),
            )
            opened.callback(self._manager.close)
            # One thread: a checkpoint is on the disk, and noted, before the next one is begun.
            self._thread = opened.enter_context(ThreadPoolExecutor(1, "aejax-checkpoints"))
            self._closing = opened.pop_all()

    def begin(self, fingerprint: Fingerprint) -> None:
        """Writes down what a new run is begun with, before its first checkpoint."""
        storage.write_json(self.directory / _FINGERPRINT, fingerprint)

    def check(self, fingerprint: Fingerprint) -> None:
        """Compares what a run is resumed with and what it began with, if that was recorded.

        Raises:
            ValueError: they differ; the message says in what.
        """
        path = self.directory / _FINGERPRINT
        if not path.exists():
            return
        begun_with = storage.read_json(path)
        if begun_with.get("engine") != fingerprint["engine"]:
            raise ValueError(
                f"the checkpoints in {self.directory} were written by another version of aejax; finish the run with "
                "that one, or choose another directory"
            )
        if differs := differences(fingerprint, begun_with):
            raise ValueError(
                f"the checkpoints in {self.directory} belong to a run begun with something else: {differs}. Resume "
                "with what it was begun with, or choose another directory"
            )

    def save(self, run: RunState) -> None:
        """Copies a run, and begins to write it beside what follows; a checkpoint of the same step is kept.

        Args:
            run: its buffers may be given up afterwards.

        Raises:
            OSError: the one before could not be written.
        """
        self.wait()
        # Orbax writes nothing below its newest checkpoint, and counts the damaged ones among those that it keeps.
        while self._damaged:
            self._manager.delete(self._damaged.pop())
        # The end of an epoch's steps and the end of its validation are two places of one step.
        step, epoch = jax.device_get((run.state.step, run.epoch))
        number = int(np.max(step)) + int(np.max(epoch))
        if number not in self._manager.all_steps():
            self._coming = self._thread.submit(self._write, number, self._snapshot.taken(to_arrays(run)))

    def is_ready(self) -> bool:
        """Whether nothing is being written, so that ``save`` waits for nothing."""
        return self._coming is None or self._coming.done()

    def wait(self) -> None:
        """Waits until what is being written is on the disk.

        Raises:
            OSError: it could not be written.
        """
        if self._coming is not None:
            coming, self._coming = self._coming, None
            coming.result()

    def _write(self, number: int, arrays: dict[str, PyTree]) -> None:
        self._manager.save(number, args=self._ocp.args.PyTreeSave(arrays))
        sync_tree(self.directory / str(number))
        sync(self.directory)
        noted = _noted(self.directory) or {}
        digests = {str(kept): noted.get(str(kept)) for kept in self._manager.all_steps()}
        digests[str(number)] = _digests(self.directory / str(number))
        storage.write_json(self.directory / _FILES, {kept: files for kept, files in digests.items() if files})

    def restore(self, template: RunState, num_epochs: int) -> RunState | None:
        """The newest run that can be read whole.

        Args:
            template: a RunState of the same shapes, such as the one before the first epoch. Its history may be longer
                or shorter than that of the checkpoint, but has room for ``num_epochs``.
            num_epochs: the most epochs that the run may take, those that were done among them.

        Returns:
            The RunState, with a history as long as the template's, or None where no checkpoint can be read. One that is
            damaged is skipped with a warning.

        Raises:
            ValueError: the checkpoint belongs to a run with another key or of another model, or has more epochs behind
                it than it may take.
        """
        noted = _noted(self.directory)
        for number in sorted(self._manager.all_steps(), reverse=True):
            if noted is not None and str(number) not in noted:  # it was being written when its run ended
                self._damaged.add(number)
                continue
            try:
                if noted is not None:
                    _compare(self.directory, str(number), noted)
                shapes = _shapes(self._manager.item_metadata(number).tree)
                how = self._ocp.checkpoint_utils.construct_restore_args(shapes)
                restored = self._manager.restore(number, args=self._ocp.args.PyTreeRestore(shapes, restore_args=how))
            # Whatever Orbax raises for a file that is cut or missing: no other error can come from here.
            except Exception as error:
                warnings.warn(
                    f"checkpoint {number} in {self.directory} cannot be read and is skipped: {error}",
                    stacklevel=2,
                )
                self._damaged.add(number)
                continue
            return self._fitting(restored, template, num_epochs)
        return None

    def _fitting(self, restored: dict[str, PyTree], template: RunState, num_epochs: int) -> RunState:
        """What was read, as a RunState like the template; refused where it is one of another kind."""
        arrays = to_arrays(template)
        expected, found = (_flat(_shapes(tree)) for tree in (arrays, restored))
        for name in [*expected, *found]:
            if name.startswith("history") and name in expected and name in found:
                continue
            if expected.get(name) != found.get(name):
                raise ValueError(
                    f"the checkpoints in {self.directory} belong to a run of another model, optimizer or data: {name}: "
                    f"found {found.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}. Resume with what "
                    "it was begun with, or choose another directory"
                )
        if not np.array_equal(restored["keys"]["source"], jax.device_get(arrays["keys"]["source"])):
            raise ValueError(
                f"the checkpoints in {self.directory} belong to a run with another key; resume with the key "
                "that it was begun with, or choose another directory"
            )
        done, room = int(np.max(restored["epoch"])), next(iter(arrays["history"].values())).shape[-1]
        if done > num_epochs:
            raise ValueError(
                f"num_epochs: found {num_epochs}, but the run in {self.directory} has {done} epochs behind it; resume "
                f"with num_epochs={done} or more, or choose another directory"
            )
        restored["history"] = {name: _of_length(values, room) for name, values in restored["history"].items()}
        return from_arrays(restored, template)

    def is_empty(self) -> bool:
        """Whether no checkpoint is there."""
        return not self._manager.all_steps()

    def close(self) -> None:
        """Waits for what is being written, whether or not that succeeds, and lets others write."""
        self._closing.close()


def are_in(directory: str | Path) -> bool:
    """Whether a folder holds a checkpoint.

    Args:
        directory: the folder.
    """
    return any(_is_own(path) for path in _numbered_folders(Path(directory)))


def verify(directory: str | Path) -> tuple[int, ...]:
    """Compares checkpoints with what was noted when they were written.

    Args:
        directory: their folder.

    Returns:
        The steps of those that are whole.

    Raises:
        ValueError: one is damaged; the message names the file.
    """
    directory = Path(directory)
    noted = _noted(directory) or {}
    for number in noted:
        _compare(directory, number, noted)
    return tuple(sorted(map(int, noted)))


def remove(directory: str | Path) -> None:
    """Removes the checkpoints of a run that is complete. Other files in the folder stay, and so does the folder then.

    Args:
        directory: the folder; nothing happens where there is none.
    """
    directory = Path(directory)
    if directory.is_symlink() or not directory.is_dir():
        return
    clear_leftovers(directory)
    for path in (*filter(_is_own, _numbered_folders(directory)), *directory.glob(_UNFINISHED)):
        shutil.rmtree(path)
    for name in (_FINGERPRINT, _FILES, LOCK):
        (directory / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def exist(directory: str | Path) -> bool:
    """Whether a folder holds a checkpoint that a run can be resumed from.

    Args:
        directory: the folder, which need not be there.

    Returns:
        Whether it does.
    """
    return any(map(_is_own, _numbered_folders(Path(directory))))


def _numbered_folders(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*") if path.name.isdigit() and path.is_dir()]


def _is_own(path: Path) -> bool:
    """Whether a run wrote a numbered folder, and not a user who keeps years in them.

    Deleting may have been broken off, so that what Orbax wrote into the folder is no longer there.
    """
    if path.is_symlink():
        return False
    return (path / _OF_ORBAX).is_file() or any((path.parent / name).is_file() for name in (_FINGERPRINT, _FILES))


def _refuse_others(directory: Path) -> None:
    others = sorted(path.name for path in _numbered_folders(directory) if not _is_own(path))
    if others:
        raise ValueError(
            f"checkpoint_dir: {directory} holds {', '.join(others[:3])}, which no run wrote and which would be taken "
            "for checkpoints; choose another folder"
        )


def _noted(directory: Path) -> dict[str, dict[str, str]] | None:
    """The SHA-256 of each file by checkpoint; None where nothing is noted, as in earlier versions."""
    try:
        found = storage.read_json(directory / _FILES)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): manifest.file_digest(path) for path in files}


def _compare(directory: Path, number: str, noted: Mapping[str, Mapping[str, str]]) -> None:
    found = _digests(directory / number)
    for name, digest in noted[number].items():
        if found.get(name) != digest:
            raise manifest.damaged(directory / number / name)


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def to_arrays(run: RunState) -> dict[str, PyTree]:
    """A run as nested dictionaries of plain arrays: Orbax stores neither named tuples nor typed keys as they are."""
    leaves = jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, run)._asdict()
    trees = {name: _numbered(jax.tree.leaves(leaves[name])) for name in _TREES}
    return {**leaves, **trees, "keys": leaves["keys"]._asdict()}


def _shapes(arrays: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The same tree of shapes and types, of arrays or of what Orbax knows about them."""
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), dict(arrays))


def _flat(shapes: PyTree) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(shapes)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): f"{s.dtype}{s.shape}" for path, s in leaves}


def _of_length(values: np.ndarray, num_epochs: int) -> np.ndarray:
    """A history cut or filled up along its last axis."""
    values = np.asarray(jax.device_get(values))[..., :num_epochs]
    missing = num_epochs - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])


def _numbered(leaves: list[Array]) -> dict[str, PyTree]:
    return {f"{index:04d}": leaf for index, leaf in enumerate(leaves)}


def from_arrays(arrays: dict[str, PyTree], template: RunState) -> RunState:
    """The run of which these are the plain arrays, on the default device.

    Args:
        arrays: as ``to_arrays`` makes them.
        template: a run of the same structure.

    Returns:
        The RunState.
    """
    plain = template._asdict()
    for name in _TREES:
        structure = jax.tree.structure(plain[name])
        arrays[name] = jax.tree.unflatten(structure, [arrays[name][index] for index in sorted(arrays[name])])
    run = RunState(**{**arrays, "keys": Keys(**arrays["keys"])})

    def as_template(leaf: PyTree, like: Array) -> Array:
        leaf = jax.device_put(leaf)
        return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf

    return jax.tree.map(as_template, run, template)
