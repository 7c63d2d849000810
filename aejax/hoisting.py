"""A scan whose steps do in advance, for many steps at once, what does not depend on the state.

A training step spends a good part of its time on what it could have known beforehand: which rows, which noise, which
units to drop. Done step by step these are many operations on little data, and a random number generator on a few
hundred numbers costs as much as a matrix product; for a block of steps at once they cost next to nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from aejax.base import Array

# Of what is prepared for a block of steps: little enough to stay in a processor's cache.
_BYTES_PER_BLOCK = 4 * 2**20

# What a value in a step depends on, each kind on those before it too.
_CONSTANTS, _INPUTS, _STATE = range(3)


def scan(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any) -> tuple[Any, Any]:
    """``jax.lax.scan`` to the same results, up to rounding; what depends on inputs alone is computed ahead, in blocks.

    Args:
        step: (state, the inputs of one step) -> (state, outputs), without side effects.
        state: pytree of arrays.
        inputs: pytree of arrays with a leading axis of steps.

    Returns:
        The last state, and the outputs with a leading axis.

    Example:
        >>> import jax.numpy as jnp
        >>> def walk(position, key):
        ...     return position + jax.random.normal(key), position
        >>> keys = jax.random.split(jax.random.key(0), 10)
        >>> jnp.allclose(scan(walk, 0.0, keys)[0], jax.lax.scan(walk, 0.0, keys)[0])
        Array(True, dtype=bool)
    """
    num_steps = jax.tree.leaves(inputs)[0].shape[0]
    prepare, finish, num_bytes = _split(step, state, jax.tree.map(lambda array: array[0], inputs))
    block = _block_size(num_steps, num_bytes)
    if block == 1:
        return jax.lax.scan(step, state, inputs)

    def run_block(state: Any, inputs: Any) -> tuple[Any, Any]:
        return jax.lax.scan(finish, state, jax.vmap(prepare)(inputs), length=block)

    if block == num_steps:
        return run_block(state, inputs)
    in_blocks = jax.tree.map(lambda array: array.reshape(-1, block, *array.shape[1:]), inputs)
    state, outputs = jax.lax.scan(run_block, state, in_blocks)
    return state, jax.tree.map(lambda array: array.reshape(num_steps, *array.shape[2:]), outputs)


def _block_size(num_steps: int, num_bytes: int) -> int:
    """The most steps that fit into a block, of those that divide their number."""
    most = max(1, _BYTES_PER_BLOCK // max(num_bytes, 1))
    return max(size for size in range(1, min(num_steps, most) + 1) if num_steps % size == 0)


def _split(
    step: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any
) -> tuple[Callable[[Any], list[Array]], Callable[[Any, list[Array]], tuple[Any, Any]], int]:
    """A step cut in two: (inputs) -> prepared, and (state, prepared) -> (state, outputs); and the bytes of prepared."""
    closed, out_shape = jax.make_jaxpr(step, return_shape=True)(state, inputs)
    jaxpr = closed.jaxpr
    num_state = len(jax.tree.leaves(state))
    state_variables, input_variables = jaxpr.invars[:num_state], jaxpr.invars[num_state:]
    kinds = dict.fromkeys(jaxpr.constvars, _CONSTANTS)
    kinds |= dict.fromkeys(input_variables, _INPUTS) | dict.fromkeys(state_variables, _STATE)
    equations: tuple[list[Any], ...] = ([], [], [])
    for equation in jaxpr.eqns:
        kind = max((kinds[variable] for variable in _variables(equation.invars)), default=_CONSTANTS)
        kind = _STATE if equation.effects else kind
        equations[kind].append(equation)
        kinds |= dict.fromkeys(equation.outvars, kind)

    def needed(kind: int) -> list[Any]:
        """The variables of a kind that equations of later kinds, or the result, need."""
        users = [equation.invars for later in equations[kind + 1 :] for equation in later]
        found = dict.fromkeys(variable for atoms in (*users, jaxpr.outvars) for variable in _variables(atoms))
        return [variable for variable in found if kinds[variable] == kind and variable not in jaxpr.constvars]

    def part(kind: int, invars: list[Any], outvars: list[Any]) -> Callable[..., list[Array]]:
        piece = jaxpr.replace(invars=invars, outvars=outvars, eqns=equations[kind], debug_info=debug_info)
        return core.jaxpr_as_fun(core.ClosedJaxpr(piece, closed.consts))

    debug_info = jaxpr.debug_info.with_unknown_names()
    constant_variables, prepared_variables = needed(_CONSTANTS), needed(_INPUTS)
    constants = part(_CONSTANTS, [], constant_variables)()
    prepare_flat = part(_INPUTS, [*constant_variables, *input_variables], prepared_variables)
    finish_flat = part(_STATE, [*constant_variables, *prepared_variables, *state_variables], jaxpr.outvars)

    def prepare(inputs: Any) -> list[Array]:
        return prepare_flat(*constants, *jax.tree.leaves(inputs))

    def finish(state: Any, prepared: list[Array]) -> tuple[Any, Any]:
        outputs = finish_flat(*constants, *prepared, *jax.tree.leaves(state))
        return jax.tree.unflatten(jax.tree.structure(out_shape), outputs)

    num_bytes = sum(variable.aval.size * variable.aval.dtype.itemsize for variable in prepared_variables)
    return prepare, finish, num_bytes


def _variables(atoms: Any) -> list[Any]:
    return [atom for atom in atoms if not isinstance(atom, core.Literal)]
