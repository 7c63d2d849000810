"""What both sides train in a cold process: names, sizes and data, by NumPy alone."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

BATCH_SIZE = 64


class Example(NamedTuple):
    """One example of the source text.

    Attributes:
        name: of the model.
        num_rows, num_epochs: how much it is trained; the rows are standardised.
        event_shape: of a row.
        num_conditions: of a row.
        batch_size: rows a step.
    """

    name: str
    num_rows: int = 2000
    num_epochs: int = 50
    event_shape: tuple[int, ...] = (10,)
    num_conditions: int = 0
    batch_size: int = BATCH_SIZE


EXAMPLES = (
    Example("autoencoder"),
    Example("denoising autoencoder"),
    Example("vae"),
    Example("beta-vae"),
    Example("sparse autoencoder"),
    Example("conditional vae", event_shape=(5,), num_conditions=1),
    Example("gan"),
    Example("convolutional autoencoder", num_rows=32, num_epochs=2, event_shape=(224, 224, 3), batch_size=16),
)


def rows_of(example: Example) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows and conditions: three factors, mixed, with noise."""
    generator = np.random.default_rng(0)
    size = int(np.prod(example.event_shape))
    x = np.tanh(generator.normal(size=(example.num_rows, 3)) @ generator.normal(size=(3, size)))
    x = (x + 0.1 * generator.normal(size=x.shape)).reshape(example.num_rows, *example.event_shape)
    cond = generator.normal(size=(example.num_rows, 1)) if example.num_conditions else None
    return x.astype(np.float32), None if cond is None else cond.astype(np.float32)


def peak_megabytes() -> float:
    """The most memory that this process has held; ``getrusage`` would count what its parent held when it forked."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")
