"""The one place where what a user hands in becomes a Batch: tables, masked arrays, lists, arrays of any library."""

import functools
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch

# Whatever ``as_batch`` takes.
RowsLike: TypeAlias = ArrayLike | Batch

# How to turn what is not taken into what is, by the package that its type is from.
_REMEDIES = {
    "torch": "give {0}.detach().cpu().numpy()",
    "tensorflow": "give {0}.numpy()",
    "cupy": "give {0}.get()",
    "polars": "give {0}.collect()",
    "pyarrow": "give {0}.to_pandas()",
}
# What NumPy's kinds of values other than numbers are called, and what to do about them.
_TEXT = ("text", "turn it into numbers, and write NaN where a value is missing")
_KINDS = {
    "U": _TEXT,
    "S": _TEXT,
    "T": _TEXT,
    "M": ("dates", "give numbers such as the hours since the first one"),
    "m": ("time spans", "give {0} / np.timedelta64(1, 's')"),
    "c": ("complex numbers", "give np.stack([{0}.real, {0}.imag], axis=-1), or np.abs({0})"),
    "O": ("objects", "give np.asarray({0}, float), with NaN where a value is missing"),
}


def as_batch(data: RowsLike) -> Batch:
    """Turns rows into a Batch of float32 arrays whose missing values are masked and filled with zero.

    What a mask hides is filled with zero as well, in ``x`` and in ``target``: nobody can read it by mistake.

    Arrays of JAX are checked on the device where they lie. Inside ``jit`` shapes are checked, and values that are
    missing are masked; whether values are infinite cannot be known there.

    Args:
        data: (n, *event) array, nested list, or pandas or polars DataFrame, or a Batch whose fields are such. A value
            is missing where it is NaN, null, or masked by ``numpy.ma``.

    Returns:
        The Batch. ``mask`` is None where nothing is missing, so that complete data pay nothing for it.

    Raises:
        ValueError: a field that holds no numbers, no rows, an infinite value, or a shape that is not as ``Batch`` says.

    Example:
        >>> as_batch([[1.0, float("nan")]]).mask
        Array([[ True, False]], dtype=bool)
    """
    batch = as_arrays(data)
    if any(isinstance(field, jax.core.Tracer) for field in batch):
        return _filled(jax.tree.map(jnp.asarray, batch), jnp)
    if any(isinstance(field, jax.Array) for field in batch):
        sent = send(batch)
        findings = findings_of(sent)
        if not any(isinstance(finding, jax.core.Tracer) for finding in jax.tree.leaves(findings)):
            return as_sent(sent, checked(sent, findings))
        # Inside jit all that is computed is traced, also of arrays whose values are known: check these on the host.
        batch = jax.device_get(batch)
    batch = _each(_cast, batch)
    if _check(_findings(batch, np), batch):
        batch = _filled(batch, np)
    return jax.tree.map(jax.device_put, batch)


def send(batch: Batch) -> Batch:
    """Begins to move rows to the device, and does not wait.

    Args:
        batch: from ``as_arrays``.

    Returns:
        The same rows there, of which ``findings_of`` looks for what they must not be.
    """
    return _each(_on_device, batch)


def findings_of(sent: Batch) -> dict[str, Array]:
    """Begins to look through rows on the device, for ``checked``.

    A device computes in the order in which it is asked: what is asked of rows that are still on their way keeps waiting
    all that is asked later.

    Args:
        sent: from ``send``.

    Returns:
        Truth values by what they say.
    """
    return _findings_on_device(sent)


def checked(sent: Batch, findings: dict[str, Array]) -> bool:
    """Waits until rows were looked through, and refuses what ``as_batch`` refuses.

    Args:
        sent: from ``send``.
        findings: from ``findings_of``.

    Returns:
        Whether the rows have gaps, or hide a number by their mask.

    Raises:
        ValueError: an infinite value, or others that ``as_batch`` refuses.
    """
    return _check(jax.device_get(findings), sent)


