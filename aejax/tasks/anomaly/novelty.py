"""Novel rows of a table without order in time: how far code and residual are from those of normal rows."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Model, PyTree, Variables
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import Scaler, fit_scaler, scaled_rows
from aejax.losses import observed
from aejax.models import denoising_autoencoder
from aejax.tasks.anomaly.limits import check_rate, is_rare, p_values
from aejax.tasks.anomaly.neighbors import NUM_NEIGHBORS, local_distance, log_distance, spacing
from aejax.tasks.anomaly.patterns import comparisons, kept, unless_known
from aejax.tasks.anomaly.statistics import code_and_residual
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows
from aejax.training import FitOptions, Progress, ensemble, sweep


class Reference(NamedTuple):
    """Normal rows as a model sees them.

    Attributes:
        code: (m, d).
        residual: (m, D), flattened.
        code_spacing: (m,) how far each code is from the nearest others. None in what earlier versions saved, by which
            rows are scored as they were then.
        residual_spacing: (m,) likewise.
    """

    code: np.ndarray
    residual: np.ndarray
    code_spacing: np.ndarray | None = None
    residual_spacing: np.ndarray | None = None


class Detector(NamedTuple):
    """Fitted models, and what normal rows look like to each of them.

    Attributes:
        model: of scaled rows.
        variables: its variables, one for each member.
        references: one for each member.
        scaler: of the columns.
        held_out: (m,) scores of normal rows that were not trained on; none until ``calibrate_detector`` has put them
            in.
        held_out_rows: (m, c) these rows, scaled, at most 2000, NaN where missing: rows with gaps are compared with
            these, of which the same is hidden. None in what earlier versions saved.
    """

    model: Model
    variables: tuple[Variables, ...]
    references: tuple[Reference, ...]
    scaler: Scaler
    held_out: np.ndarray = np.empty(0)
    held_out_rows: np.ndarray | None = None


class Judgement(NamedTuple):
    """A verdict on each row.

    Attributes:
        score: (n,), higher is more anomalous; NaN for a row of which nothing is observed.
        p_value: (n,), the share of held-out normal rows that score as high; NaN likewise.
        is_anomaly: (n,) bool, p_value at most the false alarm rate.
        compared_with: (n,) text, the normal rows that the row is compared with, as in ``Detection``.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    compared_with: np.ndarray


def fit_reference(model: Model, variables: Variables, x: RowsLike) -> Reference:
    """Codes and residuals of normal rows, to compare new rows with.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (m, *event) normal rows, those of training or others, NaN where missing, or a Batch.

    Returns:
        The Reference.

    Raises:
        ValueError: rows that do not fit the model, or a GAN, which has no encoder.
    """
    check_encodes(model)
    code, residual = over_rows(code_and_residual, model, variables, x)
    return Reference(code, residual, spacing(code), spacing(residual))


def nearest_score(
    model: Model,
    variables: Variables,
    reference: Reference,
    x: RowsLike,
    num_neighbors: int | None = None,
    own: np.ndarray | None = None,
) -> np.ndarray:
    """Scores rows by the nearest normal codes and the nearest normal residuals.

    s = l(z) + l(e) of the code z and the residual e = x - decode(z), each with normal ones of its own:
    l(v) = log(d(v) + u) - mean log(d(v') + u) / 2, where d is the mean distance to the nearest normal v, the mean is
    over the ten nearest normal v', and u is the median d of normal ones. Of a row with gaps e is compared over what is
    observed.

    The code tells a state that the model describes but that is not a normal one, also where normal rows form several
    clusters (Hotelling's T² has one); the residual an error that no normal row has. d is the k-nearest-neighbour
    outlier score (Ramaswamy, Rastogi & Shim 2000); in a sum of logarithms the units of the two spaces matter nothing.
    What is subtracted lies half way between that and the local outlier factor (Breunig et al. 2000): where normal rows
    lie close, a small distance counts for more. u keeps equal rows, as those of counts, from hiding all else.

    Args:
        model: a fitted Model.
        variables: its variables.
        reference: from ``fit_reference`` with normal rows.
        x: (n, *event), NaN where missing, or a Batch.
        num_neighbors: so many nearest; 3 by default, which forgives that some of the normal rows are none.
        own: (n,) bool, rows that are themselves among the normal ones; they are not compared with themselves.

    Returns:
        (n,), higher is more anomalous.

    Raises:
        ValueError: rows that do not fit the model, or fewer references than neighbours.

    Example:
        >>> from aejax.base import Batch
        >>> from aejax.models import autoencoder
        >>> model, x = autoencoder((5,), 2), jax.random.normal(jax.random.key(0), (50, 5))
        >>> variables = model.init(jax.random.key(1), Batch(x))
        >>> reference = fit_reference(model, variables, x)
        >>> found = nearest_score(model, variables, reference, np.array([[9.0] * 5, [0.1] * 5]))
        >>> bool(found[0] > found[1])
        True
    """
    most = len(reference.code)
    if num_neighbors is not None and not 1 <= num_neighbors <= most:
        raise ValueError(f"num_neighbors: found {num_neighbors}, expected 1 to {most}, the references")
    check_encodes(model)
    code, residual, seen = over_rows(_code_residual_seen, model, variables, x)
    own = np.zeros(len(code), bool) if own is None else own
    seen_code = np.ones_like(code, bool)
    return _distance(code, seen_code, reference.code, reference.code_spacing, num_neighbors, own) + _distance(
        residual, seen, reference.residual, reference.residual_spacing, num_neighbors, own
    )


