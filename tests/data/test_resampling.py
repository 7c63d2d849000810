"""Other sampling rates: band-limited signals stay where they were."""

import numpy as np
import pytest

from aejax.data.resampling import resample


def signal(rate, seconds=20.0):
    time = np.arange(round(rate * seconds)) / rate
    return np.sin(2 * np.pi * 3 * time) * np.exp(-((time - 9) ** 2) / 8) + 0.5


@pytest.mark.parametrize(("rate", "new_rate"), [(100, 50), (50, 100), (200, 100), (125, 100), (40, 100), (100, 31.25)])
def test_a_band_limited_signal_is_the_same_at_another_rate(rate, new_rate):
    new = resample(signal(rate), rate, new_rate)
    assert abs(len(new) - 20 * new_rate) < 1
    np.testing.assert_allclose(new, signal(new_rate)[: len(new)], atol=2e-3)
    np.testing.assert_allclose(resample(new, new_rate, rate)[: len(signal(rate))], signal(rate), atol=4e-3)


@pytest.mark.parametrize("length", [2, 3, 17, 1001])
def test_any_length(length):
    x = np.linspace(0, 1, length)
    there = resample(x, 100, 62.5)
    assert len(there) == int(np.ceil(length * 0.625))
    assert len(resample(there, 62.5, 100)) >= length


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="positive"):
        resample(np.ones(10), 0, 100)
    with pytest.raises(ValueError, match="no simple ratio"):
        resample(np.ones(10), 100, 100 * np.pi)
