import dataclasses

import numpy as np
import pytest

from aejax.artefacts import codecs
from aejax.cli.commands.surrogate import (
    SurrogateCommand,
    SurrogateCompressCommand,
    SurrogatePredictCommand,
    _Units,
    run,
    run_compress,
    run_predict,
)
from aejax.data.formats.maps import read_maps, write_maps
from aejax.tasks.mixture import Mixture
from aejax.tasks.surrogate import Widening


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

    full = task.fit_surrogate
    monkeypatch.setattr(task, "fit_surrogate", lambda *args, **given: full(*args, num_widened=250, **given))


@pytest.mark.slow
def test_train_compress_and_predict(data, tmp_path, capsys):
    out = tmp_path / "run"
    options = {"num_numbers": 6, "num_members": 1, "num_epochs": 100, "num_folds": 2, "quiet": True}
    run(SurrogateCommand(data, out, properties=("place",), group="crystal", **options))
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"written to {out}"
    printed = dict(line.split("  ") for line in lines if "  " in line)
    assert float(printed["R2 of compression on groups held out"]) > 0.9
    assert float(printed["R2 of prediction on groups held out"]) > 0.8
    for scale in ("", ", of square roots"):
        assert float(printed[f"R2 of 6 principal components on groups held out{scale}"]) > 0.8
    assert float(printed["R2 of compression on groups held out, of square roots"]) > 0.9
    given = np.load(data)["S"]

    run_compress(SurrogateCompressCommand(out, data, tmp_path / "codes.npz"))
    codes = np.load(tmp_path / "codes.npz")
    assert codes["code"].shape == (40, 6)
    np.testing.assert_allclose(codes["S"], given, atol=0.15 * given.max())

    run_predict(SurrogatePredictCommand(out, data, tmp_path / "predicted.npz"))
    predicted = np.load(tmp_path / "predicted.npz")
    assert predicted["spread"].shape == given.shape
    assert np.mean((predicted["S"] - given) ** 2) < 0.1 * given.var()
    assert [path.name.partition("-")[0] for path in sorted(out.iterdir())] == ["arrays", "artefact.json"]
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"written to {tmp_path / name}" for name in ("codes.npz", "predicted.npz")]
    assert not said.err

    np.savez(tmp_path / "beyond.npz", place=[3.0, 20.0])
    command = SurrogatePredictCommand(out, tmp_path / "beyond.npz", tmp_path / "predicted.npz")
    run_predict(command)
    assert "place: found 3 to 20, trained on 8" in capsys.readouterr().err
    run_predict(dataclasses.replace(command, quiet=True))
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_the_spread_is_widened_to_what_groups_held_out_show(data, tmp_path, capsys):
    options = {"num_numbers": 6, "num_members": 2, "num_epochs": 30, "num_folds": 2, "quiet": True}
    run(SurrogateCommand(data, tmp_path / "run", properties=("place",), group="crystal", **options))
    printed = capsys.readouterr().out
    surrogate = codecs.load(tmp_path / "run")
    factor, floor = surrogate.predictor.widening
    assert f"{factor:.2f} times as wide: two of them hold 95%" in printed
    spreads = []
    for widening in (Widening(factor, floor), Widening()):
        codecs.save(tmp_path / "run", surrogate._replace(predictor=surrogate.predictor._replace(widening=widening)))
        run_predict(SurrogatePredictCommand(tmp_path / "run", data, tmp_path / "predicted.npz"))
        spreads.append(np.load(tmp_path / "predicted.npz")["spread"])
    np.testing.assert_allclose(spreads[0], factor * np.hypot(spreads[1], floor), rtol=1e-5)


@pytest.mark.slow
def test_properties_that_predict_nothing_are_called_so(data, tmp_path, capsys):
    arrays = dict(np.load(data))
    np.savez(data, **arrays | {"place": np.random.default_rng(1).random((40, 2))})
    options = {"num_numbers": 4, "num_members": 1, "num_epochs": 2, "num_folds": 2, "quiet": True}
    run(SurrogateCommand(data, tmp_path / "run", properties=("place",), group="crystal", **options))
    useless = "WARNING: predictions of new groups are no better than the mean map (R2 -"
    poor = "the properties do not predict maps of groups that were not trained on (R2 0.30"
    assert useless in capsys.readouterr().out
    surrogate = codecs.load(tmp_path / "run")
    for r2, said in ((-0.44, [True, False]), (0.3, [False, True]), (0.9, [False, False])):
        measured = {"R2 of prediction on groups held out": r2}
        codecs.save(tmp_path / "run", surrogate._replace(measured=measured))
        run_predict(SurrogatePredictCommand(tmp_path / "run", data, tmp_path / f"{r2}.npz"))
        printed = capsys.readouterr().err
        assert [useless in printed, poor in printed] == said


