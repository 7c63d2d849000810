"""Novel rows: nearest codes and residuals, with known answers and on a small real table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import metrics
from aejax.models import autoencoder
from aejax.tasks import anomaly
from tests.conftest import REGISTRY
from tests.real_data import FOLDER, present


def axis_model():
    """A linear model whose code is the first column and whose residual the second."""
    model = autoencoder((2,), 1, hidden_dims=())
    encoder = {"layer_0": {"kernel": jnp.array([[1.0], [0.0]]), "bias": jnp.zeros(1)}}
    decoder = {"layer_0": {"kernel": jnp.array([[1.0, 0.0]]), "bias": jnp.zeros(2)}}
    return model, {"params": {"encoder": encoder, "decoder": decoder}}


def earlier(reference):
    """As a version without spacing saved it."""
    return reference._replace(code_spacing=None, residual_spacing=None)


def by_definition(v, normal, own=None):
    """The score in one space, by the distances between all rows."""
    among = np.linalg.norm(normal[:, None] - normal, axis=2)
    apart = np.sort(among, axis=1)[:, 1:4].mean(axis=1)
    usual = np.median(apart)
    found = []
    for number, one in enumerate(v):
        distance = np.linalg.norm(one - normal, axis=1)
        order = np.argsort(distance)
        order = order[1:] if own is not None and own[number] else order
        around = np.log(apart[order[:10]] + usual).mean()
        found.append(np.log(distance[order[:3]].mean() + usual) - around / 2)
    return np.array(found)


def test_the_score_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    model, variables = axis_model()
    normal, x = rng.standard_normal((40, 2)) ** 3, 3 * rng.standard_normal((20, 2))
    x[:5] = normal[:5]
    own = np.arange(20) < 5
    reference = anomaly.fit_reference(model, variables, normal)
    for which in (None, own):
        expected = sum(by_definition(x[:, [i]], normal[:, [i]], which) for i in range(2))
        found = anomaly.nearest_score(model, variables, reference, x, own=which)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_near_a_dense_cluster_a_small_distance_counts_for_more():
    rng = np.random.default_rng(0)
    model, variables = axis_model()
    dense, sparse = 0.05 * rng.standard_normal((300, 2)), 20 + 4 * rng.standard_normal((60, 2))
    reference = anomaly.fit_reference(model, variables, np.concatenate([dense, sparse]))
    x = np.concatenate([[[0.2, 0.2]], 20 + 4 * rng.standard_normal((200, 2))])
    found, before = (anomaly.nearest_score(model, variables, one, x) for one in (reference, earlier(reference)))
    assert (found[0] > found[1:]).mean() > 0.9
    assert (before[0] > before[1:]).mean() < 0.5  # by the distance alone it is nearer than most normal rows


def test_equal_rows_do_not_hide_what_the_other_space_says():
    """Half of the normal codes are 0, and so is the code of a row with an odd residual."""
    rng = np.random.default_rng(0)
    model, variables = axis_model()
    normal = np.stack([np.maximum(rng.standard_normal(400), 0), rng.standard_normal(400)], axis=1)
    x = np.concatenate([[[0.0, 4.0]], np.stack([rng.uniform(0.2, 1, 50), rng.uniform(-1, 1, 50)], axis=1)])
    scores = anomaly.nearest_score(model, variables, anomaly.fit_reference(model, variables, normal), x)
    assert scores.argmax() == 0
    few = anomaly.fit_reference(model, variables, normal[:1])
    assert np.isfinite(anomaly.nearest_score(model, variables, few, x)).all()


def test_references_of_an_earlier_version_score_as_they_did():
    """The product of both distances."""
    model, variables = axis_model()
    reference = earlier(anomaly.fit_reference(model, variables, np.array([[0.0, 0.0], [10.0, 1.0], [20.0, 5.0]])))
    x = np.array([[3.0, 3.0], [12.0, 9.0]])
    found = anomaly.nearest_score(model, variables, reference, x)
    np.testing.assert_allclose(found, np.log([3.0 * 2.0, 2.0 * 4.0]), rtol=1e-4)
    found = anomaly.nearest_score(model, variables, reference, x, num_neighbors=2)
    np.testing.assert_allclose(found, np.log([3 * 7 * 2 * 2, 2 * 8 * 4 * 8]) / 2, rtol=1e-4)


def test_distances_are_exact_far_from_the_origin():
    """The matrix product that finds the neighbours would round 1e-2 beside 1e3 away."""
    rng = np.random.default_rng(0)
    model, variables = axis_model()
    normal = rng.integers(0, 1000, (500, 2)).astype(float)
    reference = earlier(anomaly.fit_reference(model, variables, normal))
    x = normal[:50] + 2**-6
    np.testing.assert_allclose(anomaly.nearest_score(model, variables, reference, x), 2 * np.log(2**-6), rtol=1e-3)


def test_the_nearer_of_two_rows_is_found_where_rounding_cannot_tell_them_apart():
    rng = np.random.default_rng(0)
    model, variables = axis_model()
    x = np.stack([rng.permutation(1000)[:250] for _ in range(2)], axis=1).astype(float)
    reference = earlier(anomaly.fit_reference(model, variables, np.concatenate([x + 2**-5, x + 2**-6])))
    np.testing.assert_allclose(anomaly.nearest_score(model, variables, reference, x), 2 * np.log(2**-6), rtol=1e-3)


@pytest.mark.slow
def test_a_detector_finds_what_lies_between_clusters():
    """Hotelling's T² has one cluster, and is smallest where this row lies; a code as narrow as this keeps the gap."""
    rng = np.random.default_rng(0)
    centres = np.array([[6.0, 0, 0], [-6, 0, 0]])
    x = np.concatenate([centre + 0.5 * rng.standard_normal((150, 3)) for centre in centres])
    detector = anomaly.fit_detector(jax.random.key(0), x, num_steps=300)
    scores = anomaly.novelty_score(detector, np.concatenate([np.zeros((1, 3)), x[:100] + 0.01]))
    assert scores[0] > np.quantile(scores[1:], 0.95)
    again = anomaly.fit_detector(jax.random.key(0), x, num_steps=300)
    np.testing.assert_array_equal(anomaly.novelty_score(again, x[:5]), anomaly.novelty_score(detector, x[:5]))
    gap = x[:2].copy()
    gap[0, 1] = np.nan
    assert np.isfinite(anomaly.novelty_score(detector, gap)).all()
    with pytest.raises(ValueError, match=r"x: found shape \(2, 4\), expected \(rows, 3\)"):
        anomaly.novelty_score(detector, np.zeros((2, 4)))
    with pytest.raises(ValueError, match="num_neighbors: found 0"):
        anomaly.novelty_score(detector, x, num_neighbors=0)


