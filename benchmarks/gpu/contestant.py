"""What both sides hand over to be timed, and the sizes that they share."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple


class Contestant(NamedTuple):
    """Something to be timed.

    Attributes:
        run: does it once, blocking, and returns the quality reached.
        num_units: how many units of work that is.
        facts: what else is known of it, such as the operations of a unit.
    """

    run: Callable[[], float | None]
    num_units: int
    facts: Mapping[str, float] = MappingProxyType({})


# A dry run takes the same way through the code with little work.
IS_DRY = os.environ.get("AEJAX_GPU_DRY_RUN") == "1"


def sized(full: int, dry: int) -> int:
    """A size, or the small one of a dry run."""
    return dry if IS_DRY else full


STEP_BATCH = 64
STEPS_PER_EPOCH = sized(1024, 4)
STEP_EPOCHS = sized(16, 2)
MEMBERS = sized(1024, 4)
MEMBER_STEPS_PER_EPOCH, MEMBER_EPOCHS = sized(64, 2), sized(16, 2)
IMAGE_SHAPE, IMAGE_HIDDEN_DIMS = ((224, 224, 3), (32, 64, 128, 256)) if not IS_DRY else ((16, 16, 3), (8, 16))
IMAGE_LATENT_DIM = 128
IMAGE_BATCH = sized(256, 4)
IMAGE_STEPS = sized(8, 2)
LARGEST = [sized(1_048_576, 512), sized(4_194_304, 1024)]
SCORED_ROWS = sized(100_000_000, 100_000)
SCORED_COLUMNS = 52
