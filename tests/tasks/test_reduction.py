import numpy as np
import pytest

from aejax.tasks.reduction import suggest_latent_dim


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1), (0.8, 1), (0.81, 2), (0.9, 2), (0.91, 3), (1.0, 3)])
def test_the_fewest_components_that_hold_the_share(share, expected):
    """Principal components with 80, 10, 6 and 4 % of the variance; never as many as there are columns."""
    axes, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
    rows = np.sqrt([80.0, 10.0, 6.0, 4.0])[:, None] * axes
    assert suggest_latent_dim(np.concatenate([rows, -rows]), share) == expected
