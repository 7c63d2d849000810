"""What a run was begun with, in words short enough to keep beside its checkpoints and to compare when it is resumed."""

import hashlib
import sys
from typing import Any

import jax
import numpy as np

from aejax.base import Batch, Variables
from aejax.training.engine import Plan

Fingerprint = dict[str, str]


def fingerprint(data: Batch, plan: Plan, hparams: Any, variables: Variables, **options: Any) -> Fingerprint:
    """Describes what the result of a run follows from beside its key.

    Functions, such as an optimizer's or a model's, cannot be compared and are left out, as is the number of epochs,
    which may be raised from one call to the next.

    Args:
        data: all rows, those for validation behind the others where they were given as rows.
        plan: the Plan.
        hparams: the algorithm's hyperparameters, arrays.
        variables: any variables of the model; only their names and shapes enter.
        **options: further ones by name, taken by their ``repr``.

    Returns:
        A description by name.

    Example:
        >>> plan = Plan(num_epochs=3, batch_size=8, num_validation=2, split="random", patience=None)
        >>> fingerprint(Batch(np.zeros((20, 5), np.float32)), plan, {}, {})["validation"]
        '2 rows drawn by the key'
    """
    found = {name: _digest(field) for name, field in zip(Batch._fields, data, strict=True)}
    drawn = "drawn by the key" if plan.split == "random" else "behind those of x"
    found["validation"] = f"{plan.num_validation} rows {drawn}"
    found["batch_size"] = str(plan.batch_size)
    found["patience"] = str(plan.patience)
    found["model"] = _names_and_shapes(variables)
    found |= {name: repr(option) for name, option in options.items()}
    for path, leaf in jax.tree.leaves_with_path(hparams):
        # The shortest digits that tell a float32 from its neighbours: 0.001, where a conversion to float has 17.
        text = np.array2string(np.asarray(leaf), threshold=sys.maxsize, max_line_width=sys.maxsize, floatmode="unique")
        found[jax.tree_util.keystr(path, simple=True, separator=".")] = text
    return found


def differences(found: Fingerprint, expected: Fingerprint) -> str:
    """Says what differs; empty where nothing does.

    Example:
        >>> differences({"batch_size": "64", "patience": "None"}, {"batch_size": "32", "patience": "None"})
        'batch_size: found 64, expected 32'
    """
    return "; ".join(
        f"{name}: found {found.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}"
        for name in dict.fromkeys([*found, *expected])
        if found.get(name) != expected.get(name)
    )


def _digest(field: Any) -> str:
    if field is None:
        return "None"
    array = np.ascontiguousarray(field)
    return f"shape {array.shape} of SHA-256 {hashlib.sha256(array.data).hexdigest()[:12]}"


def _names_and_shapes(variables: Variables) -> str:
    parts = [f"{jax.tree_util.keystr(path)}{np.shape(leaf)}" for path, leaf in jax.tree.leaves_with_path(variables)]
    return f"{len(parts)} arrays of SHA-256 {hashlib.sha256(''.join(parts).encode()).hexdigest()[:12]}"
