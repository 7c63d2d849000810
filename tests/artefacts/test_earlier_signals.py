"""Folders that the version before wrote, with its own answers: they load, and answer the same."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aejax.artefacts import codecs
from aejax.tasks.denoising import Denoiser, denoise

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
    denoiser = codecs.load(folder, Denoiser)
    assert denoiser[2:] == (512, 50.0)
    np.testing.assert_allclose(denoise(denoiser, answers["given"]), answers["denoised"], atol=1e-5)
    np.testing.assert_allclose(denoise(denoiser, answers["given"][:, :300]), answers["short"], atol=1e-5)
    codecs.save(folder, denoiser)
    np.testing.assert_allclose(denoise(codecs.load(folder), answers["given"]), answers["denoised"], atol=1e-5)


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
