"""What Ctrl-C does in a process that runs one command."""

import signal
from types import FrameType


def raise_then_end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """A handler of Ctrl-C: it raises KeyboardInterrupt, and a second one ends the process as it stands.

    What is written is whole at each moment, so nothing needs to be waited for: a large checkpoint takes long.

    Args:
        signum: of the signal.
        frame: what was interrupted.

    Raises:
        KeyboardInterrupt: always.
    """
    signal.signal(signum, signal.SIG_DFL)
    raise KeyboardInterrupt
