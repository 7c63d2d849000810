"""One folder format: laws for every kind that can be saved."""

import dataclasses
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import aejax
from aejax.artefacts import codecs
from aejax.artefacts import manifest as manifests
from aejax.artefacts.codecs import Codec, Stored
from aejax.base import Batch, Model
from aejax.kernels.recipes import origin
from tests.artefacts.examples import EXAMPLES

KINDS = codecs.kinds()


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    kind = request.param
    assert kind in EXAMPLES, f"{kind}: write a small example of it in tests/artefacts/examples.py"
    thing = EXAMPLES[kind]()
    folder = tmp_path_factory.mktemp("kinds") / "new" / "folder"
    aejax.save(folder, thing)
    return kind, thing, folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved[2], tmp_path / "copy")


def assert_equal(found, expected):
    """The same to the bit, functions included."""
    assert type(found) is type(expected)
    if isinstance(expected, Model | aejax.Adversary):
        # A model that no factory remembers, such as a surrogate's predictor, is put together anew.
        assert found is expected or origin(expected) is None
    elif hasattr(expected, "_fields"):
        for name in expected._fields:
            assert_equal(getattr(found, name), getattr(expected, name))
    elif hasattr(expected, "get_params"):
        for name, value in vars(expected).items():
            if name != "history_":  # which is not kept
                assert_equal(getattr(found, name), value)
    elif dataclasses.is_dataclass(expected) or isinstance(expected, str | None):
        assert found == expected
    else:
        chex.assert_trees_all_equal(found, expected, strict=True)


def test_what_is_loaded_is_what_was_saved(saved):
    _, thing, folder = saved
    assert_equal(aejax.load(folder), thing)
    assert_equal(aejax.load(folder, type(thing)), thing)


def test_saving_twice_writes_the_same_bytes_and_leaves_no_other_file(saved, folder):
    _, thing, original = saved
    (folder / "mine.txt").write_text("mine")
    aejax.save(folder, thing)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files.pop("mine.txt") == b"mine"
    assert files == {path.name: path.read_bytes() for path in original.iterdir()}
    assert len(files) == 2


