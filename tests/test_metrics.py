"""Metrics against SciPy and hand-made cases."""

import numpy as np
import pytest
from scipy import ndimage, stats

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
    with pytest.raises(ValueError, match=r"score: found 1 missing values"):
        metrics.auroc(np.where(np.arange(300) == 5, np.nan, score), label)


def test_ks_distance_equals_scipy():
    first, second = RNG.standard_normal((200, 2)), 0.5 + RNG.standard_normal((150, 2))
    expected = [stats.ks_2samp(first[:, i], second[:, i]).statistic for i in range(2)]
    np.testing.assert_allclose(metrics.ks_distance(first, second), expected)
    np.testing.assert_allclose(metrics.ks_distance(first[:, 0], second[:, 0]), expected[:1])
    with pytest.raises(ValueError, match=r"second: found shapes \(200, 2\) and \(150, 1\)"):
        metrics.ks_distance(first, second[:, 0])


def test_correlation_error_leaves_out_what_does_not_vary():
    first, second = RNG.standard_normal((200, 3)), RNG.standard_normal((150, 3))
    expected = metrics.correlation_error(first, second)
    constant = np.concatenate([first, np.full((200, 1), 3.0)], axis=1), np.concatenate([second, second[:, :1]], axis=1)
    assert metrics.correlation_error(*constant) == expected
    assert metrics.correlation_error(*constant[::-1]) == expected
    assert np.isnan(metrics.correlation_error(first[:, :1], second[:, :1]))


def test_psnr_of_known_noise():
    image = RNG.random((4, 50, 50))
    assert metrics.psnr_db(image, image + 0.05) == pytest.approx(-20 * np.log10(0.05))
    assert metrics.psnr_db(255 * image, 255 * image + 2, peak=255) == pytest.approx(20 * np.log10(255 / 2))
    assert metrics.psnr_db(image, image) == np.inf


@pytest.mark.parametrize("shape", [(40,), (20, 24), (12, 13, 14)])
def test_ssim_equals_its_definition_by_scipy(shape):
    """Gaussian windows by scipy.ndimage, cut to the positions at which the window lies inside."""
    first, second = RNG.random((2, *shape))

    def smooth(values):
        return ndimage.gaussian_filter(values, 1.5, radius=5)[(slice(5, -5),) * len(shape)]

    mean_1, mean_2 = smooth(first), smooth(second)
    var_1, var_2 = smooth(first**2) - mean_1**2, smooth(second**2) - mean_2**2
    cov = smooth(first * second) - mean_1 * mean_2
    expected = ((2 * mean_1 * mean_2 + 1e-4) * (2 * cov + 9e-4)) / (
        (mean_1**2 + mean_2**2 + 1e-4) * (var_1 + var_2 + 9e-4)
    )
    found = metrics.ssim(first[None], second[None], num_spatial_dims=len(shape))
    np.testing.assert_allclose(found, [expected.mean()], rtol=1e-6)
    channels = metrics.ssim(np.stack([first] * 2, -1)[None], np.stack([second] * 2, -1)[None], 1.0, len(shape))
    np.testing.assert_allclose(channels, found)
    with pytest.raises(ValueError, match="spatial axes"):
        metrics.ssim(first[None], second[None, None], num_spatial_dims=len(shape))


def test_correlations_that_differ():
    first = RNG.standard_normal((5000, 3))
    second = first.copy()
    second[:, 2] = second[:, 0]
    assert metrics.correlation_error(first, second) == pytest.approx(1, abs=0.05)
    assert metrics.correlation_error(first, 2 + 3 * first) == pytest.approx(0, abs=1e-12)


def test_an_offset_is_not_explained():
    x = np.array([[0.0], [2.0], [4.0]])
    np.testing.assert_allclose(metrics.explained_variance(x, x + 2), [1 - 4 / (8 / 3)])
