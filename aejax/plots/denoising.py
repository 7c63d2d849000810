"""Pictures of denoising: arrays in, Axes out."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aejax.base import ArrayLike
from aejax.plots.style import BLUE, GREY, ORANGE, new_figure, tidy

_RANGE_DB = 50


def wiggles_and_spectrograms(
    traces: Mapping[str, ArrayLike],
    sampling_rate: float,
    arrival: float | None = None,
    unit: str = "amplitude",
    max_frequency: float | None = None,
    figure: Figure | None = None,
) -> np.ndarray:
    """The same record in several states, such as noisy, denoised and clean: waveform above, spectrogram below.

    Args:
        traces: by name, each (length,).
        sampling_rate: in samples a second.
        arrival: in samples, marked if given.
        unit: of the traces, the label of their axis.
        max_frequency: the highest one shown, in Hz; half of the sampling rate if None.
        figure: where to draw; a new one if None.

    Returns:
        (2, traces) Axes. All waveforms share one scale, all spectrograms another, in dB below the highest value of all.

    Raises:
        ValueError: no traces, or one shorter than 64 samples.

    Example:
        >>> wiggles_and_spectrograms({"noisy": np.ones(500), "denoised": np.zeros(500)}, 100).shape
        (2, 2)
    """
    records = {name: np.asarray(trace, float) for name, trace in traces.items()}
    if not records or min(map(len, records.values())) < 64:
        raise ValueError(f"traces: found lengths {[len(x) for x in records.values()]}, expected some of 64 or more")
    frame = int(np.clip(2 ** round(np.log2(2.5 * sampling_rate)), 32, min(map(len, records.values()))))
    powers = {name: _power(record, frame) for name, record in records.items()}
    loudest = max(float(power.max()) for power in powers.values()) or 1.0
    figure = figure or new_figure(4.6, 1 + 3.2 * len(records))
    grid = np.asarray(
        figure.subplots(2, len(records), squeeze=False, sharex=True, sharey="row", height_ratios=[1, 1.3])
    )
    for (upper, lower), (name, record) in zip(grid.T, records.items(), strict=True):
        time = np.arange(len(record)) / sampling_rate
        upper.plot(time, record, color=BLUE, lw=0.6)
        upper.set_title(name, fontsize=10)
        tidy(upper)
        level = 10 * np.log10(np.maximum(powers[name] / loudest, 1e-12))
        extent = (0, len(record) / sampling_rate, 0, sampling_rate / 2)
        image = lower.imshow(
            level.T, origin="lower", aspect="auto", extent=extent, vmin=-_RANGE_DB, vmax=0, cmap="magma"
        )
        lower.set(xlabel="time in s", xlim=extent[:2], ylim=(0, max_frequency or sampling_rate / 2))
        if arrival is not None:
            upper.axvline(arrival / sampling_rate, color=ORANGE, lw=1, ls="--")
            lower.axvline(arrival / sampling_rate, color="white", lw=0.8, ls="--")
    grid[0, 0].set_ylabel(unit)
    grid[1, 0].set_ylabel("frequency in Hz")
    figure.colorbar(image, ax=grid[1].tolist(), label="power in dB", pad=0.01)
    return grid


def gain_by_ratio(snr_db: ArrayLike, gains: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """The gain of each mixture over its input ratio, and its mean in bands of 3 dB.

    Args:
        snr_db: (n,), of the inputs.
        gains: by name of the method, each (n,), in dB; the first is drawn as points as well.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> gain_by_ratio(np.array([0.0, 5.0]), {"model": np.array([9.0, 8.0])}).get_ylabel()
        'gain in dB'
    """
    ax = ax or new_figure(3.4, 7).subplots()
    snr_db = np.asarray(snr_db, float)
    edges = np.arange(np.floor(snr_db.min()), snr_db.max() + 3, 3)
    band = np.digitize(snr_db, edges)
    colours = [BLUE, ORANGE, GREY, "#009E73", "#D55E00"]
    for index, (name, values) in enumerate(gains.items()):
        values = np.asarray(values, float)
        colour = colours[index % len(colours)]
        if index == 0:
            ax.plot(snr_db, values, ".", ms=3, color=colour, alpha=0.4)
        bands = np.unique(band)
        ax.plot(
            [snr_db[band == b].mean() for b in bands],
            [values[band == b].mean() for b in bands],
            "o-",
            ms=4,
            color=colour,
            label=name,
        )
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlabel="signal-to-noise ratio of the input in dB", ylabel="gain in dB")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    tidy(ax)
    return ax


def _power(record: np.ndarray, frame: int) -> np.ndarray:
    """(frames, bins) of squared magnitudes, the ends of the record continued by their reflection."""
    padded = np.pad(record - record.mean(), frame // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[:: max(frame // 8, 1)]
    return np.abs(np.fft.rfft(frames * np.hanning(frame), axis=1)) ** 2
