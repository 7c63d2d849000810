"""What ``as_batch`` takes, and what it names in one sentence."""

import datetime
import decimal
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import polars
import pytest

import aejax
from aejax.base import Batch
from aejax.data.batches import as_batch

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
GAPS = [[1.0, np.nan], [3.0, 4.0], [5.0, 6.0]]


class Frame:
    """What as_batch needs of a DataFrame of polars."""

    def __init__(self, columns, dtypes, values):
        self.columns, self.dtypes, self.values = columns, [np.dtype(dtype) for dtype in dtypes], values

    def to_numpy(self):
        return np.array(self.values, object)


def matches(sentence):
    return "^" + re.escape(sentence)


def masked(fill):
    return np.ma.masked_equal(np.array([[1.0, fill], [3.0, 4.0], [5.0, 6.0]]), fill)


def assert_gap(batch):
    """The one value that is missing in GAPS is masked and filled; the others are as they were."""
    assert batch.x.dtype == jnp.float32
    np.testing.assert_array_equal(batch.x, np.nan_to_num(GAPS))
    np.testing.assert_array_equal(batch.mask, ~np.isnan(GAPS))


@pytest.mark.parametrize("fill", [-999.0, 1e300, np.inf])
def test_a_masked_entry_is_missing_whatever_is_under_the_mask(fill):
    assert_gap(as_batch(masked(fill)))


@pytest.mark.parametrize(
    "data",
    [
        np.ma.masked_equal(np.array([[1, -999], [3, 4], [5, 6]]), -999),
        list(masked(-999.0)),
        Frame("ab", "ff", [[1, None], [3, 4], [5, 6]]),
        jnp.array(GAPS),
        [jnp.array(row) for row in GAPS],
        np.array(GAPS, np.float16),
        jnp.array(GAPS, jnp.bfloat16),
    ],
    ids=["integers", "rows", "frame", "jax", "rows of jax", "float16", "bfloat16"],
)
def test_what_is_missing_is_masked_wherever_it_comes_from(data):
    assert_gap(as_batch(data))


def test_the_masks_of_array_and_batch_are_combined():
    own = np.array([[True, True], [False, True], [True, True]])
    batch = as_batch(Batch(masked(-999.0), mask=own))
    np.testing.assert_array_equal(batch.mask, [[True, False], [False, True], [True, True]])
    by_row = as_batch(Batch(masked(-999.0), mask=np.array([True, False, True])))
    np.testing.assert_array_equal(by_row.mask, [[True, False], [False, False], [True, True]])


def test_a_masked_target_is_missing_and_a_masked_mask_hides():
    batch = as_batch(Batch(np.array(ROWS), target=masked(-999.0)))
    np.testing.assert_array_equal(batch.mask, ~np.isnan(GAPS))
    np.testing.assert_array_equal(batch.target, np.nan_to_num(GAPS))
    hidden = np.ma.array([True, True, False], mask=[False, True, False])
    found = as_batch(Batch(np.array(ROWS), target=np.array(ROWS), mask=hidden))
    np.testing.assert_array_equal(found.mask, [[True, True], [False, False], [False, False]])
    np.testing.assert_array_equal(found.x, np.where(found.mask, ROWS, 0))
    np.testing.assert_array_equal(found.target, found.x)


def test_what_is_filled_already_is_taken_as_it_is():
    batch = as_batch(Batch(np.array(ROWS), mask=np.array([True, False, True])))
    again = as_batch(batch)
    assert all(a is b for a, b in zip(again, batch, strict=True))


def test_scores_do_not_see_what_is_masked(key):
    """The blocks of rows of ``score`` go the same way as the rows of ``fit``."""
    model = aejax.models.autoencoder((2,), 1, hidden_dims=())
    variables = model.init(key, Batch(jnp.zeros((1, 2))))
    expected = aejax.score(key, model, variables, np.array(GAPS))
    np.testing.assert_array_equal(aejax.score(key, model, variables, masked(-999.0)), expected)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool", "float16"])
@pytest.mark.parametrize("on_device", [False, True])
def test_numbers_become_float32(dtype, on_device):
    x = np.ones((3, 2), dtype)
    with jax.enable_x64(True):
        batch = as_batch(jnp.asarray(x) if on_device else x)
    assert batch.x.dtype == jnp.float32
    assert batch.mask is None


def complex_rows():
    return np.ones((3, 2), complex)


def sparse():
    return pytest.importorskip("scipy.sparse").csr_array(np.eye(3))


