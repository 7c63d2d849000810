"""Where batches come from: what a step sees depends on the key and its number, and on nothing that the host does."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.training import fit, sources
from tests.conftest import VAE
from tests.training.parts import one_step_at_a_time

OPTIONS = {"num_epochs": 3, "steps_per_epoch": 7, "validation": 0}


def noise(arrays, key, num_rows):
    return Batch(arrays * jax.random.normal(key, (num_rows, 6)))


SCALES = jnp.linspace(0.5, 2, 6)


def batches(step):
    """Batch t is drawn by its number."""
    for number in itertools.count(step):
        yield np.random.default_rng([7, number]).normal(size=(32, 6))


class StopHere(Exception):
    pass


def stopped_in_the_second_epoch(monkeypatch, key, source, folder):
    """A run with a checkpoint after each step, broken off within its second epoch."""

    def stop(report):
        if report.step == 10:
            raise StopHere

    one_step_at_a_time(monkeypatch)
    with pytest.raises(StopHere):
        fit(key, VAE, source, checkpoint_dir=folder, checkpoint_seconds=0, progress=stop, **OPTIONS)
    monkeypatch.undo()


MAKERS = {
    "drawn": lambda: sources.drawn(noise, SCALES),
    "stream": lambda: sources.stream(batches),
    "iterator": lambda: batches(0),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_broken_off_within_an_epoch_and_resumed_gives_the_same_bits(make, key, tmp_path, monkeypatch):
    whole = fit(key, VAE, make(), **OPTIONS)
    stopped_in_the_second_epoch(monkeypatch, key, make(), tmp_path)
    resumed = fit(key, VAE, make(), checkpoint_dir=tmp_path, resume=True, **OPTIONS)
    chex.assert_trees_all_equal((resumed.variables, resumed.state), (whole.variables, whole.state))
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])


def test_each_step_of_a_drawn_source_sees_other_rows_and_each_key_too(key):
    seen = {}

    def watched(arrays, key, num_rows):
        batch = noise(arrays, key, num_rows)
        jax.debug.callback(lambda x: seen.setdefault(float(x), None), batch.x[0, 0])
        return batch

    fit(key, VAE, sources.drawn(watched, SCALES), num_epochs=1, steps_per_epoch=20, validation=0)
    jax.effects_barrier()
    assert len(seen) >= 20
    first, second = (fit(k, VAE, sources.drawn(noise, SCALES), **OPTIONS) for k in jax.random.split(key))
    assert not np.array_equal(first.history["loss"], second.history["loss"])


def test_a_second_run_on_other_arrays_compiles_nothing(key):
    from aejax.training import engine

    fit(key, VAE, sources.drawn(noise, SCALES), **OPTIONS)
    programs = engine.program(engine.advance.__wrapped__, ("run",))
    before = programs._cache_size()
    fit(key, VAE, sources.drawn(noise, 2 * SCALES), **OPTIONS)
    assert programs._cache_size() == before


def test_a_stream_of_the_rows_that_rows_would_give_trains_the_same_model(rows, key):
    from aejax.training import plans

    plan = plans.Plan(3, 5, 64, 300, 0)
    keys = plans.Keys(*jax.random.split(key, 4)[1:])
    data = plans.Data(Batch(jnp.asarray(rows)))

    def same_rows(step):
        for number in itertools.count(step):
            yield plans.batch_at(plan, keys, data, jnp.int32(number)).x

    # Of a stream a model can begin from the first batch only.
    model = models.vae((6,), 2, hidden_dims=(16,), shortcut=False)
    by_rows = fit(key, model, rows, num_epochs=3, validation=0)
    by_stream = fit(key, model, sources.stream(same_rows), num_epochs=3, steps_per_epoch=5, validation=0)
    np.testing.assert_allclose(by_stream.history["loss"], by_rows.history["loss"], rtol=1e-5)
    chex.assert_trees_all_close(by_stream.variables, by_rows.variables, rtol=1e-4, atol=1e-5)


def test_validation_rows_choose_the_best_of_any_source(rows, key):
    fitted = fit(key, VAE, sources.drawn(noise, SCALES), **{**OPTIONS, "validation": rows[:50]})
    assert fitted.history["val_loss"].shape == (3,)


def test_validation_rows_that_are_left_after_the_last_step_of_a_stream_are_evaluated(key, monkeypatch):
    """Where they take long they are evaluated in parts, of which the last ones begin behind the last block of steps."""
    options = OPTIONS | {"validation": np.random.default_rng(0).normal(size=(9000, 6))}
    whole = fit(key, VAE, sources.stream(batches), **options)
    one_step_at_a_time(monkeypatch)
    cut = fit(key, VAE, sources.stream(batches), **options)
    np.testing.assert_array_equal(cut.history["val_loss"], whole.history["val_loss"])


def test_a_stream_is_read_no_further_than_it_is_needed(key):
    """Exactly as many batches as steps; a step more has no batch to train on."""
    enough = itertools.islice(batches(0), 21)
    assert fit(key, VAE, enough, **OPTIONS).history["loss"].shape == (3,)
    too_few = itertools.islice(batches(0), 20)
    with pytest.raises(ValueError, match="stream: found its end before step 20, expected batches without an end"):
        fit(key, VAE, too_few, **OPTIONS)


def test_a_gap_in_one_batch_is_a_gap_in_training(key):
    def with_gaps(value):
        def begin(step):
            for number, batch in zip(itertools.count(step), batches(step), strict=False):
                batch[number % 32, 2] = value
                yield Batch(batch, mask=np.isfinite(batch) & (np.arange(32) != number % 32)[:, None])

        return sources.stream(begin)

    missing, wild = (fit(key, VAE, with_gaps(value), **OPTIONS) for value in (np.nan, 1e6))
    np.testing.assert_allclose(missing.history["loss"], wild.history["loss"], rtol=1e-2)
    later = itertools.repeat(np.where(np.eye(8, 6), np.nan, 1.0))
    first_has_none = sources.stream(lambda step: itertools.chain([np.ones((8, 6))], later))
    assert np.isfinite(fit(key, VAE, first_has_none, **OPTIONS).history["loss"]).all()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (sources.drawn(noise, SCALES), {"validation": 0.1}, "validation: found 0.1, expected validation rows, or 0"),
        (sources.drawn(noise, SCALES), {"steps_per_epoch": None}, "steps_per_epoch: found None, expected a number"),
        (
            sources.stream(lambda step: (np.ones((8 + number, 6)) for number in itertools.count())),
            {},
            r"stream: found a batch of x \(9, 6\), .* in step 1, expected x \(8, 6\)",
        ),
        (sources.stream(lambda step: itertools.repeat(np.full((8, 6), np.inf))), {}, "x: found an infinite value"),
        (
            sources.stream(lambda step: itertools.repeat(np.ones((8, 5)))),
            {},
            r"x: found shape \(8, 5\), expected \(n, 6\)",
        ),
    ],
)
def test_sources_that_do_not_fit_are_named(key, source, options, message):
    with pytest.raises(ValueError, match=message):
        fit(key, VAE, source, **{**OPTIONS, **options})


def test_an_ensemble_and_a_sweep_take_any_source(key):
    keys = jax.random.split(key, 2)
    assert aejax.ensemble(keys, VAE, sources.stream(batches), **OPTIONS).history["loss"].shape == (2, 3)
    swept = aejax.sweep(key, VAE, sources.drawn(noise, SCALES), over={"beta": [0.1, 1.0]}, **OPTIONS)
    alone = fit(key, VAE, sources.drawn(noise, SCALES), **OPTIONS)
    np.testing.assert_allclose(swept.history["loss"][1], alone.history["loss"], rtol=1e-4)
