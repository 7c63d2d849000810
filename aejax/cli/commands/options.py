"""Options that several commands have."""

from collections.abc import Iterable
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg

from aejax.data.formats.options import ReadOptions

Reading = OmitArgPrefixes[FlagCreatePairsOff[ReadOptions]]
Quiet = Annotated[FlagCreatePairsOff[bool], arg(help="say nothing but results and errors")]

Json = Annotated[FlagCreatePairsOff[bool], arg(help="print JSON, not text")]

KeepFormulas = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="write text of CSV that begins with =, +, - or @ as it is, and not with an apostrophe before it"),
]


def flags_that_differ(command: object, names: Iterable[str], *others: object) -> str:
    """The options, written as --num-lags, --seed, in which a command differs from each of ``others``."""
    differ = [name for name in names if getattr(command, name) not in [getattr(other, name) for other in others]]
    return ", ".join("--" + name.replace("_", "-") for name in differ)
