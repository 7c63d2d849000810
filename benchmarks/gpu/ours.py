"""Our side: whole calls of ``aejax.fit``, ``aejax.ensemble`` and ``aejax.score``, in several settings of the engine."""

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import aejax
from aejax import exchange, nets
from aejax.base import Batch
from aejax.kernels import conv, hoisting
from aejax.tasks import rows as task_rows
from aejax.training import engine
from benchmarks.gpu import theirs
from benchmarks.gpu.contestant import (
    IMAGE_BATCH,
    IMAGE_HIDDEN_DIMS,
    IMAGE_LATENT_DIM,
    IMAGE_SHAPE,
    IMAGE_STEPS,
    LARGEST,
    MEMBER_EPOCHS,
    MEMBER_STEPS_PER_EPOCH,
    MEMBERS,
    SCORED_COLUMNS,
    SCORED_ROWS,
    STEP_BATCH,
    STEP_EPOCHS,
    STEPS_PER_EPOCH,
    Contestant,
    sized,
)
from tests.peers import systems
from tests.peers.peer import KEY, state_of, zeros_like

MEGABYTE = 2**20
BACKEND = jax.default_backend()
# What a graph may hold: XLA's default, and loops as well.
_LOOPS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
IN_GRAPHS = {"xla_gpu_enable_command_buffer": _LOOPS, "xla_gpu_graph_min_graph_size": 1}


def _engine(tuning: hoisting.Tuning | None = None, options: dict[str, Any] | None = None) -> None:
    """Sets how the engine lays out loops and compiles; None is the project's own settings."""
    jax.clear_caches()
    engine.program.cache_clear()
    hoisting.TUNING.pop(BACKEND, None)
    engine.COMPILER_OPTIONS.pop(BACKEND, None)
    hoisting.TUNING.update(_OWN_TUNING)
    engine.COMPILER_OPTIONS.update(_OWN_OPTIONS)
    if tuning:
        hoisting.TUNING[BACKEND] = tuning
    if options is not None and BACKEND != "cpu":
        engine.COMPILER_OPTIONS[BACKEND] = options


_OWN_TUNING, _OWN_OPTIONS = dict(hoisting.TUNING), dict(engine.COMPILER_OPTIONS)


def _variables(peer: Any) -> Any:
    batch = Batch(np.zeros((1, *peer.event_shape), np.float32))
    return exchange.from_state_dict(state_of(peer.module), zeros_like(peer.model, batch))


def _step(
    tuning: hoisting.Tuning | None = None, flat: bool = False, options: dict[str, Any] | None = None
) -> Contestant:
    """The VAE at batch 64; ``flat`` has Adam work on one vector in place of a tensor each."""
    peer = theirs.vae()
    variables, x = _variables(peer), jnp.asarray(theirs.rows((15,), STEPS_PER_EPOCH * STEP_BATCH))
    _engine(tuning, options)

    def run() -> float:
        fitted = aejax.fit(
            KEY,
            peer.model,
            x,
            num_epochs=STEP_EPOCHS,
            batch_size=STEP_BATCH,
            validation=0,
            variables=variables,
            optimizer=_flat_adam if flat else None,
            learning_rate=1e-3,
        )
        return float(fitted.history["loss"][-1])

    return Contestant(run, STEP_EPOCHS * STEPS_PER_EPOCH)


def _flat_adam(learning_rate: Any) -> optax.GradientTransformation:
    return optax.flatten(optax.adam(learning_rate))


def _members(options: dict[str, Any] | None = None) -> Contestant:
    """An ensemble of the VAE."""
    peer = theirs.vae()
    x = jnp.asarray(theirs.rows((15,), MEMBER_STEPS_PER_EPOCH * STEP_BATCH))
    keys = jax.random.split(KEY, MEMBERS)
    _engine(None, options)

    def run() -> float:
        fitted = aejax.ensemble(keys, peer.model, x, num_epochs=MEMBER_EPOCHS, batch_size=STEP_BATCH, validation=0)
        return float(np.mean(fitted.history["loss"][:, -1]))

    return Contestant(run, MEMBERS * MEMBER_EPOCHS * MEMBER_STEPS_PER_EPOCH)


def _images(
    precision: nets.Precision, channels_at_once: int | None = None, options: dict[str, Any] | None = None
) -> Contestant:
    """The convolutional autoencoder; 1 convolves as many channels as there are, without zeros behind them."""
    peer = theirs.images()
    model = aejax.models.convolutional_autoencoder(
        IMAGE_SHAPE, IMAGE_LATENT_DIM, hidden_dims=IMAGE_HIDDEN_DIMS, precision=precision
    )
    variables, x = _variables(peer), jnp.asarray(theirs.rows(IMAGE_SHAPE, IMAGE_STEPS * IMAGE_BATCH))
    conv._CHANNELS_AT_ONCE = channels_at_once or _OWN_CHANNELS_AT_ONCE
    _engine(None, options)

    def run() -> float:
        fitted = aejax.fit(KEY, model, x, num_epochs=1, batch_size=IMAGE_BATCH, validation=0, variables=variables)
        return float(fitted.history["loss"][-1])

    return Contestant(run, IMAGE_STEPS * IMAGE_BATCH, _cost(model, variables, IMAGE_SHAPE, IMAGE_BATCH))


_OWN_CHANNELS_AT_ONCE = conv._CHANNELS_AT_ONCE


