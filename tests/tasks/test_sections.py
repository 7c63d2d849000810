import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.artefacts import codecs
from aejax.cli.commands import inversion as commands
from aejax.cli.commands import sections as sections_command
from aejax.simulate import geology
from aejax.tasks import inversion
from aejax.tasks.inversion import sections
from tests.real_data import FOLDER, present

SHAPE = (13, 9)


@pytest.fixture(scope="module")
def image():
    """Bands that rise and fall, a tenth as large as the real training image."""
    row, column = np.mgrid[:60, :80]
    return ((row + 4 * np.sin(column / 9)) % 15 < 5).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(image):
    size = {"num_steps": 6, "batch_size": 8, "num_held_out": 20}
    return sections.fit_sections(jax.random.key(0), image, SHAPE, 2, held_out=0.25, **size)


def test_sections_come_back_as_they_were_saved(trained, tmp_path):
    codecs.save(tmp_path / "model", trained)
    found = codecs.load(tmp_path / "model")
    assert found.model is trained.model
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(trained), strict=True):
        if not callable(a):
            np.testing.assert_array_equal(a, b)


def test_what_is_held_out_comes_from_the_last_columns(image, trained):
    windows = np.lib.stride_tricks.sliding_window_view(image[:, 60:], SHAPE).reshape(-1, *SHAPE)
    assert all((windows == x).all(axis=(1, 2)).any() for x in trained.x[:20])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.full((60, 80), 0.5)}, "image: found shape"),
        ({"image": np.zeros(60)}, "image: found shape"),
        ({"held_out": 0.05}, "held_out: found 0.05, 4 columns of 80; expected at least the 9"),
        ({"held_out": 0.9}, "held_out: found 0.9, 72 columns of 80; .* as many left to train on"),
        ({"held_out": 1.0}, "held_out: found 1.0, expected a share between 0 and 1"),
        (
            {"patch_shape": (0, 9)},
            r"patch_shape: found \(0, 9\), expected at least 2 and at most \(60, 80\), the image; .* --patch",
        ),
        ({"patch_shape": (13, 81)}, "patch_shape: found .* at most"),
        ({"num_steps": 2}, "num_steps: found 2, expected at least 3"),
        ({"batch_size": 0}, "batch_size: found 0, expected at least 1"),
        ({"num_held_out": 501}, "num_held_out: found 501, expected 1 to 500"),
        ({"num_held_out": 0}, "num_held_out: found 0, expected 1 to 500"),
    ],
)
def test_what_no_model_can_be_trained_with_is_refused(image, change, message):
    options = {"image": image, "patch_shape": SHAPE} | change
    with pytest.raises(ValueError, match=message):
        sections.fit_sections(jax.random.key(0), **options)


