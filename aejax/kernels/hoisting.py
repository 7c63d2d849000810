"""Loops whose steps do in advance, for many steps at once, what does not depend on the state.

A training step spends a good part of its time on what it could have known beforehand: which rows, which noise, which
units to drop. Done step by step these are many operations on little data, and a random number generator on a few
hundred numbers costs as much as a matrix product; for a block of steps at once they cost next to nothing.

``AEJAX_HOISTING=off`` in the environment makes plain loops of them, to the same results up to rounding.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from aejax.base import Array, PyTree


class Tuning(NamedTuple):
    """How loops are laid out on a kind of device.

    Attributes:
        bytes_per_block: of what is prepared for a block of steps.
        steps_at_once: the most steps that one round of the loop computes.
    """

    bytes_per_block: int
    steps_at_once: int


# A processor keeps what is prepared in its cache. An accelerator has memory for more, and each round of a loop costs it
# a wait for the host: see benchmarks/README.md.
TUNING = {"cpu": Tuning(4 * 2**20, 1), "other": Tuning(256 * 2**20, 8)}

# What a value in a step depends on, each kind on those before it too.
_CONSTANTS, _INPUTS, _STATE = range(3)


def is_on() -> bool:
    """Whether loops compute ahead what does not depend on the step before."""
    return os.environ.get("AEJAX_HOISTING", "on") != "off"


def tuning() -> Tuning:
    """The Tuning of the device that programs are compiled for."""
    return TUNING.get(jax.default_backend(), TUNING["other"])


def loop(
    step: Callable[[PyTree, Array], PyTree],
    state: PyTree,
    begin: Array,
    end: Array,
    origin: Array,
    period: int,
    num_copies: int = 1,
) -> PyTree:
    """Runs steps ``begin`` to ``end`` of a loop of which every part gives the same bits, however it is cut.

    What depends on a step's number alone is computed for blocks of steps, which are counted from the origin: where the
    loop is cut does not move them. Bounds are traced, so all parts run the same compiled code.

    Args:
        step: (state, number of the step) -> state, without side effects.
        state: pytree of arrays.
        begin: int32 scalar, at least the origin.
        end: int32 scalar, the number behind the last step; nothing is done where it is not above ``begin``.
        origin: int32 scalar, where blocks begin.
        period: the most steps that a loop from the origin on has, above which no block need reach.
        num_copies: how many such loops ``vmap`` makes run side by side, each with a block of its own.

    Returns:
        The state.

    Example:
        >>> def walk(position, number):
        ...     return position + jax.random.normal(jax.random.fold_in(jax.random.key(0), number))
        >>> zero, two, five = jnp.arange(0, 6, dtype=jnp.int32)[jnp.array([0, 2, 5])]
        >>> whole = loop(walk, 0.0, zero, five, zero, 5)
        >>> bool(loop(walk, loop(walk, 0.0, zero, two, zero, 5), two, five, zero, 5) == whole)
        True
    """
    parts = _split(step, state, begin) if is_on() else None
    bytes_per_block, steps_at_once = tuning()
    num_bytes = 0 if parts is None else max(parts.num_bytes, 1) * num_copies
    block = 1 if parts is None else _even(period, max(1, bytes_per_block // num_bytes))
    if parts is None or block == 1:
        return _while(lambda state, number: step(state, number), state, begin, end)
    at_once = _even(block, steps_at_once)

    def run_block(carry: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        begin, state = carry
        first = begin - (begin - origin) % block
        prepared = jax.vmap(parts.prepare)(first + jnp.arange(block, dtype=jnp.int32))

        def finish(state: PyTree, number: Array) -> PyTree:
            ready = [jax.lax.dynamic_index_in_dim(array, number - first, keepdims=False) for array in prepared]
            return parts.finish(state, ready)

        last = jnp.minimum(end, first + block)
        if at_once == 1:
            return last, _while(finish, state, begin, last)
        return last, _while_at_once(finish, state, begin, last, first, at_once)

    return jax.lax.while_loop(lambda carry: carry[0] < end, run_block, (begin, state))[1]


def _while(step: Callable[[PyTree, Array], PyTree], state: PyTree, begin: Array, end: Array) -> PyTree:
    def body(carry: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        number, state = carry
        return number + jnp.int32(1), step(state, number)

    return jax.lax.while_loop(lambda carry: carry[0] < end, body, (begin, state))[1]


def _while_at_once(
    step: Callable[[PyTree, Array], PyTree], state: PyTree, begin: Array, end: Array, origin: Array, at_once: int
) -> PyTree:
    """``_while`` with so many steps a round, counted from the origin.

    A step has the same place in the same code however the loop is cut: those of a round that are not due are computed,
    and dropped.
    """

    def body(carry: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        number, state = carry
        for _ in range(at_once):
            is_due = (begin <= number) & (number < end)
            state = jax.tree.map(functools.partial(jnp.where, is_due), step(state, number), state)
            number = number + jnp.int32(1)
        return number, state

    aligned = begin - (begin - origin) % at_once
    return jax.lax.while_loop(lambda carry: carry[0] < end, body, (aligned, state))[1]


def _even(period: int, most: int) -> int:
    """The length of blocks that divide a period into the fewest parts of nearly one size."""
    return math.ceil(period / math.ceil(period / min(period, most)))


def scan(
    step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]], state: PyTree, inputs: PyTree
) -> tuple[PyTree, PyTree]:
    """``jax.lax.scan`` to the same results, up to rounding; what depends on inputs alone is computed ahead, at once.

    Args:
        step: (state, the inputs of one step) -> (state, outputs), without side effects.
        state: pytree of arrays.
        inputs: pytree of arrays with a leading axis of steps; few, since all that is prepared is kept.

    Returns:
        The last state, and the outputs with a leading axis.

    Example:
        >>> def walk(position, key):
        ...     return position + jax.random.normal(key), position
        >>> keys = jax.random.split(jax.random.key(0), 10)
        >>> jnp.allclose(scan(walk, 0.0, keys)[0], jax.lax.scan(walk, 0.0, keys)[0])
        Array(True, dtype=bool)
    """
    if not is_on():
        return jax.lax.scan(step, state, inputs)
    parts = _split(step, state, jax.tree.map(lambda array: array[0], inputs))
    num_steps = jax.tree.leaves(inputs)[0].shape[0]
    return jax.lax.scan(parts.finish, state, jax.vmap(parts.prepare)(inputs), length=num_steps)


class _Parts(NamedTuple):
    """A step cut in two.

    Attributes:
        prepare: (inputs) -> what can be known ahead.
        finish: (state, prepared) -> what the step returns.
        num_bytes: of what is prepared for one step.
    """

    prepare: Callable[[PyTree], list[Array]]
    finish: Callable[[PyTree, list[Array]], PyTree]
    num_bytes: int


def _split(step: Callable[[PyTree, PyTree], PyTree], state: PyTree, inputs: PyTree) -> _Parts:
    closed, out_shape = jax.make_jaxpr(step, return_shape=True)(state, inputs)
    jaxpr = closed.jaxpr
    num_state = len(jax.tree.leaves(state))
    state_variables, input_variables = jaxpr.invars[:num_state], jaxpr.invars[num_state:]
    kinds = dict.fromkeys(jaxpr.constvars, _CONSTANTS)
    kinds |= dict.fromkeys(input_variables, _INPUTS) | dict.fromkeys(state_variables, _STATE)
    equations: tuple[list[core.JaxprEqn], ...] = ([], [], [])
    for equation in jaxpr.eqns:
        kind = max((kinds[variable] for variable in _variables(equation.invars)), default=_CONSTANTS)
        kind = _STATE if equation.effects else kind
        equations[kind].append(equation)
        kinds |= dict.fromkeys(equation.outvars, kind)

    def needed(kind: int) -> list[core.Var]:
        """The variables of a kind that equations of later kinds, or the result, need."""
        users = [equation.invars for later in equations[kind + 1 :] for equation in later]
        found = dict.fromkeys(variable for atoms in (*users, jaxpr.outvars) for variable in _variables(atoms))
        return [variable for variable in found if kinds[variable] == kind and variable not in jaxpr.constvars]

    def part(kind: int, invars: list[core.Var], outvars: list[core.Var]) -> Callable[..., list[Array]]:
        piece = jaxpr.replace(invars=invars, outvars=outvars, eqns=equations[kind], debug_info=debug_info)
        return core.jaxpr_as_fun(core.ClosedJaxpr(piece, closed.consts))

    debug_info = jaxpr.debug_info.with_unknown_names()
    constant_variables, prepared_variables = needed(_CONSTANTS), needed(_INPUTS)
    constants = part(_CONSTANTS, [], constant_variables)()
    prepare_flat = part(_INPUTS, [*constant_variables, *input_variables], prepared_variables)
    finish_flat = part(_STATE, [*constant_variables, *prepared_variables, *state_variables], jaxpr.outvars)

    def prepare(inputs: PyTree) -> list[Array]:
        return prepare_flat(*constants, *jax.tree.leaves(inputs))

    def finish(state: PyTree, prepared: list[Array]) -> PyTree:
        outputs = finish_flat(*constants, *prepared, *jax.tree.leaves(state))
        return jax.tree.unflatten(jax.tree.structure(out_shape), outputs)

    avals: list[Any] = [variable.aval for variable in prepared_variables]
    num_bytes = sum(aval.size * aval.dtype.itemsize for aval in avals)
    return _Parts(prepare, finish, num_bytes)


def _variables(atoms: PyTree) -> list[core.Var]:
    return [atom for atom in atoms if not isinstance(atom, core.Literal)]
