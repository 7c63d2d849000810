import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import hoisting


def noisy_step(state, inputs):
    position, count = state
    key, scale = inputs
    noise = scale * jax.random.normal(key, (3,))
    position = 0.9 * position + noise
    return (position, count + 1), position.sum()


@pytest.fixture
def inputs(key):
    return jax.random.split(key, 12), jnp.linspace(0, 1, 12)


@pytest.mark.parametrize("num_bytes", [1, 12 * 4, 4 * 12, 10**6], ids=["no block", "blocks", "blocks too", "one block"])
def test_it_is_a_scan(inputs, monkeypatch, num_bytes):
    monkeypatch.setattr(hoisting, "_BYTES_PER_BLOCK", num_bytes)
    state = (jnp.ones(3), 0)
    ours, expected = (
        jax.jit(lambda state, inputs, scan=scan: scan(noisy_step, state, inputs))(state, inputs)
        for scan in (hoisting.scan, jax.lax.scan)
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


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


def test_a_step_that_needs_no_inputs(key):
    ours = hoisting.scan(lambda state, _: (state * 2, state), jnp.ones(()), jnp.arange(4))
    assert float(ours[0]) == 16
    np.testing.assert_array_equal(ours[1], [1, 2, 4, 8])
