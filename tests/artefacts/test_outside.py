"""Whatever is raised while something is read becomes a sentence; what it claims to hold is checked before."""

import gzip
import io
import json
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

import aejax
from aejax.artefacts import manifest, storage
from aejax.artefacts.outside import LONGEST, reading, shortened
from aejax.data.formats.grids import read_grid
from aejax.data.formats.maps import read_maps
from aejax.data.formats.tables import read_table
from tests.artefacts.examples import EXAMPLES


@pytest.mark.parametrize(
    "error",
    [
        zipfile.BadZipFile("no end"),
        zlib.error("invalid block"),
        EOFError(),
        IndexError("0"),
        KeyError("train"),
        RecursionError(),
        OSError("unable to open"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ValueError("a line\nand another"),
        AssertionError(),
        ValueError("x" * 250_000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_becomes_a_short_sentence(error):
    with pytest.raises(ValueError, match=r"^t\.csv: ") as raised, reading("t.csv"):
        raise error
    assert raised.value.__cause__ is error
    assert len(str(raised.value)) <= LONGEST
    assert "\n" not in str(raised.value)


def test_what_the_system_and_missing_libraries_say_stays():
    for error in (FileNotFoundError(2, "No such file", "t.csv"), ImportError("pip install it"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, reading("other.csv"):
            raise error
        assert raised.value is error


def test_a_long_sentence_keeps_its_end():
    text = shortened("found " + "x" * 10_000 + "; unpack it")
    assert len(text) == LONGEST
    assert text.startswith("found xxx")
    assert text.endswith("xxx; unpack it")
    assert shortened("\x1b[2J\ud800\u202e") == r"\x1b[2J\ud800\u202e"


def npy_that_claims(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def npz_of(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


HUGE = npy_that_claims((1 << 38, 11))
BOMB = npz_of(x=npy(np.zeros((1 << 25, 1))))


@pytest.mark.parametrize(
    ("read", "name", "content"),
    [
        (read_table, "t.npy", HUGE),
        (read_table, "t.npz", npz_of(x=HUGE)),
        (read_table, "t.npz", npz_of(a=HUGE, b=HUGE)),
        (read_table, "t.npz", BOMB),
        (read_table, "t.csv.gz", gzip.compress(b"1,2\n" * (1 << 26), 9)),
        (read_maps, "m.npz", npz_of(S=HUGE, Q=npy(np.arange(2.0)), E=npy(np.arange(2.0)))),
        (read_maps, "m.npz", BOMB),
        (read_grid, "g.npy", HUGE),
    ],
    ids=lambda value: getattr(value, "__name__", value) if not isinstance(value, bytes) else "",
)
def test_what_claims_too_much_is_refused_before_memory_is_taken(read, name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"{path}.*found (an array|a packed file|a file|no NPZ)"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 6e8
    finally:
        tracemalloc.stop()


def test_a_dataset_that_was_never_written_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "m.nxs"
    with h5py.File(path, "w") as file:
        group = file.create_group("mantid_workspace_1/workspace")
        group.create_dataset("values", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024))
    with pytest.raises(ValueError, match=f"{path}: found a file of .* that claims to hold 8.8e.12"):
        read_maps(path)


def test_nothing_in_a_folder_makes_another_error(tmp_path):
    """Deep JSON, numbers without end, a list for an object: at each place of the manifest."""
    aejax.save(tmp_path, EXAMPLES["mixture"]())
    manifest = tmp_path / "artefact.json"
    whole = json.loads(manifest.read_text())
    texts = ["[" * 100_000 + "]" * 100_000, "9" * 5000, "", "null", "[]", '{"kind": []}', "\xff"]
    texts += [
        json.dumps(whole | {name: value})
        for name in whole
        for value in (None, [], {}, "x", 1e999)
        if value != whole[name]
    ]
    for text in texts:
        manifest.write_text(text)
        with pytest.raises(ValueError, match=str(tmp_path)):
            aejax.load(tmp_path)
        with pytest.raises(ValueError, match=str(tmp_path)):
            aejax.artefacts.codecs.verify(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}\n[1]", '{"loss": [1]}', "1", '{"epoch": 1}\n{"loss": "x"}', "{"])
def test_a_damaged_history_is_named(content, tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text(content)
    try:
        storage.read_history(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert content.startswith("{")


@pytest.mark.parametrize("size", [10**7, 10**8, 2**31 - 1, 10**12])
def test_a_model_is_not_made_for_sizes_that_no_array_has(size, tmp_path):
    aejax.save(tmp_path, EXAMPLES["sections"]())
    content = json.loads((tmp_path / "artefact.json").read_text())
    content["model"]["args"][0][1] = size
    del content["sha256"]
    manifest.write(tmp_path, content)
    with pytest.raises(ValueError, match=f"{tmp_path}: model: found {size}, expected sizes of at most"):
        aejax.load(tmp_path)


def test_settings_of_sections_take_no_memory_before_they_are_compared(tmp_path):
    aejax.save(tmp_path, EXAMPLES["sections"]())
    content = json.loads((tmp_path / "artefact.json").read_text())
    content["settings"]["patch_shape"] = [1 << 16, 1 << 16]
    del content["sha256"]
    manifest.write(tmp_path, content)
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be read as a sections"):
        aejax.load(tmp_path)
