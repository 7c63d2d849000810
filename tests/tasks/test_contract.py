"""One contract: what is fitted is applied, measured, saved and loaded in the same way, whatever the task."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import numpy as np
import pytest

import aejax
from aejax.tasks import anomaly, denoising, flow, imputation, mixture, surrogate
from aejax.tasks.inversion import evaluate_sections
from tests.artefacts.examples import EXAMPLES

RNG = np.random.default_rng(1)
KEY = jax.random.key(3)
ROWS = RNG.standard_normal((30, 2))
GAPS = np.where(RNG.random(ROWS.shape) < 0.2, np.nan, ROWS)
TRACES = RNG.standard_normal((3, 600))
MAPS = RNG.random((6, 2, 8)).astype(np.float32)
STRENGTH = {"strength": RNG.random(6)}
SECTIONS = RNG.integers(0, 2, (4, 9, 5)).astype(np.float32)


class Task(NamedTuple):
    """The functions of a task, and data for them."""

    apply: Callable[[Any, Any], Any]
    new: Any
    evaluate: Callable[[Any], dict[str, float]]
    wrong: Any


TASKS = {
    "monitor": Task(
        lambda thing, x: anomaly.watch(thing, x)[0],
        GAPS,
        lambda thing: anomaly.evaluate_monitor(thing, ROWS, np.arange(30) > 20),
        np.zeros((3, 7)),
    ),
    "detector": Task(
        anomaly.judge, GAPS, lambda thing: anomaly.evaluate_detector(thing, ROWS, np.arange(30) > 20), np.zeros((3, 7))
    ),
    "imputer": Task(
        lambda thing, x: imputation.impute(KEY, thing, x, num_sweeps=4),
        GAPS,
        lambda thing: imputation.evaluate_imputer(KEY, thing, ROWS),
        np.zeros((3, 7)),
    ),
    "denoiser": Task(
        denoising.denoise,
        TRACES,
        lambda thing: denoising.evaluate_denoiser(thing, TRACES + RNG.standard_normal(TRACES.shape), TRACES),
        np.full((2, 600), np.nan),
    ),
    "surrogate": Task(
        surrogate.predict_maps,
        STRENGTH,
        lambda thing: surrogate.evaluate_surrogate(thing, MAPS, STRENGTH),
        {"weakness": np.zeros(3)},
    ),
    "sections": Task(
        lambda thing, x: aejax.encode(thing.model, thing.variables, x).mean,
        SECTIONS,
        lambda thing: evaluate_sections(thing, SECTIONS, num_steps=2),
        np.zeros((3, 4, 4)),
    ),
    "mixture": Task(
        mixture.mixture_log_density, ROWS.astype(np.float32), lambda thing: mixture.evaluate_mixture(thing, ROWS), None
    ),
    "flow": Task(flow.flow_log_density, ROWS, lambda thing: flow.evaluate_flow(thing, ROWS), np.zeros((3, 7))),
}
by_task = pytest.mark.parametrize("name", TASKS)


@by_task
def test_what_was_saved_does_the_same(name, tmp_path):
    task, thing = TASKS[name], EXAMPLES[name]()
    aejax.save(tmp_path, thing)
    found, expected = task.apply(aejax.load(tmp_path), task.new), task.apply(thing, task.new)
    chex.assert_trees_all_equal(jax.tree.leaves(found), jax.tree.leaves(expected))


@by_task
def test_what_is_measured_are_numbers_by_name(name):
    measured = TASKS[name].evaluate(EXAMPLES[name]())
    assert measured
    assert all(isinstance(word, str) and type(value) is float for word, value in measured.items())
    assert np.isfinite(list(measured.values())).all()


@by_task
def test_new_rows_are_left_as_they_are(name):
    task = TASKS[name]
    before = copy.deepcopy(task.new)
    task.apply(EXAMPLES[name](), task.new)
    chex.assert_trees_all_equal(task.new, before)


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.wrong is not None])
def test_rows_that_do_not_fit_get_a_sentence(name):
    task = TASKS[name]
    with pytest.raises(ValueError, match=r"^\w+.*: found .*"):
        task.apply(EXAMPLES[name](), task.wrong)
