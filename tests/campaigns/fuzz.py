"""Damaged files: each is read, or refused in a sentence with its name, soon and with little memory."""

import contextlib
import functools
import gzip
import io
import json
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import aejax
from aejax.artefacts import codecs, manifest
from aejax.artefacts.outside import LONGEST
from aejax.cli.commands.training import config_of
from aejax.data.formats.grids import read_grid
from aejax.data.formats.map_files.registry import Maps
from aejax.data.formats.maps import read_maps, write_maps
from aejax.data.formats.tables import read_table, write_table
from aejax.data.formats.traces import read_events, read_traces
from aejax.tables.run import load_config
from tests.artefacts.examples import EXAMPLES
from tests.campaigns.figures import Figures
from tests.campaigns.mutations import changed, mutated

_MOST_SECONDS = 10.0
_MOST_BYTES = 1e9
_EARLIER = Path(__file__).parents[1] / "artefacts" / "earlier"


class Seed(NamedTuple):
    """A good file, and what reads it.

    Attributes:
        name: of the file.
        data: its content.
        read: (path) -> anything.
        folder: whose other files lie beside it, or None.
        damage: (content, generator) -> damaged content.
    """

    name: str
    data: bytes
    read: object
    folder: Path | None = None
    damage: object = mutated


class TooSlowError(BaseException):
    """Not caught by anything that is tested."""


