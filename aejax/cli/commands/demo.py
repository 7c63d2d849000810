"""``aejax demo``: everything on a simulated plant."""

import dataclasses
from pathlib import Path

from aejax.cli.commands.command import Command
from aejax.cli.commands.options import Quiet


@dataclasses.dataclass(frozen=True)
class DemoCommand:
    """Simulate a chemical plant, train on it, find its faults, draw the pictures."""

    out: Path = Path("runs/demo")
    """Run folder to write; an earlier demo there is replaced."""
    seed: int = 0
    """Of the plant and of the training."""
    quiet: Quiet = False


def _demo(command: DemoCommand) -> None:
    from aejax.cli.demo import demo

    print(demo(command.out, command.seed, progress=not command.quiet))


COMMANDS = {"demo": Command(DemoCommand, _demo, folder=lambda command: command.out)}