@pytest.fixture
def compression(data, tmp_path):
    run(SurrogateCommand(data, tmp_path / "run", num_numbers=4, quiet=True))
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"E": np.arange(2, 41, 2.0)}, r"E: found 20 values from 2 to 40, expected those of training, 20 .* 1 to 39"),
        ({"E": np.arange(1, 40, 2.0) / 4.135667696}, r"differ by a factor of 4.13567, as of THz"),
        ({"Q": np.linspace(0.5, 4, 5), "S": np.ones((2, 5, 20))}, "Q: found 5 values"),
        ({"S": np.ones((2, 6, 5))}, r"E: found shape \(20,\), expected \(5,\) as the maps have"),
        ({"S": np.full((2, 6, 20), -3)}, r"maps: found a sum of -360 in map 0"),
        ({"S": np.full((2, 6, 20), "a")}, r"S: found \['a' 'a'\]\.\.\., expected numbers"),
    ],
)
def test_maps_that_do_not_fit_the_compression_are_named(data, compression, tmp_path, change, message):
    np.savez(data, **dict(np.load(data)) | change)
    with pytest.raises(ValueError, match=message):
        run_compress(SurrogateCompressCommand(compression, data, tmp_path / "codes.npz"))


def test_a_map_without_numbers_is_named(data, compression, tmp_path, capsys):
    arrays = dict(np.load(data))
    arrays["S"][3] = np.nan
    np.savez(data, **arrays)
    run_compress(SurrogateCompressCommand(compression, data, tmp_path / "codes.npz"))
    assert "1 of 40 maps hold no number; their codes are NaN" in capsys.readouterr().err
    assert np.isnan(np.load(tmp_path / "codes.npz")["S"]).all(axis=(1, 2)).nonzero()[0].tolist() == [3]


def test_a_result_does_not_take_the_place_of_its_data(data, compression):
    for kind, act in ((SurrogateCompressCommand, run_compress), (SurrogatePredictCommand, run_predict)):
        with pytest.raises(ValueError, match=r"--out: found .*which is the file that is read"):
            act(kind(compression, data, data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"place": np.full(40, "Al2O3")}, r"place: found \['Al2O3' 'Al2O3'\]\.\.\., expected numbers"),
        ({"place": np.ones(7)}, "place: found 7 rows, expected 40 as S has"),
        ({"crystal": np.ones(7)}, "crystal: found 7 rows, expected 40 as S has"),
        ({"crystal": np.ones((40, 2))}, r"crystal: found shape \(40, 2\), expected \(40,\), a group each"),
        ({"place": 3.0}, "place: found a single value, expected an array"),
        ({"crystal": np.full(40, None)}, "found no NPZ file of arrays of numbers or text"),
        ({"S": np.ones((40, 6, 20)), "errors": np.ones((40, 6, 3))}, r"errors: found shape \(40, 6, 3\)"),
    ],
)
def test_properties_and_groups_that_do_not_fit_are_named(data, tmp_path, change, message):
    np.savez(data, **dict(np.load(data)) | change)
    with pytest.raises(ValueError, match=message):
        run(SurrogateCommand(data, tmp_path / "run", properties=("place",), group="crystal"))


@pytest.mark.parametrize("content", [b"time,value", b"", b"PK\x03\x04 cut off"])
def test_what_is_no_file_of_maps_is_refused(tmp_path, content):
    path = tmp_path / "plant.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"found no NPZ file .*, expected one with S, Q, E"):
        run(SurrogateCommand(path, tmp_path / "run"))


def test_bad_input_is_named(data, tmp_path):
    with pytest.raises(ValueError, match="expected crystals as well"):
        run(SurrogateCommand(data, tmp_path / "run", group="crystals"))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    with pytest.raises(ValueError, match="there is not empty"):
        run(SurrogateCommand(data, tmp_path / "there"))
    with pytest.raises(FileNotFoundError, match="there does not hold a surrogate"):
        run_predict(SurrogatePredictCommand(tmp_path / "there", data, tmp_path / "out.npz"))
    codecs.save(tmp_path / "there", Mixture(np.zeros(1), np.zeros((1, 1)), np.ones((1, 1, 1))))
    with pytest.raises(ValueError, match="there holds a mixture, expected a surrogate"):
        run_predict(SurrogatePredictCommand(tmp_path / "there", data, tmp_path / "out.npz"))
    run(SurrogateCommand(data, tmp_path / "run", num_numbers=4, quiet=True))
    with pytest.raises(ValueError, match="without --properties"):
        run_predict(SurrogatePredictCommand(tmp_path / "run", data, tmp_path / "out.npz"))
    next((tmp_path / "run").glob("arrays-*")).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is damaged"):
        run_compress(SurrogateCompressCommand(tmp_path / "run", data, tmp_path / "out.npz"))


