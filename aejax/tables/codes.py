"""A distribution fitted to the codes of a run's training rows, and kept beside the run."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import jax
import numpy as np
import safetensors.numpy

from aejax import tasks
from aejax.artefacts import codecs, manifest, storage
from aejax.base import Model
from aejax.data.formats.tables import Table
from aejax.tables.columns import Notice
from aejax.tables.preparation import prepared, run_keys
from aejax.tables.run import Run
from aejax.tasks.reduction import check_encodes
from aejax.training import Progress

Sampler: TypeAlias = Literal["mixture", "flow"]

_TYPES = {"mixture": tasks.Mixture, "flow": tasks.Flow}
_NUM_COMPONENTS = 10


def fit_codes(
    run: Run,
    table: Table,
    sampler: Sampler = "flow",
    progress: bool | Callable[[Progress], None] = False,
    num_steps: int | None = None,
) -> tasks.Mixture | tasks.Flow:
    """Fits a distribution to the codes of the rows that a run was trained on.

    Calibration rows take no part. The key follows from the run's seed.

    Args:
        run: the Run.
        table: the table that it was trained on.
        sampler: ``"flow"``, which is one given the run's conditions, or ``"mixture"``, which takes no account of them.
        progress: as in ``aejax.fit``; of a flow.
        num_steps: of a flow's training, as in ``aejax.fit_flow``. More of them come nearer to large tables.

    Returns:
        The Flow or the Mixture, for ``generate(..., codes=...)``.

    Raises:
        ValueError: another table, a GAN, which has no codes, or steps of a mixture.

    Example:
        >>> import tempfile
        >>> from aejax.tables.config import TrainConfig
        >>> from aejax.tables.training import train
        >>> from aejax.tables.generation import generate
        >>> table = Table(("a", "b"), np.random.default_rng(0).normal(size=(100, 2)), True, ())
        >>> run = train(table, TrainConfig("autoencoder", latent_dim=1, num_epochs=1), tempfile.mkdtemp())
        >>> generate(run, 3, codes=fit_codes(run, table, "mixture"))["a"].shape
        (3,)
    """
    check_encodes(run.model)
    assert isinstance(run.model, Model)  # or it was refused
    if num_steps is not None and sampler == "mixture":
        raise ValueError(f"num_steps: found {num_steps} for a mixture, expected none: only a flow is trained in steps")
    if table.columns != run.source.columns or table.reading.sha256 != run.source.sha256:
        raise ValueError(
            f"table: found another one than the run was trained on, {run.source.path}; give that one, or train anew"
        )
    split_key, _, score_key = run_keys(run.config)
    ready = prepared(split_key, table, run.source, run.config, lambda text: None)  # noqa: ARG005
    rows = np.concatenate([ready.split.train, ready.split.validation])
    x = jax.tree.map(lambda field: field[rows], ready.batch)
    key = jax.random.fold_in(score_key, 1)
    if sampler == "mixture":
        return tasks.fit_mixture(key, run.model, run.variables, x, min(_NUM_COMPONENTS, len(rows)))
    return tasks.fit_flow(key, run.model, run.variables, x, num_steps=num_steps, progress=progress)


def kept_codes(
    run: Run,
    folder: str | Path,
    sampler: Sampler,
    read: Callable[[], Table],
    progress: bool | Callable[[Progress], None] = False,
    notice: Notice = lambda text: None,  # noqa: ARG005
    num_steps: int | None = None,
) -> tasks.Mixture | tasks.Flow:
    """The distribution of codes that a run folder keeps; fitted, and kept, where it has none yet.

    Args:
        run: the Run.
        folder: its folder.
        sampler: as in ``fit_codes``.
        read: () -> the table that the run was trained on; called where something is to be fitted.
        progress: as in ``fit_codes``.
        notice: takes what a user should know, a line each.
        num_steps: as in ``fit_codes``; another number than that of the kept one fits it anew.

    Returns:
        The Flow or the Mixture.

    Raises:
        ValueError: as ``fit_codes``, or what is kept is damaged.
    """
    check_encodes(run.model)
    if sampler == "mixture" and run.config.condition_columns:
        notice("a mixture takes no account of the conditions when it draws codes; --sampler flow does")
    length = "" if num_steps is None else f"-{num_steps}"
    kept = Path(folder) / f"{sampler}{length}-{_fingerprint(run)}"
    if (kept / manifest.MANIFEST).is_file():
        found: tasks.Mixture | tasks.Flow = codecs.load(kept, _TYPES[sampler])
        return found
    codes = fit_codes(run, read(), sampler, progress, num_steps)
    try:
        codecs.save(kept, codes)
    except OSError as error:
        notice(f"the {sampler} is fitted again next time, since it could not be kept: {error}")
    return codes


def _fingerprint(run: Run) -> str:
    """What a run's codes follow from, so that a run trained anew in the same folder has none of the earlier one."""
    arrays = {"variables": run.variables, "scaler": run.scaler._asdict()}
    return hashlib.sha256(safetensors.numpy.save(storage.as_numpy(arrays))).hexdigest()[:12]
