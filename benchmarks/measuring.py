"""Interleaved timing, and what machine and versions it was on."""

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

NUM_ROUNDS = 7
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "scikit-learn", "pyod")


class Timing(NamedTuple):
    """One line of the results.

    Attributes:
        section: the part of the suite.
        case: what was computed.
        who: ``aejax`` or a peer.
        median: seconds per unit of work.
        low, high: quartiles of the rounds.
        rounds: how many there were.
        unit: what a unit of work is.
        work: parameters of the case by name: batch, members, rows.
        quality: what was reached, such as the final loss; None where nothing was trained.
    """

    section: str
    case: str
    who: str
    median: float
    low: float
    high: float
    rounds: int
    unit: str
    work: dict[str, float]
    quality: float | None = None


class Contestant(NamedTuple):
    """Who computes something, and how: a function that runs it once, blocking, and returns the quality reached."""

    who: str
    run: Callable[[], float | None]


def interleaved(
    section: str,
    case: str,
    contestants: list[Contestant],
    num_units: int,
    unit: str,
    work: dict[str, float],
    num_rounds: int = NUM_ROUNDS,
) -> list[Timing]:
    """Times contestants in turn, round after round, so that what else the machine does falls on all alike."""
    quality = {one.who: one.run() for one in contestants}  # the first run compiles, and is not timed
    seconds: dict[str, list[float]] = {one.who: [] for one in contestants}
    for _ in range(num_rounds):
        for one in contestants:
            began = time.perf_counter()
            one.run()
            seconds[one.who].append((time.perf_counter() - began) / num_units)
    return [timing(section, case, who, times, unit, work, quality[who]) for who, times in seconds.items()]


def timing(
    section: str,
    case: str,
    who: str,
    times: list[float],
    unit: str,
    work: dict[str, float],
    quality: float | None = None,
) -> Timing:
    """The median and the quartiles of some rounds."""
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Timing(section, case, who, median, low, high, len(times), unit, work, quality)


def environment() -> dict[str, object]:
    """Versions, device, commit, and whether the working tree is as committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent).stdout

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "num_devices": jax.device_count(),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": git("rev-parse", "--short", "HEAD").strip(),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no").strip()),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def attainable(num_rounds: int = NUM_ROUNDS) -> dict[str, float]:
    """What the device reaches on one large operation, the best of some rounds.

    Returns:
        ``flops``: FLOP/s of a product of two 2,048 x 2,048 matrices of float32; ``bytes``: bytes a second read and
        written when 256 MB are incremented ten times in place.
    """
    size = 2048
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    column = jnp.ones(64 * 2**20)
    return {
        "flops": 2 * size**3 / _fastest(lambda a: a @ a, matrix, num_rounds),
        "bytes": 10 * 2 * column.nbytes / _fastest(_incremented, column, num_rounds),
    }


def _incremented(column: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 10, lambda _, values: values + 1, column)


def _fastest(function: Callable[[jax.Array], jax.Array], argument: jax.Array, num_rounds: int) -> float:
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(argument))
    seconds = []
    for _ in range(num_rounds):
        began = time.perf_counter()
        jax.block_until_ready(compiled(argument))
        seconds.append(time.perf_counter() - began)
    return min(seconds)