def tensor():
    return pytest.importorskip("torch").ones(3, 2)


REFUSED = {
    "text": (lambda: [["a", "b"]], "x: found text, expected numbers; turn it into numbers"),
    "bytes": (lambda: np.array([[b"a"]]), "x: found text, expected numbers; turn it into numbers"),
    "a name": (lambda: "rows.csv", "x: found 'rows.csv', expected an array of NumPy or JAX; read the file first"),
    "None": (lambda: None, "x: found None, expected (rows, *event) numbers"),
    "objects": (
        lambda: np.array([[1.0, decimal.Decimal(2)]]),
        "x: found objects (Decimal), expected numbers; give np.asarray(x, float)",
    ),
    "None among numbers": (lambda: [[1.0, None]], "x: found objects (NoneType), expected numbers"),
    "complex": (complex_rows, "x: found complex numbers, expected numbers; give np.stack([x.real, x.imag]"),
    "complex on the device": (lambda: jnp.asarray(complex_rows()), "x: found complex numbers, expected numbers; give"),
    "dates": (
        lambda: np.array([["2020-01-01"]], "datetime64[D]"),
        "x: found dates, expected numbers; give numbers such as the hours",
    ),
    "time spans": (
        lambda: np.ones((3, 2), "timedelta64[s]"),
        "x: found time spans, expected numbers; give x / np.timedelta64(1, 's')",
    ),
    "dates as objects": (
        lambda: [[datetime.date(2020, 1, 1)]],
        "x: found objects (date), expected numbers",
    ),
    "records": (lambda: np.zeros((3, 1), [("a", float)]), "x: found an array of [('a', '<f8')], expected numbers"),
    "a key": (lambda: jax.random.split(jax.random.key(0)), "x: found an array of key<fry>, expected numbers"),
    "unequal": (lambda: [[1.0, 2.0], [3.0]], "x: found rows of unequal length, 1 to 2, expected an array; fill"),
    "generator": (
        lambda: (row for row in ROWS),
        "x: found generator, expected an array of NumPy or JAX; give np.stack(list(x))",
    ),
    "iterator": (lambda: iter(ROWS), "x: found list_iterator, expected an array of NumPy or JAX; give"),
    "dictionary": (
        lambda: {"a": [1.0]},
        "x: found dict, expected an array of NumPy or JAX; give np.stack(list(x.values()), axis=1)",
    ),
    "set": (lambda: {1.0}, "x: found set, expected an array of NumPy or JAX; give (rows, *event) numbers"),
    "sparse": (sparse, "x: found scipy.csr_array, expected a dense array; give x.toarray()"),
    "torch": (
        tensor,
        "x: found torch.Tensor, expected an array of NumPy or JAX; give x.detach().cpu().numpy()",
    ),
    "frame with text": (
        lambda: Frame(["t", "site"], ["f", "U3"], [[1.0, "abc"]]),
        "x: found the column(s) 'site' (<U3), expected numbers in each; leave them out or turn them into numbers",
    ),
    "too large": (lambda: np.full((3, 2), 1e39), "x: found an infinite value, or one beyond 3.4e38"),
    "infinite on the device": (lambda: jnp.full((3, 2), jnp.inf), "x: found an infinite value, or one beyond 3.4e38"),
}


@pytest.mark.parametrize(("make", "sentence"), REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("take", ["as_batch", "score"])
def test_what_is_not_numbers_is_named_in_one_sentence(make, sentence, take, key):
    model = aejax.models.autoencoder((2,), 1, hidden_dims=())
    takes = {"as_batch": as_batch, "score": lambda x: aejax.score(key, model, {}, x)}
    with pytest.raises(ValueError, match=matches(sentence)) as caught:
        takes[take](make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"weight": iter([1.0])},
            "weight: found list_iterator, expected an array of NumPy or JAX; give np.stack(list(w",
        ),
        ({"cond": [["a"]] * 3}, "cond: found text, expected numbers"),
        ({"target": np.ones((3, 2), complex)}, "target: found complex numbers, expected numbers"),
        ({"cond": np.full((3, 1), np.nan)}, "cond: found a missing value (NaN); a condition must be known"),
        ({"cond": np.full((3, 1), np.inf)}, "cond: found an infinite value, or one beyond 3.4e38"),
        ({"cond": np.ones(3)}, "cond: found shape (3,), expected (rows, conditions)"),
        ({"weight": np.full((3, 2), -1.0)}, "weight: found a negative or missing value, expected numbers"),
        ({"target": np.ones((2, 2))}, "target: found 2 rows, expected 3 as in x"),
        ({"mask": np.ones((3, 1), bool)}, "mask: found shape (3, 1), expected (3, 2) as in x or (rows,)"),
    ],
)
def test_the_field_is_named(fields, sentence, on_device):
    with pytest.raises(ValueError, match=matches(sentence)):
        as_batch(Batch(jnp.array(ROWS) if on_device else np.array(ROWS), **fields))


