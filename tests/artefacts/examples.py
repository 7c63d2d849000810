"""A small thing of each kind that can be saved."""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax import estimators, tables
from aejax.data.formats.tables import Table
from aejax.models.masking import masking_autoencoder
from aejax.tables import run as runs
from aejax.tables.config import TrainConfig
from aejax.tasks import anomaly, denoising, imputation, surrogate
from aejax.tasks.inversion.sections import Sections, section_vae

NAMES = ("flow", "level")


@functools.cache
def table():
    values = np.random.default_rng(0).standard_normal((200, 2))
    values[3, 1] = np.nan
    return Table(NAMES, values, True, ())


@functools.cache
def run_and_record():
    config = TrainConfig("conditional_vae", num_epochs=2, hidden_dims=(3,), condition_columns=("level",))
    three = np.column_stack([table().values, table().values[:, 0] ** 2])
    with tempfile.TemporaryDirectory() as folder:
        run = tables.train(Table((*NAMES, "valve"), three, True, ()), config, folder)
        return run, aejax.load(runs.record_folder(Path(folder)))


@functools.cache
def monitor():
    return anomaly.fit_monitor(jax.random.key(0), table().values, num_lags=0, num_epochs=1, false_alarm_rate=0.05)


@functools.cache
def detector():
    rows = table().values
    found = anomaly.fit_detector(jax.random.key(0), rows[:100], num_members=2, num_steps=20, max_references=5)
    return anomaly.calibrate_detector(found, rows[100:])


@functools.cache
def denoiser():
    model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=4, dilations=(1,))
    variables = jax.jit(model.init)(jax.random.key(0), aejax.Batch(np.zeros((1, 256), np.float32)))
    return denoising.Denoiser(model, variables, 256, 100.0)


@functools.cache
def fitted_surrogate():
    rng = np.random.default_rng(0)
    maps, properties = rng.random((40, 2, 8)).astype(np.float32), {"strength": rng.random(40)}
    size = {
        "num_numbers": 3,
        "num_regions": 2,
        "num_widened": 50,
        "num_members": 2,
        "hidden_dims": (4,),
        "num_epochs": 2,
    }
    return surrogate.fit_surrogate(jax.random.key(0), maps, np.arange(2.0), np.arange(8.0), properties, **size)


@functools.cache
def sections():
    model = section_vae((9, 5), 2)
    variables = jax.jit(model.init)(jax.random.key(0), aejax.Batch(np.zeros((1, 9, 5), np.float32)))
    x = np.random.default_rng(0).integers(0, 2, (3, 9, 5)).astype(np.float32)
    return Sections(model, variables, (9, 5), 2, x, np.zeros((3, 2), np.float32))


@functools.cache
def mixture():
    model = aejax.models.vae((2,), 2, hidden_dims=())
    rows = np.nan_to_num(table().values)
    variables = model.init(jax.random.key(0), aejax.Batch(rows[:1]))
    return aejax.fit_mixture(jax.random.key(1), model, variables, rows, num_components=2)


@functools.cache
def flow():
    model = aejax.models.vae((2,), 2, hidden_dims=())
    variables = model.init(jax.random.key(0), aejax.Batch(np.zeros((1, 2), np.float32)))
    return aejax.fit_flow(jax.random.key(1), model, variables, table().values, hidden_dims=(4,), num_steps=2)


@functools.cache
def table_monitor():
    return tables.table_monitor(monitor(), table())


@functools.cache
def imputer():
    return imputation.fit_imputer(jax.random.key(0), table().values, num_steps=2)


def estimator(name, **params):
    """A factory of a fitted estimator, by the name of its kind."""

    @functools.cache
    def fitted():
        rows = table().values.astype(np.float32)
        return getattr(estimators, name)(**params, random_state=0).fit(rows)

    return {f"{name} of aejax.estimators": fitted}


EXAMPLES = {
    "run": lambda: run_and_record()[0],
    "record": lambda: run_and_record()[1],
    "monitor": monitor,
    "table monitor": table_monitor,
    "detector": detector,
    "denoiser": denoiser,
    "surrogate": fitted_surrogate,
    "sections": sections,
    "mixture": mixture,
    "flow": flow,
    "imputer": imputer,
    **estimator("AutoencoderTransformer", latent_dim=1, num_epochs=2, hidden_dims=()),
    **estimator("VAETransformer", latent_dim=1, num_epochs=2, hidden_dims=()),
    **estimator("DenoisingTransformer", latent_dim=1, num_epochs=2, hidden_dims=()),
    **estimator("OutlierDetector", num_steps=2),
    **estimator("ProcessMonitor", num_epochs=1),
}
