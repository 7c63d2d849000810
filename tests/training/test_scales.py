"""Unscaled columns are warned of once, by name; what is meant to be as it is passes."""

import warnings

import jax
import numpy as np
import pytest

import aejax

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((60, 3))
PEAK = np.exp(-np.square(np.linspace(-8, 8, 60)))


def fit(x, **options):
    model = aejax.models.autoencoder(x.shape[1:], 1, hidden_dims=())
    return aejax.fit(jax.random.key(0), model, aejax.Batch(x), num_epochs=1, validation=0, **options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (TABLE * [1, 50, 1] + [0, 310, 0], "x: column 1 has a root mean square of 3"),
        (TABLE * [1, 1, 1e-5], "x: column 2 has a standard deviation of "),
        (1e-6 * TABLE, "x: column . has a root mean square of "),
    ],
)
def test_what_is_unscaled_is_named_with_the_remedy(x, message):
    with pytest.warns(UserWarning, match=message) as caught:
        fit(x)
    assert len(caught) == 1
    assert "fit_scaler" in str(caught[0].message)


@pytest.mark.parametrize(
    "x",
    [
        TABLE,
        255 * RNG.random((60, 4, 4)),
        PEAK * RNG.random((60, 1)),
        RNG.poisson(400.0, (60, 3)),
        np.column_stack([TABLE, np.zeros(60)]),
    ],
    ids=["scaled", "images", "spectra", "counts", "constant"],
)
def test_what_is_as_it_should_be_passes(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(x.astype(np.float32))