def test_pandas_frames():
    frame = pandas.DataFrame({"a": [1, 3, 5], "b": pandas.array([pandas.NA, 4, 6], dtype="Int64")})
    assert_gap(as_batch(frame))
    assert_gap(as_batch(frame.astype(object)))  # pandas.NA among numbers
    np.testing.assert_array_equal(as_batch(Batch(np.array(ROWS), mask=frame["a"] > 2)).mask.any(1), [False, True, True])
    frame["day"], frame["site"] = pandas.to_datetime(["2020", "2021", "2022"]), "north"
    with pytest.raises(ValueError, match=r"^x: found the column\(s\) 'day' \(datetime.*\), 'site' \(.*\), expected"):
        as_batch(frame)


def test_polars_frames():
    frame = polars.DataFrame({"a": [1, 3, 5], "b": [None, 4, 6]})
    assert_gap(as_batch(frame))
    np.testing.assert_array_equal(as_batch(frame.with_columns(b=polars.Series([None, True, False]))).x[:, 1], [0, 1, 0])
    with pytest.raises(ValueError, match=r"^x: found the column\(s\) 'site' \(String\), expected"):
        as_batch(frame.with_columns(site=polars.lit("north")))
    with pytest.raises(ValueError, match=r"^x: found polars.LazyFrame, expected .*; give x.collect\(\)"):
        as_batch(frame.lazy())


def test_inside_jit_shapes_are_checked_and_gaps_are_masked():
    assert_gap(jax.jit(as_batch)(jnp.array(GAPS)))
    mask = jax.jit(lambda x, mask: as_batch(Batch(x, mask=mask)).mask)(jnp.array(GAPS), jnp.array([True, True, False]))
    np.testing.assert_array_equal(mask, [[True, False], [True, True], [False, False]])
    gradient = jax.grad(lambda x: as_batch(x).x.sum())(jnp.array(GAPS))
    np.testing.assert_array_equal(gradient, ~np.isnan(GAPS))
    with pytest.raises(ValueError, match=r"^x: found shape \(3,\), expected \(rows, \*event\)"):
        jax.jit(as_batch)(jnp.ones(3))


def test_a_task_inside_jit_says_what_to_call(key):
    model = aejax.models.autoencoder((2,), 1, hidden_dims=())
    variables = model.init(key, Batch(jnp.zeros((1, 2))))
    with pytest.raises(ValueError, match=r"^x: found a traced array, expected numbers; inside jit call"):
        jax.jit(lambda x: aejax.score(key, model, variables, x))(jnp.array(ROWS))


@pytest.mark.parametrize("take", [np.array, jnp.array])
@pytest.mark.parametrize("rows", [ROWS, GAPS])
def test_no_transfer_is_implicit(take, rows):
    data = Batch(take(rows), target=np.array(rows), cond=np.ones((3, 1)), mask=np.ones(3, bool))
    with jax.transfer_guard("disallow"):
        batch = as_batch(data)
    np.testing.assert_array_equal(batch.x, np.nan_to_num(rows))


def test_what_is_missing_is_no_bug_to_the_debugger():
    with jax.debug_nans(True):
        for data in (np.array(GAPS), Batch(jax.device_put(np.float32(GAPS)), target=np.array(GAPS))):
            assert not np.isnan(as_batch(data).x).any()


def test_complete_float32_rows_stay_where_they_are():
    x = jax.device_put(np.float32(ROWS), jax.devices()[-1])
    assert as_batch(x).x is x


def test_known_arrays_of_jax_are_checked_inside_jit_too():
    known = jnp.asarray([[1.0, jnp.nan], [2.0, 3.0]])
    inside = jax.jit(lambda: as_batch(known))()
    np.testing.assert_array_equal(inside.mask, [[True, False], [True, True]])
    infinite = jnp.full((2, 2), jnp.inf)
    with pytest.raises(ValueError, match="x: found an infinite value"):
        jax.jit(lambda: as_batch(infinite).x)()
