"""Pictures of the results: ratios to the peers, cost against work."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.measuring import Timing


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes PATH-ratios.png, PATH-cost.png and PATH-ensembles.png, those for which there are results."""
    timings = [Timing(**one) for one in results["timings"]]
    environment = results["environment"]
    title = (
        f"{environment['processor']}, {environment['num_cores']} cores, {environment['device']}, {environment['date']}"
    )
    for name, picture in (("ratios", _ratios), ("cost", _cost), ("ensembles", _ensembles)):
        figure = picture(timings)
        if figure is not None:
            figure.suptitle(title, fontsize=9)
            figure.tight_layout()
            figure.savefig(f"{path}-{name}.png", dpi=90, bbox_inches="tight")
            plt.close(figure)


def _ratios(timings: list[Timing]) -> Any:
    """The peers' medians over ours, with the quartiles of the peer's rounds."""
    ours = {(one.section, one.case, one.work.get("batch_size")): one for one in timings if one.who == "aejax"}
    found = []
    for one in timings:
        own = ours.get((one.section, one.case, one.work.get("batch_size")))
        if own is not None and one.who != "aejax":
            batch = f", batch {one.work['batch_size']:.0f}" if "batch_size" in one.work else ""
            found.append((f"{one.case}{batch}: {one.who}", *(value / own.median for value in one[3:6])))
    if not found:
        return None
    figure, ax = plt.subplots(figsize=(9, 1 + 0.22 * len(found)))
    labels, medians, lows, highs = zip(*found[::-1], strict=True)
    errors = [
        [m - low for m, low in zip(medians, lows, strict=True)],
        [h - m for m, h in zip(medians, highs, strict=True)],
    ]
    ax.barh(range(len(found)), medians, xerr=errors, color="#4477aa", ecolor="#222222")
    ax.set(yticks=range(len(found)), yticklabels=labels, xlabel="peer's time / aejax's time", xscale="log")
    ax.tick_params(axis="y", labelsize=7)
    ax.axvline(1, color="black", linewidth=1)
    return figure


def _cost(timings: list[Timing]) -> Any:
    """A step against the rows in it."""
    lines: dict[tuple[str, str], list[Timing]] = {}
    for one in timings:
        if one.section == "steps":
            lines.setdefault((one.case, one.who), []).append(one)
    lines = {key: found for key, found in lines.items() if len(found) > 1}
    if not lines:
        return None
    cases = sorted({case for case, _ in lines})
    figure, axes = plt.subplots(1, len(cases), figsize=(4 * len(cases), 3.6), squeeze=False)
    for ax, case in zip(axes[0], cases, strict=True):
        for (name, who), found in lines.items():
            if name == case:
                sizes = [one.work["batch_size"] for one in found]
                ax.plot(sizes, [one.median * 1e6 for one in found], "o-", label=who)
        ax.set(title=case, xlabel="batch size", ylabel="microseconds a step", xscale="log", yscale="log")
        ax.legend(fontsize=8)
    return figure


def _ensembles(timings: list[Timing]) -> Any:
    """A member's cost against their number."""
    found = [one for one in timings if one.section == "ensembles"]
    if not found:
        return None
    figure, ax = plt.subplots(figsize=(5, 3.6))
    members = [one.work["members"] for one in found]
    ax.errorbar(
        members,
        [one.median * 1e6 for one in found],
        yerr=[[(one.median - one.low) * 1e6 for one in found], [(one.high - one.median) * 1e6 for one in found]],
        fmt="o-",
    )
    ax.set(xlabel="members", ylabel="microseconds a member's step", xscale="log", ylim=(0, None))
    return figure
