"""Travel times and training images as they come: the right value, or a sentence that says what is wrong."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from aejax.artefacts import codecs
from aejax.base import Batch
from aejax.cli.commands import inversion as commands
from aejax.data.facies import two_facies
from aejax.data.formats.grids import read_grid
from aejax.data.formats.tables import read_table
from aejax.simulate import geology
from aejax.tasks import inversion
from aejax.tasks.inversion.sections import section_vae
from tests.real_data import FOLDER, present

SHAPE = (41, 33)
NOISE = 0.3
COLUMNS = ("source_depth", "receiver_depth", "travel_time")


@pytest.fixture(scope="module")
def folder(cases):
    return cases / "inversion"


@pytest.fixture(scope="module")
def image(folder):
    """The training image, from GSLIB."""
    return read_grid(folder / "training-image.gslib.xz").cells


@pytest.mark.parametrize(
    ("name", "is_one"), [("redblue.png", ()), ("la_transparent.png", ("black",)), ("third_facies_4pc.png", ("white",))]
)
def test_a_training_image_is_the_same_in_any_colours(folder, image, name, is_one):
    found = two_facies(read_grid(folder / name).cells, is_one).cells
    # The third facies was painted over a few cells of the others.
    assert (found == image).mean() >= (0.99 if "third" in name else 1)


def test_a_third_facies_is_not_dealt_to_the_others(folder):
    with pytest.raises(ValueError, match=r"found 3 facies: #000000 .*, #808080 \(3.6 %\), #ffffff .* --facies-1"):
        two_facies(read_grid(folder / "third_facies_4pc.png").cells)


@pytest.mark.slow
def test_a_small_image_holds_out_as_much_as_a_section_needs(folder):
    image = two_facies(read_grid(folder / "ti250.png").cells).cells
    found = inversion.fit_sections(jax.random.key(0), image, (16, 65), 2, num_steps=3, batch_size=2, num_held_out=10)
    rest = np.lib.stride_tricks.sliding_window_view(image[:, -65:], (16, 65)).reshape(-1, 16, 65)
    assert all((rest == x).all(axis=(1, 2)).any() for x in found.x)


@pytest.fixture(scope="module")
def untrained(image, tmp_path_factory):
    """A model of sections of the size of the cases; what is refused is refused before it is used."""
    folder = tmp_path_factory.mktemp("sections")
    model = section_vae(SHAPE, 2)
    x = np.lib.stride_tricks.sliding_window_view(image, SHAPE)[::100, ::100].reshape(-1, *SHAPE)[:10].astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), Batch(x[:1]))
    codecs.save(folder, inversion.Sections(model, variables, SHAPE, 2, x, np.zeros((len(x), 2), np.float32)))
    return folder


def written(path, folder, change):
    """The base case with changed columns."""
    table = read_table(folder / "base.csv", columns=COLUMNS)
    columns = change(dict(zip(table.columns, table.values.T, strict=True)))
    np.savetxt(path, np.column_stack(list(columns.values())), delimiter=",", header=",".join(columns), comments="")
    return path


CHANGES = {
    "late.csv": lambda c: c | {"travel_time": c["travel_time"] + 10},
    "early.csv": lambda c: c | {"travel_time": c["travel_time"] - 10},
    "far.csv": lambda c: c | {"source_x": 0 * c["travel_time"], "receiver_x": 5 + 0 * c["travel_time"]},
    "far_unsaid.csv": lambda c: c | {"travel_time": c["travel_time"] * 1.4},
    "half.csv": lambda c: c | {"source_x": 0 * c["travel_time"]},
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seconds.csv", r"found 100 of 100 .* too early: .*; explained by times in s \(--time-unit s\)"),
        ("outlier.csv", r"found 1 of 100 .* row 18 \(source 0.6 m, receiver 3 m\): 203.7 ns, .* --heavy-tails"),
        ("neg_z.csv", "source_depth: found heights of -3.8 to -0.2 m, .* change their signs"),
        ("late.csv", r"too late: .* explained by a time zero of 9\.\d+ to 15\.\d ns \(--estimate-time-zero\)"),
        ("early.csv", r"too early: .* explained by a time zero of -10\.\d to -\d\.\d+ ns \(--estimate-time-zero\)"),
        ("far.csv", r"found 5 m between the boreholes, .* sections of 50 columns with --patch"),
        ("far_unsaid.csv", r"too late: .* or boreholes [\d.]+ to [\d.]+ m apart \(columns source_x and receiver_x\)"),
        ("half.csv", "expected also receiver_x"),
    ],
)
def test_times_that_cannot_come_from_the_model_are_refused(folder, untrained, tmp_path, name, message):
    data = folder / name
    if name in CHANGES:
        data = written(tmp_path / name, folder, CHANGES[name])
    command = commands.InvertCommand(untrained, str(data), tmp_path / "out.npz", noise=NOISE)
    with pytest.raises(ValueError, match=message):
        commands.invert(command)
    assert not command.out.exists()


@pytest.mark.parametrize("left", [0.0, 1000.0])
def test_positions_of_boreholes_come_from_the_file(folder, tmp_path, left):
    def stand(columns):
        return columns | {
            "source_depth": columns["source_depth"] + 20,
            "receiver_depth": columns["receiver_depth"] + 20,
            "source_x": left + 3.0 + 0 * columns["travel_time"],
            "receiver_x": left + 0 * columns["travel_time"],
        }

    path = written(tmp_path / "stand.csv", folder, stand)
    command = commands.InvertCommand(Path("model"), str(path), Path("out.npz"), noise=NOISE, top=20.0)
    names = (*COLUMNS, "source_x", "receiver_x")
    rays = commands._rays(read_table(path, columns=names), command, 4.1, 3.3)
    np.testing.assert_allclose(rays.source[:, 1], 3.0)
    np.testing.assert_allclose(rays.receiver[:, 1], 0.0)
    np.testing.assert_allclose(rays.source[0], (0.2, 3.0))
    with pytest.raises(ValueError, match=r"expected 0 to 4.1 m, the depth of the section; .* --top"):
        commands._rays(read_table(path, columns=names), dataclasses.replace(command, top=0.0), 4.1, 3.3)


@pytest.fixture(scope="module")
def trained(image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    codecs.save(folder, inversion.fit_sections(jax.random.key(0), image, SHAPE, 20, num_steps=1200, flips=()))
    return folder


@pytest.fixture(scope="module")
def truth():
    """Where the rays of the base case went: of all places of the real image, this one explains them best."""
    path = present(FOLDER / "geology/channels_2500.png")
    return two_facies(read_grid(path).cells).cells[300:341, 1500:1533]


def inverted(sections, data, out, **options):
    commands.invert(
        commands.InvertCommand(sections, str(data), out, noise=NOISE, num_samples=100, quiet=True, **options)
    )
    with np.load(out) as found:
        return dict(found)


def held(found, truth):
    blocks = np.asarray(geology.block_velocities(truth, (4, 4), (0.06, 0.08)))
    rounding = 1e-6
    return np.mean((found["block_low"] <= blocks + rounding) & (blocks <= found["block_high"] + rounding))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base.csv", "bottom.csv"])
def test_what_is_right_is_explained_and_intervals_hold_the_truth(folder, trained, truth, tmp_path, name):
    pytest.importorskip("blackjax")
    found = inverted(trained, folder / name, tmp_path / "out.npz")
    assert bool(found["is_explained"])
    assert found["misfit"].mean() < 1.3
    assert 0.85 <= held(found, truth) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("seconds.csv", {"time_unit": "s"}),
        ("outlier.csv", {"heavy_tails": True}),
        ("late.csv", {"estimate_time_zero": True}),
    ],
)
def test_with_its_remedy_what_was_refused_is_explained(folder, trained, truth, tmp_path, name, options):
    pytest.importorskip("blackjax")
    data = written(tmp_path / name, folder, CHANGES[name]) if name in CHANGES else folder / name
    found = inverted(trained, data, tmp_path / "out.npz", **options)
    assert bool(found["is_explained"])
    assert held(found, truth) > 0.85
    if "heavy_tails" in options:
        assert np.nonzero(found["weight"] < 0.1)[0].tolist() == [17]
    if "estimate_time_zero" in options:
        mean, deviation = found["time_zero"]
        assert abs(mean - 10) < 4 * deviation
        assert deviation < 1
