"""A chemical plant: an exothermic stirred-tank reactor with a cooling jacket under PI control, with labelled faults.

The reactor A -> B and its constants are those of Nahas, Henson & Seborg (1992), Computers & Chemical Engineering 16,
1039 (also Morningred et al. 1992). They describe the coolant by a plug-flow term; here the jacket is a mixed volume
with an energy balance of its own, as in the benchmark of Pilario & Cao (2018), IEEE Trans. Ind. Inf. 14, 5308, so that
its temperature is a sensor. The level varies and is controlled by the outlet valve.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array

_Number = float | Array

SENSORS = (
    "feed_concentration",
    "feed_temperature",
    "feed_flow",
    "coolant_inlet_temperature",
    "coolant_flow",
    "jacket_temperature",
    "reactor_temperature",
    "product_concentration",
    "level",
    "outlet_flow",
    "coolant_valve",
    "outlet_valve",
)
CONDITIONS = ("temperature_setpoint", "flow_setpoint")
FAULTS = (
    "none",
    "temperature_sensor_bias",
    "concentration_sensor_drift",
    "stuck_coolant_valve",
    "fouled_jacket",
    "catalyst_decay",
    "feed_change",
)
UNITS = dict(
    zip(
        (*SENSORS, *CONDITIONS),
        ("mol/L", "K", "L/min", "K", "L/min", "K", "K", "mol/L", "L", "L/min", "1", "1", "K", "L/min"),
        strict=True,
    )
)

# Nahas, Henson & Seborg (1992), table 1.
NOMINAL_FEED_CONCENTRATION = 1.0  # mol/L
NOMINAL_FEED_TEMPERATURE = 350.0  # K
NOMINAL_COOLANT_TEMPERATURE = 350.0  # K
NOMINAL_FLOW = 100.0  # L/min
NOMINAL_VOLUME = 100.0  # L
NOMINAL_TEMPERATURE = 438.5  # K
RATE_CONSTANT = 7.2e10  # 1/min
ACTIVATION_TEMPERATURE = 1e4  # E/R, K
REACTION_HEAT = 200.0  # -dH / (rho cp), K L/mol
HEAT_TRANSFER = 700.0  # hA / (rho cp), L/min
# Pilario & Cao (2018).
JACKET_VOLUME = 10.0  # L

# Ours: equipment and tuning that keep the loop stable over the range of set points below.
LARGEST_COOLANT_FLOW = 250.0  # L/min, valve fully open
LARGEST_OUTLET_FLOW = 200.0  # L/min
SETPOINT_RANGES = ((434.0, 443.0), (90.0, 110.0))  # K, L/min
_TEMPERATURE_GAIN, _TEMPERATURE_RESET = 0.04, 3.0  # 1/K, min
_LEVEL_GAIN, _LEVEL_RESET = 0.05, 20.0  # 1/L, min
_VALVE_LAG = 0.1  # min
_SETPOINT_CHANGE = 1 / 80  # chance a minute that a set point steps

# The jacket's time constant is 10 L / 800 L/min: 0.0125 min; RK4 is stable below 2.78 times that.
_STEPS_PER_MINUTE = 50
_WARM_UP = 60  # min, after which no trace of the initial state is left

# Standard deviation and correlation time (min) of the disturbances: feed concentration, feed temperature, coolant
# inlet temperature, feed flow.
_DISTURBANCE_SCALE = (0.02, 1.0, 1.0, 0.5)
_DISTURBANCE_TIME = (30.0, 40.0, 60.0, 5.0)

# Standard deviation of each sensor's noise, in its units; about the repeatability of industrial instruments.
NOISE_SCALE = (0.005, 0.3, 0.5, 0.3, 0.7, 0.3, 0.3, 0.001, 0.3, 0.5, 0.002, 0.002)


class PlantData(NamedTuple):
    """Trajectories of the plant, one sample a minute.

    Attributes:
        x: (..., time, 12), what the sensors say, in the order of ``SENSORS`` and their ``UNITS``.
        clean: (..., time, 12), the same without the sensors' noise; a sensor's bias is in it.
        cond: (..., time, 2), the set points, in the order of ``CONDITIONS``.
        faulty: (..., time) bool, True from the sample at which the fault enters.
    """

    x: Array
    clean: Array
    cond: Array
    faulty: Array


class _Fault(NamedTuple):
    """What a fault changes, at the present moment; zero for nothing."""

    temperature_bias: Array  # K
    concentration_bias: Array  # mol/L
    stuck: Array  # 1 where the coolant valve does not move
    fouling: Array  # share of the heat transfer lost
    decay: Array  # share of the rate constant lost
    feed: Array  # mol/L added to the feed


class _State(NamedTuple):
    volume: _Number  # L
    concentration: _Number  # mol/L
    temperature: _Number  # K
    jacket: _Number  # K
    coolant_valve: _Number  # 0 to 1
    outlet_valve: _Number  # 0 to 1
    temperature_integral: _Number  # of the controllers, as valve positions
    level_integral: _Number


def reaction_rate(concentration: _Number, temperature: _Number) -> Array:
    """Arrhenius rate of A -> B, k0 exp(-E / (R T)) c.

    Args:
        concentration: of A, mol/L.
        temperature: K.

    Returns:
        mol/(L min).

    Example:
        >>> round(float(reaction_rate(0.1, 438.5)), 2)
        0.9
    """
    return RATE_CONSTANT * jnp.exp(-ACTIVATION_TEMPERATURE / temperature) * concentration


def balances(
    state: tuple[_Number, _Number, _Number, _Number],
    feed: tuple[_Number, _Number, _Number],
    coolant: tuple[_Number, _Number],
    outlet_flow: _Number,
    fouling: _Number,
    decay: _Number,
) -> tuple[_Number, _Number, _Number, _Number]:
    """Time derivatives of volume, concentration, temperature and jacket temperature, per minute.

    Args:
        state: volume (L), concentration (mol/L), temperature (K), jacket temperature (K).
        feed: concentration (mol/L), temperature (K), flow (L/min).
        coolant: inlet temperature (K), flow (L/min).
        outlet_flow: L/min.
        fouling: share of the heat transfer lost.
        decay: share of the rate constant lost.

    Returns:
        L/min, mol/(L min), K/min, K/min.
    """
    volume, concentration, temperature, jacket = state
    feed_concentration, feed_temperature, feed_flow = feed
    coolant_temperature, coolant_flow = coolant
    rate = (1 - decay) * reaction_rate(concentration, temperature)
    exchanged = (1 - fouling) * HEAT_TRANSFER * (temperature - jacket)
    return (
        feed_flow - outlet_flow,
        feed_flow / volume * (feed_concentration - concentration) - rate,
        feed_flow / volume * (feed_temperature - temperature) + REACTION_HEAT * rate - exchanged / volume,
        (coolant_flow * (coolant_temperature - jacket) + exchanged) / JACKET_VOLUME,
    )


def plant(
    key: Array, num_trajectories: int, num_samples: int = 240, fault: str = "none", fault_start: int = 60
) -> PlantData:
    """Simulates trajectories of the plant, each with its own disturbances, set points and noise.

    Faults enter at ``fault_start``: a bias of 2 K in the reactor's thermometer, which the controller believes; a drift
    of 0.0005 mol/L a minute in the product's analyser; a coolant valve that stays where it is; a jacket that loses 40 %
    of its heat transfer, and a catalyst that loses 40 % of its activity, both with a time constant of an hour;
    0.08 mol/L less in the feed.

    Args:
        key: PRNG key.
        num_trajectories: how many.
        num_samples: minutes in each.
        fault: one of ``FAULTS``; which one does not change the compiled program.
        fault_start: the sample at which it enters.

    Returns:
        PlantData with leading axes (num_trajectories, num_samples).

    Raises:
        ValueError: an unknown fault, or a number that is not positive.

    Example:
        >>> plant(jax.random.key(0), 2, num_samples=5).x.shape
        (2, 5, 12)
    """
    if fault not in FAULTS:
        raise ValueError(f"fault: found {fault!r}, expected one of {', '.join(FAULTS)}")
    for name, value in (("num_trajectories", num_trajectories), ("num_samples", num_samples)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected a positive whole number")
    return _simulate_all(jax.random.split(key, num_trajectories), num_samples, FAULTS.index(fault), fault_start)


@functools.partial(jax.jit, static_argnames="num_samples")
def _simulate_all(keys: Array, num_samples: int, fault: int, fault_start: int) -> PlantData:
    return jax.vmap(lambda key: _simulate(key, num_samples, fault, fault_start))(keys)


def _simulate(key: Array, num_samples: int, fault: int, fault_start: int) -> PlantData:
    setpoint_key, disturbance_key, noise_key = jax.random.split(key, 3)
    num_minutes = _WARM_UP + num_samples
    setpoints = _setpoints(setpoint_key, num_minutes)
    disturbances = _disturbances(disturbance_key, num_minutes)
    minutes_since = jnp.arange(num_minutes) - _WARM_UP - fault_start
    faults = jax.vmap(lambda minutes: _fault(fault, minutes))(minutes_since)

    def minute(state: _State, inputs: tuple[Array, Array, _Fault]) -> tuple[_State, Array]:
        setpoint, disturbance, present = inputs
        sensed = _sense(state, setpoint, disturbance, present)

        def substep(state: _State, _: None) -> tuple[_State, None]:
            return _rk4(lambda state: _derivative(state, setpoint, disturbance, present), state), None

        return jax.lax.scan(substep, state, None, length=_STEPS_PER_MINUTE)[0], sensed

    start = _State(NOMINAL_VOLUME, 0.1, setpoints[0, 0], 408.0, 0.5, 0.5, 0.5, 0.5)
    start = jax.tree.map(jnp.float32, start)
    _, clean = jax.lax.scan(minute, start, (setpoints, disturbances, faults))
    clean = clean[_WARM_UP:]
    noise = jnp.array([NOISE_SCALE], clean.dtype) * jax.random.normal(noise_key, clean.shape, clean.dtype)
    is_faulty = (minutes_since[_WARM_UP:] >= 0) & (fault > 0)
    return PlantData(clean + noise, clean, setpoints[_WARM_UP:], is_faulty)


def _setpoints(key: Array, num_minutes: int) -> Array:
    """(num_minutes, 2): held, and now and then drawn anew; the whole warm-up has the first ones."""
    low, high = jnp.array(SETPOINT_RANGES, jnp.float32).T[:, None]
    draw_key, change_key = jax.random.split(key)
    drawn = jax.random.uniform(draw_key, (num_minutes, 2), jnp.float32, minval=low, maxval=high)
    changes = jax.random.bernoulli(change_key, _SETPOINT_CHANGE, (num_minutes, 2))
    changes &= jnp.arange(num_minutes)[:, None] >= _WARM_UP
    last_change = jax.lax.cummax(jnp.where(changes, jnp.arange(num_minutes)[:, None], 0), axis=0)
    return jnp.take_along_axis(drawn, last_change, axis=0)


def _disturbances(key: Array, num_minutes: int) -> Array:
    """(num_minutes, 4): Ornstein-Uhlenbeck processes, begun in their stationary distribution."""
    memory = jnp.exp(-1 / jnp.array(_DISTURBANCE_TIME, jnp.float32))
    draws = jax.random.normal(key, (num_minutes, 4), jnp.float32)

    def step(value: Array, draw: Array) -> tuple[Array, Array]:
        value = memory * value + jnp.sqrt(1 - memory**2) * draw
        return value, value

    return jnp.array([_DISTURBANCE_SCALE], jnp.float32) * jax.lax.scan(step, draws[0], draws)[1]


def _fault(fault: int, minutes: Array) -> _Fault:
    active = (minutes >= 0).astype(jnp.float32)
    slowly = active * (1 - jnp.exp(-jnp.maximum(minutes, 0).astype(jnp.float32) / 60))

    def share(name: str, size: Array) -> Array:
        return jnp.where(fault == FAULTS.index(name), size, 0.0)

    return _Fault(
        temperature_bias=share("temperature_sensor_bias", 2.0 * active),
        concentration_bias=share("concentration_sensor_drift", 0.0005 * active * minutes),
        stuck=share("stuck_coolant_valve", active),
        fouling=share("fouled_jacket", 0.4 * slowly),
        decay=share("catalyst_decay", 0.4 * slowly),
        feed=share("feed_change", -0.08 * active),
    )


def _inputs(setpoint: Array, disturbance: Array, fault: _Fault) -> tuple[tuple[Array, Array, Array], Array]:
    feed_concentration = NOMINAL_FEED_CONCENTRATION + disturbance[0] + fault.feed
    feed = (feed_concentration, NOMINAL_FEED_TEMPERATURE + disturbance[1], setpoint[1] + disturbance[3])
    return feed, NOMINAL_COOLANT_TEMPERATURE + disturbance[2]


def _flows(state: _State) -> tuple[_Number, Array]:
    """Coolant and outlet flow; a valve's flow is its opening's, the outlet's grows with the root of the level too."""
    coolant = LARGEST_COOLANT_FLOW * state.coolant_valve
    return coolant, LARGEST_OUTLET_FLOW * state.outlet_valve * jnp.sqrt(state.volume / NOMINAL_VOLUME)


