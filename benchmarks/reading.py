"""Reading a CSV file of 300,000 rows and 15 columns, beside pandas: python -m benchmarks.reading."""

import io
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from aejax.data.formats.tables import read_table
from benchmarks.measuring import Contestant, Timing, interleaved

NUM_ROWS, NUM_COLUMNS = 300_000, 15


def files() -> dict[str, bytes]:
    """Numbers alone, with times beside them, and with a fiftieth of the cells empty."""
    values = np.random.default_rng(0).normal(50, 10, (NUM_ROWS, NUM_COLUMNS)).round(4)
    numbers = pd.DataFrame(values, columns=[f"s{i}" for i in range(NUM_COLUMNS)])
    times = pd.Series(pd.date_range("2024-01-01", periods=NUM_ROWS, freq="min").astype(str), name="time")
    gaps = numbers.mask(np.random.default_rng(1).random(values.shape) < 0.02)
    frames = {"numbers": numbers, "times and numbers": pd.concat([times, numbers.iloc[:, 1:]], axis=1), "gaps": gaps}
    return {name: frame.to_csv(index=False).encode() for name, frame in frames.items()}


def measure(name: str, data: bytes) -> list[Timing]:
    """Both readers in turn, seven rounds."""

    def running(read: Callable[[io.BytesIO], Any]) -> Callable[[], None]:
        def run() -> None:
            read(io.BytesIO(data))

        return run

    contestants = [Contestant("aejax", running(read_table)), Contestant("pandas", running(pd.read_csv))]
    return interleaved("reading", name, contestants, 1, "file", {"rows": NUM_ROWS, "columns": NUM_COLUMNS})


def main() -> None:
    """Prints medians and quartiles, and how many times as long as pandas ours takes."""
    ratios = []
    for name, data in files().items():
        timings = {one.who: one for one in measure(name, data)}
        ratios.append(timings["aejax"].median / timings["pandas"].median)
        for one in timings.values():
            print(f"{name:20s} {one.who:8s} {one.median:.3f} s ({one.low:.3f} to {one.high:.3f})")
        print(f"{name:20s} {ratios[-1]:.2f} times as long as pandas")
    print(f"median of the ratios: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
