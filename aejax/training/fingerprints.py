"""What a run was begun with, in words short enough to keep beside its checkpoints and to compare when it is resumed."""

import hashlib
import sys

import jax
import numpy as np

from aejax.base import Array, Batch, PyTree, Variables
from aejax.training.plans import Data, Plan

Fingerprint = dict[str, str]

# Of the engine's RunState: checkpoints of another one cannot be resumed.
_ENGINE = "2"


def fingerprint(data: Data, plan: Plan, hparams: PyTree, variables: Variables, **options: object) -> Fingerprint:
    """Describes what the result of a run follows from beside its key.

    Functions, such as an optimizer's or a model's, cannot be compared and are left out, as are the batches of a stream
    and the number of epochs, which may be raised from one call to the next.

    Args:
        data: the Data.
        plan: the Plan.
        hparams: the algorithm's hyperparameters, arrays.
        variables: any variables of the model; only their names and shapes enter.
        **options: further ones by name, taken by their ``repr``.

    Returns:
        A description by name.

    Example:
        >>> plan = Plan(num_epochs=3, steps_per_epoch=3, batch_size=8, num_rows=20, num_validation=2)
        >>> fingerprint(Data(Batch(np.zeros((20, 5), np.float32))), plan, {}, {})["validation"]
        '2 rows drawn by the key'
    """
    found = {"engine": _ENGINE}
    found |= _digests(data.train, "arrays")
    drawn = "drawn by the key" if plan.split == "random" else "of their own"
    found["validation"] = f"{plan.num_validation} rows {drawn}"
    if data.validation is not None:
        found |= {f"validation.{name}": text for name, text in _digests(data.validation, "validation").items()}
    found["steps_per_epoch"] = str(plan.steps_per_epoch)
    found["batch_size"] = str(plan.batch_size)
    found["patience"] = str(plan.patience)
    found["model"] = _names_and_shapes(variables)
    found |= {name: repr(option) for name, option in options.items()}
    for path, leaf in jax.tree.leaves_with_path(hparams):
        # The shortest digits that tell a float32 from its neighbours: 0.001, where a conversion to float has 17.
        text = np.array2string(
            np.asarray(jax.device_get(leaf)), threshold=sys.maxsize, max_line_width=sys.maxsize, floatmode="unique"
        )
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


def _digests(arrays: PyTree, name: str) -> Fingerprint:
    if isinstance(arrays, Batch):
        return {name: _digest(field) for name, field in arrays._asdict().items()}
    return {f"{name}{jax.tree_util.keystr(path)}": _digest(leaf) for path, leaf in jax.tree.leaves_with_path(arrays)}


def _digest(field: Array | None) -> str:
    if field is None:
        return "None"
    # Rows that several processes share: the first one compares its own.
    is_here = not isinstance(field, jax.Array) or field.is_fully_addressable or field.is_fully_replicated
    parts = [field] if is_here else [shard.data for shard in field.addressable_shards]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(jax.device_get(part)).data)
    return f"shape {field.shape} of SHA-256 {digest.hexdigest()[:12]}"


def _names_and_shapes(variables: Variables) -> str:
    parts = [f"{jax.tree_util.keystr(path)}{np.shape(leaf)}" for path, leaf in jax.tree.leaves_with_path(variables)]
    return f"{len(parts)} arrays of SHA-256 {hashlib.sha256(''.join(parts).encode()).hexdigest()[:12]}"
