"""What the estimators are for: units, frames, searches, outliers, and folders that are loaded without a pickle."""

import contextlib
import logging
import pickle

import jax
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'estimators' is not installed")

import joblib
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import aejax
from aejax import estimators, tasks
from aejax.cli.commands.verification import VerifyCommand
from aejax.cli.commands.verification import run as verify
from aejax.data.columns.scalers import fit_scaler, scaled_rows, unscale
from aejax.estimators import (
    AutoencoderTransformer,
    DenoisingTransformer,
    OutlierDetector,
    ProcessMonitor,
    VAETransformer,
)
from aejax.tasks.anomaly import contributions, judge, watch

NAMES = ["T1", "p1", "flow", "level", "speed"]
_RNG = np.random.default_rng(0)
_MIXING = _RNG.normal(size=(2, 5))


def plant(num_rows, seed, noise=0.1):
    """Rows of five sensors that follow two factors, in units that differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_rows, 2)) @ _MIXING + noise * rng.normal(size=(num_rows, 5))
    return 300 + rows * [1, 10, 0.01, 100, 1]


# The tests fit the same sizes where they can: one program for them.
SMALL = {"hidden_dims": (), "num_epochs": 5, "random_state": 0}
FITTED = {
    "AutoencoderTransformer": AutoencoderTransformer(2, **SMALL),
    "VAETransformer": VAETransformer(2, **SMALL),
    "DenoisingTransformer": DenoisingTransformer(2, **SMALL),
    "OutlierDetector": OutlierDetector(num_steps=100, random_state=0),
    "ProcessMonitor": ProcessMonitor(num_epochs=5, random_state=0),
}


@pytest.fixture(scope="module", params=sorted(FITTED))
def fitted(request):
    frame = pd.DataFrame(plant(200, 1), columns=NAMES)
    return FITTED[request.param].fit(frame)


def results(estimator, x):
    names = ("transform", "score_samples", "predict", "decision_function")
    return {name: getattr(estimator, name)(x) for name in names if hasattr(estimator, name)}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def with_gaps(x, seed=0):
    gaps = np.random.default_rng(seed).random(x.shape) < 0.2
    return np.where(gaps, np.nan, x)


def test_all_names_are_tried():
    assert sorted(FITTED) == sorted(estimators.__all__)


def test_codes_and_rows_are_those_of_the_library_in_the_units_of_the_table():
    x = plant(200, 1)
    estimator = VAETransformer(2, beta=0.5, **SMALL).fit(x)
    scaler = fit_scaler(x)
    model = aejax.models.vae((5,), 2, hidden_dims=())
    options = {"num_epochs": 5, "hparams": model.hparams._replace(beta=0.5)}
    expected = aejax.fit(jax.random.key(0), model, scaled_rows(scaler, x), **options).variables
    new = plant(50, 2)
    codes = tasks.encode(model, expected, scaled_rows(scaler, new)).mean
    np.testing.assert_allclose(estimator.transform(new), codes, rtol=1e-5, atol=1e-6)
    rows = unscale(scaler, tasks.reconstruct(model, expected, scaled_rows(scaler, new)).astype(float))
    np.testing.assert_allclose(estimator.inverse_transform(estimator.transform(new)), rows, rtol=1e-6)
    drawn = estimator.sample(2000, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.3 * x.std(axis=0).max())
    assert estimator.sample(2, random_state=0).tolist() == estimator.sample(2, random_state=0).tolist()


def test_a_row_has_one_result_whatever_stands_beside_it(fitted):
    x = with_gaps(plant(600, 2)) if not isinstance(fitted, ProcessMonitor) else plant(600, 2)
    frame = pd.DataFrame(x, columns=NAMES)
    together = results(fitted, frame)
    order = np.random.default_rng(0).permutation(600)
    shuffled = results(fitted, frame.iloc[order])
    for name, values in together.items():
        np.testing.assert_array_equal(shuffled[name], values[order], err_msg=name)
        for row in (0, 300, 599):
            np.testing.assert_array_equal(getattr(fitted, name)(frame.iloc[[row]])[0], values[row], err_msg=name)


def test_saved_and_loaded_it_gives_the_same_bits(fitted, tmp_path, capsys):
    aejax.save(tmp_path / "estimator", fitted)
    again = aejax.load(tmp_path / "estimator", type(fitted))
    frame = pd.DataFrame(with_gaps(plant(60, 2)), columns=NAMES)
    same(results(again, frame), results(fitted, frame))
    assert again.get_params() == fitted.get_params()
    assert list(again.feature_names_in_) == NAMES
    assert verify(VerifyCommand(tmp_path)) == 0
    assert f"a {type(fitted).__name__} of aejax.estimators, whole" in capsys.readouterr().out


def test_pickled_dumped_and_cloned_it_is_the_same(fitted, tmp_path):
    frame = pd.DataFrame(plant(60, 2), columns=NAMES)
    expected = results(fitted, frame)
    same(results(pickle.loads(pickle.dumps(fitted)), frame), expected)
    joblib.dump(fitted, tmp_path / "estimator.joblib")
    same(results(joblib.load(tmp_path / "estimator.joblib"), frame), expected)
    same(results(clone(fitted).fit(pd.DataFrame(plant(200, 1), columns=NAMES)), frame), expected)


def test_a_folder_that_was_tampered_with_is_refused(tmp_path):
    aejax.save(tmp_path, FITTED["VAETransformer"].fit(plant(200, 1)))
    manifest = tmp_path / "artefact.json"
    manifest.write_text(manifest.read_text().replace('"num_epochs": 5', '"num_epochs": 6'))
    with pytest.raises(ValueError, match="damaged"):
        aejax.load(tmp_path)


def test_what_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        aejax.save(tmp_path, VAETransformer())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_go_in_and_come_out(library):
    frame = pd.DataFrame(plant(200, 1), columns=NAMES)
    estimator = AutoencoderTransformer(2, **SMALL).set_output(transform=library).fit(frame)
    codes = estimator.transform(frame)
    assert list(codes.columns) == ["autoencodertransformer0", "autoencodertransformer1"]
    clean = DenoisingTransformer(2, **SMALL).set_output(transform=library).fit_transform(frame)
    assert list(clean.columns) == NAMES
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(frame[NAMES[::-1]])


@contextlib.contextmanager
def compilations(caplog):
    caplog.clear()
    found = []
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        yield found
    found += [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (VAETransformer(2, **SMALL), {"beta": [0.1, 0.5, 2.0], "learning_rate": [1e-3, 1e-2]}),
        (DenoisingTransformer(2, **SMALL), {"noise_level": [0.1, 0.3], "learning_rate": [1e-3, 1e-2]}),
    ],
    ids=["vae", "denoising"],
)
def test_a_grid_over_traced_hyperparameters_compiles_once(estimator, grid, caplog):
    x = plant(90, 1)
    jax.clear_caches()

    def search(grid):
        return GridSearchCV(make_pipeline(estimator), grid, cv=3, error_score="raise").fit(x)

    name = estimator.__class__.__name__.lower()
    grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    with compilations(caplog) as first:
        search({parameter: values[:1] for parameter, values in grid.items()})
    with compilations(caplog) as all_of_them:
        found = search(grid)
    assert any("run" in message or "advance" in message for message in first), first
    assert all_of_them == []
    assert len(set(found.cv_results_["mean_test_score"])) == len(found.cv_results_["params"])


def test_a_pipeline_ends_in_a_regression():
    x = plant(300, 1)
    model = make_pipeline(AutoencoderTransformer(2, num_epochs=50, random_state=0), LinearRegression())
    assert model.fit(x[:200], x[:200, 0]).score(x[200:], x[200:, 0]) > 0.9


@pytest.mark.slow
@pytest.mark.optimised
def test_denoised_rows_are_nearer_to_the_truth():
    clean = plant(1000, 1, noise=0)
    rng = np.random.default_rng(2)
    noisy = clean + 0.5 * clean.std(axis=0) * rng.normal(size=clean.shape)
    found = DenoisingTransformer(2, noise_level=0.5, random_state=0).fit(noisy[:800]).transform(noisy[800:])
    error, noise = ((rows - clean[800:]) / clean.std(axis=0) for rows in (found, noisy[800:]))
    # Of five columns of two factors two fifths of the noise lie within the plane that is kept.
    assert np.mean(error**2) < 0.55 * np.mean(noise**2)
    gaps = with_gaps(noisy[800:])
    filled = DenoisingTransformer(2, noise_level=0.5, random_state=0).fit(noisy[:800]).transform(gaps)
    assert np.isfinite(filled).all()


@pytest.mark.slow
@pytest.mark.optimised
def test_new_rows_are_flagged_at_the_rate_asked_for_and_outliers_among_those_of_fit_are_found():
    rng = np.random.default_rng(3)
    x = plant(600, 1)
    outliers = x[:20] + rng.choice([-1, 1], (20, 5)) * 1.5 * x.std(axis=0)
    detector = OutlierDetector(false_alarm_rate=0.05, num_steps=500, random_state=0)
    found = detector.fit_predict(np.concatenate([x, outliers]))
    assert np.mean(found[600:] == -1) > 0.8
    assert np.mean(found[:600] == -1) < 0.05
    detector.fit(x)
    new = plant(2000, 4)
    flagged = np.mean(detector.predict(new) == -1)
    # 180 held-out rows: the share has a standard deviation of some 0.016 over such sets.
    assert 0.01 < flagged < 0.1
    np.testing.assert_array_equal(detector.predict(new) == -1, judge(detector.detector_, new, 0.05).is_anomaly)
    gaps = with_gaps(new)
    assert 0.01 < np.mean(detector.predict(gaps) == -1) < 0.1


def test_too_few_rows_for_a_rate_are_warned_of():
    with pytest.warns(UserWarning, match=r"60 held-out rows are too few .* at least 0\.016"):
        OutlierDetector(false_alarm_rate=0.01, num_steps=20).fit(plant(200, 1))


def test_a_process_with_a_memory_is_judged_in_the_order_of_time():
    options = {"num_lags": 2, "smoothing": 0.2, "alarm_rule": (2, 3), "false_alarm_rate": 0.05}
    estimator = ProcessMonitor(**options, num_epochs=5, random_state=0).fit(plant(300, 1))
    new = plant(100, 2)
    new[50:, 1] += 40
    chart, _ = watch(estimator.monitor_, new)
    np.testing.assert_array_equal(estimator.predict(new) == -1, chart.is_alarm)
    np.testing.assert_array_equal(estimator.score_samples(new), -chart.excess)
    assert (estimator.predict(new)[60:] == -1).all()
    assert (estimator.predict(new)[:50] == 1).mean() > 0.9
    np.testing.assert_array_equal(estimator.contributions(new), contributions(estimator.monitor_, new))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (AutoencoderTransformer(0), "latent_dim: found 0, expected a positive whole number"),
        (VAETransformer(beta=-1.0), r"beta: found -1.0, expected a weight of at least 0"),
        (DenoisingTransformer(noise_level=-1.0), r"noise_level: found -1.0, expected at least 0"),
        (AutoencoderTransformer(num_epochs=0), "num_epochs: found 0, expected a positive whole number"),
        (AutoencoderTransformer(validation=2), "validation: found 2, expected a share"),
        (OutlierDetector(false_alarm_rate=2), "false_alarm_rate: found 2, expected a number in"),
        (OutlierDetector(calibration=0), "calibration: found 0, expected a share"),
        (ProcessMonitor(alarm_rule=(3, 2)), "alarm_rule: found"),
        (ProcessMonitor(false_alarm_rate=1e-4), "false_alarm_rate: found 0.0001, but 40 rows"),
    ],
)
def test_a_bad_parameter_is_named(estimator, sentence):
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(plant(40, 1))


def test_bad_rows_are_named():
    x = plant(40, 1)
    x[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 'flow': found no value"):
        AutoencoderTransformer(2).fit(pd.DataFrame(x, columns=NAMES))
    fitted = AutoencoderTransformer(2, **SMALL).fit(plant(200, 1))
    with pytest.raises(ValueError, match="codes of 3 numbers, expected 2"):
        fitted.inverse_transform(np.zeros((1, 3)))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_value_beyond_all_range_is_named_at_its_place():
    new = plant(600, 2)
    new[1, 3] = np.nan  # rows with gaps are computed apart
    new[500, 2] = 1e300
    fitted = AutoencoderTransformer(2, **SMALL).fit(plant(200, 1))
    with pytest.raises(ValueError, match="X: row 500, column 2 is beyond"):
        fitted.transform(new)
    with pytest.raises(ValueError, match="X: row 0, column 1 is beyond"):
        fitted.inverse_transform([[0.0, 1e300]])
