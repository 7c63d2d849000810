"""Rows with gaps: known answers of linear-Gaussian rows, and limits that hold for each pattern of gaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.base import Batch, Latent, Model
from aejax.data.batches import as_batch
from aejax.models import gaps as model_gaps
from aejax.tasks import anomaly, calibrate, detect
from aejax.tasks.anomaly import gap_counts, gaps
from aejax.tasks.anomaly.patterns import OTHER_GAPS, SAME_GAPS, SIMILAR_GAPS, by_number_missing, comparisons, kept
from aejax.tasks.anomaly.statistics import row_statistics

KEY = jax.random.key(0)
NUM_COLUMNS = 6


def drawn(num_rows, seed, num_columns=NUM_COLUMNS, num_factors=2, noise=0.3):
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(7).standard_normal((num_factors, num_columns))
    rows = rng.standard_normal((num_rows, num_factors)) @ weights + noise * rng.standard_normal((num_rows, num_columns))
    return (rows / np.sqrt(np.sum(weights**2, axis=0) + noise**2)).astype(np.float32)


def principal_subspace(x, latent_dim):
    axes = np.linalg.svd(x, full_matrices=False)[2][:latent_dim]
    return Model(
        None,
        None,
        encode=lambda variables, x, cond=None: Latent(x @ axes.T),
        decode=lambda variables, z, cond=None: z @ axes,
        score=lambda key, variables, batch: jnp.mean(jnp.square(batch.x - batch.x @ axes.T @ axes), axis=1),
    ), axes


def test_the_code_of_a_principal_subspace_is_that_of_least_squares():
    x = drawn(400, 0, num_columns=50, num_factors=10)
    model, axes = principal_subspace(x, 10)
    is_missing = np.random.default_rng(1).random(x.shape) < 0.3
    found = np.asarray(model_gaps.filled(model, {}, as_batch(np.where(is_missing, np.nan, x))).x)
    np.testing.assert_array_equal(found[~is_missing], x[~is_missing])
    for row, missing, filled in zip(x[:50], is_missing, found, strict=False):
        code = np.linalg.lstsq(axes[:, ~missing].T, row[~missing], rcond=None)[0]
        assert np.sqrt(np.mean(np.square((code @ axes - filled)[missing]))) < 0.15


def test_whole_rows_are_not_touched():
    x = drawn(20, 0)
    model, _ = principal_subspace(x, 2)
    batch = as_batch(x)
    assert model_gaps.filled(model, {}, batch) is batch
    rows_only = Batch(jnp.asarray(x), mask=jnp.arange(20) > 3)
    assert model_gaps.filled(model, {}, rows_only) is rows_only


def test_the_code_follows_from_what_was_observed(model, data, key):
    """Wherever a model has learned anything, its own fill is nearer to the truth than the mean."""
    fitted = aejax.fit(key, model, data, num_epochs=40, learning_rate=1e-2)
    x = data.x.copy()
    x[:, 2] = np.nan
    rebuilt = aejax.reconstruct(model, fitted.variables, data._replace(x=x))[:, 2]
    whole = aejax.reconstruct(model, fitted.variables, data)[:, 2]
    error, of_whole = (np.mean(np.square(part - data.x[:, 2])) for part in (rebuilt, whole))
    if of_whole < 0.5:
        assert error < np.var(data.x[:, 2])


def test_false_alarms_are_as_asked_for_whatever_the_model(member, data, key):
    """Conformal limits need no good model: an untrained one has them too, for each pattern of gaps."""
    variables = member.init(key, as_batch(data))
    x = drawn(3000, 3)
    rows = Batch(x, cond=None if data.cond is None else x[:, :1])
    normal, new = (
        jax.tree.map(lambda field, part=part: field[part], rows) for part in (slice(1000), slice(1000, None))
    )
    calibration = calibrate(key, member, variables, normal)
    for hidden in ([0], [1, 4]):
        gapped = new.x.copy()
        gapped[:, hidden] = np.nan
        found = detect(key, member, variables, new._replace(x=gapped), calibration, 0.1)
        assert 0.07 < found.is_anomaly.mean() < 0.13
        assert (found.contribution[:, hidden] == 0).all()
        assert (found.compared_with == SAME_GAPS).all()


def part_of(batch, rows):
    return jax.tree.map(lambda field: field[rows], batch)


def test_each_pattern_is_compared_with_rows_that_miss_the_same():
    normal = kept(np.where(np.eye(4, dtype=bool), np.nan, np.ones((4, 4))))
    seen = np.array([[True, True, True, True], [False, True, True, True], [False, False, False, False]])
    found = list(comparisons(seen, normal, 0.5))  # for which one normal row is enough
    (own, pooled) = found
    assert (own.gaps, own.rows.tolist(), len(own.normal.x)) == (SAME_GAPS, [1], 1)
    assert (pooled.gaps, pooled.rows.tolist()) == (SIMILAR_GAPS, [0])
    np.testing.assert_array_equal(pooled.normal.x, normal.x)


def test_beyond_a_number_of_patterns_the_rest_is_pooled(monkeypatch):
    monkeypatch.setattr("aejax.tasks.anomaly.patterns._MOST_PATTERNS", 3)
    x = drawn(4000, 5)
    model, _ = principal_subspace(x, 2)
    gapped = np.where(np.random.default_rng(0).random(x.shape) < 0.4, np.nan, x)
    calibration = calibrate(KEY, model, {}, x[:2000])
    found = detect(KEY, model, {}, gapped[2000:], calibration, 0.05)
    assert 0 < (found.compared_with == SIMILAR_GAPS).mean() < 1
    assert 0.03 < found.is_anomaly[found.compared_with == SIMILAR_GAPS].mean() < 0.07


def test_calibration_rows_with_gaps_are_hidden_no_more_than_needed():
    """New rows whose gaps come about as in the calibration rows."""
    x = drawn(6000, 6, num_columns=12, num_factors=3)
    model, _ = principal_subspace(x, 3)
    gapped = np.where(np.random.default_rng(0).random(x.shape) < 0.3, np.nan, x)
    calibration = calibrate(KEY, model, {}, gapped[:2000])
    found = detect(KEY, model, {}, gapped[2000:], calibration, 0.05)
    is_pooled = found.compared_with == SIMILAR_GAPS
    assert 0.3 < is_pooled.mean() < 0.9
    assert 0.03 < found.is_anomaly[is_pooled].mean() < 0.07
    assert 0.03 < found.is_anomaly[~is_pooled].mean() < 0.07


def test_a_calibration_without_rows_says_that_its_limit_does_not_hold():
    x = drawn(300, 8)
    model, _ = principal_subspace(x, 2)
    calibration = calibrate(KEY, model, {}, x[:200])._replace(rows=None)
    new = x[200:].copy()
    new[:10, 0] = np.nan
    found = detect(KEY, model, {}, new, calibration)
    assert found.compared_with.tolist() == [OTHER_GAPS] * 10 + [SAME_GAPS] * 90


def test_a_detector_judges_each_pattern_by_itself():
    x = drawn(3000, 9)
    detector = anomaly.calibrate_detector(anomaly.fit_detector(KEY, x[:500], num_steps=200), x[500:1500])
    new = x[1500:].copy()
    new[:, 1] = np.nan
    assert 0.03 < anomaly.judge(detector, new, 0.05).is_anomaly.mean() < 0.08
    new[:, 3] += 3
    assert anomaly.judge(detector, new, 0.05).is_anomaly.mean() > 0.9


@pytest.fixture(scope="module")
def identity():
    """A model whose T² is the Mahalanobis distance of the row, and that leaves no residual."""
    x = drawn(4000, 10)
    model = anomaly.linear_autoencoder((NUM_COLUMNS,), NUM_COLUMNS)
    eye = {"layer_0": {"kernel": jnp.eye(NUM_COLUMNS), "bias": jnp.zeros(NUM_COLUMNS)}}
    variables = {"params": {"encoder": eye, "decoder": eye}}
    return model, variables, anomaly.fit_whitening(model, variables, x), x


@pytest.mark.parametrize("hidden", [[0], [1, 4], [0, 1, 2, 5]])
def test_t2_of_a_row_with_gaps_is_the_mahalanobis_distance_of_what_was_observed(identity, hidden):
    model, variables, whitening, x = identity
    seen = ~np.isin(np.arange(NUM_COLUMNS), hidden)
    covariance = anomaly.shrunk_covariance(x)
    offset = x - x.mean(axis=0)
    whole = np.mean(np.sum(offset @ np.linalg.inv(covariance) * offset, axis=1))
    inverse = np.linalg.inv(covariance[np.ix_(seen, seen)])
    for row in x[:5]:
        found = row_statistics(
            model, variables, whitening._replace(moment=None), jnp.where(seen, row, 0), jnp.asarray(seen), None
        )
        part = (row - x.mean(axis=0))[seen]
        np.testing.assert_allclose(found[0], part @ inverse @ part / whole, rtol=0.02)


@pytest.mark.parametrize("hidden", [[0], [1, 4], [0, 1, 2, 5]])
def test_statistics_with_gaps_are_distributed_as_those_of_whole_rows(identity, hidden):
    model, variables, whitening, x = identity
    new = drawn(4000, 11)
    gapped = new.copy()
    gapped[:, hidden] = np.nan
    whole, found = (anomaly.statistics(model, variables, whitening, rows).t2 for rows in (x, gapped))
    for rate in (0.05, 0.01):
        limit = np.quantile(whole, 1 - rate)
        assert np.mean(found > limit) == pytest.approx(rate, abs=4 * np.sqrt(2 * rate / 4000))


def test_a_statistic_that_says_nothing_is_that_of_a_normal_row():
    found = gaps.as_of_whole_rows(jnp.zeros(3), jnp.zeros((4, 4)), jnp.eye(4) / 4, 2)
    np.testing.assert_allclose(found, 1)


def test_an_empty_row_has_no_vote_and_leaves_the_stream_as_it_was():
    x = drawn(600, 12)[:, :4]
    monitor = anomaly.fit_monitor(KEY, x, num_epochs=10, false_alarm_rate=0.02, smoothing=0.5)
    new = drawn(60, 13)[:, :4]
    new[30:, 2] += 9
    new[40:55] = np.nan
    chart, _ = anomaly.watch(monitor, new)
    assert chart.is_alarm[35:40].all()
    assert not chart.is_alarm[40:55].any()
    assert chart.is_alarm[55]  # the votes before the gap count
    assert (anomaly.contributions(monitor, new)[40:55] == 0).all()


def test_rows_are_put_together_by_how_much_they_miss():
    num_missing = np.array([0, 1, 64, 65, 256, 257, 299, 300])
    seen = np.arange(300) >= num_missing[:, None]
    found = [(rows.tolist(), most) for rows, most in by_number_missing(seen)]
    assert found == [([0], 0), ([1, 2], 64), ([3, 4], 256), ([5, 6], 300)]
    assert [most for _, most in by_number_missing(seen[-1:])] == [300]
    assert [most for _, most in by_number_missing(seen[:1])] == [0]


@pytest.mark.parametrize("num_missing", [1, 3, 70])
def test_a_row_is_freed_alike_whatever_the_room_for_its_gaps(num_missing):
    rng = np.random.default_rng(0)
    matrix, root = (rng.normal(size=(90, 80)) / 9).astype(np.float32), rng.normal(size=(90, 90)) / 9
    moment = (root @ root.T).astype(np.float32)
    seen = rng.permutation(80) >= num_missing
    row = np.where(seen, rng.normal(size=80), 0).astype(np.float32)
    found = [gaps.freed(lambda x: matrix @ x, row, seen, moment, most) for most in (num_missing, None)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    free = matrix[:, ~seen].astype(float)
    stays = np.eye(90) - free @ np.linalg.pinv(free)
    np.testing.assert_allclose(found[0].vector, stays @ matrix @ row, atol=1e-3)
    np.testing.assert_allclose(found[0].moment, stays @ moment @ stays.T, atol=1e-3)
    np.testing.assert_allclose(found[0].jacobian, stays @ np.where(seen, matrix, 0), atol=1e-3)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_rows_that_have_come_to_their_fixed_point_stay_there_each_by_itself(share, monkeypatch):
    x = drawn(200, 0, num_columns=50, num_factors=10)
    model, _ = principal_subspace(x, 10)
    gapped = as_batch(np.where(np.random.default_rng(1).random(x.shape) < share, np.nan, x))
    found = model_gaps.filled(model, {}, gapped).x
    alone = model_gaps.filled(model, {}, jax.tree.map(lambda field: field[:7], gapped)).x
    np.testing.assert_allclose(alone, found[:7], atol=1e-5)
    monkeypatch.setattr(model_gaps, "_ROUNDING", 0.0)
    np.testing.assert_allclose(model_gaps.filled(model, {}, gapped).x, found, atol=2e-5)


@pytest.mark.parametrize("normal_gaps", [False, True])
@pytest.mark.parametrize("cuts", [[0], [1], [5, 5], [100, 500], [999]])
@pytest.mark.parametrize("num_columns", [3, 17])
def test_patterns_are_counted_block_by_block(cuts, normal_gaps, num_columns):
    """Blocks without a row are among them; the patterns are those that comparisons finds, in its order."""
    rng = np.random.default_rng(0)
    seen = rng.random((1000, num_columns)) < rng.choice([0.0, 0.5, 0.9, 1.0], (1000, 1))
    normal = kept(np.where(rng.random((50, num_columns)) < 0.1 * normal_gaps, np.nan, 1.0))
    whole = gap_counts.count_patterns(seen, normal)
    parts = gap_counts.added([gap_counts.count_patterns(part, normal) for part in np.split(seen, cuts)])
    for name, expected in whole._asdict().items():
        np.testing.assert_array_equal(getattr(parts, name), expected)
    compared = seen[gap_counts.is_compared(seen, normal)]
    np.testing.assert_array_equal(whole.patterns[whole.which], compared)
    np.testing.assert_array_equal(whole.patterns, np.unique(compared, axis=0))