def default_model(num_columns: int) -> tuple[Model, dict[str, list[float]]]:
    """What ``fit_detector`` trains by default: denoising autoencoders with a code as wide as the rows.

    The noise, not the narrowness, keeps them from the identity (Vincent et al. 2010).

    Args:
        num_columns: of the table.

    Returns:
        (model, over): the Model, and two noise levels in units of a column's standard deviation to train it with:
        little noise keeps what tells dense clusters apart, much noise the coarse shape.
    """
    model = denoising_autoencoder(
        (num_columns,), num_columns, hidden_dims=(128,), noise_level=0.5, activation="tanh", shortcut=False
    )
    return model, {"noise_level": [0.2, 1.0]}


def fit_detector(
    key: Array,
    x: ArrayLike,
    *,
    model: Model | None = None,
    hparams: PyTree = None,
    over: Mapping[str, ArrayLike] | None = None,
    num_members: int = 1,
    num_steps: int = 2500,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    max_references: int = 20_000,
    progress: bool | Callable[[Progress], None] = False,
) -> Detector:
    """Learns what normal rows of a table look like, where rows have no order in time (see ``fit_monitor`` for those).

    The columns are standardised; several models are trained, one for each noise level and key, and the scores of
    ``nearest_score`` averaged. The defaults were chosen on the outlier sets of docs/results.md and on others.

    Args:
        key: PRNG key.
        x: (m, c) normal rows in their own units, NaN where missing; categories as columns of 0 and 1.
        model: a Model of scaled rows of c columns; ``default_model`` if None.
        hparams: of the model, as in ``fit``.
        over: values of hyperparameters by name, as in ``sweep``: a member is trained for each.
        num_members: how many keys to train with.
        num_steps: of training, about; at least 20 passes over the rows and at most 400.
        batch_size: rows a step.
        learning_rate: Adam's.
        max_references: so many normal rows, drawn by the key, are kept to compare with; it bounds time and memory.
        progress: as in ``fit``.

    Returns:
        The Detector. It scores rows; to judge them as well it needs other normal rows, see ``calibrate_detector``.

    Raises:
        ValueError: bad rows or options, or a model without an encoder.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((100, 3))
        >>> detector = fit_detector(jax.random.key(0), x, num_steps=50)
        >>> found = novelty_score(detector, np.array([[0.0, 0.0, 0.0], [5.0, -5.0, 5.0]]))
        >>> bool(found[1] > found[0])
        True
    """
    if num_members < 1 or num_steps < 1 or max_references < 1:
        raise ValueError(
            f"num_members: found {num_members}, num_steps {num_steps} and max_references {max_references}, expected "
            "positive whole numbers"
        )
    scaler = fit_scaler(x)
    scaled = scaled_rows(scaler, x)
    if model is None:
        model, noise_levels = default_model(scaled.shape[1])
        over = noise_levels if over is None else over
    check_encodes(model)
    fit_key, choice_key = jax.random.split(key)
    steps_per_epoch = max(1, math.ceil(0.9 * len(scaled) / batch_size))
    keys = jax.random.split(fit_key, num_members)
    options = FitOptions(
        hparams=hparams,
        num_epochs=min(max(math.ceil(num_steps / steps_per_epoch), 20), 400),
        batch_size=batch_size,
        learning_rate=learning_rate,
        progress=progress,
    )
    fitted = sweep(keys, model, scaled, over=over, **options) if over else ensemble(keys, model, scaled, **options)
    num_axes = fitted.state.step.ndim  # members, and settings before them
    count = math.prod(fitted.state.step.shape)
    # Cut in NumPy, which compiles nothing.
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[num_axes:]), jax.device_get(fitted.variables))
    variables = tuple(
        jax.device_put(jax.tree.map(lambda leaf, index=index: leaf[index], flat)) for index in range(count)
    )
    if len(scaled) > max_references:
        scaled = scaled[np.asarray(jax.random.permutation(choice_key, len(scaled)))[:max_references]]
    references = tuple(fit_reference(model, member, scaled) for member in variables)
    return Detector(model, variables, references, scaler)