def fuzz(count, only=None):
    """Damages each of the good files in turn."""
    figures, generator = Figures("fuzz"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        top = Path(top)
        seeds = [seed for seed in _seeds(top) if only is None or only in seed.name]
        for number in range(count):
            seed = seeds[number % len(seeds)]
            folder = top / "damaged"
            shutil.rmtree(folder, ignore_errors=True)
            if seed.folder is None:
                folder.mkdir()
            else:
                shutil.copytree(seed.folder, folder)
            path = folder / seed.name
            path.write_bytes(seed.damage(seed.data, generator))
            _judge(figures, f"{number} {seed.name}", path, folder, seed.read)
    return figures


def _judge(figures, name, path, folder, read):
    began = time.monotonic()
    _forget_peak()
    try:
        with _limited(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            read(path)
        outcome = "read"
    except (ValueError, FileNotFoundError, MemoryError) as error:
        outcome = "refused by name"
        if str(folder) not in str(error):
            figures.fault(f"{name}: does not name the file: {error}")
            return
        if len(str(error)) > LONGEST:
            figures.fault(f"{name}: a message of {len(str(error))} characters")
            return
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        figures.fault(f"{name}: {type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})")
        return
    if (seconds := time.monotonic() - began) > _MOST_SECONDS:
        figures.fault(f"{name}: {seconds:.0f} s")
    elif (taken := _peak()) > _MOST_BYTES:
        figures.fault(f"{name}: {taken / 1e9:.1f} GB")
    else:
        figures.add(outcome)


@contextlib.contextmanager
def _limited():
    def stop(number, frame):
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(int(2 * _MOST_SECONDS))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


_base = 0


def _forget_peak():
    """From here on the most memory is counted anew, where the system can."""
    global _base
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    _base = _status("VmRSS")


def _peak():
    return _status("VmHWM") - _base


def _status(name):
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0


def _seeds(top):
    return [*_tables(top), *_arrays(top), *_artefacts(top), *_maps(top), *_grids(top), *_traces(top), *_crystals()]


def _numbers():
    rng = np.random.default_rng(0)
    return {"flow": rng.normal(300, 5, 40), "level": rng.uniform(0, 1, 40), "pump": rng.choice([0.0, 1.0], 40)}


def _tables(top):
    rng = np.random.default_rng(1)
    columns = _numbers()
    times = np.datetime64("2024-01-01") + np.arange(40) * np.timedelta64(60, "s")
    for ending in ("csv", "parquet", "feather", "npy", "npz"):
        given = columns if ending.startswith("np") else {"time": times.astype(object), **columns}
        write_table(top / f"t.{ending}", given)
        yield Seed(f"t.{ending}", (top / f"t.{ending}").read_bytes(), read_table)
    text = (top / "t.csv").read_bytes()
    yield Seed("t.csv.gz", gzip.compress(text), read_table)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", text)
    yield Seed("t.csv.zip", packed.getvalue(), read_table)
    german = "Zeit;T1;p1\n;°C;bar\n" + "".join(
        f"{hour:02d}:00;{rng.normal(20, 2):.2f};1.{rng.integers(100, 999)},5\n".replace(".", ",", 1)
        for hour in range(24)
    )
    yield Seed("german.csv", german.encode("cp1252"), read_table)
    quoted = 'a,"b, c",d\n' + "".join(f'"{value}","x ""y""",{value}\n' for value in rng.normal(size=12))
    yield Seed("quoted.csv", quoted.encode(), functools.partial(read_table, drop_columns=["b, c"]))
    with contextlib.suppress(ImportError):
        yield Seed("excel.xlsx", _sheet(columns), read_table)


def _sheet(columns):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(list(columns))
    for row in zip(*columns.values(), strict=True):
        book.active.append([float(value) for value in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _arrays(top):
    np.savez_compressed(top / "data.npz", data=np.zeros((9, 2)), columns=np.array(["a", "b"]))
    yield Seed("data.npz", (top / "data.npz").read_bytes(), read_table)
    rng = np.random.default_rng(2)
    events = {"x": rng.normal(size=(4, 300)), "arrival": np.full(4, 150), "group": np.array(["A", "B", "C", "D"])}
    np.savez(top / "events.npz", **events)
    yield Seed("events.npz", (top / "events.npz").read_bytes(), read_events)


def _artefacts(top):
    for kind, make in EXAMPLES.items():
        folder = top / kind
        aejax.save(folder, make())
        for name in sorted(path.name for path in folder.iterdir()):
            yield Seed(name, (folder / name).read_bytes(), lambda path: aejax.load(path.parent), folder)
        manifest_file = (folder / "artefact.json").read_bytes()
        yield Seed("artefact.json", manifest_file, lambda path: codecs.verify(path.parent), folder, _resealed)
    for name in ("config.json", "history.jsonl", "scaler.json", "variables.safetensors"):
        for earlier in ("run", "run-gan"):
            folder = _EARLIER / earlier
            yield Seed(name, (folder / name).read_bytes(), _load_earlier, folder)
    config = (_EARLIER / "run" / "config.json").read_bytes()
    yield Seed("config.json", config, lambda path: load_config(path.parent))
    yield Seed("config.json", config, lambda path: config_of(["--config", str(path)]))


def _resealed(data, generator):
    """Settings and a description of the model that are edited, with a SHA-256 that fits."""
    content = json.loads(data)
    del content["sha256"]
    part = generator.choice(["settings", "model"] if content["model"] else ["settings"])
    content[part] = changed(content[part], generator)
    return json.dumps(content | {"sha256": manifest._digest(content)}).encode()


def _load_earlier(path):
    aejax.load(path.parent)
    with contextlib.suppress(FileNotFoundError):
        aejax.load(path.parent / "record")


def _maps(top):
    rng = np.random.default_rng(3)
    maps = Maps(rng.random((2, 3, 4)), np.arange(1.0, 4), np.arange(4.0), rng.random((2, 3, 4)))
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("maps.npz", "maps.json", "maps.nxs"):
            write_maps(top / name, maps)
            yield Seed(name, (top / name).read_bytes(), read_maps)
        from tests.data.test_maps import ENERGY, nxspe

        nxspe(top / "maps.nxspe", rng.random((4, len(ENERGY))), polar=np.array([10.0, 30.0, 50.0, 70.0]))
        yield Seed("maps.nxspe", (top / "maps.nxspe").read_bytes(), read_maps)


def _grids(top):
    from PIL import Image

    cells = np.random.default_rng(4).integers(0, 255, (12, 9)).astype(np.uint8)
    for ending in ("png", "bmp", "gif", "tif", "jpg"):
        Image.fromarray(cells).save(top / f"grid.{ending}")
        yield Seed(f"grid.{ending}", (top / f"grid.{ending}").read_bytes(), read_grid)
    np.save(top / "grid.npy", cells)
    yield Seed("grid.npy", (top / "grid.npy").read_bytes(), read_grid)
    text = "image 9 12 1\n1\nfacies\n" + "\n".join(map(str, cells.ravel())) + "\n"
    yield Seed("grid.gslib", text.encode(), read_grid)


def _traces(top):
    rng = np.random.default_rng(5)
    np.save(top / "traces.npy", rng.normal(size=(3, 400)))
    yield Seed("traces.npy", (top / "traces.npy").read_bytes(), read_traces)
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import obspy
        import segyio

        header = {"network": "AZ", "station": "PFO", "channel": "HHZ", "sampling_rate": 40.0}
        trace = obspy.Trace(rng.integers(-99, 99, 1000).astype(np.int32), header)
        obspy.Stream([trace]).write(str(top / "t.mseed"), format="MSEED", encoding="STEIM2")
        yield Seed("t.mseed", (top / "t.mseed").read_bytes(), read_traces)
        spec = segyio.spec()
        spec.samples, spec.tracecount, spec.format = np.arange(100) * 4.0, 5, 5
        with segyio.create(str(top / "t.sgy"), spec) as file:
            file.bin[segyio.BinField.Interval] = 4000
            for index in range(5):
                file.trace[index] = rng.normal(size=100).astype(np.float32)
        yield Seed("t.sgy", (top / "t.sgy").read_bytes(), read_traces)


def _crystals():
    from aejax.simulate.phonons import read_force_constants

    with contextlib.suppress(ImportError):
        import phonopy  # noqa: F401

        yield Seed("phonopy_params.yaml", _CRYSTAL.encode(), read_force_constants)


_CRYSTAL = """
phonopy:
  version: 2.20.0
physical_unit:
  atomic_mass: "AMU"
  length: "angstrom"
  force_constants: "eV/angstrom^2"
supercell_matrix:
- [1, 0, 0]
- [0, 1, 0]
- [0, 0, 1]
unit_cell:
  lattice:
  - [4.0, 0.0, 0.0]
  - [0.0, 4.0, 0.0]
  - [0.0, 0.0, 4.0]
  points:
  - symbol: Al
    coordinates: [0.0, 0.0, 0.0]
    mass: 26.98
force_constants:
  format: full
  shape: [1, 1]
  elements:
  - # (1, 1)
    - [1.0, 0.0, 0.0]
    - [0.0, 1.0, 0.0]
    - [0.0, 0.0, 1.0]
"""