def test_bad_options_are_named(rows, key):
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        anomaly.fit_detector(key, rows, model=REGISTRY["gan"])
    with pytest.raises(ValueError, match="num_members: found 0"):
        anomaly.fit_detector(key, rows, num_members=0)


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    found = anomaly.fit_detector(jax.random.key(0), rng.standard_normal((200, 3)), num_steps=20)
    return anomaly.calibrate_detector(found, rng.standard_normal((199, 3)))


def test_a_detector_of_an_earlier_version_is_saved_and_scores_as_it_did(detector, tmp_path):
    before = detector._replace(references=tuple(earlier(one) for one in detector.references))
    x = np.random.default_rng(1).standard_normal((20, 3))
    aejax.save(tmp_path, before)
    scores = [anomaly.novelty_score(one, x) for one in (before, aejax.load(tmp_path), detector)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2], atol=0.1)


def test_rows_are_judged_by_the_scores_of_rows_held_out(detector):
    x = np.random.default_rng(1).standard_normal((4000, 3))
    x[7] = np.nan
    found = anomaly.judge(detector, x, 0.1)
    np.testing.assert_array_equal(found.score, anomaly.novelty_score(detector, x))
    np.testing.assert_array_equal(found.is_anomaly, found.score > anomaly.threshold(detector.held_out, 0.1))
    assert found.is_anomaly.mean() == pytest.approx(0.1, abs=0.07)  # 199 rows: the rate itself is Beta(20, 180)
    assert np.isnan(found.score[7])
    assert np.isnan(found.p_value[7])
    assert not found.is_anomaly[7]


def test_a_detector_without_held_out_rows_does_not_judge(detector):
    with pytest.raises(ValueError, match="give such rows to calibrate_detector"):
        anomaly.judge(detector._replace(held_out=np.empty(0)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="false_alarm_rate: found 0, expected"):
        anomaly.judge(detector, np.zeros((2, 3)), 0)


def test_a_detector_is_measured_on_other_rows(detector):
    normal = np.random.default_rng(2).standard_normal((500, 3))
    found = anomaly.evaluate_detector(detector, normal, false_alarm_rate=0.1)
    flagged = anomaly.judge(detector, normal, 0.1).is_anomaly.mean()
    assert found == {"num_rows": 500, "asked": 0.1, "false_alarm_rate": flagged}
    rows, labels = np.concatenate([normal, normal[:50] + 9, np.full((1, 3), np.nan)]), np.arange(551) >= 500
    measured = anomaly.evaluate_detector(detector, rows, labels, 0.1)
    assert measured["num_rows"] == 550
    assert measured["false_alarm_rate"] == flagged
    assert measured["detection_rate"] == 1
    assert measured["auroc"] == metrics.auroc(anomaly.novelty_score(detector, rows[:550]), labels[:550])
    all_bad = anomaly.evaluate_detector(detector, rows, np.ones(551, bool), 0.1)
    assert np.isnan([all_bad["auroc"], all_bad["false_alarm_rate"]]).all()
    with pytest.raises(ValueError, match="is_anomaly: found"):
        anomaly.evaluate_detector(detector, rows, np.full(551, 2))


def test_a_small_outlier_set():
    content = np.load(present(FOLDER / "adbench/4_breastw.npz"), allow_pickle=True)
    x, y = np.asarray(content["X"], float), np.asarray(content["y"], int)
    normal = np.random.default_rng(0).permutation(np.flatnonzero(y == 0))
    train, test = normal[: len(normal) // 2], np.concatenate([normal[len(normal) // 2 :], np.flatnonzero(y == 1)])
    detector = anomaly.fit_detector(jax.random.key(0), x[train], num_steps=300)
    assert metrics.auroc(anomaly.novelty_score(detector, x[test]), y[test] == 1) > 0.97