def _cost(
    model: Any, variables: Any, shape: tuple[int, ...], batch_size: int, with_bytes: bool = False
) -> dict[str, float]:
    """Of loss and gradient: ``flops`` as counted before XLA optimises, ``bytes`` that the compiled program moves."""

    def gradient(params: Any, x: Any) -> Any:
        return jax.grad(lambda p: model.loss(KEY, {**variables, "params": p}, Batch(x), model.hparams)[0])(params)

    def lowered() -> Any:
        x = jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32)
        return jax.jit(gradient).lower(variables["params"], x)

    # Only a CPU's lowering counts operations, and its convolutions multiply by no zeros.
    with jax.default_device(jax.devices("cpu")[0]), mock.patch.object(jax, "default_backend", return_value="cpu"):
        facts = {"flops": float(lowered().cost_analysis()["flops"])}
    compiled = lowered().compile().cost_analysis() if with_bytes else {}
    return facts | ({"bytes": float(compiled["bytes accessed"])} if "bytes accessed" in compiled else {})


def _largest(batch_size: int, precision: nets.Precision) -> Contestant:
    """The VAE's step at a large batch."""
    model = aejax.models.vae(
        (15,), theirs.LATENT_DIM, hidden_dims=(128, 64), activation="tanh", shortcut=False, precision=precision
    )
    variables = _variables(theirs.vae())
    x = jnp.asarray(theirs.rows((15,), batch_size))
    _engine()

    def run() -> float:
        fitted = aejax.fit(KEY, model, x, num_epochs=20, batch_size=batch_size, validation=0, variables=variables)
        return float(fitted.history["loss"][-1])

    facts = _cost(model, variables, (15,), batch_size, with_bytes=True) | {"batch_size": batch_size}
    return Contestant(run, 20, facts)


def _scored(block: int, ahead: int) -> Contestant:
    """Scoring rows that lie in the memory of the host."""
    torch.manual_seed(0)
    peer = systems.autoencoder(SCORED_COLUMNS, 8, (64, 32))
    variables, x = _variables(peer), _host_rows()
    task_rows._SIZES["other"], task_rows._BLOCKS_AHEAD = task_rows._Sizes(block, block * SCORED_COLUMNS), ahead
    jax.clear_caches()
    return Contestant(lambda: float(aejax.score(KEY, peer.model, variables, x).mean()), SCORED_ROWS)


@functools.cache
def _host_rows() -> np.ndarray:
    few = theirs.rows((SCORED_COLUMNS,), min(SCORED_ROWS, 1_000_000))
    x = np.empty((SCORED_ROWS, SCORED_COLUMNS), np.float32)
    for begin in range(0, SCORED_ROWS, len(few)):
        x[begin : begin + len(few)] = few
    return x


def _moved(block: int, ahead: int) -> Contestant:
    """Moving the same rows to the device, block by block, and nothing else."""
    x = _host_rows()

    def run() -> None:
        moving: list[jax.Array] = []
        for begin in range(0, len(x), block):
            moving.append(jax.device_put(x[begin : begin + block]))
            if len(moving) > ahead:
                moving.pop(0).block_until_ready()
        jax.block_until_ready(moving)

    return Contestant(run, SCORED_ROWS)


def _product(dtype: str) -> Contestant:
    """The attainable rate: a product of two large matrices, ten times."""
    size = sized(8192, 256)
    matrix = (jax.random.normal(KEY, (size, size), jnp.float32) / size**0.5).astype(dtype)

    @jax.jit
    def multiply(a: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 10, lambda _, b: a @ b, a)

    return Contestant(_blocking(multiply, matrix), 10, {"flops": 2 * size**3})


def _copy() -> Contestant:
    """The attainable bandwidth: a column incremented ten times in place."""
    column = jnp.ones(sized(1024, 1) * MEGABYTE)

    @jax.jit
    def increment(values: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 10, lambda _, values: values + 1, values)

    return Contestant(_blocking(increment, column), 10, {"bytes": 2 * column.nbytes})


def _blocking(function: Callable[[jax.Array], jax.Array], argument: jax.Array) -> Callable[[], None]:
    def run() -> None:
        jax.block_until_ready(function(argument))

    return run


_Tuning = hoisting.Tuning
_OWN_BLOCKS = task_rows._SIZES["other"].rows, task_rows._BLOCKS_AHEAD
# The project's own settings come last: those alone take turns with the peers, since others would compile anew.
CASES: dict[str, dict[str, Callable[[], Contestant]]] = {
    "attainable": {
        "product, float32": functools.partial(_product, "float32"),
        "product, bfloat16": functools.partial(_product, "bfloat16"),
        "copy": _copy,
    },
    "step": {
        "loops in graphs": functools.partial(_step, options=IN_GRAPHS),
        "loops in graphs, flat": functools.partial(_step, flat=True, options=IN_GRAPHS),
        "aejax": _step,
    },
    "members": {
        "loops in graphs": functools.partial(_members, IN_GRAPHS),
        "aejax": _members,
    },
    "images": {
        "loops in graphs": functools.partial(_images, "bfloat16", options=IN_GRAPHS),
        "channels as they are": functools.partial(_images, "bfloat16", channels_at_once=1),
        "float32": functools.partial(_images, "float32"),
        "aejax": functools.partial(_images, "bfloat16"),
    },
    "largest batch": {
        f"{precision}, {batch_size}": functools.partial(_largest, batch_size, precision)
        for batch_size, precision in [*((size, "float32") for size in LARGEST), (LARGEST[-1], "bfloat16")]
    },
    "scored rows": {
        "moved only": functools.partial(_moved, *_OWN_BLOCKS),
        "blocks of 65,536, 16 ahead": functools.partial(_scored, 65_536, 16),
        "blocks of 1,048,576, 4 ahead": functools.partial(_scored, 1_048_576, 4),
        "aejax": functools.partial(_scored, *_OWN_BLOCKS),
    },
}
