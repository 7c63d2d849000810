"""Bit flips, swaps and edits of everything that is kept: each is refused by name, or changes nothing."""

import hashlib
import json
import math
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy

import aejax
from aejax.artefacts import manifest
from tests.artefacts.examples import EXAMPLES
from tests.artefacts.test_codecs import assert_equal
from tests.campaigns.figures import Figures

_LONGEST_MESSAGE = 500
_OF_ANOTHER_TYPE = [None, "text", -1, 1e308, math.nan, True, [], {}, [[1]], {"a": 1}]


def edits(count):
    """Damages a thing of each kind in turn."""
    figures, generator = Figures("edits"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        originals = {}
        for kind, make in EXAMPLES.items():
            originals[kind] = Path(top) / kind
            aejax.save(originals[kind], make())
        names = list(EXAMPLES)
        for number in range(count):
            kind = names[number % len(names)]
            damage = _DAMAGES[number // len(names) % len(_DAMAGES)]
            folder = Path(top) / "damaged"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(originals[kind], folder)
            what = damage(folder, generator)
            _judge(figures, f"{kind}: {damage.__name__[1:]}: {what}", folder, kind)
    return figures


def _judge(figures, name, folder, kind):
    try:
        found = aejax.load(folder)
    except (ValueError, FileNotFoundError) as error:
        if str(folder) not in str(error):
            figures.fault(f"{name}: does not name the folder: {error}")
        elif len(str(error)) > _LONGEST_MESSAGE + len(str(folder)):
            figures.fault(f"{name}: a message of {len(str(error))} characters")
        else:
            figures.add("refused by name")
        return
    except Exception as error:
        figures.fault(f"{name}: {type(error).__name__}: {error}")
        return
    try:
        assert_equal(found, EXAMPLES[kind]())
        figures.add("without effect")
    except AssertionError:
        figures.fault(f"{name}: accepted")


def _flipped_bit(folder, generator):
    path = generator.choice(sorted(folder.iterdir()))
    content = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    return f"bit {bit} of {path.name}"


def _cut_file(folder, generator):
    path = generator.choice(sorted(folder.iterdir()))
    content = path.read_bytes()
    length = generator.randrange(len(content))
    path.write_bytes(content[:length] + generator.choice([b"", bytes(len(content) - length)]))
    return f"{path.name} after {length} bytes"


def _swapped_arrays(folder, generator):
    """The arrays of another thing of the same shapes, under the name of these."""
    (path,) = folder.glob("arrays-*")
    arrays = safetensors.numpy.load(path.read_bytes())
    path.write_bytes(safetensors.numpy.save({name: _like(array) for name, array in arrays.items()}))
    return path.name


def _like(array):
    return np.asarray(array + np.ones((), array.dtype)) if array.dtype.kind == "f" else array


def _edited_setting(folder, generator):
    """A setting of another type, with a SHA-256 that fits."""
    content = json.loads((folder / "artefact.json").read_text())
    places = [place for place in _leaves(content["settings"], ()) if not _is_free(_at(content["settings"], place))]
    if not places:
        return _edited_array(folder, generator)
    *parents, last = place = generator.choice(places)
    node = _at(content["settings"], parents)
    others = [value for value in _OF_ANOTHER_TYPE if not _may_stand_for(value, node[last])]
    node[last] = generator.choice(others)
    _sealed(folder, content)
    return f"{'.'.join(map(str, place))} = {node[last]!r}"


def _leaves(value, place):
    if isinstance(value, dict | list) and value:
        for name, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inside, (*place, name))
    else:
        yield place


def _at(node, place):
    for name in place:
        node = node[name]
    return node


def _is_free(value):
    """Whether a setting is optional or an empty list, where other things may stand."""
    return value is None or isinstance(value, dict | list)


def _may_stand_for(value, before):
    """Whether a value may be another choice of the same setting."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if isinstance(before, bool | str):
        return type(value) is type(before)
    return value is None or is_number or (isinstance(value, str))


def _edited_array(folder, generator):
    """Numbers that cannot be, with a SHA-256 that fits."""
    (path,) = folder.glob("arrays-*")
    arrays = safetensors.numpy.load(path.read_bytes())
    variables = [name for name in arrays if "variables" in name or "scaler" in name or "mean" in name]
    name = generator.choice(sorted(variables or arrays))
    changes = [_longer, _complex]
    if "history" not in name and "held_out" not in name:  # of which some may be missing, and a GAN has no codes
        changes += [_with_nan, _empty]
    if name in ("scaler/scale", "cond_scaler/scale", "properties/scale", "codes/scale"):
        changes += [_negative]
    change = generator.choice(changes)
    arrays[name] = change(arrays[name])
    path.unlink()
    packed = safetensors.numpy.save(arrays)
    digest = hashlib.sha256(packed).hexdigest()
    (folder / f"arrays-{digest[:12]}.safetensors").write_bytes(packed)
    content = json.loads((folder / "artefact.json").read_text())
    content["files"] = {f"arrays-{digest[:12]}.safetensors": digest}
    _sealed(folder, content)
    return f"{name} {change.__name__[1:]}"


def _with_nan(array):
    changed = array.copy()
    if changed.size and changed.dtype.kind == "f":
        changed.flat[0] = np.nan
    return changed


def _negative(array):
    return np.asarray(-array)


def _empty(array):
    return array[..., :0] if array.ndim else array.reshape(1)[:0]


def _longer(array):
    return np.concatenate([np.atleast_1d(array)] * 2)


def _complex(array):
    return array.astype(np.complex64)


def _sealed(folder, content):
    content.pop("sha256")
    (folder / "artefact.json").write_text(json.dumps({**content, "sha256": manifest._digest(content)}))


_DAMAGES = [_flipped_bit, _flipped_bit, _cut_file, _swapped_arrays, _edited_setting, _edited_array]
