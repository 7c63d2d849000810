"""Missing cells: the conditional distribution of a Gaussian process is known, gaps in training too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.artefacts.codecs import load, save
from aejax.cli.main import main
from aejax.models import vae
from aejax.tasks.imputation import evaluate_imputer, fit_imputer, impute, impute_draws

NOISE = 0.3


@pytest.fixture(scope="module")
def process():
    """Rows of a linear-Gaussian process, in units of their own, and the covariance of its standardised columns."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((2, 6))
    x = rng.standard_normal((5000, 2)) @ weights + NOISE * rng.standard_normal((5000, 6))
    units = np.array([1.0, 10.0, 0.1, 3.0, 1.0, 50.0])
    return x * units + 7, (weights.T @ weights + NOISE**2 * np.eye(6)) * np.outer(units, units)


@pytest.fixture(scope="module")
def imputer(process):
    x, _ = process
    train = np.where(np.random.default_rng(1).random(x[:4000].shape) < 0.05, np.nan, x[:4000])
    return fit_imputer(jax.random.key(0), train, model=vae((6,), 2, hidden_dims=()), num_steps=6000)


def test_gaps_get_the_conditional_distribution(process, imputer):
    x, covariance = process
    rows = x[4000:].copy()
    rows[:, [1, 4]] = np.nan
    found = impute(jax.random.key(1), imputer, rows)
    gaps, seen = [1, 4], [0, 2, 3, 5]
    regression = covariance[np.ix_(gaps, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = 7 + (rows[:, seen] - 7) @ regression.T
    left = covariance[np.ix_(gaps, gaps)] - regression @ covariance[np.ix_(seen, gaps)]
    spread = np.sqrt(np.diag(left))
    # In units of what cannot be known: the draws' own error is a tenth of it.
    assert np.sqrt(np.mean(((found.x[:, gaps] - expected) / spread) ** 2)) < 0.25
    np.testing.assert_allclose(found.std[:, gaps].mean(axis=0), spread, rtol=0.15)
    np.testing.assert_array_equal(found.x[:, seen], rows[:, seen])
    assert (found.std[:, seen] == 0).all()


def test_draws_of_one_row_belong_together(process, imputer):
    x, covariance = process
    rows = x[4000:].copy()
    rows[:, [1, 4]] = np.nan
    draws = impute_draws(jax.random.key(1), imputer, rows, num_draws=20)
    gaps, seen = [1, 4], [0, 2, 3, 5]
    regression = covariance[np.ix_(gaps, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = 7 + (rows[:, seen] - 7) @ regression.T
    left = covariance[np.ix_(gaps, gaps)] - regression @ covariance[np.ix_(seen, gaps)]
    spread = np.sqrt(np.diag(left))
    found = np.cov(((draws[:, :, gaps] - expected) / spread).reshape(-1, 2).T)
    np.testing.assert_allclose(np.diag(found), 1, rtol=0.2)
    assert found[0, 1] == pytest.approx((left / np.outer(spread, spread))[0, 1], abs=0.1)
    assert all(np.array_equal(draw[:, seen], rows[:, seen]) for draw in draws)
    # Filled by draws, columns vary as the process does; filled by means they vary less.
    np.testing.assert_allclose(draws[:, :, gaps].std(axis=(0, 1)), np.sqrt(np.diag(covariance))[gaps], rtol=0.1)


def test_the_log_density_is_that_of_the_process(process, imputer):
    x, covariance = process
    found = evaluate_imputer(jax.random.key(2), imputer, x[4000:], share=0.1)
    # A Gaussian's: that of its spread, which is the error that is left.
    assert found["log_density"] == pytest.approx(
        -0.5 * np.log(2 * np.pi * np.e * least_rmse(covariance, 0.1) ** 2), abs=0.3
    )
    assert found["log_density_of_columns"] == pytest.approx(-0.5 * np.log(2 * np.pi * np.e), abs=0.1)


def least_rmse(covariance, share):
    """The error of the conditional mean, in standard deviations, over random gaps."""
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    variances = []
    for gaps in np.random.default_rng(3).random((2000, 6)) < share:
        seen = ~gaps
        regression = correlation[np.ix_(gaps, seen)] @ np.linalg.inv(correlation[np.ix_(seen, seen)])
        variances.extend(np.diag(correlation[np.ix_(gaps, gaps)] - regression @ correlation[np.ix_(seen, gaps)]))
    return np.sqrt(np.mean(variances))


def test_the_evaluation_is_near_what_can_be_reached(process, imputer):
    x, covariance = process
    found = evaluate_imputer(jax.random.key(2), imputer, x[4000:], share=0.1)
    assert found["num_hidden"] == pytest.approx(600, rel=0.2)
    assert found["rmse"] < 1.1 * least_rmse(covariance, share=0.1)
    assert found["rmse_of_column_means"] == pytest.approx(1, rel=0.1)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.04)


def test_complete_rows_come_back(process, imputer):
    found = impute(jax.random.key(1), imputer, process[0][:5])
    np.testing.assert_array_equal(found.x, process[0][:5])
    assert not found.std.any()


def test_saved_and_loaded_gives_the_same_bits(process, imputer, tmp_path):
    save(tmp_path / "imputer", imputer)
    rows = process[0][:20].copy()
    rows[:, 2] = np.nan
    found = impute(jax.random.key(1), load(tmp_path / "imputer"), rows)
    np.testing.assert_array_equal(found.x, impute(jax.random.key(1), imputer, rows).x)


def test_bad_input_is_named(process, imputer):
    with pytest.raises(ValueError, match=r"x: found shape \(2, 5\), expected \(rows, 6\) as in training"):
        impute(jax.random.key(0), imputer, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="num_sweeps: found 1, expected at least 2"):
        impute(jax.random.key(0), imputer, process[0][:2], num_sweeps=1)
    with pytest.raises(ValueError, match="num_draws: found 0, num_sweeps 100, expected at least 1"):
        impute_draws(jax.random.key(0), imputer, process[0][:2], num_draws=0)
    with pytest.raises(ValueError, match=r"share: found 1\.5, expected a number in"):
        evaluate_imputer(jax.random.key(0), imputer, process[0][:2], share=1.5)
    with pytest.raises(ValueError, match="sample"):
        fit_imputer(jax.random.key(0), jnp.ones((9, 3)), model=aejax.models.autoencoder((3,), 1))


def test_the_command_fills_a_table_and_says_how_well(tmp_path, capsys, process):
    x = process[0][:300].round(4)
    x[::7, 2] = np.nan
    lines = [",".join(f"s{i}" for i in range(6))]
    lines += [",".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in x]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    paths = [str(tmp_path / name) for name in ("table.csv", "filled.csv", "spread.csv")]
    words = ["impute", paths[0], "--out", paths[1], "--spread", paths[2], "--num-steps", "300", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "rmse_of_column_means: " in printed
    assert "coverage_90: " in printed
    filled, spread = (np.genfromtxt(path, delimiter=",", skip_header=1) for path in paths[1:])
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(spread > 0, np.isnan(x))
    with pytest.raises(SystemExit):
        main([*words, "--draws", "3"])
    draws = np.genfromtxt(paths[1], delimiter=",", names=True)
    assert draws.dtype.names[0] == "draw"
    assert np.bincount(draws["draw"].astype(int)).tolist() == [0, 300, 300, 300]
    of_gaps = draws["s2"].reshape(3, 300)[:, np.isnan(x[:, 2])]
    assert (of_gaps.std(axis=0) > 0).all()