def as_sent(sent: Batch, has_gaps: bool) -> Batch:
    """What ``as_batch`` makes of rows that were sent, and does not wait.

    Args:
        sent: from ``send``.
        has_gaps: as ``checked`` says.

    Returns:
        The Batch.

    Example:
        >>> rows = send(as_arrays([[1.0, float("nan")]]))
        >>> as_sent(rows, checked(rows, findings_of(rows))).mask
        Array([[ True, False]], dtype=bool)
    """
    return _filled_on_device(sent) if has_gaps else _each(_cast_on_device, sent)


def as_arrays(data: RowsLike) -> Batch:
    """The fields as arrays of numbers in the precision that they have, NaN where a value is missing, shapes checked.

    Args:
        data: as for ``as_batch``.

    Returns:
        A Batch of NumPy arrays, and of JAX arrays where the fields were such.

    Raises:
        ValueError: a field that holds no numbers, or no rows, or a shape that is not as ``Batch`` says.

    Example:
        >>> as_arrays(np.ma.masked_equal([[1.0, -999.0]], -999.0)).x
        array([[ 1., nan]])
    """
    given = data if isinstance(data, Batch) else Batch(data)  # type: ignore[arg-type]  # an Array below
    if given.x is None:
        raise ValueError("x: found None, expected (rows, *event) numbers")
    batch = _each(_numbers, given)
    expected = batch.x.shape
    if len(expected) < 2:
        raise ValueError(f"x: found shape {expected}, expected (rows, *event), e.g. (1000, 15)")
    if expected[0] == 0:
        raise ValueError(f"x: found no rows (shape {expected}), expected at least one")
    for name, field in zip(Batch._fields, batch, strict=True):
        if field is None:
            continue
        shape = field.shape
        if not shape or shape[0] != expected[0]:
            raise ValueError(f"{name}: found {shape[0] if shape else 'no'} rows, expected {expected[0]} as in x")
        if name == "cond" and len(shape) != 2:
            raise ValueError(
                f"cond: found shape {shape}, expected (rows, conditions); give one condition as cond[:, None]"
            )
        if name != "cond" and shape != expected and not (name == "mask" and len(shape) == 1):
            rows_only = " or (rows,)" if name == "mask" else ""
            raise ValueError(f"{name}: found shape {shape}, expected {expected} as in x{rows_only}")
    return batch


def _each(function: Callable[[str, Any], ArrayLike], batch: Batch) -> Batch:
    """Applies (name, field) -> field to the fields that there are."""
    return Batch(*(None if field is None else function(name, field) for name, field in batch._asdict().items()))  # type: ignore[arg-type]


def _numbers(name: str, value: object) -> np.ndarray | Array:
    """One field as an array of numbers: NumPy's, or JAX's where it was one."""
    if isinstance(value, jax.Array):
        array: np.ndarray | Array = value
    elif isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
        array = _from_lists(name, value)
    elif hasattr(value, "to_numpy") and (hasattr(value, "dtypes") or hasattr(value, "dtype")):
        array = _from_frame(name, value)
    else:
        array = _from_other(name, value)
    dtype = array.dtype
    is_span = getattr(dtype, "kind", "") == "m"  # which NumPy counts among the integers
    if not is_span and any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        if isinstance(array, np.ma.MaskedArray):  # a masked value is missing, whatever number is under the mask
            return np.where(np.ma.getmaskarray(array), np.float32(np.nan), array.data)
        return array
    kind = dtype.kind if isinstance(dtype, np.dtype) else ""
    found, remedy = _KINDS.get(kind, (f"an array of {dtype}", "turn it into numbers"))
    if kind == "O" and isinstance(array, np.ndarray):
        types = sorted({type(item).__name__ for item in array.flat if not isinstance(item, float | int)})
        found = f"objects ({', '.join(types[:3]) or 'numbers'})"
    raise ValueError(f"{name}: found {found}, expected numbers; {remedy.format(name)}")