def test_a_changed_byte_is_refused(saved, folder):
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for place in range(0, len(content), max(len(content) // 60, 1)):
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(bytes(changed))
            with pytest.raises((ValueError, FileNotFoundError), match=str(folder)):
                aejax.load(folder)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=str(folder)):
            aejax.load(folder)
        path.write_bytes(content)
    aejax.load(folder)


def test_another_kind_is_refused_by_name(saved, folder):
    kind, _, _ = saved
    for other in KINDS:
        thing = EXAMPLES[other]()
        if other == kind:
            continue
        with pytest.raises(ValueError, match=f"holds a {kind}, expected a {other}"):
            aejax.load(folder, type(thing))
        with pytest.raises(ValueError, match=f"holds a {kind}, expected none or a {other}"):
            aejax.save(folder, thing)


def test_a_later_version_is_refused(saved, folder):
    kind, _, _ = saved
    content = json.loads((folder / "artefact.json").read_text())
    (folder / "artefact.json").write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(ValueError, match=f"found version 99 of a {kind}, expected at most .; use a newer aejax"):
        aejax.load(folder)


def test_a_missing_file_is_named(saved, folder):
    (arrays,) = folder.glob("arrays-*")
    arrays.unlink()
    with pytest.raises(FileNotFoundError, match=arrays.name):
        aejax.load(folder)
    (folder / "artefact.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"does not hold anything that aejax saved: it has no artefact\.json"):
        aejax.load(folder)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        aejax.load(folder / "nowhere")


def test_replacing_is_all_or_nothing(saved, folder, monkeypatch):
    """Whichever write fails, the folder holds the thing that it held before."""
    kind, thing, _ = saved
    codec = codecs._CODECS[kind]
    other = codec._replace(pack=lambda thing: codec.pack(thing)._replace(arrays={"other": np.ones(3)}))
    monkeypatch.setitem(codecs._CODECS, kind, other)
    for method in ("write_bytes", "write_text"):

        def fail(self, content):
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(f"pathlib.Path.{method}", fail)
            with pytest.raises(OSError, match="disk full"):
                aejax.save(folder, thing)
        assert_equal(aejax.load(folder), thing)
        assert not [path.name for path in folder.iterdir() if "partial" in path.name]


class Thing(tuple):
    """Of no use but to be saved."""


@pytest.fixture
def kind(monkeypatch):
    """A kind of which each test makes what it needs."""
    monkeypatch.setattr(codecs, "_CODECS", dict(codecs._CODECS))

    def add(**fields):
        codec = Codec(
            "thing", Thing, 1, lambda thing: Stored({}, {"values": list(thing)}), lambda stored: stored.arrays
        )
        codecs.register(codec._replace(**fields))

    return add


def test_a_thing_of_an_earlier_version_is_upgraded_step_by_step(kind, tmp_path, monkeypatch):
    kind()
    aejax.save(tmp_path, Thing([np.arange(3)]))
    monkeypatch.delitem(codecs._CODECS, "thing")
    add = lambda number: lambda stored: stored._replace(settings={**stored.settings, str(number): number})  # noqa: E731
    kind(version=3, upgrades={1: add(1), 2: add(2)}, unpack=lambda stored: stored.settings)
    assert aejax.load(tmp_path) == {"1": 1, "2": 2}


def test_names_are_taken_once(kind):
    kind()
    with pytest.raises(ValueError, match="'thing' is registered already"):
        kind()


def test_what_is_of_no_kind_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"thing: found dict, expected one of .*detector, "):
        aejax.save(tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_this_version_does_not_know_is_named(kind, tmp_path, monkeypatch):
    kind()
    aejax.save(tmp_path, Thing([np.arange(3)]))
    monkeypatch.delitem(codecs._CODECS, "thing")
    with pytest.raises(ValueError, match=r"holds a 'thing', expected one of .*detector, "):
        aejax.load(tmp_path)


def own_model():
    """A Model that no factory of the library has made, whose parameters are a list of pairs."""

    def init(key, batch):
        return {"params": [(jnp.ones((2, 1)), jnp.zeros(1)), (jnp.ones((1, 2)), {})]}

    model = aejax.models.autoencoder((2,), 1, hidden_dims=())
    return Model(*model._replace(init=init, encode=lambda variables, x, cond=None: aejax.Latent(x[:, :1])))


def test_a_model_of_the_users_own_functions_is_given_to_load(tmp_path):
    model = own_model()
    monitor = EXAMPLES["monitor"]()
    own = monitor._replace(model=model, variables=model.init(jax.random.key(0), Batch(jnp.zeros((1, 2)))))
    aejax.save(tmp_path, own)
    with pytest.raises(ValueError, match=r"a factory of aejax made; give the model to aejax\.load\(folder, model"):
        aejax.load(tmp_path)
    back = aejax.load(tmp_path, model=model)
    assert_equal(back, own)
    assert jax.tree.structure(back.variables) == jax.tree.structure(own.variables)
    with pytest.raises(ValueError, match="params/0/0 is not of this model"):
        aejax.load(tmp_path, model=monitor.model)


def test_arrays_of_one_name_are_refused(kind, tmp_path):
    kind()
    with pytest.raises(ValueError, match="two arrays of one name"):
        aejax.save(tmp_path, Thing([{"a/b": np.ones(1), "a": {"b": np.ones(1)}}]))


def test_what_is_no_array_is_refused(kind, tmp_path):
    kind()
    with pytest.raises(ValueError, match="values/1: found a function, expected an array of numbers"):
        aejax.save(tmp_path, Thing([np.ones(1), own_model]))
    assert list(tmp_path.iterdir()) == []


def test_no_pickle_is_written(saved):
    _, _, folder = saved
    json.loads((folder / "artefact.json").read_text())
    for path in folder.glob("arrays-*"):
        safetensors.numpy.load(path.read_bytes())


def test_only_arrays_that_save_wrote_are_ever_deleted(tmp_path):
    """A folder from somebody else may name any file."""
    thing = EXAMPLES["mixture"]()
    aejax.save(tmp_path, thing)
    (tmp_path / "thesis.docx").write_text("mine")
    manifest = json.loads((tmp_path / "artefact.json").read_text())
    manifest["files"] = {"thesis.docx": "0", "artefact.json": "0"}
    manifest["sha256"] = manifests._digest({name: value for name, value in manifest.items() if name != "sha256"})
    (tmp_path / "artefact.json").write_text(json.dumps(manifest))
    aejax.save(tmp_path, thing)
    assert (tmp_path / "thesis.docx").read_text() == "mine"
    assert_equal(aejax.load(tmp_path), thing)


def test_numbers_of_numpy_among_settings(tmp_path):
    monitor = EXAMPLES["monitor"]()
    aejax.save(tmp_path, monitor._replace(num_lags=np.int64(0), smoothing=np.float32(0.5)))
    found = aejax.load(tmp_path)
    assert (type(found.num_lags), found.smoothing) == (int, 0.5)


def test_what_killed_writers_left_does_not_make_a_folder_taken(tmp_path):
    assert manifests.is_free(tmp_path / "absent")
    aejax.save(tmp_path, EXAMPLES["mixture"]())
    assert not manifests.is_free(tmp_path)
    (tmp_path / "artefact.json").unlink()
    assert manifests.is_free(tmp_path)
    (tmp_path / "arrays-000000000000.safetensors").write_text("mine")
    assert not manifests.is_free(tmp_path)
    aejax.save(tmp_path, EXAMPLES["mixture"]())
    assert (tmp_path / "arrays-000000000000.safetensors").read_text() == "mine"
