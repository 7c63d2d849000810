"""Peak memory and time of a command on large files, each in a process of its own: python -m benchmarks.memory.

python -m benchmarks.memory detect npy 10000000 10
python -m benchmarks.memory detect csv 5000000 20
python -m benchmarks.memory detect encode parquet 20000000 20 --out parquet
python -m benchmarks.memory evaluate parquet 10000000 20
python -m benchmarks.memory train csv 5000000 20
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.csv
import pyarrow.parquet

_BLOCK = 250_000
_NUM_FACTORS = 4
_TRAINING = ("--batch-size", "1024", "--quiet")
# What a process has held at most is told by the system; of a child it would be that of its parent as well.
_MEASURED = """
import sys, time
from aejax.cli import main
begin = time.process_time()
try:
    main.main(sys.argv[1:])
finally:
    print(time.process_time() - begin, "s of CPU", file=sys.stderr)
    print(open("/proc/self/status").read(), file=sys.stderr)
"""
_COPY = """
import sys, time
from pyarrow import csv, parquet
begin = time.process_time()
if sys.argv[1].endswith(".parquet"):
    with parquet.ParquetFile(sys.argv[1]) as file, parquet.ParquetWriter(sys.argv[2], file.schema_arrow) as writer:
        for batch in file.iter_batches(1 << 20):
            writer.write_batch(batch)
else:
    with csv.open_csv(sys.argv[1]) as file, csv.CSVWriter(sys.argv[2], file.schema) as writer:
        for batch in file:
            writer.write_batch(batch)
print(time.process_time() - begin, "s of CPU", file=sys.stderr)
print(open("/proc/self/status").read(), file=sys.stderr)
"""


def rows(num_rows: int, num_columns: int) -> Iterator[np.ndarray]:
    """Rows of a few factors and noise, block by block."""
    mixing = np.random.default_rng(0).standard_normal((_NUM_FACTORS, num_columns))
    for begin in range(0, num_rows, _BLOCK):
        rng = np.random.default_rng(begin + 1)
        count = min(_BLOCK, num_rows - begin)
        factors = rng.standard_normal((count, _NUM_FACTORS))
        yield 300 + 10 * (factors @ mixing + 0.3 * rng.standard_normal((count, num_columns)))


def write(path: Path, num_rows: int, num_columns: int, share_missing: float) -> None:
    """A file of such rows; no more than a block of them is held."""
    names = [f"s{i}" for i in range(num_columns)]
    schema = arrow.schema([(name, arrow.float64()) for name in names])
    if path.suffix == ".npy":
        with path.open("wb") as file:
            layout = {"descr": "<f8", "fortran_order": False, "shape": (num_rows, num_columns)}
            np.lib.format.write_array_header_1_0(file, layout)
            for block in rows(num_rows, num_columns):
                file.write(_with_gaps(block, share_missing).tobytes())
        return
    writer = arrow.csv.CSVWriter if path.suffix == ".csv" else arrow.parquet.ParquetWriter
    with writer(path, schema) as file:
        for block in rows(num_rows, num_columns):
            columns = _with_gaps(block.round(4), share_missing).T
            file.write_table(arrow.table([arrow.array(column, from_pandas=True) for column in columns], schema=schema))


def _with_gaps(block: np.ndarray, share: float) -> np.ndarray:
    if share:
        block[np.random.default_rng(len(block)).random(block.shape) < share] = np.nan
    return block


def measured(code: str, words: list[str | Path]) -> dict[str, float]:
    """Runs Python in a process of its own: its peak memory in MB, its time and its time on the processors."""
    begin = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if result.returncode:
        raise RuntimeError(result.stderr)
    peak, cpu = re.search(r"VmHWM:\s+(\d+) kB", result.stderr), re.search(r"([\d.]+) s of CPU", result.stderr)
    assert peak
    assert cpu
    return {"peak_mb": int(peak[1]) * 1024 / 1e6, "seconds": seconds, "cpu_seconds": float(cpu[1])}


def words_of(task: str, run: Path, data: Path, results: Path, ending: str) -> list[str | Path]:
    """The command line of a task; training is one pass over the rows."""
    if task == "train":
        return ["train", data, "--out", results / "run", "--num-epochs", "1", "--latent-dim", "4", *_TRAINING]
    return [task, run, data, *([] if task == "evaluate" else ["--out", results / f"out.{ending}"])]


def main() -> None:
    """Prints a line for the command, and one for pyarrow's copy of the same file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=["detect", "encode", "reconstruct", "evaluate", "train"])
    parser.add_argument("kind", choices=["npy", "csv", "parquet"])
    parser.add_argument("num_rows", type=int)
    parser.add_argument("num_columns", type=int)
    parser.add_argument("--out", default="csv", help="the format that is written")
    parser.add_argument("--missing", type=float, default=0.0, help="share of the cells")
    parser.add_argument("--folder", type=Path, help="for the files; they are kept there for the next call")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run, normal = folder / f"run-{given.num_columns}-{given.missing:g}", folder / f"normal-{given.num_columns}.npy"
        if not run.exists():
            write(normal, 5000, given.num_columns, given.missing)
            words = ["train", normal, "--out", run, "--num-epochs", "5", "--latent-dim", "4", "--quiet"]
            measured(_MEASURED, words)
        data = folder / f"new-{given.num_rows}-{given.num_columns}-{given.missing:g}.{given.kind}"
        if not data.exists():
            write(data, given.num_rows, given.num_columns, given.missing)
        for task in given.tasks:
            with tempfile.TemporaryDirectory(dir=folder) as results:
                _show(task, data, measured(_MEASURED, words_of(task, run, data, Path(results), given.out)))
        if given.kind != "npy" and not {"evaluate", "train"} & set(given.tasks):
            _show("pyarrow's copy", data, measured(_COPY, [data, folder / f"copy.{given.kind}"]))


def _show(what: str, data: Path, found: dict[str, float]) -> None:
    size = data.stat().st_size / 1e6
    print(
        f"{what} of {data.name} ({size:.0f} MB): peak {found['peak_mb']:.0f} MB, {found['seconds']:.1f} s, "
        f"{found['cpu_seconds']:.1f} s of CPU",
        flush=True,
    )


if __name__ == "__main__":
    main()