def _sense(state: _State, setpoint: Array, disturbance: Array, fault: _Fault) -> Array:
    feed, coolant_temperature = _inputs(setpoint, disturbance, fault)
    coolant_flow, outlet_flow = _flows(state)
    return jnp.stack(
        [
            *feed,
            coolant_temperature,
            coolant_flow,
            state.jacket,
            state.temperature + fault.temperature_bias,
            state.concentration + fault.concentration_bias,
            state.volume,
            outlet_flow,
            state.coolant_valve,
            state.outlet_valve,
        ]
    )


def _derivative(state: _State, setpoint: Array, disturbance: Array, fault: _Fault) -> _State:
    feed, coolant_temperature = _inputs(setpoint, disturbance, fault)
    coolant_flow, outlet_flow = _flows(state)
    physical = (state.volume, state.concentration, state.temperature, state.jacket)
    rates = balances(physical, feed, (coolant_temperature, coolant_flow), outlet_flow, fault.fouling, fault.decay)
    too_hot = state.temperature + fault.temperature_bias - setpoint[0]
    too_full = state.volume - NOMINAL_VOLUME
    coolant_wanted, temperature_integral = _pi(
        too_hot, state.temperature_integral, _TEMPERATURE_GAIN, _TEMPERATURE_RESET
    )
    outlet_wanted, level_integral = _pi(too_full, state.level_integral, _LEVEL_GAIN, _LEVEL_RESET)
    return _State(
        *rates,
        coolant_valve=(1 - fault.stuck) * (coolant_wanted - state.coolant_valve) / _VALVE_LAG,
        outlet_valve=(outlet_wanted - state.outlet_valve) / _VALVE_LAG,
        temperature_integral=temperature_integral,
        level_integral=level_integral,
    )


def _pi(error: _Number, integral: _Number, gain: float, reset: float) -> tuple[Array, Array]:
    """The opening that a PI controller asks for, and the rate of its integral, which stops at the valve's ends."""
    wanted = integral + gain * error
    rate = gain / reset * error
    winds_up = ((wanted > 1) & (error > 0)) | ((wanted < 0) & (error < 0))
    return jnp.clip(wanted, 0, 1), jnp.where(winds_up, 0, rate)


def _rk4(derivative: Callable[[_State], _State], state: _State) -> _State:
    step = 1 / _STEPS_PER_MINUTE

    def moved(slope: _State, by: float) -> _State:
        return jax.tree.map(lambda value, rate: value + by * rate, state, slope)

    first = derivative(state)
    second = derivative(moved(first, step / 2))
    third = derivative(moved(second, step / 2))
    fourth = derivative(moved(third, step))
    return jax.tree.map(
        lambda value, a, b, c, d: value + step / 6 * (a + 2 * b + 2 * c + d), state, first, second, third, fourth
    )