def test_folders_that_are_no_model_are_refused(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not hold a sections"):
        codecs.load(tmp_path, sections.Sections)
    codecs.save(tmp_path, trained._replace(latent_dim=3))
    with pytest.raises(ValueError, match="cannot be read as a sections: held_out: found shapes"):
        codecs.load(tmp_path)


def test_what_is_measured_of_sections(trained, image):
    """A decoder that gives one probability for all cells is off by what that says, and right where it is likelier."""
    constant = trained.model._replace(decode=lambda variables, z, cond=None: jnp.full((len(z), *SHAPE), 0.25))
    x = np.stack([image[:13, 60:69], image[13:26, 60:69]])
    found = sections.evaluate_sections(trained._replace(model=constant), x, num_steps=1)
    expected = np.sqrt(np.mean(np.where(x == 1, 0.75, 0.25) ** 2))
    assert found["root mean square error, encoder"] == pytest.approx(expected)
    assert found["root mean square error, refined"] == pytest.approx(expected)
    assert found["cells of the right facies, refined"] == pytest.approx(1 - x.mean())
    better = sections.evaluate_sections(trained, trained.x)
    assert better["root mean square error, refined"] <= better["root mean square error, encoder"]
    with pytest.raises(ValueError, match=r"x: found shape \(2, 13, 8\), expected \(n, 13, 9\) of 0 and 1 only"):
        sections.evaluate_sections(trained, x[..., 1:])


def test_intervals_of_blocks_are_those_of_their_draws(trained, key):
    z = np.random.default_rng(0).normal(size=(2, 30, 2))
    draws = inversion.block_draws(key, trained, z, (0.06, 0.08))
    assert draws.shape == (60, 3, 2)
    edges = trained.x[:, :12, :8].reshape(-1, 3, 4, 2, 4).mean(axis=(2, 4))
    velocities = np.unique(1 / ((1 - edges) / 0.06 + edges / 0.08))
    assert np.abs(draws[..., None] - velocities).min(axis=-1).max() < 1e-7
    found = inversion.block_velocities(key, trained, z, (0.06, 0.08), level=0.5)
    np.testing.assert_array_equal(found["block_low"], np.quantile(draws, 0.25, axis=0))
    np.testing.assert_array_equal(found["block_high"], np.quantile(draws, 0.75, axis=0))


@pytest.mark.slow
def test_travel_times_from_a_table_to_velocities(trained, tmp_path, capsys):
    pytest.importorskip("blackjax")
    codecs.save(tmp_path / "model", trained)
    sources, receivers = geology.cross_hole_survey(SHAPE, 0.1, 0.4)
    lengths = geology.straight_rays(SHAPE, 0.1, sources, receivers)
    times = np.asarray(geology.travel_times(lengths, trained.x[0], (0.06, 0.08)))
    rows = np.column_stack([sources[:, 0], receivers[:, 0], times])
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="source_depth,receiver_depth,travel_time", comments="")
    command = commands.InvertCommand(
        tmp_path / "model", str(tmp_path / "t.csv"), tmp_path / "out.npz", noise=0.1, num_samples=20
    )
    commands.invert(command)
    with np.load(tmp_path / "out.npz") as found:
        for name in ("mean", "spread", "low", "high", "probability"):
            assert found[name].shape == SHAPE
            assert found[f"block_{name}" if name != "probability" else "block_mean"].shape == (3, 2)
        for block in ("", "block_"):
            low, mean, high = (found[block + name] for name in ("low", "mean", "high"))
            assert 0.06 - 1e-7 <= low.min() <= high.max() <= 0.08 + 1e-7  # rounding of a mean
            assert (low <= mean).all()
            assert (mean <= high).all()
        share = found["probability"]
        np.testing.assert_allclose(found["mean"], 0.06 + 0.02 * share, rtol=1e-5)
        np.testing.assert_allclose(found["spread"], 0.02 * np.sqrt(share * (1 - share)), atol=1e-6)
        np.testing.assert_array_equal(found["low"], np.where(share < 0.95, 0.06, 0.08))
        np.testing.assert_array_equal(found["high"], np.where(share > 0.05, 0.08, 0.06))
        # After six steps of training the decoder gives much the same for all codes: blocks must not be sure of it.
        slowness = (1 / found["draws"])[:, :12, :8].reshape(-1, 3, 4, 2, 4).mean(axis=(2, 4))
        assert (found["block_spread"] > 3 * (1 / slowness).std(axis=0)).all()
    said = capsys.readouterr()
    assert "misfit in units of" in said.out
    assert re.search(r"error of the decoder on 20 sections .* ns a ray, beside 0.1 ns of noise", said.err)
    assert "4 chains adapt, then draw 20 sections each" in said.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1.0}, "noise: found -1.0, expected positive"),
        ({"cell": 0.0}, "cell: found 0.0"),
        ({"velocities": (0.06, -0.08)}, "velocities: found 0.06 -0.08"),
        ({"num_samples": 0}, "num_samples: found 0, expected at least 4"),
        ({"cell": 0.01}, "source_depth: found 0.4 m in row 2, expected 0 to 0.13 m"),
        ({"out": "t.csv"}, "--out: found .*t.csv, which is the file that is read"),
        ({"block": 1}, "block: found 1 cells, expected 2 to 9"),
        ({"block": 10}, "block: found 10 cells, expected 2 to 9"),
        ({"data": "gap.csv"}, "travel_time: found no value in row 2"),
        ({"data": "text.csv"}, "travel_time.*: found 'abc' in row 1 .*; empty the cell if it means a missing value$"),
        ({"data": "time.csv"}, "found columns source_depth, receiver_depth, time, expected also travel_time"),
        ({"data": "bare.csv"}, "found no line of names, expected one with source_depth, receiver_depth, travel_time"),
        ({"data": "negative.csv"}, "travel_time: found -9 ns in row 2, expected a positive time"),
        ({"data": "zero.csv"}, "travel_time: found 0 ns in row 1, expected a positive time"),
    ],
)
def test_what_cannot_be_inverted_is_said_before_any_work(trained, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    codecs.save("model", trained)
    header = "source_depth,receiver_depth,travel_time\n"
    Path("t.csv").write_text(header + "0.1,0.1,9\n0.4,0.1,9\n")
    Path("gap.csv").write_text(header + "0.1,0.1,9\n0.4,0.1,\n")
    Path("text.csv").write_text(header + "0.1,0.1,abc\n0.4,0.1,9\n")
    Path("time.csv").write_text("source_depth,receiver_depth,time\n0.1,0.1,9\n0.4,0.1,10\n")
    Path("bare.csv").write_text("0.1,0.1,9\n0.4,0.1,10\n")
    Path("negative.csv").write_text(header + "0.1,0.1,9\n0.4,0.1,-9\n")
    Path("zero.csv").write_text(header + "0.1,0.1,0\n0.4,0.1,9\n")
    given = {"data": "t.csv", "out": "out.npz", "noise": 0.1} | options
    with pytest.raises(ValueError, match=message):
        commands.invert(commands.InvertCommand(Path("model"), **{**given, "out": Path(given["out"])}))


def train(path, tmp_path, **options):
    sections_command.train(sections_command.TrainSectionsCommand(path, tmp_path / "model", **options))


def test_images_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "image.png"
    with pytest.raises(FileNotFoundError, match=r"image\.png: there is no such file"):
        train(path, tmp_path)
    path.write_text("no image")
    with pytest.raises(ValueError, match=r"image\.png: found no image that can be read"):
        train(path, tmp_path)


@pytest.fixture
def trained_on(monkeypatch):
    """The images that a training would have seen."""
    images = []
    monkeypatch.setattr(inversion, "fit_sections", lambda key, image, *args, **options: images.append(image))
    monkeypatch.setattr(codecs, "save", lambda folder, found: None)
    return images


def test_which_facies_is_1_is_said_and_can_be_chosen(image, tmp_path, trained_on, capsys):
    np.save(tmp_path / "image.npy", image)
    train(tmp_path / "image.npy", tmp_path)
    np.testing.assert_array_equal(trained_on[-1], image)
    assert f"NPY of 60 x 80 cells; facies 1 is 1, {image.mean():.0%} of the image" in capsys.readouterr().err
    train(tmp_path / "image.npy", tmp_path, facies_1=("0",), quiet=True)
    np.testing.assert_array_equal(trained_on[-1], 1 - image)
    with pytest.raises(ValueError, match=r"image\.npy: --facies-1: found '2', expected some of 0 \(\d+ %\), 1"):
        train(tmp_path / "image.npy", tmp_path, facies_1=("2",))


@pytest.mark.parametrize(("num_columns", "width", "begin"), [(700, 33, 648), (250, 65, 185), (80, 40, 40)])
def test_as_many_columns_are_held_out_as_a_section_has(num_columns, width, begin):
    assert sections._columns_to_train_on(num_columns, width, None) == begin


def test_a_model_that_is_complete_is_not_trained_again(trained, tmp_path, capsys):
    codecs.save(tmp_path, trained)
    asked = sections_command.TrainSectionsCommand(tmp_path / "absent.png", tmp_path, patch=SHAPE, latent_dim=2)
    sections_command.train(asked)
    assert "is complete: nothing is left to train" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"holds sections of \(\(13, 9\), 2\), expected \(\(13, 9\), 5\)"):
        sections_command.train(dataclasses.replace(asked, latent_dim=5))


@pytest.mark.slow
def test_the_channels_train(tmp_path):
    """A small real sample: half a minute brings the code below a picture of the mean."""
    path = present(FOLDER / "geology/channels_2500.png")
    import matplotlib.image

    image = matplotlib.image.imread(path)[:600, :600] > 0.5
    found = sections.fit_sections(
        jax.random.key(0), image, (65, 33), 8, num_steps=90, batch_size=32, held_out=0.15, num_held_out=40
    )
    rebuilt = found.model.decode(found.variables, found.z)
    error = np.sqrt(np.mean(np.square(found.x - rebuilt)))
    assert error < 0.9 * np.sqrt(np.mean(np.square(found.x - found.x.mean(axis=0))))
