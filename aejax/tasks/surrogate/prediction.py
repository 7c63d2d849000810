"""Predicting maps from properties, through the code of a model, with the spread of an ensemble."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import losses, nets
from aejax.base import Array, ArrayLike, Aux, Batch, Latent, Model, Objective, PyTree, Variables, required
from aejax.data.batches import RowsLike, as_batch
from aejax.data.columns.scalers import fit_scaler
from aejax.kernels.recipes import remembered
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows
from aejax.tasks.surrogate.codes import Compression, Error, codes_and_metrics, observed_codes
from aejax.tasks.surrogate.observed import observe
from aejax.tasks.surrogate.spread import Widening
from aejax.training import ensemble
from aejax.training.optimizers import adam
from aejax.training.progress import Progress

_BATCH_SIZE = 32
_WEIGHT_DECAY = 1e-3


class Predictor(NamedTuple):
    """Networks from properties to codes, and the decoder that makes maps of these.

    Attributes:
        model: properties -> code -> map as a Model, whose conditions are the properties.
        variables: ``params`` of its members, each leaf (members, ...); ``frozen``, the decoder that they share.
        mean: (p,) of the properties in training.
        scale: (p,), their standard deviations.
        widening: of the spread of predictions; see the function of this name.
    """

    model: Model
    variables: Variables
    mean: np.ndarray
    scale: np.ndarray
    widening: Widening = Widening()


class Prediction(NamedTuple):
    """Predictions of an ensemble, a map for each row of properties.

    Attributes:
        mean: (n, *event), the mean of its members' maps.
        spread: (n, *event), their standard deviation, widened where the predictor says how. By itself it says how far
            the networks differ where data leave them free, and knows nothing of what all members get wrong alike, such
            as the part of a map that the code cannot hold: it is too narrow.
        code: (members, n, d).
    """

    mean: np.ndarray
    spread: np.ndarray
    code: np.ndarray


def fit_predictor(
    key: Array,
    compression: Compression,
    properties: ArrayLike,
    x: RowsLike,
    *,
    errors: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    error: Error = "sqrt",
    num_members: int = 5,
    hidden_dims: tuple[int, ...] = (128, 128),
    num_epochs: int = 500,
    learning_rate: float = 3e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> Predictor:
    """Trains networks from properties to the codes of a fitted model, by what errors of a code do to its map.

    Each member is a dense network p -> z. Its loss for a map of code z_i is (z - z_i)' G_i (z - z_i), where G_i = J'J
    is the metric that the decoder's Jacobian J at z_i gives the code (as in Gauss-Newton): to first order the squared
    error of the decoded map over its observed pixels, at none of the cost of decoding it in each step. On the scale of
    square roots errors of weak bands count as those of strong ones, as in Poisson statistics. A member keeps the
    variables that did best on a tenth of the rows, which are its own draw; with ``groups``, on a tenth of the groups,
    at least one, of which it is trained on no row. Where rows come in families, such as one crystal at several
    temperatures, and predictions are wanted for other families, groups are needed. Judged by rows whose siblings are
    trained on, a member is kept at its most overfitted.

    Args:
        key: PRNG key.
        compression: of the maps, from ``fit_compression`` or of any fitted Model with encoder and decoder.
        properties: (n, p), complete. Positive ones that span decades, such as masses, are better given as logarithms.
        x: (n, *event) maps, NaN where a pixel is missing, or a Batch with a mask.
        errors: (n, *event), the standard deviation of each pixel, by which differences are weighted, in place of
            ``error``; 0 where a pixel is missing.
        groups: (n,), which family each row is of, numbers or text; None where each row stands for itself.
        error: ``"sqrt"``, or ``"intensity"`` for data that may be negative.
        num_members: of the ensemble.
        hidden_dims: widths of a member's hidden layers.
        num_epochs: passes over the rows.
        learning_rate: at the beginning; it falls along a cosine.
        progress: as in ``fit``.

    Returns:
        The Predictor, for ``predict``.

    Raises:
        ValueError: rows that do not fit each other or the model, missing properties, conditions, a single group.

    Example:
        >>> from aejax.models.subspaces import local_subspaces
        >>> model, maps = local_subspaces((6,), 3, scale="sqrt"), np.random.default_rng(0).random((40, 6))
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 6))))
        >>> compression = Compression(model, variables)
        >>> predictor = fit_predictor(jax.random.key(1), compression, maps[:, :2], maps, num_epochs=2)
        >>> predict(predictor, maps[:3, :2]).mean.shape
        (3, 6)
    """
    model, variables = compression.model, compression.variables
    check_encodes(model)
    batch = as_batch(x)
    if batch.cond is not None:
        raise ValueError("x: found conditions, expected none; give them as properties")
    properties = _checked(properties, len(batch.x))
    for name, number in (("num_members", num_members), ("num_epochs", num_epochs)):
        if number < 1:
            raise ValueError(f"{name}: found {number}, expected a positive whole number")
    if groups is not None:
        groups = _checked_groups(groups, len(properties))
    if errors is None:
        codes, metrics = codes_and_metrics(compression, batch, error=error)
    else:
        codes, metrics = observed_codes(compression, observe(_with_gaps(batch), errors))
    if np.isnan(codes).any():
        empty = np.flatnonzero(np.isnan(codes).any(axis=1))
        raise ValueError(
            f"x: found {len(empty)} maps of which nothing is observed, the first in row {empty[0]}; leave "
            "these rows out"
        )
    mean, scale = fit_scaler(properties)
    frozen = {"model": variables, "mean": codes.mean(axis=0), "scale": _spreads(codes)}
    predictor = predictor_model(model, codes.shape[1], tuple(hidden_dims), frozen)
    targets: Any = _targets(codes, metrics)
    standardised: Any = (properties - mean) / scale
    rows = Batch(targets, cond=standardised)
    keys = jax.random.split(key, num_members)
    # Trained are the networks alone: the decoder joins them in the Predictor.
    objective, scales = _objective(codes.shape[1], tuple(hidden_dims)), _Scales(frozen["mean"], frozen["scale"])

    def train(keys: Array, rows: Batch, validation: float | Batch, num_rows: int) -> PyTree:
        num_steps = num_epochs * -(-num_rows // _BATCH_SIZE)
        return ensemble(
            keys,
            objective,
            rows,
            validation=validation,
            num_epochs=num_epochs,
            batch_size=_BATCH_SIZE,
            learning_rate=learning_rate,
            hparams=scales,
            optimizer=adam("cosine", num_steps, weight_decay=_WEIGHT_DECAY),
            progress=progress,
        ).variables["params"]

    if groups is None:
        params = train(keys, rows, 0.1, len(properties) * 9 // 10)
    else:
        # One after the other, since each has rows of its own; of groups of one size they share a compiled program.
        parts = []
        for member, out in zip(keys, _whole_groups(key, groups, num_members), strict=True):
            kept, held_out = (jax.tree.map(lambda field, i=i: field[i], rows) for i in (~out, out))
            parts.append(train(member[None], kept, held_out, len(kept.x)))
        params = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    return Predictor(predictor, {"params": params, "frozen": frozen}, mean, scale)


def predict(predictor: Predictor, properties: ArrayLike) -> Prediction:
    """Maps from properties, and how far the members differ.

    Args:
        predictor: from ``fit_predictor``.
        properties: (n, p), in the units and order of training.

    Returns:
        The Prediction. Where the model's decoder cannot be negative, neither can its mean.

    Raises:
        ValueError: another number of properties, or missing ones.
    """
    properties = _checked(properties, None, len(predictor.mean))
    rows = ((properties - predictor.mean) / predictor.scale).astype(np.float32)
    maps, codes = [], []
    for member in range(jax.tree.leaves(predictor.variables["params"])[0].shape[0]):
        params = jax.tree.map(lambda leaf, i=member: leaf[i], predictor.variables["params"])
        variables = {**predictor.variables, "params": params}
        code, image = over_rows(_code_and_map, predictor.model, variables, Batch(rows, cond=rows))
        codes.append(code)
        maps.append(image)
    factor, floor = predictor.widening
    return Prediction(np.mean(maps, axis=0), factor * np.hypot(np.std(maps, axis=0), floor), np.stack(codes))


def _with_gaps(batch: Batch) -> np.ndarray:
    """The rows, NaN where they are not observed."""
    mask, rows = losses.observed(batch), np.asarray(batch.x)
    return rows if mask is None else np.where(mask, rows, np.nan)


def _checked(properties: ArrayLike, num_rows: int | None, num_columns: int | None = None) -> np.ndarray:
    properties = np.asarray(properties, float)
    if properties.ndim != 2 or num_rows not in (None, len(properties)):
        rows = "n" if num_rows is None else num_rows
        raise ValueError(f"properties: found shape {properties.shape}, expected ({rows}, p), a row for each map")
    if num_columns not in (None, properties.shape[1]):
        raise ValueError(f"properties: found {properties.shape[1]} columns, expected {num_columns} as in training")
    if not np.isfinite(properties).all():
        raise ValueError(
            "properties: found missing or infinite values, expected known properties; leave these rows out"
        )
    return properties


def _checked_groups(groups: ArrayLike, num_rows: int) -> np.ndarray:
    groups = np.asarray(groups)
    if groups.shape != (num_rows,):
        raise ValueError(f"groups: found shape {groups.shape}, expected ({num_rows},), a group for each map")
    if len(np.unique(groups)) < 2:
        raise ValueError("groups: found a single group, expected two or more; give None to hold out rows instead")
    return groups


def _whole_groups(key: Array, groups: np.ndarray, num_members: int) -> list[np.ndarray]:
    """For each member the rows to hold out, (n,) bool, of a tenth of the groups; others while there are."""
    names = np.unique(groups)
    num_out = max(round(0.1 * len(names)), 1)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    rounds = -(-num_members * num_out // len(names))
    order = np.concatenate([rng.permutation(names) for _ in range(rounds)])
    return [np.isin(groups, order[i * num_out : (i + 1) * num_out]) for i in range(num_members)]


def _spreads(codes: np.ndarray) -> np.ndarray:
    """(d,) standard deviations, for each number by its own scale not too small to divide by."""
    scale = codes.std(axis=0) + 1e-6 * np.abs(codes).max(axis=0)
    return np.where(scale > 0, scale, 1)


def _targets(codes: np.ndarray, metrics: np.ndarray) -> np.ndarray:
    """(n, d + 1, d): each code, and under it the square root of its metric, so that errors are |root (z - z_i)|²."""
    metrics = metrics / np.mean(np.einsum("nc,ncd,nd->n", codes, metrics, codes))
    values, vectors = np.linalg.eigh(metrics)
    roots = np.sqrt(np.maximum(values, 0))[:, :, None] * vectors.swapaxes(1, 2)
    return np.concatenate([codes[:, None], roots], axis=1)


def predictor_model(
    model: Model, latent_dim: int, hidden_dims: tuple[int, ...], frozen: Variables | None = None
) -> Model:
    """Properties -> code -> map as a Model, whose collection ``frozen`` holds the decoder and the scale of codes.

    ``fit_predictor`` makes it; one that was saved is put together again without ``frozen``, which ``init`` alone reads.
    """
    network, objective = _network(latent_dim, hidden_dims), _objective(latent_dim, hidden_dims)
    scales = {} if frozen is None else {name: jnp.asarray(frozen[name]) for name in ("mean", "scale")}

    def init(key: Array, batch: Batch) -> Variables:
        return {**objective.init(key, batch), "frozen": scales}

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        del x  # what is predicted
        output = network.apply({"params": variables["params"]}, cond)[0]
        frozen = variables["frozen"]
        return Latent(_code(output, _Scales(frozen["mean"], frozen["scale"])))

    def decode(variables: Variables, z: Array, cond: Array | None = None) -> Array:
        del cond
        return required(model.decode, "decode")(variables["frozen"]["model"], z)

    def loss(key: Array, variables: Variables, batch: Batch, hparams: PyTree, train: bool = True) -> tuple[Array, Aux]:
        del hparams
        frozen = variables["frozen"]
        value, aux = objective.loss(key, variables, batch, _Scales(frozen["mean"], frozen["scale"]), train)
        return value, aux._replace(collections={"frozen": frozen})

    return Model(init, loss, (), encode, decode)


class _Scales(NamedTuple):
    """The mean of the codes, and how far they spread: arrays are traced, so that other codes compile nothing."""

    mean: ArrayLike
    scale: ArrayLike


def _network(latent_dim: int, hidden_dims: tuple[int, ...]) -> nets.Network:
    return nets.mlp(hidden_dims, (latent_dim,), activation="silu")


def _code(output: Array, scales: _Scales) -> Array:
    return jnp.asarray(scales.mean)[None, :] + jnp.asarray(scales.scale)[None, :] * output


@remembered
def _objective(latent_dim: int, hidden_dims: tuple[int, ...]) -> Objective:
    """What the networks from properties to codes minimise."""
    network = _network(latent_dim, hidden_dims)

    def init(key: Array, batch: Batch) -> Variables:
        assert batch.cond is not None  # the properties
        return network.init(key, batch.cond[:1])

    def loss(key: Array, variables: Variables, batch: Batch, hparams: _Scales, train: bool = True) -> tuple[Array, Aux]:
        del key, train
        output = network.apply({"params": variables["params"]}, batch.cond)[0]
        off = _code(output, hparams) - batch.x[:, 0]
        errors = jnp.sum(jnp.square(jnp.einsum("ncd,nd->nc", batch.x[:, 1:], off)), axis=1)
        value = losses.mean_examples(errors, batch)
        return value, Aux({"loss": value}, {})

    return Objective(init, loss, _Scales(0.0, 1.0))


def _code_and_map(model: Model, variables: Variables, batch: Batch) -> tuple[Array, Array]:
    code = required(model.encode, "encode")(variables, batch.x, batch.cond).mean
    return code, required(model.decode, "decode")(variables, code)
