"""What several processes of one run have to agree upon: how far a part goes, when to stop, and what the first one read.

Each runs the same program; one that decided for itself would wait for the others for ever. With one process nothing
here costs anything.
"""

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from aejax.base import PyTree

_T = TypeVar("_T")
_MESSAGE_BYTES = 1_000
_SECONDS_FOR_THE_OTHERS = 3.0  # until the first process ends: JAX aborts those that still run then
# What Gloo, NCCL and JAX's service say begins so; out of memory and a wrong program begin otherwise.
_STATUSES_OF_A_LOSS = (
    "UNKNOWN:",
    "INTERNAL:",
    "UNAVAILABLE:",
    "ABORTED:",
    "CANCELLED:",
    "DEADLINE_EXCEEDED:",
    "FAILED_PRECONDITION:",
)


class ProcessLostError(RuntimeError):
    """Another process of the run has ended, so that no step can be finished. The run is resumed from checkpoints.

    This process then ends with exit code 1, at once: JAX's own end would wait for the lost one and abort.
    """


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins the other processes of a run, before anything else of JAX; after an error the process ends at once.

    Raises:
        RuntimeError: nothing says where the others are.
        ProcessLostError: another process has ended.
    """
    _join()
    try:
        with naming_the_lost():
            yield
    except Exception:
        atexit.register(_leave)
        raise


def _join() -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # without it CPUs have no way to each other
    count, own = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    try:
        jax.distributed.initialize(num_processes=int(count) if count else None, process_id=int(own) if own else None)
    except ValueError as error:
        raise RuntimeError(
            "distributed: found neither SLURM, Open MPI, Kubernetes nor JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            f"JAX_PROCESS_ID in the environment, expected one of them ({error})"
        ) from error


def _leave() -> None:
    """Ends this process, where it is one of several that cannot go on, so that those that wait for it see it.

    JAX's own end waits for the others, which may wait for this one: all abort minutes later.
    """
    if jax.process_count() == 1:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if is_first():
        time.sleep(_SECONDS_FOR_THE_OTHERS)
    os._exit(1)


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return jax.process_index() == 0


@contextlib.contextmanager
def naming_the_lost() -> Iterator[None]:
    """Says that another process has ended where something that all of them do fails.

    Raises:
        ProcessLostError: in place of what the transport says.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # JAX raises either, by where it waits
        said = (str(error).splitlines() or [""])[0][:200]
        if jax.process_count() == 1 or not said.startswith(_STATUSES_OF_A_LOSS):
            raise
        atexit.register(_leave)
        raise ProcessLostError(
            f"another of the {jax.process_count()} processes of this run has ended ({said}); start all of them again "
            "with resume=True (--resume)"
        ) from error


def agreed(*numbers: int) -> tuple[int, ...]:
    """The numbers of the first process, in all of them.

    Example:
        >>> agreed(3, 4)
        (3, 4)
    """
    if jax.process_count() == 1:
        return numbers
    return tuple(multihost_utils.broadcast_one_to_all(np.array(numbers, np.int32)).tolist())


def is_any(flag: bool) -> bool:
    """Whether it is so in some process.

    Example:
        >>> is_any(False)
        False
    """
    return flag if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(flag)).any())


def by_the_first(action: Callable[[], _T]) -> _T | None:
    """Does something in the first process; where it fails there, it fails in all of them.

    Args:
        action: reads or writes files.

    Returns:
        What it returned, None in the other processes.

    Raises:
        ValueError: in the other processes, with the first one's message.
    """
    if jax.process_count() == 1:
        return action()
    error, result = None, None
    if is_first():
        try:
            result = action()
        except Exception as raised:
            error = raised
    text = str(error).encode()[:_MESSAGE_BYTES] if error else b""
    message = multihost_utils.broadcast_one_to_all(np.frombuffer(text.ljust(_MESSAGE_BYTES, b"\0"), np.uint8))
    if error:
        raise error
    if told := bytes(message).rstrip(b"\0").decode(errors="ignore"):
        raise ValueError(told)
    return result


def of_the_first(arrays: PyTree) -> PyTree:
    """The arrays of the first process, in all of them, which hand in some of the same shapes."""
    if jax.process_count() == 1:
        return arrays
    leaves, structure = jax.tree.flatten(jax.device_get(arrays))
    # As bytes, which keep -0 and NaN as they are.
    sent = multihost_utils.broadcast_one_to_all([np.frombuffer(leaf.tobytes(), np.uint8) for leaf in leaves])
    pairs = zip(leaves, jax.device_get(sent), strict=True)
    return jax.tree.unflatten(
        structure, [np.frombuffer(data.tobytes(), leaf.dtype).reshape(leaf.shape) for leaf, data in pairs]
    )


def whole(arrays: PyTree) -> PyTree:
    """Arrays that each process can read: those that are cut over several of them are put together."""

    def put_together(leaf: jax.Array) -> jax.Array:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        assert isinstance(leaf.sharding, NamedSharding)
        everywhere = NamedSharding(leaf.sharding.mesh, PartitionSpec())
        return jax.jit(lambda leaf: leaf, out_shardings=everywhere)(leaf)

    return arrays if jax.process_count() == 1 else jax.tree.map(put_together, arrays)
