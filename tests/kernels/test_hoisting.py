import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.kernels import hoisting


def noisy_step(state, inputs):
    position, count = state
    key, scale = inputs
    noise = scale * jax.random.normal(key, (3,))
    position = 0.9 * position + noise
    return (position, count + 1), position.sum()


@pytest.fixture
def inputs(key):
    return jax.random.split(key, 12), jnp.linspace(0, 1, 12)


def same(ours, expected):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("switch", ["on", "off"])
def test_it_is_a_scan(inputs, monkeypatch, switch):
    monkeypatch.setenv("AEJAX_HOISTING", switch)
    state = (jnp.ones(3), 0)
    ours, expected = (
        jax.jit(lambda state, inputs, scan=scan: scan(noisy_step, state, inputs))(state, inputs)
        for scan in (hoisting.scan, jax.lax.scan)
    )
    same(ours, expected)


def walk(state, number):
    """A step that draws 12 bytes of noise by its number, and keeps what it saw."""
    position, seen = state
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(3), number), (3,))
    return 0.9 * position + noise, seen.at[number].set(position.sum())


def run(begin, end, state, origin=5, period=12):
    numbers = [jnp.int32(number) for number in (begin, end, origin)]
    return jax.jit(lambda s, b, e, o: hoisting.loop(walk, s, b, e, o, period))(state, *numbers)


# Noise of one step takes 12 bytes: blocks of 1, 3, 5 (12 steps in 3 parts of 4), and all 12 steps.
@pytest.mark.parametrize(("num_bytes", "block"), [(12, 1), (3 * 12, 3), (5 * 12, 4), (10**6, 12)])
@pytest.mark.parametrize("steps_at_once", [1, 5])  # 5: rounds of 3, 4, and 4 of the steps of a block
def test_a_loop_in_blocks_is_a_loop_and_may_be_cut_anywhere(monkeypatch, num_bytes, block, steps_at_once):
    state = (jnp.ones(3), jnp.zeros(40))
    monkeypatch.setenv("AEJAX_HOISTING", "off")
    expected = jax.lax.fori_loop(5, 17, lambda number, state: walk(state, number), state)
    same(run(5, 17, state), expected)
    monkeypatch.setenv("AEJAX_HOISTING", "on")
    monkeypatch.setitem(hoisting.TUNING, "cpu", hoisting.Tuning(num_bytes, steps_at_once))
    assert hoisting._even(12, num_bytes // 12) == block
    whole = run(5, 17, state)
    same(whole, expected)
    for cut in range(5, 18):
        parts = run(cut, 17, run(5, cut, state))
        for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(a, b)
    same(run(17, 5, state), state)  # nothing to do


def primitives_inside_scans(jaxpr, inside=False):
    for equation in jaxpr.eqns:
        if inside:
            yield equation.primitive.name
        for parameter in equation.params.values():
            if hasattr(parameter, "eqns") or hasattr(parameter, "jaxpr"):
                within = inside or equation.primitive.name == "scan"
                yield from primitives_inside_scans(getattr(parameter, "jaxpr", parameter), within)


def test_noise_is_drawn_outside_the_loop(inputs):
    state = (jnp.ones(3), 0)
    found = {
        scan: set(
            primitives_inside_scans(jax.make_jaxpr(lambda s, i, scan=scan: scan(noisy_step, s, i))(state, inputs).jaxpr)
        )
        for scan in (jax.lax.scan, hoisting.scan)
    }
    assert "random_bits" in found[jax.lax.scan]
    assert "random_bits" not in found[hoisting.scan]
    assert "add" in found[hoisting.scan]


def test_what_is_closed_over_is_neither_copied_nor_stacked(key):
    table = jax.random.normal(key, (100, 1000))

    def step(state, row):
        return state + (table * 2)[row], None

    jaxpr = jax.make_jaxpr(lambda rows: hoisting.scan(step, jnp.zeros(1000), rows))(jnp.arange(5))
    sizes = [variable.aval.size for equation in jaxpr.jaxpr.eqns for variable in equation.outvars]
    assert max(sizes) == table.size


def test_noise_is_drawn_outside_the_steps():
    state = (jnp.ones(3), jnp.zeros(40))
    jaxpr = jax.make_jaxpr(lambda s, n: hoisting.loop(walk, s, n, n + 4, n, 12))(state, jnp.int32(0)).jaxpr
    (outer,) = [equation for equation in jaxpr.eqns if equation.primitive.name == "while"]
    body = outer.params["body_jaxpr"].jaxpr
    names = [equation.primitive.name for equation in body.eqns]
    assert any("random" in name or name == "pjit" for name in names)
    (inner,) = [equation for equation in body.eqns if equation.primitive.name == "while"]
    assert not [e for e in inner.params["body_jaxpr"].jaxpr.eqns if "random" in e.primitive.name]


def test_a_step_that_needs_no_inputs(key):
    ours = hoisting.scan(lambda state, _: (state * 2, state), jnp.ones(()), jnp.arange(4))
    assert float(ours[0]) == 16
    np.testing.assert_array_equal(ours[1], [1, 2, 4, 8])
