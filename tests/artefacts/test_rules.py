"""Each kind says what its numbers and settings may be; what it does not allow is neither written nor read."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

import aejax
from aejax.artefacts import codecs, manifest, storage
from aejax.artefacts.rules import POSITIVE, check_all, each, fields, number, optional, rule_of, whole
from tests.artefacts.examples import EXAMPLES


@pytest.mark.parametrize("kind", codecs.kinds())
def test_there_is_a_rule_for_each_setting_and_each_array(kind):
    codec = codecs._CODECS[kind]
    stored = codec.pack(EXAMPLES[kind]())
    for rules, names in ((codec.settings, stored.settings), (codec.arrays, storage.flatten(stored.arrays))):
        without = [name for name in names if rule_of(rules, name) is None]
        assert without == [], f"{kind}: say in its codec what these may be"


def resealed(folder, change):
    """Changes arrays, and notes their SHA-256 as if they had been saved."""
    (path,) = folder.glob("arrays-*")
    arrays = safetensors.numpy.load(path.read_bytes())
    change(arrays)
    path.unlink()
    packed = safetensors.numpy.save(arrays)
    digest = hashlib.sha256(packed).hexdigest()
    name = f"arrays-{digest[:12]}.safetensors"
    (folder / name).write_bytes(packed)
    content = json.loads((folder / "artefact.json").read_text())
    content.pop("sha256")
    manifest.write(folder, content | {"files": {name: digest}})


def nan(name):
    return lambda arrays: arrays[name].reshape(-1).__setitem__(0, np.nan)


def negative(name):
    return lambda arrays: arrays.__setitem__(name, np.asarray(-arrays[name]))


def empty(name):
    return lambda arrays: arrays.__setitem__(name, arrays[name][:0].copy())


KERNEL = "params/encoder/linear/layer_0/kernel"


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (
            "run",
            nan("variables/params/encoder/linear/layer_0/kernel"),
            r"kernel: found nan at \[0, 0\], expected finite",
        ),
        ("run", empty("calibration/score"), r"calibration/score: found 0 numbers, expected at least 1"),
        ("run", negative("scaler/scale"), r"scaler/scale: found -.* at \[0\], expected positive numbers"),
        ("monitor", empty("held_out/t2"), r"held_out/t2: found 0 numbers"),
        ("table monitor", negative("limit/spe"), r"limit/spe: found -.* expected numbers of at least 0"),
        ("imputer", nan("scaler/mean"), r"scaler/mean: found nan"),
        ("mixture", nan("mean"), r"mean: found nan"),
        ("surrogate", negative("properties/scale"), r"properties/scale: .*positive"),
        ("sections", negative("held_out/z"), None),
    ],
)
def test_numbers_out_of_their_range_are_named(kind, change, message, tmp_path):
    aejax.save(tmp_path, EXAMPLES[kind]())
    resealed(tmp_path, change)
    if message is None:
        aejax.load(tmp_path)
        return
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be read as a {kind}: .*{message}"):
        aejax.load(tmp_path)


def test_what_would_be_refused_is_not_written_and_the_earlier_thing_stays(tmp_path):
    thing = EXAMPLES["mixture"]()
    aejax.save(tmp_path, thing)
    before = (tmp_path / "artefact.json").read_bytes()
    with pytest.raises(ValueError, match="mean: found nan"):
        aejax.save(tmp_path, thing._replace(mean=thing.mean * np.nan))
    assert (tmp_path / "artefact.json").read_bytes() == before
    aejax.load(tmp_path)


def test_rules_of_settings():
    rules = {"a": whole(0, 9), "b": each(number(0, 1), 2, 2), "c": optional(fields({"d": whole(1, 2)}))}
    check_all(rules, {"a": 9, "b": [0, 0.5], "c": None})
    for wrong, message in [
        ({"a": True}, "a: found True, expected a whole number from 0 to 9"),
        ({"a": 10**30}, "a: found 1000"),
        ({"b": [0.5]}, "expected a list of 2 elements"),
        ({"b": [0.5, float("nan")]}, r"b\[1\]: found nan, expected a number from 0 to 1"),
        ({"c": {}}, "c: it has no 'd'"),
        ({"c": {"d": 3}}, r"c\.d: found 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_all(rules, wrong)
    with pytest.raises(ValueError, match="positive"):
        POSITIVE("scale", np.array([0.0]))