def written_as(ending, maps, folder):
    """Maps in a file of each format; NXSPE is written by h5py, with detectors that see them."""
    path = folder / f"given{ending}"
    if ending != ".nxspe":
        write_maps(path, maps)
        return path
    h5py = pytest.importorskip("h5py")
    polar = np.linspace(2, 140, 300)
    half = (maps.energy[1] - maps.energy[0]) / 2
    with h5py.File(path, "w") as file:
        for index in range(len(maps.values)):
            entry = file.create_group(f"sample_{index}")
            entry["NXSPE_info/fixed_energy"], entry["NXSPE_info/ki_over_kf_scaling"] = [60.0], [1]
            entry["instrument/fermi/energy"] = [60.0]
            shape = len(polar), len(maps.energy)
            entry["data/data"], entry["data/error"] = np.ones(shape), np.ones(shape)
            entry["data/energy"], entry["data/polar"] = np.append(maps.energy - half, maps.energy[-1] + half), polar
    write_maps(path.with_name("seen.nxspe"), maps, path)
    return path.with_name("seen.nxspe")


@pytest.mark.parametrize("ending", [".nxs", ".json", ".nxspe", ".npz"])
def test_maps_of_any_format_are_compressed_and_written(data, compression, tmp_path, capsys, ending):
    pytest.importorskip("h5py")
    given = read_maps(data)
    path = written_as(ending, given._replace(values=given.values[:3]), tmp_path)
    out = tmp_path / f"decoded{ending}"
    run_compress(SurrogateCompressCommand(compression, path, tmp_path / "codes.npz", maps=out))
    assert f"written to {out}" in capsys.readouterr().out
    codes = np.load(tmp_path / "codes.npz")
    again = read_maps(out, momentum=given.momentum)
    seen = np.isfinite(again.values)
    assert seen.mean() > 0.6
    # Detectors of NXSPE are binned, and a bin is wide where the intensity goes with the square of momentum.
    tolerance = 0.15 * given.values.max() if ending == ".nxspe" else 1e-6
    np.testing.assert_allclose(again.values[seen], codes["S"][seen], atol=tolerance)
    np.testing.assert_allclose(codes["S"][seen], given.values[:3][seen], atol=0.2 * given.values.max())


def test_endings_are_checked_before_anything_is_computed(data, tmp_path):
    with pytest.raises(ValueError, match=r"codes\.csv: found the ending '\.csv', expected \.npz"):
        run_compress(SurrogateCompressCommand(tmp_path / "nowhere", data, tmp_path / "codes.csv"))
    with pytest.raises(ValueError, match="NXSPE holds detectors"):
        run_compress(SurrogateCompressCommand(tmp_path / "nowhere", data, tmp_path / "a.npz", tmp_path / "b.nxspe"))
    with pytest.raises(ValueError, match=r"found the ending '\.txt', expected"):
        run_predict(SurrogatePredictCommand(tmp_path / "nowhere", data, tmp_path / "out.txt"))


def test_a_folder_of_measured_maps_in_other_units(data, tmp_path, capsys):
    """Two files in THz and 1/nm, with gaps, noise below zero and errors: units, gaps and errors are all taken up."""
    arrays = dict(np.load(data))
    rng = np.random.default_rng(3)
    size = 0.05 * arrays["S"].mean()
    noisy = arrays["S"] + size * rng.standard_normal(arrays["S"].shape)
    noisy[rng.random(noisy.shape) < 0.3] = np.nan
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, rows in (("a", slice(20)), ("b", slice(20, 40))):
        axes = {"Q": arrays["Q"] * 10, "Q_unit": "1/nm", "E": arrays["E"] / 4.135667696}
        np.savez(folder / f"{name}.npz", S=noisy[rows], errors=np.full_like(noisy[rows], size), **axes)
    command = SurrogateCommand(folder, tmp_path / "run", num_numbers=4, units=_Units(energy_unit="THz"))
    run(command)
    said = capsys.readouterr().err
    assert "E: converted from THz to meV" in said
    assert "Q: converted from 1/nm to 1/angstrom" in said
    surrogate = codecs.load(tmp_path / "run")
    np.testing.assert_allclose(surrogate.energy, arrays["E"], rtol=1e-6)
    np.testing.assert_allclose(surrogate.momentum, arrays["Q"], rtol=1e-6)
    run_compress(SurrogateCompressCommand(tmp_path / "run", data, tmp_path / "codes.npz", quiet=True))
    decoded = np.load(tmp_path / "codes.npz")["S"]
    assert np.mean((decoded - arrays["S"]) ** 2) < 0.05 * arrays["S"].var()
