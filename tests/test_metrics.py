"""Metrics against SciPy and hand-made cases."""

import numpy as np
import pytest
from scipy import stats

from aejax import metrics

RNG = np.random.default_rng(0)


def test_snr_of_known_noise():
    clean = np.sin(np.linspace(0, 100, 100_000))
    noisy = clean + 0.1 * RNG.standard_normal(clean.shape)
    assert metrics.snr_db(clean, noisy) == pytest.approx(10 * np.log10(0.5 / 0.01), abs=0.1)


def test_explained_variance_ignores_missing_values_and_constant_columns():
    x = RNG.standard_normal((500, 3))
    x[:, 2] = 7.3
    x[::2, 0] = np.nan
    r2 = metrics.explained_variance(x, np.where(np.isnan(x), 99.0, x + 0.1))
    assert r2[0] == pytest.approx(1 - 0.01 / np.nanvar(x[:, 0]))
    assert r2[1] == pytest.approx(1 - 0.01 / np.var(x[:, 1]))
    assert np.isnan(r2[2])


def test_auroc_equals_the_rank_statistic():
    score, label = RNG.integers(0, 20, 300), RNG.random(300) < 0.3
    u = stats.mannwhitneyu(score[label], score[~label]).statistic
    assert metrics.auroc(score, label) == pytest.approx(u / label.sum() / (~label).sum())
    with pytest.raises(ValueError, match="is_positive"):
        metrics.auroc(score, np.zeros(300, bool))


def test_ks_distance_equals_scipy():
    first, second = RNG.standard_normal((200, 2)), 0.5 + RNG.standard_normal((150, 2))
    expected = [stats.ks_2samp(first[:, i], second[:, i]).statistic for i in range(2)]
    np.testing.assert_allclose(metrics.ks_distance(first, second), expected)
