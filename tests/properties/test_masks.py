"""Reductions under masks and weights equal loops over the elements, and nothing masked is ever seen."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aejax import losses
from aejax.base import Batch
from aejax.models import autoencoder
from aejax.tasks.anomaly import score

NUM_ROWS = 5
SHAPES = [(NUM_ROWS, 3), (NUM_ROWS, 2, 2)]  # few, as each is compiled
NUMBERS = st.floats(-100, 100, width=32)
HIDDEN = st.sampled_from([0.0, 1e6, np.inf, np.nan])

sum_elements, mean_elements, mean_examples, mse_elements, num_observed = map(
    jax.jit,
    (losses.sum_elements, losses.mean_elements, losses.mean_examples, losses.mse_elements, losses.num_observed),
)


@st.composite
def batches(draw):
    """Values of elements, and a Batch whose mask is of elements, of rows, or absent, with or without weights."""
    shape = draw(st.sampled_from(SHAPES))
    values, x = draw(arrays(np.float32, shape, elements=NUMBERS)), draw(arrays(np.float32, shape, elements=NUMBERS))
    mask_shape = draw(st.sampled_from([None, shape, shape[:1]]))
    mask = None if mask_shape is None else draw(arrays(bool, mask_shape))
    weight = draw(st.none() | arrays(np.float32, shape, elements=st.floats(0.5, 2, width=32)))
    return values, Batch(x, mask=mask, weight=weight)


def elements(values, batch):
    """For each row the values that are observed and their weights, one after the other."""
    rows = []
    for i, row in enumerate(values):
        found = []
        for index in np.ndindex(row.shape):
            is_observed = batch.mask is None or (batch.mask[i] if batch.mask.ndim == 1 else batch.mask[(i, *index)])
            if is_observed:
                weight = 1.0 if batch.weight is None else float(batch.weight[(i, *index)])
                found.append((float(row[index]), weight))
        rows.append(found)
    return rows


def hidden(values, batch, number):
    """The values with a number in place of what is not observed."""
    if batch.mask is None:
        return values
    mask = batch.mask.reshape(batch.mask.shape + (1,) * (values.ndim - batch.mask.ndim))
    return np.where(mask, values, np.float32(number))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@given(batches())
def test_reductions_equal_loops(drawn):
    values, batch = drawn
    rows = elements(values, batch)
    sums = [sum(value * weight for value, weight in row) for row in rows]
    close(sum_elements(values, batch), sums)
    weights = [sum(weight for _, weight in row) for row in rows]
    close(mean_elements(values, batch), [a / b if b else np.nan for a, b in zip(sums, weights, strict=True)])
    seen = [i for i, row in enumerate(rows) if row]
    assert num_observed(batch) == len(seen)
    of_rows = values.reshape(NUM_ROWS, -1)[:, 0]
    close(mean_examples(of_rows, batch), np.mean([of_rows[i] for i in seen]) if seen else 0)
    errors = [error for row in elements((batch.x - values) ** 2, batch) for error, _ in row]
    close(mse_elements(batch.x, values, batch), np.mean(errors) if errors else 0)


@given(batches(), HIDDEN)
def test_what_is_masked_never_changes_a_value(drawn, number):
    values, batch = drawn
    other, x = hidden(values, batch, number), hidden(batch.x, batch, number)
    for reduce in (sum_elements, mean_elements):
        np.testing.assert_array_equal(reduce(other, batch), reduce(values, batch))
    np.testing.assert_array_equal(mse_elements(x, values, batch), mse_elements(batch.x, values, batch))
    np.testing.assert_array_equal(mse_elements(batch.x, other, batch), mse_elements(batch.x, values, batch))
    # A row of which nothing is observed has no part in a mean over examples.
    rows = elements(values, batch)
    of_rows = values.reshape(NUM_ROWS, -1)[:, 0]
    with_hidden = np.where([bool(row) for row in rows], of_rows, np.float32(number))
    np.testing.assert_array_equal(mean_examples(with_hidden, batch), mean_examples(of_rows, batch))


@given(batches(), st.permutations(range(NUM_ROWS)))
def test_permuted_rows_have_permuted_values(drawn, order):
    values, batch = drawn
    order = np.array(order)
    permuted = Batch(*(None if field is None else field[order] for field in batch))
    for reduce in (sum_elements, mean_elements):
        np.testing.assert_array_equal(reduce(values[order], permuted), np.asarray(reduce(values, batch))[order])
    of_rows = values.reshape(NUM_ROWS, -1)[:, 0]
    close(mean_examples(of_rows[order], permuted), mean_examples(of_rows, batch))
    close(mse_elements(permuted.x, values[order], permuted), mse_elements(batch.x, values, batch))


MODEL = autoencoder((3,), 2, hidden_dims=(4,))
VARIABLES = MODEL.init(jax.random.key(0), Batch(jnp.zeros((1, 3))))


ROWS, MASKS = arrays(np.float32, (NUM_ROWS, 3), elements=NUMBERS), arrays(bool, (NUM_ROWS, 3))


@given(ROWS, MASKS, st.permutations(range(NUM_ROWS)))
def test_scores_follow_their_rows(x, mask, order):
    order = np.array(order)
    scores = score(jax.random.key(0), MODEL, VARIABLES, Batch(x, mask=mask))
    np.testing.assert_array_equal(np.isnan(scores), ~mask.any(axis=1))
    permuted = score(jax.random.key(0), MODEL, VARIABLES, Batch(x[order], mask=mask[order]))
    np.testing.assert_allclose(permuted, scores[order], rtol=1e-5)


@given(ROWS, MASKS, st.sampled_from([0.0, -999.0, np.nan]))
def test_what_a_mask_hides_never_changes_a_score(x, mask, number):
    covered = np.where(mask, x, np.float32(number))
    scores = [score(jax.random.key(0), MODEL, VARIABLES, Batch(rows, mask=mask)) for rows in (x, covered)]
    np.testing.assert_array_equal(*scores)
