"""Process monitoring: statistics with known answers, limits that hold, streams that equal the whole series."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.data.batches import as_batch
from aejax.tasks import anomaly
from aejax.tasks.anomaly.monitor import set_limits
from tests.conftest import REGISTRY
from tests.real_data import FOLDER, present

# Short tables are quickly fitted, and some of the processes here are slow.
pytestmark = pytest.mark.filterwarnings(r"ignore:x. the \d+ rows hold only")


def process(num_rows, seed=0, num_columns=6):
    """A stationary process: two autocorrelated factors seen by six sensors with noise."""
    rng = np.random.default_rng(seed)
    factors = np.zeros((num_rows, 2))
    for t in range(1, num_rows):
        factors[t] = 0.8 * factors[t - 1] + rng.standard_normal(2)
    weights = np.random.default_rng(99).standard_normal((2, num_columns))
    return 100 + 10 * (factors @ weights + 0.5 * rng.standard_normal((num_rows, num_columns)))


@pytest.fixture(scope="module")
def monitor():
    return anomaly.fit_monitor(
        jax.random.key(0), process(600), num_lags=1, false_alarm_rate=0.02, num_epochs=30, learning_rate=1e-2
    )


def test_shrunk_covariance_is_that_of_ledoit_and_wolf():
    covariance = pytest.importorskip("sklearn.covariance")
    x = np.random.default_rng(0).standard_normal((40, 25)) @ np.random.default_rng(1).standard_normal((25, 25))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(anomaly.shrunk_covariance(x), covariance.ledoit_wolf(x)[0], rtol=1e-8)


def test_t2_of_a_linear_code_is_the_mahalanobis_distance(rows):
    """The identity as model: T² is Hotelling's, with the covariance of the rows, and there is no residual."""
    model = anomaly.linear_autoencoder((6,), 6)
    eye = {"layer_0": {"kernel": jnp.eye(6), "bias": jnp.zeros(6)}}
    variables = {"params": {"encoder": eye, "decoder": eye}}
    found = anomaly.statistics(model, variables, anomaly.fit_whitening(model, variables, rows), rows)
    inverse = np.linalg.inv(anomaly.shrunk_covariance(rows))
    t2 = np.einsum("ni,ij,nj->n", rows - rows.mean(0), inverse, rows - rows.mean(0))
    np.testing.assert_allclose(found.t2, t2 / t2.mean(), rtol=1e-3)
    np.testing.assert_allclose(found.spe, 0, atol=1e-6)
    np.testing.assert_allclose(found.combined, found.t2 / 2, rtol=1e-5, atol=1e-6)


def test_statistics_and_nearest_scores_of_any_model(model, data, key):
    variables = model.init(key, as_batch(data))
    whitening = anomaly.fit_whitening(model, variables, data)
    found = anomaly.statistics(model, variables, whitening, data)
    np.testing.assert_allclose([found.t2.mean(), found.spe.mean(), found.combined.mean()], 1, rtol=1e-3)
    again = anomaly.statistics(model, variables, whitening, data)
    np.testing.assert_array_equal(found.combined, again.combined)
    reference = anomaly.fit_reference(model, variables, data)
    scores = [
        anomaly.nearest_score(model, variables, reference, data._replace(x=data.x + shift))
        for shift in (8 * np.eye(6)[3], 0.05)
    ]
    assert scores[0].mean() > scores[1].mean()


def test_a_gan_is_refused(rows, key):
    for refuse in (anomaly.fit_whitening, anomaly.fit_reference):
        with pytest.raises(ValueError, match="a GAN has no encoder"):
            refuse(REGISTRY["gan"], {}, rows)
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        anomaly.fit_monitor(key, rows, factory=models.gan)


@pytest.mark.parametrize("cuts", [(1, 2, 3, 40), tuple(range(1, 70)), (33,), (69,)])
def test_a_stream_equals_the_whole_series_to_the_bit(monitor, cuts):
    x = process(70, seed=5)
    x[10, 2] = np.nan
    x[20] = np.nan
    x[40:, 0] += 30
    whole, end = anomaly.watch(monitor, x)
    state, parts = None, []
    for block in np.split(x, cuts):
        chart, state = anomaly.watch(monitor, block, state)
        parts.append(chart)
    for name, expected in zip(whole._fields, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), expected, name)
    jax.tree.map(np.testing.assert_array_equal, state, end)
    assert np.isnan(whole.combined[20])
    assert np.isfinite(np.delete(whole.combined, 20)).all()


