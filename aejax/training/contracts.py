"""Whether a model keeps its contract: one pass over shapes, before anything is compiled or computed."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Algorithm, Array, Aux, Batch, Latent, Model, Objective, PyTree, TrainState, Variables
from aejax.data.batches import RowsLike, as_arrays

_NUM_REMEMBERED = 128
_PAIR = "a pair (scalar, Aux(metrics, collections))"


def check(model: Objective | Model | Adversary | Algorithm, batch: RowsLike, hparams: PyTree = None) -> None:
    """Checks that the functions of a model take and return what ``aejax.base`` says, on rows like those of the batch.

    Only shapes are worked out, so that it takes as long for a million rows as for one. ``fit`` calls it. What was found
    to be right is remembered, and costs nothing the next time.

    Args:
        model: an Objective, a Model, an Adversary or an Algorithm.
        batch: (n, *event) rows, or a Batch. Its values do not matter.
        hparams: the hyperparameters, ``model.hparams`` by default.

    Raises:
        ValueError: one sentence that names the function, what was found and what was expected.

    Example:
        >>> from aejax.models import autoencoder
        >>> model = autoencoder((5,), 2)
        >>> check(model, np.zeros((10, 5)))
        >>> check(model._replace(score=lambda key, variables, batch: batch.x), np.zeros((10, 5)))
        Traceback (most recent call last):
        ValueError: score: found an array of shape (10, 5), expected (10,)
    """
    shapes = {
        name: None if field is None else jax.ShapeDtypeStruct(field.shape, bool if name == "mask" else jnp.float32)
        for name, field in as_arrays(batch)._asdict().items()
    }
    check_shapes(as_fittable(model), Batch(**shapes), hparams)  # type: ignore[arg-type]


def check_shapes(model: Objective | Model | Adversary | Algorithm, batch: Batch, hparams: PyTree = None) -> None:
    """``check`` where the shapes of a batch are known, and no batch is there.

    Args:
        model: as in ``check``.
        batch: of ``jax.ShapeDtypeStruct``.
        hparams: as in ``check``.

    Raises:
        ValueError: as ``check``.
    """
    leaves, structure = jax.tree.flatten((batch, _shapes_of(model, hparams)))
    # The defaults are no longer used; arrays among them could not be remembered.
    _pass(model._replace(hparams=()), structure, tuple(leaves), jax.config.read("jax_enable_x64"))


@functools.lru_cache(maxsize=_NUM_REMEMBERED)
def _pass(
    model: Objective | Model | Adversary | Algorithm,
    structure: jax.tree_util.PyTreeDef,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    is_x64: bool,
) -> None:
    """The pass over shapes. An error is not remembered, so that it is raised again."""
    del is_x64  # shapes do not depend on it, types do
    if isinstance(model, Algorithm):
        checked: Callable[..., None] = _check_algorithm
    else:
        checked = _check_adversary if isinstance(model, Adversary) else _check_objective

    failures: list[ValueError] = []

    def trace(leaves: tuple[jax.ShapeDtypeStruct, ...]) -> None:
        batch, hparams = jax.tree.unflatten(structure, leaves)
        try:
            checked(model, jax.random.key(0), batch, hparams)
        except ValueError as error:  # raised from here it would have a note of JAX's beneath it
            failures.append(error)

    jax.eval_shape(trace, leaves)
    if failures:
        raise failures[0]


def as_fittable(model: object) -> Objective | Model | Adversary | Algorithm:
    """What can be fitted, unchanged; anything else with ``init``, ``loss`` and ``hparams`` as an Objective.

    Args:
        model: anything.

    Returns:
        An Objective, a Model, an Adversary or an Algorithm.

    Raises:
        ValueError: it is none; the message says what it seems to be.

    Example:
        >>> as_fittable(len)
        Traceback (most recent call last):
        ValueError: model: found the function len, expected an Objective, Model, Adversary or Algorithm; ...
    """
    expected = "an Objective, Model, Adversary or Algorithm"
    if isinstance(model, Objective | Model | Adversary | Algorithm):
        return model
    if not isinstance(model, type) and all(hasattr(model, field) for field in Objective._fields):
        return Objective(*(getattr(model, field) for field in Objective._fields))
    name = getattr(model, "__name__", type(model).__name__)
    if isinstance(model, type):
        raise ValueError(f"model: found the class {name}, expected {expected}")
    if hasattr(model, "init") and hasattr(model, "apply"):
        raise ValueError(
            f"model: found a network ({name}), expected {expected}; give aejax.models.autoencoder(event_shape, "
            "latent_dim, encoder=aejax.nets.as_network(module)), say"
        )
    if inspect.isroutine(model) or isinstance(model, functools.partial):
        raise ValueError(f"model: found the function {name}, expected {expected}; call it, and give what it returns")
    raise ValueError(f"model: found {name}, expected {expected}")


def hparams_of(model: Objective | Model | Adversary | Algorithm, hparams: PyTree) -> PyTree:
    """The hyperparameters of a Model, an Adversary or an Algorithm: its defaults for None.

    Raises:
        ValueError: they are of another type than the defaults.
    """
    if hparams is None:
        return model.hparams
    expected = type(model.hparams)
    if not isinstance(hparams, expected):
        raise ValueError(
            f"hparams: found {type(hparams).__name__} {hparams!r}, expected {expected.__name__} as in the model; give "
            "model.hparams._replace(...)"
        )
    return hparams


def _shapes_of(model: Objective | Model | Adversary | Algorithm, hparams: PyTree) -> PyTree:
    """The hyperparameters' shapes, once they are of the model's own type and hold numbers."""

    def shape(path: PyTree, value: Any) -> jax.ShapeDtypeStruct:
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(f"hparams: {name}: found {value!r}, expected a number or an array of numbers")
        return jax.ShapeDtypeStruct(np.shape(value), jnp.float32)

    return jax.tree.map_with_path(shape, hparams_of(model, hparams), is_leaf=lambda value: isinstance(value, list))


def _check_objective(model: Objective | Model, key: Array, batch: Batch, hparams: PyTree) -> None:
    num_rows = batch.x.shape[0]
    variables = _checked_variables("init", _call("init", model.init, key, batch))
    for train in (True, False):
        result = _call("loss", model.loss, key, variables, batch, hparams, **({} if train else {"train": False}))
        _check_loss("loss", result, variables if train else None)
    if not isinstance(model, Model):
        return
    if model.encode is not None:
        latent = _call("encode", model.encode, variables, batch.x, batch.cond)
        if not isinstance(latent, Latent):
            raise ValueError(f"encode: found {_described(latent)}, expected Latent(mean, log_var), such as Latent(z)")
        shape = _shape(latent.mean)
        if shape is None or len(shape) != 2 or shape[0] != num_rows:
            raise ValueError(f"encode: found {_described(latent.mean)} as mean, expected ({num_rows}, latent_dim)")
        if latent.log_var is not None:
            _check_shape("encode", latent.log_var, shape, " as log_var")
        if model.decode is not None:
            _check_shape("decode", _call("decode", model.decode, variables, latent.mean, batch.cond), batch.x.shape)
    _check_score_and_sample(model, key, variables, batch)
    if model.log_likelihood is not None:
        result = _call("log_likelihood", model.log_likelihood, key, variables, batch, 2)
        _check_shape("log_likelihood", result, (num_rows,))


def _check_adversary(model: Adversary, key: Array, batch: Batch, hparams: PyTree) -> None:
    number = model.num_discriminator_steps
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"num_discriminator_steps: found {number}, expected a positive whole number")
    variables = _checked_variables("init", _call("init", model.init, key, batch))
    missing = {"generator", "discriminator"} - set(variables["params"])
    if missing:
        raise ValueError(
            f"init: found the params {_listed(variables['params'])}, expected generator and discriminator among them"
        )
    for name in ("discriminator_loss", "generator_loss"):
        _check_loss(name, _call(name, getattr(model, name), key, variables, batch, hparams), variables)
    metrics = _call("evaluate", model.evaluate, key, variables, batch, hparams)
    _check_metrics("evaluate", metrics, needs_loss=True)
    verdict = _call("discriminate", model.discriminate, variables, batch.x, batch.cond)
    _check_shape("discriminate", verdict, batch.x.shape[:1])
    _check_score_and_sample(model, key, variables, batch)


def _check_algorithm(algorithm: Algorithm, key: Array, batch: Batch, hparams: PyTree) -> None:
    state = _call("init", algorithm.init, key, batch, hparams)
    if not isinstance(state, TrainState):
        raise ValueError(f"init: found {_described(state)}, expected a TrainState")
    result = _call("step", algorithm.step, state, batch, hparams)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], TrainState):
        raise ValueError(f"step: found {_described(result)}, expected a pair (TrainState, metrics)")
    _check_same("step", result[0]._asdict(), state._asdict())
    _check_metrics("step", result[1])
    variables = _checked_variables("variables", _call("variables", algorithm.variables, state))
    metrics = _call("evaluate", algorithm.evaluate, key, variables, batch, hparams)
    _check_metrics("evaluate", metrics, needs_loss=True)


def _check_score_and_sample(model: Model | Adversary, key: Array, variables: Variables, batch: Batch) -> None:
    if model.score is not None:
        _check_shape("score", _call("score", model.score, key, variables, batch), batch.x.shape[:1])
    if model.sample is not None:
        drawn = _call("sample", model.sample, key, variables, batch.x.shape[0], batch.cond, None)
        _check_shape("sample", drawn, batch.x.shape)


def _call(name: str, function: object, *args: PyTree, **kwargs: bool) -> object:
    """Calls a function of the model, and says which one it was that failed."""
    if not callable(function):
        raise ValueError(f"{name}: found {_described(function)}, expected a function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C tell nothing
        signature = None
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ValueError(
                f"{name}: found the arguments {signature}, expected {_SIGNATURES[name, len(args)]} ({error})"
            ) from error
    try:
        return function(*args, **kwargs)
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        if isinstance(error, ValueError) and ": found " in first_line and "expected" in first_line:
            raise  # a sentence already
        raise ValueError(f"{name}: found an error in this function, {type(error).__name__}: {first_line}") from error


# What a function is called with, by its name and the number of arguments that stand in order.
_SIGNATURES = {
    ("init", 2): "(key, batch)",
    ("init", 3): "(key, batch, hparams, variables=None)",
    ("loss", 4): "(key, variables, batch, hparams, train=True)",
    ("encode", 3): "(variables, x, cond=None)",
    ("decode", 3): "(variables, z, cond=None)",
    ("score", 3): "(key, variables, batch)",
    ("sample", 5): "(key, variables, num_samples, cond=None, z=None)",
    ("log_likelihood", 4): "(key, variables, batch, num_samples)",
    ("discriminator_loss", 4): "(key, variables, batch, hparams)",
    ("generator_loss", 4): "(key, variables, batch, hparams)",
    ("discriminate", 3): "(variables, x, cond=None)",
    ("evaluate", 4): "(key, variables, batch, hparams)",
    ("step", 3): "(state, batch, hparams)",
    ("variables", 1): "(state)",
}


def _checked_variables(name: str, variables: object) -> Variables:
    if not isinstance(variables, Mapping):
        raise ValueError(f"{name}: found {_described(variables)}, expected a dictionary of collections with params")
    if "params" not in variables:
        raise ValueError(f"{name}: found the collections {_listed(variables)}, expected params among them")
    for path, leaf in jax.tree.leaves_with_path(variables):
        place = jax.tree_util.keystr(path, simple=True, separator=".")
        if _shape(leaf) is None:
            raise ValueError(f"{name}: found {_described(leaf)} as {place}, expected an array")
        if place.startswith("params") and not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ValueError(f"{name}: found {place} of type {jnp.result_type(leaf)}, expected float32: it is trained")
    return dict(variables)


def _check_loss(name: str, result: object, variables: Variables | None) -> None:
    """A scalar and an Aux; with ``variables`` also that their collections come back as they were."""
    if not isinstance(result, tuple) or isinstance(result, Aux) or len(result) != 2:
        raise ValueError(f"{name}: found {_described(result)}, expected {_PAIR}")
    value, aux = result
    if _shape(value) != ():
        raise ValueError(f"{name}: found {_described(value)} as loss, expected a scalar; take the mean over rows")
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise ValueError(f"{name}: found a loss of type {jnp.result_type(value)}, expected float32")
    if not isinstance(aux, Aux):
        raise ValueError(f"{name}: found {_described(aux)} beside the loss, expected Aux(metrics, collections)")
    _check_metrics(name, aux.metrics)
    if not isinstance(aux.collections, Mapping):
        raise ValueError(
            f"{name}: found {_described(aux.collections)} as Aux.collections, expected a dictionary of the collections "
            "other than params, {} where there are none"
        )
    if variables is not None:
        found, expected = (
            {key: value for key, value in collections.items() if key != "params"}
            for collections in (aux.collections, variables)
        )
        _check_same(name, found, expected)


def _check_metrics(name: str, metrics: object, needs_loss: bool = False) -> None:
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{name}: found {_described(metrics)} as metrics, expected a dictionary of scalars by name")
    for metric, value in metrics.items():
        if _shape(value) != ():
            raise ValueError(f"{name}: found {_described(value)} as metric {metric!r}, expected a scalar; average it")
    if needs_loss and "loss" not in metrics:
        raise ValueError(f"{name}: found the metrics {_listed(metrics)}, expected loss among them")


def _check_same(name: str, found: PyTree, expected: PyTree) -> None:
    """The next step takes what this one returns, in the same program."""

    def types(tree: PyTree) -> dict[str, str]:
        return {
            jax.tree_util.keystr(path, simple=True, separator="."): _described(leaf, with_type=True)
            for path, leaf in jax.tree.leaves_with_path(tree)
        }

    after, before = types(found), types(expected)
    for place in [*before, *after]:
        if after.get(place) != before.get(place):
            raise ValueError(
                f"{name}: found {after.get(place, 'nothing')} as {place}, expected {before.get(place, 'nothing')} as "
                "it came in"
            )
    structures = [str(jax.tree.structure(tree)) for tree in (found, expected)]
    if structures[0] != structures[1]:
        raise ValueError(f"{name}: found the structure {structures[0]}, expected {structures[1]} as it came in")


def _check_shape(name: str, found: object, expected: tuple[int, ...], what: str = "") -> None:
    if _shape(found) != expected:
        raise ValueError(f"{name}: found {_described(found)}{what}, expected {expected}")


def _shape(value: object) -> tuple[int, ...] | None:
    """The shape of an array or a number; None of anything else."""
    return jnp.shape(value) if isinstance(value, jax.Array | np.ndarray | np.generic | int | float) else None


def _described(value: Any, with_type: bool = False) -> str:
    shape = _shape(value)
    if shape is None:
        if isinstance(value, tuple) and type(value) is tuple:
            return f"a tuple of {len(value)}"
        return "None" if value is None else type(value).__name__
    return f"an array of {jnp.result_type(value)} {shape}" if with_type else f"an array of shape {shape}"


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "(none)"
