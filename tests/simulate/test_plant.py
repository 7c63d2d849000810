"""The reactor against its own equations, its set points and its faults."""

import jax
import numpy as np
import pytest

from aejax.simulate import plant as reactor
from aejax.simulate.plant import FAULTS, SENSORS, balances, plant

INDEX = {name: index for index, name in enumerate(SENSORS)}


@pytest.fixture(scope="module")
def normal():
    return plant(jax.random.key(0), 8, 200)


def column(data, name, field="clean"):
    return np.asarray(getattr(data, field))[..., INDEX[name]]


def test_the_published_steady_state_solves_the_balances():
    """Nahas, Henson & Seborg (1992): c = 0.1 mol/L, T = 438.5 K at q = 100 L/min; the coolant flow follows by hand."""
    concentration, temperature = 0.1, 438.54
    # What the plug-flow jacket of the source removes at 103.41 L/min, the mixed jacket removes at Tc:
    removed = 103.41 * (1 - np.exp(-700 / 103.41)) * (temperature - 350)
    jacket = temperature - removed / 700
    coolant = removed / (jacket - 350)
    rates = balances((100.0, concentration, temperature, jacket), (1.0, 350.0, 100.0), (350.0, coolant), 100.0, 0, 0)
    volume_rate, concentration_rate, temperature_rate, jacket_rate = map(float, rates)
    assert volume_rate == 0
    assert abs(concentration_rate) < 0.01  # of 0.9 mol/(L min) that react
    assert abs(temperature_rate) < 1.5  # K/min, of 180 that the reaction makes
    assert abs(jacket_rate) < 0.01


def test_energy_is_conserved_without_reaction_and_flow():
    rates = balances((100.0, 0.0, 400.0, 350.0), (0.0, 350.0, 0.0), (350.0, 0.0), 0.0, 0, 0)
    assert float(100 * rates[2] + reactor.JACKET_VOLUME * rates[3]) == pytest.approx(0, abs=1e-2)


def test_mass_balances_close_on_average(normal):
    """Over hours, what flows in flows out, and what is fed and not found has reacted."""
    inflow, outflow = column(normal, "feed_flow").mean(), column(normal, "outlet_flow").mean()
    assert outflow == pytest.approx(inflow, rel=2e-3)
    fed = (column(normal, "feed_flow") * column(normal, "feed_concentration")).mean()
    left = (column(normal, "outlet_flow") * column(normal, "product_concentration")).mean()
    rate = reactor.reaction_rate(column(normal, "product_concentration"), column(normal, "reactor_temperature"))
    reacted = (np.asarray(rate) * column(normal, "level")).mean()
    assert fed - left == pytest.approx(reacted, rel=0.01)


def test_control_holds_the_set_points(normal):
    error = column(normal, "reactor_temperature") - np.asarray(normal.cond)[..., 0]
    assert abs(error.mean()) < 0.1
    assert np.quantile(np.abs(error), 0.9) < 1.0
    assert np.abs(column(normal, "level") - 100).max() < 5
    valve = column(normal, "coolant_valve")
    assert valve.min() > 0.05
    assert valve.max() < 0.95


def test_the_noise_is_as_stated(normal):
    noise = np.asarray(normal.x - normal.clean).reshape(-1, len(SENSORS)).std(axis=0)
    np.testing.assert_allclose(noise, reactor.NOISE_SCALE, rtol=0.1)


def test_the_same_key_gives_the_same_bits(normal):
    np.testing.assert_array_equal(plant(jax.random.key(0), 8, 200).x, normal.x)
    assert not np.array_equal(plant(jax.random.key(1), 8, 200).x, normal.x)


@pytest.mark.parametrize(
    ("fault", "sensor"),
    [
        ("temperature_sensor_bias", "product_concentration"),  # the controller cools what is not too hot
        ("concentration_sensor_drift", "product_concentration"),
        ("stuck_coolant_valve", "reactor_temperature"),
        ("fouled_jacket", "jacket_temperature"),
        ("catalyst_decay", "product_concentration"),
        ("feed_change", "feed_concentration"),
    ],
)
def test_a_fault_changes_what_it_should_and_nothing_before_it(normal, fault, sensor):
    broken = plant(jax.random.key(0), 8, 200, fault=fault, fault_start=100)
    np.testing.assert_array_equal(broken.x[:, :100], normal.x[:, :100])
    difference = (column(broken, sensor) - column(normal, sensor))[:, 110:]
    usual = np.asarray(normal.x - normal.clean)[..., INDEX[sensor]].std()
    assert np.sqrt(np.mean(difference**2)) > 3 * usual
    assert broken.faulty[:, 100:].all()
    assert not broken.faulty[:, :100].any()
    assert np.isfinite(broken.x).all()


def test_one_program_serves_all_faults():
    before = reactor._simulate_all._cache_size()
    for index, fault in enumerate(FAULTS):
        plant(jax.random.key(index), 2, 7, fault=fault, fault_start=index)
    assert reactor._simulate_all._cache_size() == before + 1


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="fault: found 'leak', expected one of none"):
        plant(jax.random.key(0), 2, fault="leak")
    with pytest.raises(ValueError, match="num_samples: found 0"):
        plant(jax.random.key(0), 2, 0)
