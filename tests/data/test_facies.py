"""Two facies from colours and numbers."""

import numpy as np
import pytest

from aejax.data.facies import two_facies

BANDS = (np.mgrid[:60, :80][0] + 4 * np.sin(np.mgrid[:60, :80][1] / 9)) % 15 < 5


def painted(*colours):
    """The bands in two colours, and in a third where the first two columns of cells in ten are."""
    picture = np.where(BANDS[..., None], colours[1], colours[0]).astype(float)
    if len(colours) > 2:
        picture[20:30, 20:30] = colours[2]
    return picture


@pytest.mark.parametrize(
    ("zero", "one", "names"),
    [
        ((0, 0, 255), (255, 0, 0), ("#0000ff", "#ff0000")),
        ((255, 0, 0), (0, 255, 0), ("#ff0000", "#00ff00")),
        ((150, 0, 150), (0, 200, 0), ("#960096", "#00c800")),
        ((153, 153, 153), (230, 230, 230), ("#999999", "#e6e6e6")),
        ((0, 0, 0), (1, 1, 1), ("#000000", "#010101")),
    ],
    ids=["red and blue", "red and green", "purple and green", "greys", "almost black"],
)
def test_any_two_colours_are_two_facies(zero, one, names):
    found = two_facies(painted(zero, one))
    np.testing.assert_array_equal(found.cells, BANDS)
    assert found.names == names
    assert found.between == 0
    flipped = two_facies(painted(zero, one), ones=[names[0]])
    np.testing.assert_array_equal(flipped.cells, ~BANDS)


def test_smoothed_edges_count_to_the_nearer_colour():
    picture = painted((250, 240, 0), (0, 0, 120))
    smooth = (picture + np.roll(picture, 1, axis=0) + np.roll(picture, 1, axis=1)) / 3
    found = two_facies(smooth)
    counts = (BANDS * 1.0 + np.roll(BANDS, 1, axis=0) + np.roll(BANDS, 1, axis=1)) > 1.5
    np.testing.assert_array_equal(found.cells, ~counts)
    assert found.between == pytest.approx(np.isin(smooth[..., 2], (40, 80)).mean())


def test_noise_of_a_compressed_picture_makes_no_facies():
    noise = np.random.default_rng(0).uniform(-9, 9, (*BANDS.shape, 3))
    found = two_facies(np.clip(painted((0, 0, 0), (255, 255, 255)) + noise, 0, 255))
    np.testing.assert_array_equal(found.cells, BANDS)


def test_a_third_facies_is_named_and_can_be_joined():
    picture = painted((0, 0, 0), (255, 255, 255), (128, 128, 128))
    with pytest.raises(ValueError, match=r"3 facies: #000000 .*, #808080 \(2.1 %\), #ffffff .* --facies-1 '#ffffff'"):
        two_facies(picture)
    found = two_facies(picture, ones=["white", "gray"])
    np.testing.assert_array_equal(found.cells, picture[..., 0] > 100)
    assert found.names == ("#000000", "#808080, #ffffff")
    with pytest.raises(ValueError, match="--facies-1: found 'red', expected some of #000000"):
        two_facies(picture, ones=["red"])
    with pytest.raises(ValueError, match="--facies-1: found all of #000000"):
        two_facies(picture, ones=["white", "black", "gray"])


def test_numbers_are_facies_and_a_border_cuts_many():
    assert two_facies(np.where(BANDS, 7, 3)).names == ("3", "7")
    thirds = np.where(BANDS, 7, np.where(np.arange(80) < 9, 5, 3))
    with pytest.raises(ValueError, match=r"found 3 facies: 3 .*, 5 .*, 7 .*--facies-1 7 or --facies-1 '>3'"):
        two_facies(thirds)
    np.testing.assert_array_equal(two_facies(thirds, ones=["5", "7"]).cells, thirds > 3)
    porosity = np.linspace(0, 0.3, 4800).reshape(60, 80)
    with pytest.raises(ValueError, match=r"found 4800 facies: 0 \(0.021 %\), .* and more, expected two"):
        two_facies(porosity)
    np.testing.assert_array_equal(two_facies(porosity, ones=[">0.1"]).cells, porosity > 0.1)


@pytest.mark.parametrize("cells", [np.full((5, 5), 2.0), np.full((5, 5, 3), 40.0)])
def test_one_facies_is_none(cells):
    with pytest.raises(ValueError, match=r"found one facies, .*, expected two"):
        two_facies(cells)
