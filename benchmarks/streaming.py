"""Training on Parquet files that are larger than memory: its peak memory, and its steps beside those in memory.

python -m benchmarks.streaming memory 10 40
python -m benchmarks.streaming speed
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet

from benchmarks.memory import rows

_COLUMNS, _GROUP = 20, 131_072
_ALLOWED = 1 << 30  # bytes of memory above those of a process that has loaded the library
_PART_ROWS = _ALLOWED // 4 // (8 * _COLUMNS)
_BATCH = 1024
# Prepared as the command line does it; a whole pass of steps would take hours and hold no more.
_TRAINING = """
import re, sys, time
import jax
import aejax
from aejax.tables.config import TrainConfig
from aejax.tables.large import prepared_large, read_large
from aejax.tables.preparation import run_keys
from aejax.tables.run import Source

def held(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024 / 1e6

jax.jit(lambda x: x + 1)(1.0)
begin, clock = held("VmHWM"), time.perf_counter()
config = TrainConfig(batch_size=int(sys.argv[2]))
split_key, key, _ = run_keys(config)
table = read_large(sys.argv[1], config)
ready, training = prepared_large(split_key, table, Source("", "", table.columns, True), config, lambda line: None)
read, clock = time.perf_counter() - clock, time.perf_counter()
validation = jax.tree.map(lambda field: field[ready.split.validation], ready.batch)
model = aejax.models.vae((len(ready.columns),), latent_dim=4)
source = training.source(key, config.batch_size)
aejax.fit(key, model, source, num_epochs=3, steps_per_epoch=int(sys.argv[3]), validation=validation)
print(f"begin {begin} peak {held('VmHWM')} read {read} trained {time.perf_counter() - clock} rows {training.num_rows}")
"""


def write(folder: Path, num_parts: int) -> None:
    """A table in parts of a quarter of what is allowed: names of one file, for the disk; what is read is the same."""
    names = [f"s{i}" for i in range(_COLUMNS)]
    first = folder / "part_0.parquet"
    schema = arrow.schema([(name, arrow.float64()) for name in names])
    with arrow.parquet.ParquetWriter(first, schema) as file:
        for block in rows(_PART_ROWS, _COLUMNS):
            file.write_table(arrow.table(list(block.T), schema=schema), row_group_size=_GROUP)
    for number in range(1, num_parts):
        os.link(first, folder / f"part_{number}.parquet")


def memory(times: int, num_steps: int) -> None:
    """Prints the peak memory of a training on so many times what is allowed, above that at its begin."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), 4 * times)
        words = [sys.executable, "-c", _TRAINING, folder, str(_BATCH), str(num_steps)]
        result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)
    found = {name: float(value) for name, value in re.findall(r"(\w+) ([\d.]+)", result.stdout)}
    print(
        f"{times} times 1 GiB: peak {found['peak'] - found['begin']:.0f} MB above {found['begin']:.0f} MB, two readings"
        f" {found['read']:.0f} s, {3 * num_steps} steps {found['trained']:.0f} s, {found['rows']:.0f} rows to train on",
        flush=True,
    )


def speed(num_rounds: int, num_steps: int) -> None:
    """Prints the steps a second in memory and from Parquet, in turn, and the median of their ratios."""
    import jax

    import aejax
    from aejax.data.formats.table_files.groups import parquet_groups
    from aejax.training.sources import stored_rows

    with tempfile.TemporaryDirectory() as name:
        write(Path(name), 1)
        stored = parquet_groups(Path(name) / "part_0.parquet", [f"s{i}" for i in range(_COLUMNS)])
        x = np.concatenate(list(stored.rows()))
        mean, scale = x.mean(axis=0), x.std(axis=0)
        x = ((x - mean) / scale).astype(np.float32)

        def scaled(rows: np.ndarray) -> aejax.Batch:
            return aejax.Batch(((rows - mean) / scale).astype(np.float32))  # type: ignore[arg-type]

        key, model = jax.random.key(0), aejax.models.vae((_COLUMNS,), latent_dim=4)
        sources = {"memory": x, "Parquet": stored_rows(key, stored, _BATCH, transform=scaled)}
        seconds: dict[str, list[float]] = {who: [] for who in sources}
        for number in range(num_rounds + 1):
            for who, source in sources.items():
                begin = time.perf_counter()
                aejax.fit(key, model, source, batch_size=_BATCH, num_epochs=2, steps_per_epoch=num_steps, validation=0)
                if number:  # the first one compiles
                    seconds[who].append((time.perf_counter() - begin) / (2 * num_steps))
    for who, times in seconds.items():
        print(f"{who}: {1 / statistics.median(times):.0f} steps a second, {1e3 * statistics.median(times):.3f} ms each")
    ratios = [memory / parquet for memory, parquet in zip(*seconds.values(), strict=True)]
    print(f"Parquet beside memory: {100 * statistics.median(ratios):.1f} % (median of {num_rounds} rounds)", flush=True)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "speed"])
    parser.add_argument("times", nargs="*", type=int, default=[10], help="the table, in times of what is allowed")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=2000, help="of an epoch")
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.rounds, given.steps)
    else:
        for times in given.times:
            memory(times, given.steps)


if __name__ == "__main__":
    main()