def test_the_stream_is_smoothed_statistics_of_windows(monitor):
    x = process(50, seed=6)
    scaled = (x - monitor.scaler.mean) / monitor.scaler.scale
    windows = np.concatenate([scaled, np.concatenate([scaled[:1], scaled[:-1]])], axis=1)
    raw = anomaly.statistics(monitor.model, monitor.variables, monitor.whitening, windows)
    chart, _ = anomaly.watch(monitor, x)
    np.testing.assert_allclose(chart.combined, anomaly.ewma(raw.combined, monitor.smoothing), rtol=1e-3)
    is_above = (chart.spe > np.float32(monitor.limit.spe)) | (chart.combined > np.float32(monitor.limit.combined))
    np.testing.assert_array_equal(chart.is_above, is_above)
    np.testing.assert_array_equal(chart.is_alarm, anomaly.votes(chart.is_above, monitor.alarm_rule))


def test_the_limit_of_rows_is_where_the_p_value_is_the_rate(monitor):
    monitor = anomaly.recalibrate(monitor, limits="rows")
    chart, _ = anomaly.watch(monitor, process(3000, seed=7))
    np.testing.assert_array_equal(chart.is_above, chart.p_value <= monitor.rate.asked + 1e-12)


def test_the_false_alarm_rate_on_new_normal_rows_is_near_the_one_asked(monitor):
    chart, _ = anomaly.watch(monitor, process(6000, seed=8))
    assert 0.002 < chart.is_above.mean() < 0.06
    assert monitor.rate.asked == 0.02
    assert abs(monitor.rate.obtained - 0.02) < 3 * max(monitor.rate.standard_error, 0.005)
    other = anomaly.recalibrate(monitor, process(3000, seed=9), false_alarm_rate=0.1)
    assert 0.06 < anomaly.watch(other, process(6000, seed=8))[0].is_above.mean() < 0.15


def test_a_shifted_sensor_is_found_and_named(monitor):
    x = process(200, seed=10)
    x[100:, 3] += 25
    chart, _ = anomaly.watch(monitor, x)
    assert chart.is_alarm[110:].mean() > 0.9
    assert (anomaly.contributions(monitor, x)[110:].argmax(axis=1) == 3).mean() > 0.9


def slow_process(seed, num_rows=1500):
    rng = np.random.default_rng(seed)
    states = np.zeros((num_rows, 3))
    for row in range(1, num_rows):
        states[row] = 0.98 * states[row - 1] + 0.2 * rng.standard_normal(3)
    return states @ np.random.default_rng(0).standard_normal((3, 12)) + 0.3 * rng.standard_normal((num_rows, 12))


