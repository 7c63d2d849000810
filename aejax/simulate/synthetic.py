"""The source texts' generators, each with its known optimum: what no model can beat, as a function."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array, ArrayLike


class LinearGaussian(NamedTuple):
    """Rows from a few factors, x = z W + noise.

    Attributes:
        x: (n, c), measured values.
        clean: (n, c), without the noise.
        factors: (n, k), z ~ Normal(0, 1).
        loading: (k, c), W.
    """

    x: Array
    clean: Array
    factors: Array
    loading: Array


class Sinusoids(NamedTuple):
    """Noisy sinusoids.

    Attributes:
        x: (n, length), noisy.
        clean: (n, length).
        frequency: (n, num_components), in cycles a sample.
    """

    x: Array
    clean: Array
    frequency: Array


class TemperatureDependent(NamedTuple):
    """Five process variables that follow a temperature.

    Attributes:
        x: (n, 5).
        temperature: (n, 1), K.
    """

    x: Array
    temperature: Array


def linear_gaussian(
    key: Array, num_rows: int, loading: ArrayLike | None = None, noise: float = 0.1, num_variables: int = 10
) -> LinearGaussian:
    """Process data from two factors, as the first source text's ten variables; here the optimum is known.

    Args:
        key: PRNG key.
        num_rows: n.
        loading: (k, c); by default two factors with standard normal loadings drawn from the key.
        noise: standard deviation of the noise in each variable.
        num_variables: c, for the default loading.

    Returns:
        LinearGaussian.

    Raises:
        ValueError: ``num_rows`` or ``noise`` out of range.

    Example:
        >>> linear_gaussian(jax.random.key(0), 100).x.shape
        (100, 10)
    """
    _check(num_rows, noise)
    loading_key, factor_key, noise_key = jax.random.split(key, 3)
    drawn = (
        jax.random.normal(loading_key, (2, num_variables), jnp.float32)
        if loading is None
        else jnp.asarray(loading, jnp.float32)
    )
    factors = jax.random.normal(factor_key, (num_rows, drawn.shape[0]), drawn.dtype)
    clean = factors @ drawn
    return LinearGaussian(clean + noise * jax.random.normal(noise_key, clean.shape, clean.dtype), clean, factors, drawn)


def pca_mse(loading: ArrayLike, noise: float, latent_dim: int) -> float:
    """The smallest expected squared error per element of a linear code of ``linear_gaussian`` rows.

    The sum of the smallest eigenvalues of the covariance W'W + noise^2 I (Hotelling 1933), divided by c.

    Args:
        loading: (k, c).
        noise: standard deviation.
        latent_dim: size of the code.

    Returns:
        The error in the squared units of x.

    Example:
        >>> round(pca_mse(jnp.ones((1, 4)), noise=1.0, latent_dim=1), 6)
        0.75
    """
    values = jnp.linalg.eigvalsh(_covariance(loading, noise))
    return float(values[: values.shape[0] - latent_dim].sum() / values.shape[0])


def wiener_mse(loading: ArrayLike, noise: float) -> float:
    """The smallest expected squared error per element of any denoiser of ``linear_gaussian`` rows.

    All is Gaussian, so the conditional mean is linear (Wiener 1949): with S = W'W, the error is
    trace(S - S (S + noise^2 I)^-1 S) / c. The source text prints a signal-to-noise ratio above this bound.

    Args:
        loading: (k, c).
        noise: standard deviation.

    Returns:
        The error in the squared units of x.

    Example:
        >>> round(wiener_mse(jnp.ones((1, 1)), noise=1.0), 6)
        0.5
    """
    signal = _covariance(loading, 0.0)
    return float(jnp.trace(signal - signal @ jnp.linalg.solve(_covariance(loading, noise), signal)) / signal.shape[0])


def wiener_snr_db(loading: ArrayLike, noise: float) -> float:
    """The largest signal-to-noise ratio after denoising of ``linear_gaussian`` rows, in dB.

    Args:
        loading: (k, c).
        noise: standard deviation.

    Returns:
        dB.

    Example:
        >>> round(wiener_snr_db(jnp.ones((1, 1)), noise=1.0), 2)
        3.01
    """
    signal = _covariance(loading, 0.0)
    return float(10 * jnp.log10(jnp.trace(signal) / signal.shape[0] / wiener_mse(loading, noise)))


def probabilistic_pca_log_likelihood(x: ArrayLike, latent_dim: int) -> float:
    """The largest mean log-likelihood of a linear-Gaussian latent variable model with one noise scale.

    Tipping & Bishop (1999), eq. 4 at the maximum of eq. 7 and 8, where the model's covariance has the sample's leading
    eigenvalues and the mean of the others.

    Args:
        x: (n, c) rows.
        latent_dim: below c.

    Returns:
        Nats a row.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (1000, 3))
        >>> round(probabilistic_pca_log_likelihood(x, 1), 1)
        -4.3
    """
    centred = jnp.asarray(x) - jnp.mean(jnp.asarray(x), axis=0, keepdims=True)
    values = jnp.linalg.eigvalsh(centred.T @ centred / centred.shape[0])
    size = values.shape[0]
    others, leading = values[: size - latent_dim], values[size - latent_dim :]
    log_determinant = jnp.sum(jnp.log(leading)) + others.shape[0] * jnp.log(jnp.mean(others))
    # At the maximum, trace(C^-1 S) is the number of variables.
    return float(-0.5 * (size * jnp.log(2 * jnp.pi) + log_determinant + size))


def sinusoids(key: Array, num_rows: int, length: int = 128, noise: float = 0.3, num_components: int = 1) -> Sinusoids:
    """Noisy sums of sinusoids of random frequency (2 to 10 cycles a row) and phase, as the second source text denoises.

    Args:
        key: PRNG key.
        num_rows: n.
        length: samples a row.
        noise: standard deviation.
        num_components: sinusoids in a row, each of amplitude 1.

    Returns:
        Sinusoids.

    Raises:
        ValueError: ``num_rows``, ``noise`` or ``num_components`` out of range.

    Example:
        >>> sinusoids(jax.random.key(0), 5).x.shape
        (5, 128)
    """
    _check(num_rows, noise)
    if num_components < 1:
        raise ValueError(f"num_components: found {num_components}, expected a positive whole number")
    frequency_key, phase_key, noise_key = jax.random.split(key, 3)
    shape = (num_rows, num_components)
    frequency = jax.random.uniform(frequency_key, shape, jnp.float32, minval=2, maxval=10) / length
    phase = jax.random.uniform(phase_key, shape, jnp.float32, maxval=2 * jnp.pi)
    angle = 2 * jnp.pi * frequency[..., None] * jnp.arange(length)[None, None, :] + phase[..., None]
    clean = jnp.sin(angle).sum(axis=1)
    return Sinusoids(clean + noise * jax.random.normal(noise_key, clean.shape, clean.dtype), clean, frequency)


def sinusoid_projection(x: ArrayLike, frequency: ArrayLike) -> Array:
    """Least squares on sines and cosines of the true frequencies: what one who knows them would do.

    Its expected squared error per sample is 2 noise^2 / length for each frequency, ``sinusoid_mse``: two coefficients
    are fitted. To find frequency and phase at a known amplitude costs as much in long rows: this is the mark to compare
    a denoiser with.

    Args:
        x: (n, length), noisy.
        frequency: (n, num_components), in cycles a sample.

    Returns:
        (n, length).

    Example:
        >>> data = sinusoids(jax.random.key(0), 3, noise=0.0)
        >>> bool(jnp.allclose(sinusoid_projection(data.x, data.frequency), data.clean, atol=1e-4))
        True
    """

    def project(row: Array, frequency: Array) -> Array:
        angle = 2 * jnp.pi * jnp.arange(row.shape[0])[:, None] * frequency[None, :]
        basis = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
        return basis @ jnp.linalg.solve(basis.T @ basis, basis.T @ row)

    return jax.vmap(project)(jnp.asarray(x), jnp.asarray(frequency))


def sinusoid_mse(length: int, noise: float, num_components: int = 1) -> float:
    """Expected squared error per sample of ``sinusoid_projection``, 2 num_components noise^2 / length.

    Example:
        >>> sinusoid_mse(length=200, noise=1.0)
        0.01
    """
    return 2 * num_components * noise**2 / length


def temperature_dependent(key: Array, num_rows: int) -> TemperatureDependent:
    """Five process variables at temperatures drawn uniformly from 300 to 500 K.

    Conversion follows a logistic curve, pressure and flow a line, viscosity an Arrhenius law, selectivity a parabola;
    each has noise of known size, ``conditional_std``.

    Args:
        key: PRNG key.
        num_rows: n.

    Returns:
        TemperatureDependent.

    Raises:
        ValueError: ``num_rows`` is not positive.

    Example:
        >>> temperature_dependent(jax.random.key(0), 7).x.shape
        (7, 5)
    """
    _check(num_rows, 0.0)
    temperature_key, noise_key = jax.random.split(key)
    temperature = jax.random.uniform(temperature_key, (num_rows,), jnp.float32, minval=300, maxval=500)
    noise = conditional_std(temperature) * jax.random.normal(noise_key, (num_rows, 5), jnp.float32)
    return TemperatureDependent(conditional_mean(temperature) + noise, temperature[:, None])


def conditional_mean(temperature: ArrayLike) -> Array:
    """The mean of the variables of ``temperature_dependent``.

    Args:
        temperature: (n,), K.

    Returns:
        (n, 5): conversion, pressure (bar), flow (L/min), viscosity (mPa s), selectivity.

    Example:
        >>> conditional_mean(jnp.array([400.0]))
        Array([[ 0.5, 10. , 50. ,  1. ,  0.9]], dtype=float32)
    """
    t = jnp.asarray(temperature)
    columns = [
        1 / (1 + jnp.exp(-(t - 400) / 30)),
        10 + 0.05 * (t - 400),
        50 - 0.1 * (t - 400),
        jnp.exp(2000 * (1 / t - 1 / 400)),
        0.9 - 1e-5 * jnp.square(t - 400),
    ]
    return jnp.stack(columns, axis=-1)


def conditional_std(temperature: ArrayLike) -> Array:
    """The standard deviation of the variables of ``temperature_dependent``; that of the pressure grows.

    Args:
        temperature: (n,), K.

    Returns:
        (n, 5), in the variables' units.

    Example:
        >>> conditional_std(jnp.array([400.0]))
        Array([[0.02, 0.3 , 1.  , 0.05, 0.01]], dtype=float32)
    """
    t = jnp.asarray(temperature)
    one = jnp.ones_like(t)
    return jnp.stack([0.02 * one, 0.3 * t / 400, one, 0.05 * one, 0.01 * one], axis=-1)


def _covariance(loading: ArrayLike, noise: float) -> Array:
    weights = jnp.asarray(loading)
    return weights.T @ weights + noise**2 * jnp.eye(weights.shape[1], dtype=weights.dtype)


def _check(num_rows: int, noise: float) -> None:
    if num_rows < 1:
        raise ValueError(f"num_rows: found {num_rows}, expected a positive whole number")
    if noise < 0:
        raise ValueError(f"noise: found {noise}, expected a standard deviation, at least 0")
