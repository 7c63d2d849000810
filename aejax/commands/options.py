"""Options that several commands have."""

from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

Quiet = Annotated[FlagCreatePairsOff[bool], arg(help="say nothing but results and errors")]
