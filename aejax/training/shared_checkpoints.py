"""Checkpoints of a run of one process or of several."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax

from aejax.training.checkpoint import Checkpoints, from_arrays, to_arrays
from aejax.training.engine import RunState
from aejax.training.fingerprints import Fingerprint
from aejax.training.processes import agreed, by_the_first, of_the_first, whole

_T = TypeVar("_T")


class SharedCheckpoints:
    """The checkpoints of a run of several processes: the first one writes and reads them, and sends what it read.

    With one process these are its Checkpoints.

    Args:
        directory: as for ``Checkpoints``.

    Raises:
        ValueError: as for ``Checkpoints``, in all processes.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory).resolve()
        self._own = by_the_first(lambda: Checkpoints(directory))

    def begin(self, fingerprint: Fingerprint) -> None:
        """As ``Checkpoints.begin``."""
        self._by_the_first(lambda own: own.begin(fingerprint))

    def check(self, fingerprint: Fingerprint) -> None:
        """As ``Checkpoints.check``."""
        self._by_the_first(lambda own: own.check(fingerprint))

    def save(self, run: RunState) -> None:
        """As ``Checkpoints.save``."""
        put_together = whole(run)
        self._by_the_first(lambda own: own.save(put_together))

    def is_ready(self) -> bool:
        """As ``Checkpoints.is_ready`` in the first process, which writes; False in the others."""
        return self._own is not None and self._own.is_ready()

    def wait(self) -> None:
        """As ``Checkpoints.wait``."""
        self._by_the_first(lambda own: own.wait())

    def restore(self, template: RunState, num_epochs: int) -> RunState | None:
        """As ``Checkpoints.restore``."""
        put_together = whole(template)
        restored = self._by_the_first(lambda own: own.restore(put_together, num_epochs))
        (is_there,) = agreed(restored is not None)
        if not is_there or jax.process_count() == 1:
            return restored
        arrays = of_the_first(to_arrays(put_together if restored is None else restored))
        return from_arrays(arrays, put_together)

    def is_empty(self) -> bool:
        """As ``Checkpoints.is_empty``."""
        (is_so,) = agreed(bool(self._by_the_first(lambda own: own.is_empty())))
        return bool(is_so)

    def close(self) -> None:
        """As ``Checkpoints.close``."""
        if self._own is not None:
            self._own.close()

    def _by_the_first(self, action: Callable[[Checkpoints], _T]) -> _T | None:
        own = self._own
        return by_the_first(lambda: action(own) if own else None)
