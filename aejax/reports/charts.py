"""A control chart for a page: it says of each row what stands out, and a part of it can be drawn larger.

It is drawn as SVG, in the colours of the page, so that it is read in print, in the dark and without a script too.
"""

import json
import math
from collections.abc import Sequence
from importlib import resources

import numpy as np

_WIDTH, _HEIGHT = 1000, 240
# More rows than this are drawn as the largest of several: a screen has no more columns, and a page stays small.
_MOST_POINTS = 20_000
_NUM_NAMED = 3
_SMALLEST = 1e-2  # of a value beside its limit, as it is drawn


def control_chart(
    excess: np.ndarray,
    is_alarm: np.ndarray,
    labels: Sequence[str],
    contribution: np.ndarray,
    columns: Sequence[str],
) -> str:
    """A chart of how many times its limit each row is.

    Args:
        excess: (n,), 1 at the limit; NaN where a row could not be judged.
        is_alarm: (n,) bool.
        labels: n texts that say which row it is, such as its time.
        contribution: (n, c), what each column contributes.
        columns: c names.

    Returns:
        HTML. Names and labels are data in it, never markup.

    Raises:
        ValueError: parts of different lengths.

    Example:
        >>> above = np.array([False, True])
        >>> chart = control_chart(np.array([0.5, 4.0]), above, ["1", "2"], np.eye(2), ["<b>", "level"])
        >>> "<svg" in chart, "<b>" in chart
        (True, False)
    """
    if not len(excess) == len(is_alarm) == len(labels) == len(contribution):
        raise ValueError(
            f"excess: found {len(excess)} rows, {len(is_alarm)} alarms, {len(labels)} labels and {len(contribution)} "
            "contributions, expected as many of each"
        )
    chosen = _largest(excess)
    is_alarm = np.logical_or.reduceat(is_alarm, np.arange(0, len(excess), _part(len(excess))))
    height = np.log10(np.maximum(np.nan_to_num(excess[chosen], nan=_SMALLEST), _SMALLEST))
    top = max(float(height.max(initial=0.0)), 0.5) * 1.05
    low = float(height.min(initial=-0.5))
    data = {
        "height": height.round(3).tolist(),
        "excess": [None if math.isnan(value) else float(f"{value:.4g}") for value in excess[chosen].tolist()],
        "alarm": np.flatnonzero(is_alarm).tolist(),
        "label": [str(labels[row]) for row in chosen],
        "top": [_largest_names(contribution[row]) for row in chosen],
        "columns": list(columns),
        "low": low,
        "high": top,
    }
    # An end tag in a name would end the script that holds it.
    content = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    part = _part(len(excess))
    caption = f" Each point is the largest of {part} rows." if part > 1 else ""
    return _CHART.format(
        width=_WIDTH,
        height=_HEIGHT,
        path=_path(height, low, top),
        limit=f"{_place(0.0, low, top):.1f}",
        alarms=_alarms(is_alarm),
        caption=caption,
        data=content,
        script=resources.files("aejax.reports").joinpath("charts.js").read_text(encoding="utf-8"),
    )


def _largest(excess: np.ndarray) -> np.ndarray:
    """The rows that are drawn: of each part of many rows that which is farthest out."""
    size = _part(len(excess))
    known = np.nan_to_num(excess, nan=-np.inf)
    return np.array([begin + int(known[begin : begin + size].argmax()) for begin in range(0, len(known), size)])


def _part(num_rows: int) -> int:
    """How many rows are drawn as one."""
    return max(math.ceil(num_rows / _MOST_POINTS), 1)


def _largest_names(contribution: np.ndarray) -> list[tuple[int, float]]:
    """The places and shares of the columns that contribute most."""
    order = np.argsort(-np.nan_to_num(contribution, nan=-np.inf))[:_NUM_NAMED]
    return [(int(place), float(f"{contribution[place]:.3g}")) for place in order if contribution[place] > 0]


def _place(height: float, low: float, top: float) -> float:
    return _HEIGHT * (1 - (height - low) / (top - low))


def _path(height: np.ndarray, low: float, top: float) -> str:
    across = np.linspace(0, _WIDTH, len(height)) if len(height) > 1 else np.zeros(len(height))
    return "M" + "L".join(f"{x:.1f} {_place(y, low, top):.1f}" for x, y in zip(across, height.tolist(), strict=True))


def _alarms(is_alarm: np.ndarray) -> str:
    """Bands over the rows of alarm."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_alarm.astype(int), [0]])))
    step = _WIDTH / max(len(is_alarm) - 1, 1)
    bands = zip(edges[::2], edges[1::2], strict=True)
    return "".join(
        f'<rect x="{begin * step:.1f}" width="{max((end - begin) * step, 1):.1f}" y="0" height="{_HEIGHT}"/>'
        for begin, end in bands
    )


_CHART = """<figure class="chart">
<svg viewBox="0 0 {width} {height}" role="img" aria-label="Control chart" preserveAspectRatio="none">
<g class="alarms" fill="#E69F00" fill-opacity="0.25">{alarms}</g>
<path d="{path}" fill="none" stroke="currentColor" vector-effect="non-scaling-stroke"/>
<line x1="0" x2="{width}" y1="{limit}" y2="{limit}" stroke="#D55E00" stroke-dasharray="6 4"
 vector-effect="non-scaling-stroke"/>
<line class="here" y1="0" y2="{height}" stroke="currentColor" stroke-opacity="0.4" visibility="hidden"/>
</svg>
<output>&nbsp;</output>
<figcaption>How many times its limit each row is, on a logarithmic scale. Dashed: the limit. Shaded: alarm.{caption}
Point at a row to see what stands out in it; draw over a part to see it larger; click twice to see all.</figcaption>
<script type="application/json">{data}</script>
<script>{script}</script>
</figure>"""
