"""What all pictures share. Figures are made without pyplot, so that no backend and no global state is touched."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"


def new_figure(height: float = 3.2, width: float = 8.0) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def tidy(ax: Axes) -> Axes:
    """Takes away the lines at the top and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