def test_few_independent_stretches_of_normal_operation_are_warned_of(key):
    with pytest.warns(UserWarning, match=r"the 300 rows hold only about 4\.1 independent stretches \(column 0, "):
        anomaly.fit_monitor(key, slow_process(1, 300), num_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anomaly.fit_monitor(key, process(300), num_epochs=1)


def test_a_small_fault_of_a_slow_process_is_not_lost_in_its_t2(key):
    """Slow states make T² vary tenfold: beside it, neither the mean of both statistics nor T² tells of the fault."""
    monitor = anomaly.fit_monitor(key, slow_process(1), num_epochs=30, learning_rate=1e-2)
    chart, _ = anomaly.watch(monitor, slow_process(2))
    assert chart.is_above.mean() < 0.1
    faulty = slow_process(3)
    faulty[700:, 5] += 1.2
    chart, _ = anomaly.watch(monitor, faulty)
    of_mean_alone = np.quantile(monitor.held_out.combined, 0.99)
    assert (chart.combined[720:] > of_mean_alone).mean() < 0.5
    assert chart.is_alarm[720:].mean() > 0.9


def test_contributions_of_a_linear_model_are_the_exact_reductions(monitor):
    """Freeing a sensor and minimising over what it reads gives the statistic less its contribution."""
    x = process(3, seed=11)
    x[:, 1] += 20
    found = anomaly.contributions(monitor, x)[2, 1]
    scaled = ((x - monitor.scaler.mean) / monitor.scaler.scale).astype(np.float32)

    def combined(readings):
        window = jnp.asarray(scaled[2:0:-1]).at[:, 1].set(readings).reshape(1, -1)
        parts = anomaly.whitened(monitor.model, monitor.variables, monitor.whitening, Batch(window))
        limits = (monitor.limit.t2, monitor.limit.spe)
        return sum(jnp.sum(part**2) / limit for part, limit in zip(parts, limits, strict=True))

    @jax.jit
    def reduction(readings):
        step = jnp.linalg.solve(jax.hessian(combined)(readings), jax.grad(combined)(readings))
        return combined(readings) - combined(readings - step)

    assert found == pytest.approx(float(reduction(jnp.asarray(scaled[2:0:-1, 1]))), rel=1e-2)


def test_smoothing_and_alarm_rule_have_known_answers():
    np.testing.assert_allclose(anomaly.ewma(np.full(50, 3.0), 0.1)[[0, 49]], [1.2, 3 - 2 * 0.9**50])
    np.testing.assert_array_equal(anomaly.ewma([1.0, 4.0], 1.0), [1, 4])
    above = np.array([1, 0, 0, 1, 1, 0, 1, 0, 0, 0], bool)
    np.testing.assert_array_equal(anomaly.votes(above, (1, 1)), above)
    np.testing.assert_array_equal(anomaly.votes(above, (2, 3)), [0, 0, 0, 0, 1, 1, 1, 0, 0, 0])


def test_block_thresholds():
    score = np.random.default_rng(0).standard_normal(199).round(1)
    for rate in (0.01, 0.05, 0.2):  # blocks of one row are rows
        assert anomaly.block_threshold(score, 1, rate) == anomaly.threshold(score, rate)
    # By hand: 4 blocks of 5 rows, 0.5 * 5 - 1 = 1.5 blocks may be above: the first block, and half of the second.
    blocks = np.array([[9] * 5, [8, 8, 1, 1, 1], [0] * 5, [0] * 5], float).ravel()
    assert anomaly.block_threshold(blocks, 5, 0.5) == 1
    assert anomaly.block_threshold(blocks, 5, 0.1) == np.inf


def test_block_limits_hold_where_rows_are_autocorrelated():
    """Over many calibration series, new rows of a new block are above at most as often as asked, on average."""
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(300):
        series = np.repeat(rng.standard_normal(60), 10)
        rates.append((rng.standard_normal(500) > anomaly.block_threshold(series, 10, 0.05)).mean())
    assert np.mean(rates) < 0.05 + 3 * np.std(rates) / np.sqrt(300)
    assert np.mean(rates) > 0.02


def test_a_block_is_judged_by_the_others_alone():
    # The limit of the last block is 12, the third highest of the 15 others; that of the others is 17.
    assert anomaly.obtained_rate(np.arange(20.0), 5, 0.2).obtained == 0.25


def test_obtained_rate_of_exchangeable_rows_is_the_asked_one():
    score = np.random.default_rng(2).standard_normal(20000)
    found = anomaly.obtained_rate(score, anomaly.block_length(score), 0.05)
    assert found.obtained == pytest.approx(0.05, abs=4 * found.standard_error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 0.0}, "smoothing: found 0.0"),
        ({"alarm_rule": (3, 2)}, r"alarm_rule: found \(3, 2\)"),
        ({"num_lags": -1}, "num_lags: found -1, expected at least 0"),
        ({"num_folds": 1}, "num_folds: found 1"),
        ({"num_folds": 40, "num_lags": 5}, "num_folds: found 40"),
        ({"limits": "rough"}, "limits: found 'rough'"),
        ({"latent_dim": 18}, "latent_dim: found 18 for windows of 18 numbers"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        anomaly.fit_monitor(jax.random.key(0), process(100), **options)


def test_bad_rows_are_named(monitor):
    with pytest.raises(ValueError, match="x: found 5 columns, expected 6"):
        anomaly.watch(monitor, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="x: found 5 columns, expected 6"):
        anomaly.contributions(monitor, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="are too few for a rate that low"):
        anomaly.recalibrate(monitor, process(50), false_alarm_rate=0.01)


def test_a_monitor_comes_back_from_its_folder_to_the_bit(monitor, tmp_path):
    aejax.save(tmp_path, monitor)
    again = aejax.load(tmp_path)
    x = process(40, seed=12)
    jax.tree.map(np.testing.assert_array_equal, anomaly.watch(again, x), anomaly.watch(monitor, x))
    with pytest.raises(ValueError, match=r"does not fit the model: params/.*: found .*, expected"):
        aejax.load(tmp_path, model=anomaly.linear_autoencoder((12,), len(monitor.whitening.code_mean) + 1))


@pytest.mark.slow
def test_conditions_are_counted(tmp_path):
    x, cond = process(120), np.arange(120.0)[:, None] / 120
    monitor = anomaly.fit_monitor(
        jax.random.key(0),
        Batch(x, cond=cond),
        factory=lambda shape, latent_dim: models.conditional_vae(shape, latent_dim, hidden_dims=(4,)),
        latent_dim=2,
        num_epochs=1,
        num_folds=2,
        false_alarm_rate=0.05,
        limits="rows",
    )
    aejax.save(tmp_path, monitor)
    chart, _ = anomaly.watch(aejax.load(tmp_path), Batch(x, cond=cond))
    np.testing.assert_array_equal(chart.excess, anomaly.watch(monitor, Batch(x, cond=cond))[0].excess)
    with pytest.raises(ValueError, match="x: found 0 conditions, expected 1 as in training"):
        anomaly.watch(monitor, x)


def test_a_monitor_is_measured_on_rows_in_time(monitor):
    x = process(3000, seed=8)
    chart, _ = anomaly.watch(monitor, x)
    found = anomaly.evaluate_monitor(monitor, x)
    assert found == {"num_rows": 3000, "asked": 0.02, "false_alarm_rate": chart.is_above.mean()}
    faulty, is_faulty = x.copy(), np.arange(3000) >= 2000
    faulty[is_faulty, 3] += 25
    measured = anomaly.evaluate_monitor(monitor, faulty, is_faulty)
    assert measured["false_alarm_rate"] == chart.is_above[:2000].mean()
    assert measured["detection_rate"] > 0.9
    assert measured["auroc"] > 0.99
    with pytest.raises(ValueError, match=r"is_anomaly: found shape \(5,\), expected \(3000,\)"):
        anomaly.evaluate_monitor(monitor, x, is_faulty[:5])


def test_a_column_that_stands_still_takes_no_part():
    x = np.insert(process(120), 2, 7.0, axis=1)
    monitor = anomaly.fit_monitor(jax.random.key(1), x, num_epochs=2, num_folds=2, false_alarm_rate=0.05)
    moved = x.copy()
    moved[60:, 2] = 1000
    jax.tree.map(np.testing.assert_array_equal, anomaly.watch(monitor, moved), anomaly.watch(monitor, x))
    contribution = anomaly.contributions(monitor, moved)
    assert np.isfinite(contribution).all()
    assert (contribution[:, 2] == 0).all()


def test_rows_that_never_change_are_refused():
    rounded = np.full((300, 2), 0.3)
    rounded[::2] = 0.1 + 0.2
    with pytest.raises(ValueError, match="found 2 columns, none of which changes in 300 rows"):
        anomaly.fit_monitor(jax.random.key(0), rounded)


def test_the_same_key_gives_the_same_monitor():
    x = process(120)
    monitors = [
        anomaly.fit_monitor(jax.random.key(1), x, num_epochs=2, num_folds=2, false_alarm_rate=0.05) for _ in range(2)
    ]
    jax.tree.map(np.testing.assert_array_equal, *(monitor._replace(model=None) for monitor in monitors))


def test_tennessee_eastman_small():
    data = np.load(present(FOLDER / "tep/tep_braatz.npz"))
    monitor = anomaly.fit_monitor(
        jax.random.key(0), data["d00_train"], num_lags=1, num_epochs=30, num_folds=2, learning_rate=3e-3
    )
    monitor = anomaly.recalibrate(monitor, data["d00_test"])
    detected = [anomaly.watch(monitor, data[f"d{fault:02d}_test"])[0].is_above[160:].mean() for fault in (1, 10, 19)]
    assert min(detected) > 0.6


def test_held_out_rows_that_watch_would_not_judge_set_no_limit(key):
    """Of a row that is empty nothing is judged, however full the rows before it in its window are."""
    x = np.random.default_rng(0).standard_normal((400, 3))
    x[1::2] = np.nan
    monitor = anomaly.fit_monitor(key, x, num_lags=1, num_epochs=2, false_alarm_rate=0.05)
    np.testing.assert_array_equal(np.isnan(monitor.held_out.combined), np.isnan(x).all(axis=1))


def test_blocks_without_a_row_do_not_count(key):
    held_out = np.full(3000, np.nan)
    held_out[:1200] = np.random.default_rng(0).standard_normal(1200) ** 2
    with pytest.raises(ValueError, match="blocks of held-out normal operation are too few"):
        set_limits(anomaly.Statistics(*[held_out] * 3), 0.0012, "blocks", 1100.0)


def test_the_rate_that_block_limits_give_is_theirs():
    score = np.repeat(np.random.default_rng(0).standard_normal(300), 20)
    by_rows, by_blocks = (anomaly.obtained_rate(score, 30, 0.05, limits) for limits in ("rows", "blocks"))
    assert by_blocks.obtained < by_rows.obtained
    assert by_blocks.obtained <= 0.05
