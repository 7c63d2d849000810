"""Without the extras of the formats these tests are passed over, except in CI."""

import importlib.util
import os

import pytest

from tests.export.measuring import trained


def _pass_over_without(extra, *names):
    """CI sets AEJAX_REQUIRE_PEERS, and so fails if these tests cannot run."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("AEJAX_REQUIRE_PEERS") != "1":
        pytest.skip(f"{', '.join(missing)} not installed (extra {extra!r})")


@pytest.fixture
def onnx_extra():
    _pass_over_without("onnx", "jax2onnx", "onnx", "onnxruntime")


@pytest.fixture
def stablehlo_extra():
    _pass_over_without("stablehlo", "flatbuffers")


@pytest.fixture(scope="session")
def plant_run(tmp_path_factory):
    return trained("autoencoder", tmp_path_factory.mktemp("plant"))