def novelty_score(detector: Detector, x: ArrayLike, num_neighbors: int | None = None) -> np.ndarray:
    """How novel each row is: ``nearest_score``, averaged over the members.

    Args:
        detector: from ``fit_detector``.
        x: (n, c) rows in their own units, NaN where missing.
        num_neighbors: as in ``nearest_score``.

    Returns:
        (n,), higher is more anomalous; NaN for a row of which nothing is observed.

    Raises:
        ValueError: rows with other columns than in training.
    """
    return novelty_of_scaled(detector, scaled_rows(detector.scaler, x), num_neighbors)


def novelty_of_scaled(
    detector: Detector, scaled: np.ndarray, num_neighbors: int | None = None, own: np.ndarray | None = None
) -> np.ndarray:
    """``novelty_score`` of rows that are standardised already, (n, c)."""
    scores = [
        nearest_score(detector.model, variables, reference, scaled, num_neighbors, own)
        for variables, reference in zip(detector.variables, detector.references, strict=True)
    ]
    return np.where(np.isnan(scaled).all(axis=1), np.nan, np.mean(scores, axis=0, dtype=np.float64))


def calibrate_detector(detector: Detector, x: ArrayLike) -> Detector:
    """Scores normal rows that the detector was not trained on, for ``judge`` to compare new rows with.

    Args:
        detector: from ``fit_detector``.
        x: (m, c) normal rows that are not among those of ``fit_detector``, in their own units, NaN where missing.

    Returns:
        The Detector with their scores and the rows themselves.

    Raises:
        ValueError: rows with other columns than in training, or none with an observed value.
    """
    held_out = novelty_score(detector, x)
    if np.isnan(held_out).all():
        raise ValueError("x: found no calibration row with an observed value, expected at least one")
    rows = kept(scaled_rows(detector.scaler, x)).x
    return detector._replace(held_out=held_out, held_out_rows=np.asarray(rows))


def judge(detector: Detector, x: ArrayLike, false_alarm_rate: float = 0.01) -> Judgement:
    """Tells which rows are anomalies, with a false alarm rate that holds.

    Args:
        detector: from ``calibrate_detector``.
        x: (n, c) rows in their own units, NaN where missing.
        false_alarm_rate: the share of normal rows that may be flagged, in (0, 1).

    Returns:
        The Judgement.

    Raises:
        ValueError: rows with other columns than in training, a rate out of range, or a detector without held-out
            scores.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((200, 3))
        >>> detector = calibrate_detector(fit_detector(jax.random.key(0), x[:100], num_steps=50), x[100:])
        >>> judge(detector, np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]), 0.05).is_anomaly
        array([False,  True])
    """
    check_rate(false_alarm_rate)
    if not len(detector.held_out):
        raise ValueError(
            "detector: found one without scores of held-out normal rows, expected these; give such rows to "
            "calibrate_detector"
        )
    scaled = scaled_rows(detector.scaler, x)
    score, seen = novelty_of_scaled(detector, scaled), ~np.isnan(scaled)
    p_value = p_values(detector.held_out, score)
    held_out = None if detector.held_out_rows is None else Batch(detector.held_out_rows)  # type: ignore[arg-type]
    compared_with = unless_known(seen, held_out)
    for rows, normal, gaps in comparisons(seen, held_out, false_alarm_rate):
        p_value[rows] = p_values(novelty_of_scaled(detector, np.asarray(normal.x)), score[rows])
        compared_with[rows] = gaps
    return Judgement(score, p_value, is_rare(p_value, false_alarm_rate), compared_with)


def _code_residual_seen(model: Model, variables: Variables, batch: Batch) -> tuple[Array, Array, Array]:
    code, residual = code_and_residual(model, variables, batch)
    mask = observed(batch)
    seen = True if mask is None else jnp.broadcast_to(mask, batch.x.shape).reshape(residual.shape)
    return code, residual, jnp.broadcast_to(seen, residual.shape)


def _distance(
    rows: np.ndarray,
    seen: np.ndarray,
    normal: np.ndarray,
    apart: np.ndarray | None,
    num_neighbors: int | None,
    own: np.ndarray,
) -> np.ndarray:
    if apart is None:
        return log_distance(rows, seen, normal, num_neighbors or 1, own)
    return local_distance(rows, seen, normal, apart, num_neighbors or NUM_NEIGHBORS, own)
