"""How far generated rows are from data: a classifier that tries to tell them apart."""

import functools
from typing import Any

import jax
import numpy as np

from aejax import losses, metrics, nets
from aejax.base import Array, Aux, Batch, Objective, PyTree, Variables
from aejax.tasks.rows import over_rows
from aejax.training import fit
from aejax.training.optimizers import adam

_HIDDEN_DIMS = (64, 64)
_NUM_EPOCHS = 60


def two_sample_auroc(key: Array, first: np.ndarray | Array, second: np.ndarray | Array) -> float:
    """The classifier two-sample test (Lopez-Paz & Oquab 2017): how well a network tells two samples apart.

    The columns are standardised by those of both samples together. A dense network is trained on one half of the rows,
    stopped early on a tenth of it, and ranks the other half; then the halves change places.

    Args:
        key: PRNG key.
        first: (n, c) rows, such as held-out data.
        second: (m, c) rows, such as generated ones; for a test of equal strength m = n.

    Returns:
        The mean area under the ROC curve of the two halves: 0.5 where nothing tells the samples apart, 1 where
        everything does. By chance it differs from 0.5 by about 0.6 / sqrt(n + m).

    Raises:
        ValueError: fewer than 20 rows in one sample, or other columns.

    Example:
        >>> rows = jax.random.normal(jax.random.key(0), (2, 400, 3))
        >>> two_sample_auroc(jax.random.key(1), rows[0], rows[1] + 3) > 0.95
        True
    """
    samples = [np.asarray(sample, np.float32).reshape(len(sample), -1) for sample in (first, second)]
    if samples[0].shape[1] != samples[1].shape[1]:
        raise ValueError(f"second: found {samples[1].shape[1]} columns, expected {samples[0].shape[1]} as in first")
    if min(map(len, samples)) < 20:
        raise ValueError(f"first: found {len(samples[0])} and {len(samples[1])} rows, expected at least 20 of each")
    x: Any = np.concatenate(samples)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    is_first = np.repeat([True, False], list(map(len, samples)))
    split_key, *fit_keys = jax.random.split(key, 3)
    order = np.asarray(jax.random.permutation(split_key, len(x)))
    halves = order[::2], order[1::2]
    network, classifier = _classifier()
    areas = []
    for fit_key, train, test in zip(fit_keys, halves, halves[::-1], strict=True):
        labels: Any = np.repeat(is_first[train, None], x.shape[1], axis=1)
        num_steps = _NUM_EPOCHS * -(-len(train) * 9 // (10 * 128))
        fitted = fit(
            fit_key,
            classifier,
            Batch(x[train], target=labels),
            num_epochs=_NUM_EPOCHS,
            batch_size=128,
            learning_rate=3e-3,
            optimizer=adam("cosine", num_steps, weight_decay=1e-2),
            patience=15,
        )
        logit = over_rows(_logit, network, fitted.variables, x[test])
        areas.append(metrics.auroc(logit, is_first[test]))
    return float(np.mean(areas))


@functools.cache
def _classifier() -> tuple[nets.Network, Objective]:
    """Logistic regression on a dense network, (n, c) -> (n, 1) logits; a row's target repeats its label."""
    network = nets.mlp(_HIDDEN_DIMS, (1,), activation="silu")

    def init(key: Array, batch: Batch) -> Variables:
        return network.init(key, batch.x[:1])

    def loss(key: Array, variables: Variables, batch: Batch, hparams: PyTree, train: bool = True) -> tuple[Array, Aux]:
        del key, hparams, train
        assert batch.target is not None
        value = losses.bernoulli().nll({}, batch.target[:, 0], _logit(network, variables, batch)).mean()
        return value, Aux({"loss": value}, {})

    return network, Objective(init, loss)


def _logit(network: nets.Network, variables: Variables, batch: Batch) -> Array:
    return network.apply(variables, batch.x)[0][:, 0]
