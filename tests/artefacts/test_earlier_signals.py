"""Folders that the version before wrote, with its own answers: they load, and answer the same."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aejax.artefacts import codecs, storage
from aejax.tasks.denoising import Denoiser, denoise
from aejax.tasks.inversion import Sections
from aejax.tasks.surrogate import Surrogate, compress, expand, predict_maps

EARLIER = Path(__file__).parent / "earlier"


@pytest.fixture
def earlier(tmp_path):
    """(kind) -> its folder, and the answers of the version that wrote it."""

    def unpacked(kind):
        with zipfile.ZipFile(EARLIER / f"{kind}.zip") as file:
            file.extractall(tmp_path / kind)
        return tmp_path / kind, dict(np.load(tmp_path / kind / "answers.npz"))

    return unpacked


def test_a_denoiser(earlier):
    folder, answers = earlier("denoiser")
    options = {"keep_offset": False}  # as it was at that time
    denoiser = codecs.load(folder, Denoiser)
    assert denoiser[2:] == (512, 50.0)
    np.testing.assert_allclose(denoise(denoiser, answers["given"], **options), answers["denoised"], atol=1e-5)
    np.testing.assert_allclose(denoise(denoiser, answers["given"][:, :300], **options), answers["short"], atol=1e-5)
    codecs.save(folder, denoiser)
    np.testing.assert_allclose(
        denoise(codecs.load(folder), answers["given"], **options), answers["denoised"], atol=1e-5
    )


def test_a_damaged_denoiser_is_refused(earlier):
    folder, _ = earlier("denoiser")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"num_samples": "many"}))
    with pytest.raises(ValueError, match="num_samples or sampling_rate"):
        codecs.load(folder, Denoiser)
    path.write_text(json.dumps(config))
    (folder / "variables.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        codecs.load(folder, Denoiser)


def test_a_surrogate(earlier):
    folder, answers = earlier("surrogate")
    surrogate = codecs.load(folder, Surrogate)
    assert surrogate.names == ("place", "pair")
    assert surrogate.measured["R2 of prediction on groups held out"] < 0
    code = compress(surrogate.compression, answers["given"], error="sqrt")
    np.testing.assert_allclose(code, answers["code"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(expand(surrogate.compression, code), answers["S"], rtol=1e-4, atol=1e-4)
    with pytest.warns(UserWarning, match="no better than the mean map"):
        prediction = predict_maps(surrogate, answers)
    np.testing.assert_allclose(prediction.mean, answers["mean"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(prediction.spread, answers["spread"], rtol=1e-4, atol=1e-4)


def test_the_first_surrogates_kept_no_range(earlier):
    folder, answers = earlier("surrogate")
    path = folder / "variables.safetensors"
    kept = storage.read_arrays(path)
    storage.write_arrays(path, {name: array for name, array in kept.items() if name[-4:] not in ("_min", "_max")})
    far = {"place": answers["place"] + 99, "pair": answers["pair"]}
    with pytest.warns(UserWarning, match="no better than the mean map") as caught:
        predict_maps(codecs.load(folder), far)
    assert len(caught) == 1


def test_a_compression(earlier):
    folder, answers = earlier("compression")
    surrogate = codecs.load(folder)
    assert surrogate.predictor is None
    np.testing.assert_allclose(
        compress(surrogate.compression, answers["given"], error="sqrt"), answers["code"], rtol=1e-4, atol=1e-4
    )


def test_a_damaged_surrogate_is_refused(earlier):
    folder, _ = earlier("surrogate")
    config = storage.read_json(folder / "config.json")
    storage.write_json(folder / "config.json", config | {"num_regions": 7})
    with pytest.raises(ValueError, match="compression does not fit the model"):
        codecs.load(folder)


def test_sections(earlier):
    folder, answers = earlier("sections")
    sections = codecs.load(folder, Sections)
    assert (sections.patch_shape, sections.latent_dim) == ((5, 5), 2)
    np.testing.assert_array_equal(sections.x, answers["x"])
    np.testing.assert_array_equal(sections.z, answers["z"])
    decoded = sections.model.decode(sections.variables, answers["given"])
    np.testing.assert_allclose(decoded, answers["decoded"], atol=1e-5)


def test_damaged_sections_are_refused(earlier):
    folder, _ = earlier("sections")
    content = storage.read_json(folder / "sections.json")
    storage.write_json(folder / "sections.json", content | {"latent_dim": 3})
    with pytest.raises(ValueError, match="variables does not fit the model"):
        codecs.load(folder)
    storage.write_json(folder / "sections.json", {"format": 1})
    with pytest.raises(ValueError, match=r"sections\.json is not that of a model of sections"):
        codecs.load(folder)