def _from_lists(name: str, value: Any) -> np.ndarray | Array:
    """An array of NumPy, or rows in lists; rows that are masked arrays, or on a device, stay what they are."""
    if isinstance(value, list | tuple) and any(isinstance(row, jax.Array) for row in value):
        stack: Callable[[ArrayLike], np.ndarray | Array] = jnp.asarray
    elif isinstance(value, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in value):
        stack = np.ma.asarray
    else:
        stack = np.asanyarray  # which leaves a masked array masked
    try:
        return stack(value)
    except Exception as error:
        lengths = sorted({len(row) for row in value if hasattr(row, "__len__")})
        if len(lengths) > 1:
            found = f"rows of unequal length, {lengths[0]} to {lengths[-1]}"
        else:
            found = f"a list of {type(value[0]).__name__} that are no rows of numbers"
        raise ValueError(f"{name}: found {found}, expected an array; fill short rows up with NaN") from error


def _from_frame(name: str, frame: Any) -> np.ndarray:
    """A DataFrame or a Series of pandas or polars, neither of which is imported here."""
    is_series = not hasattr(frame, "columns")
    if hasattr(frame, "convert_dtypes") and any(str(t) == "object" for t in _dtypes(frame, is_series)):
        frame = frame.convert_dtypes()  # numbers beside pandas.NA
    names = [frame.name] if is_series else list(frame.columns)
    others = [
        f"{column!r} ({dtype})"
        for column, dtype in zip(names, _dtypes(frame, is_series), strict=True)
        if not _is_of_numbers(dtype)
    ]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise ValueError(
            f"{name}: found the column(s) {', '.join(others[:5])}{more}, expected numbers in each; leave them out or "
            "turn them into numbers"
        )
    # pandas gets the value for missing numbers; polars has NaN for it in numbers, and None in truth values.
    options = {"dtype": float, "na_value": np.nan} if hasattr(frame, "convert_dtypes") else {}
    array = np.asarray(frame.to_numpy(**options))
    return array.astype(float) if array.dtype == object else array


def _dtypes(frame: Any, is_series: bool) -> list[object]:
    return [frame.dtype] if is_series else list(frame.dtypes)


def _is_of_numbers(dtype: object) -> bool:
    is_numeric = getattr(dtype, "is_numeric", None)  # polars
    if is_numeric is not None:
        return is_numeric() or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "") in ("b", "i", "u", "f")


def _from_other(name: str, value: object) -> np.ndarray:
    """Whatever else says that it is an array; all else is refused by what it is."""
    package = type(value).__module__.partition(".")[0]
    kind = type(value).__name__ if package == "builtins" else f"{package}.{type(value).__name__}"
    expected = "an array of NumPy or JAX"
    if isinstance(value, str | bytes | os.PathLike):
        kind, remedy = repr(value), "read the file first"
    elif package in _REMEDIES:
        remedy = _REMEDIES[package]
    elif hasattr(value, "toarray") or hasattr(value, "todense"):
        expected = "a dense array"
        remedy = "give {0}.toarray()" if hasattr(value, "toarray") else "give {0}.todense()"
    elif hasattr(value, "__array__"):
        return np.asanyarray(value)
    elif hasattr(value, "__next__"):
        remedy = "give np.stack(list({0}))"
    elif hasattr(value, "items"):
        remedy = "give np.stack(list({0}.values()), axis=1)"
    else:
        remedy = "give (rows, *event) numbers"
    raise ValueError(f"{name}: found {kind}, expected {expected}; {remedy.format(name)}")


def _cast(name: str, field: Array, xp: ModuleType = np) -> Array:
    """Float32, or truth values of a mask; ``xp`` is NumPy, or jax.numpy for arrays on a device."""
    if name == "mask":  # where it is itself missing, nothing is known to be observed
        return field if field.dtype == bool else (field.astype(bool) & ~xp.isnan(field))
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
        return field.astype(xp.float32, copy=False)


def _on_device(name: str, field: Array) -> Array:
    return field if isinstance(field, jax.Array) else jax.device_put(_cast(name, field))


