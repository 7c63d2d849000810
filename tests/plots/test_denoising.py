"""Pictures of denoising show what they were given."""

import numpy as np
import pytest

from aejax.plots.denoising import gain_by_ratio, wiggles_and_spectrograms


def test_a_tone_is_at_its_frequency_and_the_arrival_is_marked():
    tone = np.sin(2 * np.pi * 20 * np.arange(3000) / 100)
    grid = wiggles_and_spectrograms({"noisy": tone, "silence": 0 * tone}, 100, arrival=500, max_frequency=40)
    image = grid[1, 0].images[0]
    level = np.asarray(image.get_array())
    bins = np.linspace(0, 50, level.shape[0])
    assert bins[level[:, level.shape[1] // 2].argmax()] == pytest.approx(20, abs=0.5)
    assert np.asarray(grid[1, 1].images[0].get_array()).max() <= -100
    assert image.get_clim() == grid[1, 1].images[0].get_clim()
    assert grid[0, 0].lines[1].get_xdata()[0] == 5
    assert grid[1, 0].get_ylim() == (0, 40)


def test_short_traces_are_refused():
    with pytest.raises(ValueError, match="64 or more"):
        wiggles_and_spectrograms({"noisy": np.zeros(30)}, 100)


def test_gains_are_averaged_in_bands():
    ax = gain_by_ratio(np.array([0.0, 1.0, 4.0, 5.0]), {"model": np.array([1.0, 3.0, 5.0, 7.0])})
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [2, 6])
