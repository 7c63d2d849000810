import numpy as np
import pytest

from aejax.plots.surrogate import maps_side_by_side


def test_a_row_has_one_colour_scale():
    maps = np.stack([np.ones((2, 3, 4)), 4 * np.ones((2, 3, 4))])
    maps[0, 1] = 0.25
    axes = maps_side_by_side(maps, np.arange(3), np.arange(4), titles=["a", "b", "c", "d"])
    limits = [[ax.collections[0].get_clim() for ax in row] for row in axes]
    assert limits == [[(0, 1), (0, 1)], [(0, 2), (0, 2)]]
    assert axes[1, 1].get_title() == "d"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="maps: found shape"):
        maps_side_by_side(np.ones((2, 3, 5)), np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match="titles: found 3"):
        maps_side_by_side(np.ones((2, 3, 4)), np.arange(3), np.arange(4), titles=["a"] * 3)