def _findings(batch: Batch, xp: ModuleType) -> dict[str, Array]:
    """What the values must not be, and whether any is to be filled: missing, or a number that the mask hides."""
    batch = _each(functools.partial(_cast, xp=xp), batch)
    numbers = batch._replace(mask=None)._asdict()
    found = {f"{name} infinite": xp.isinf(field).any() for name, field in numbers.items() if field is not None}
    found["to fill"] = np.False_
    for field in (batch.x, batch.target):
        if field is not None:
            found["to fill"] |= xp.isnan(field).any()
            if batch.mask is not None:
                found["to fill"] |= ((field != 0) & ~_along(batch.mask, field)).any()
    if batch.cond is not None:
        found["cond missing"] = xp.isnan(batch.cond).any()
    if batch.weight is not None:
        found["weight negative"] = ~(batch.weight >= 0).all()
    return found


def check_range(values: np.ndarray, columns: Sequence[str]) -> None:
    """Refuses numbers that float32 does not hold.

    Args:
        values: (n, c).
        columns: c names.

    Raises:
        ValueError: there is one; the message names its column and its row.

    Example:
        >>> check_range(np.array([[1.0, 2.0], [3.0, 1e39]]), ["flow", "level"])
        Traceback (most recent call last):
        ValueError: column 'level': found 1e+39 in row 2, beyond 3.4e38, the largest of float32; ...
    """
    if (place := _beyond(values)) is not None:
        row, column = place
        raise ValueError(
            f"column {columns[column]!r}: found {values[place]:g} in row {row + 1}, beyond 3.4e38, the largest of "
            "float32; empty the cell if it means a missing value, or give the column in another unit"
        )


def _beyond(values: np.ndarray) -> tuple[int, ...] | None:
    """Where the first number stands that is infinite, or is so in float32."""
    with np.errstate(over="ignore"):
        places = np.argwhere(np.isinf(values.astype(np.float32, copy=False)))
    return tuple(map(int, places[0])) if len(places) else None


def _check(found: dict[str, Array], batch: Batch) -> bool:
    """Raises what was found; returns whether a value is to be filled."""
    for name in Batch._fields:
        if found.get(f"{name} infinite"):
            raise ValueError(
                f"{name}: found an infinite value, or one beyond 3.4e38, the largest of float32{_at(batch, name)}; "
                "expected finite numbers; write NaN where a value is missing"
            )
    if found.get("cond missing"):
        raise ValueError("cond: found a missing value (NaN); a condition must be known, leave these rows out")
    if found.get("weight negative"):
        raise ValueError("weight: found a negative or missing value, expected numbers of at least 0")
    return bool(found["to fill"])


def _at(batch: Batch, name: str) -> str:
    field = np.asarray(jax.device_get(getattr(batch, name)))
    place = _beyond(field)
    return "" if place is None else f" ({field[place]:g} at {list(place)}, counted from 0)"


def _filled(batch: Batch, xp: ModuleType) -> Batch:
    """Zeros where nothing was observed, and a mask that says so."""
    batch = _each(functools.partial(_cast, xp=xp), batch)
    mask = ~xp.isnan(batch.x)
    if batch.target is not None:
        mask &= ~xp.isnan(batch.target)
    if batch.mask is not None:
        mask &= _along(batch.mask, batch.x)
    target = None if batch.target is None else xp.where(mask, batch.target, np.float32(0))
    return batch._replace(x=xp.where(mask, batch.x, np.float32(0)), target=target, mask=mask)


def _along(mask: Array, field: Array) -> Array:
    """A mask of rows, or of elements, with the axes of the field."""
    return mask.reshape(mask.shape + (1,) * (field.ndim - mask.ndim))


_findings_on_device = jax.jit(functools.partial(_findings, xp=jnp))
_filled_on_device = jax.jit(functools.partial(_filled, xp=jnp))
_compiled_cast = jax.jit(functools.partial(_cast, xp=jnp), static_argnums=0)


def _cast_on_device(name: str, field: Array) -> Array:
    return field if field.dtype == (bool if name == "mask" else np.float32) else _compiled_cast(name, field)
