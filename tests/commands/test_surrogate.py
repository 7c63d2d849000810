import numpy as np
import pytest

from aejax.commands.surrogate import Surrogate, SurrogateCompress, SurrogatePredict, run, run_compress, run_predict


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    energy, momentum = np.arange(1, 40, 2.0), np.linspace(0.5, 4, 6)
    place = rng.uniform(8, 30, 40)
    profile = np.exp(-0.5 * ((energy - place[:, None]) / 4) ** 2)
    maps = (profile[:, None] * (momentum**2)[:, None]).astype(np.float32)
    path = tmp_path / "maps.npz"
    np.savez(path, S=maps, Q=momentum, E=energy, place=place, crystal=np.repeat(["a", "b", "c", "d"], 10))
    return path


@pytest.fixture(autouse=True)
def _fewer_maps(monkeypatch):
    import aejax.tasks.surrogate as task

    full = task.fit_compression
    monkeypatch.setattr(task, "fit_compression", lambda *args, **given: full(*args, num_widened=250, **given))


def test_train_compress_and_predict(data, tmp_path, capsys):
    out = tmp_path / "run"
    options = {"num_numbers": 6, "num_members": 1, "num_epochs": 100, "num_folds": 2, "quiet": True}
    run(Surrogate(data, out, properties=("place",), group="crystal", **options))
    printed = dict(line.split("  ") for line in capsys.readouterr().out.splitlines())
    assert float(printed["R2 of compression on groups held out"]) > 0.9
    assert float(printed["R2 of prediction on groups held out"]) > 0.8
    given = np.load(data)["S"]

    run_compress(SurrogateCompress(out, data, tmp_path / "codes.npz"))
    codes = np.load(tmp_path / "codes.npz")
    assert codes["code"].shape == (40, 6)
    np.testing.assert_allclose(codes["S"], given, atol=0.15 * given.max())

    run_predict(SurrogatePredict(out, data, tmp_path / "predicted.npz"))
    predicted = np.load(tmp_path / "predicted.npz")
    assert predicted["spread"].shape == given.shape
    assert np.mean((predicted["S"] - given) ** 2) < 0.1 * given.var()
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "variables.safetensors"]


def test_bad_input_is_named(data, tmp_path):
    with pytest.raises(ValueError, match="expected crystals as well"):
        run(Surrogate(data, tmp_path / "run", group="crystals"))
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="is there already"):
        run(Surrogate(data, tmp_path / "there"))
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        run_predict(SurrogatePredict(tmp_path / "there", data, tmp_path / "out.npz"))
    run(Surrogate(data, tmp_path / "run", num_numbers=4, quiet=True))
    with pytest.raises(ValueError, match="without --properties"):
        run_predict(SurrogatePredict(tmp_path / "run", data, tmp_path / "out.npz"))
    (tmp_path / "run" / "variables.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        run_compress(SurrogateCompress(tmp_path / "run", data, tmp_path / "out.npz"))
