"""``aejax invert``: velocities between boreholes from travel times."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    import numpy as np

    from aejax.data.formats.tables import Table
    from aejax.tasks.inversion import Rays, TravelTimeInversion

_COLUMNS = ("source_depth", "receiver_depth", "travel_time")
_POSITIONS = ("source_x", "receiver_x")
_NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "ps": 1e-3}
# A position on an edge may be off by a rounding.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class InvertCommand:
    """Find the velocities between boreholes that explain travel times, with intervals that allow for the decoder."""

    model: Positional[Path]
    """Folder of a model of sections."""
    data: Positional[str]
    """Table with columns source_depth, receiver_depth (m, downwards) and travel_time; - for standard input. The
    boreholes stand at the sides of the section, unless the columns source_x and receiver_x (m) say where."""
    out: Path
    """NPZ file to write: of the velocities (m/ns) of cells mean, spread (standard deviation), low and high (90 %
    interval), of those of blocks block_mean, block_spread, block_low and block_high; probability of facies 1 in a cell;
    draws, up to 100 sections; misfit, r_hat, effective_sample_size; of the rays residual (ns), is_off and weight;
    time_zero (ns), its mean and standard deviation; is_explained, False if the fit is not to be believed, and warnings.
    All but draws allow for what the decoder leaves out of sections that it was not trained on. A cell is of one facies
    or the other, with the mean of the decoder's probabilities over the draws. The velocity of a block is the inverse of
    its mean slowness; that of each draw is replaced by the truth of a block like it in those sections. Intervals are to
    hold the truth nine times in ten in blocks of both facies, and nearly always in single cells and inside a facies."""
    noise: float
    """Standard deviation of a travel time's noise, in ns."""
    velocities: tuple[float, float] = (0.06, 0.08)
    """Of facies 0 and 1, in m/ns."""
    cell: float = 0.1
    """Side of a cell, in m."""
    top: float = 0.0
    """Depth of the section's upper edge, in m."""
    block: int = 4
    """Side of a block, in cells; at least 2. Cells below and to the right that fill no block belong to none."""
    time_unit: Literal["ns", "us", "ms", "s", "ps"] = "ns"
    """Of the travel times."""
    estimate_time_zero: FlagCreatePairsOff[bool] = False
    """Take a time that all rays share for unknown, and estimate it."""
    heavy_tails: FlagCreatePairsOff[bool] = False
    """Allow single times to be wrong: such rays count little."""
    num_samples: int = 500
    """Draws of each of four chains, after 300 steps of adaptation; at least 4. The default takes some ten minutes of
    one core for a section of 129 x 65 cells and 169 rays, two for 41 x 33 cells; up to a minute of this compiles, once
    for each survey."""
    seed: int = 0
    """Of starts and draws."""
    reading: Reading = ReadOptions()
    json: Json = False
    quiet: Quiet = False


def invert(command: InvertCommand) -> None:
    """Does what ``InvertCommand`` says."""
    import jax

    from aejax.artefacts import codecs, storage
    from aejax.data.formats.tables import read_table
    from aejax.tasks import inversion

    _check_options(command)
    storage.check_no_input(command.out, command.data)
    sections = codecs.load(command.model, inversion.Sections)
    inversion.check_block(command.block, sections)
    table = read_table(command.data, command.reading, (*_COLUMNS, *_POSITIONS))
    depth, width = (size * command.cell for size in sections.patch_shape)
    found = inversion.invert_travel_times(
        jax.random.key(command.seed),
        sections,
        _rays(table, command, depth, width),
        noise=command.noise,
        velocities=command.velocities,
        cell=command.cell,
        block=command.block,
        estimate_time_zero=command.estimate_time_zero,
        heavy_tails=command.heavy_tails,
        is_distance_known=_POSITIONS[0] in table.columns,
        num_samples=command.num_samples,
        notice=functools.partial(note, quiet=command.quiet),
        progress=not command.quiet,
    )
    storage.write_npz(
        command.out,
        **found.cells,
        **found.blocks,
        misfit=found.posterior.misfit,
        r_hat=found.posterior.r_hat,
        effective_sample_size=found.posterior.effective_sample_size,
        residual=found.verdict.residual,
        is_off=found.verdict.is_off,
        weight=found.weight,
        time_zero=found.time_zero,
        is_explained=found.verdict.is_explained,
        warnings=found.warnings,
    )
    say(_figures(found) | {"written": str(command.out)}, [*_lines(found), f"written to {command.out}"], command.json)


def _figures(found: "TravelTimeInversion") -> dict[str, Any]:
    result, verdict = found.posterior, found.verdict
    return {
        "misfit": verdict.misfit,
        "most_misfit": verdict.most,
        "is_explained": bool(verdict.is_explained),
        "r_hat": result.r_hat.max(),
        "effective_sample_size": result.effective_sample_size.min(),
        "time_zero": found.time_zero,
        "warnings": found.warnings,
    }


def _lines(found: "TravelTimeInversion") -> list[str]:
    result, verdict = found.posterior, found.verdict
    lines = [
        f"misfit in units of noise and approximation error: {verdict.misfit:.2f} (near 1 where it fits, at most "
        f"{verdict.most:.2f})",
        f"R-hat at most {result.r_hat.max():.3f}, effective draws at least {result.effective_sample_size.min():.0f}",
    ]
    if found.time_zero[1]:
        lines.append("time zero: {:.2f} ± {:.2f} ns".format(*found.time_zero))
    if result.r_hat.max() > 1.05:
        lines.append("the chains do not agree: take more draws, or read spreads and intervals as lower bounds")
    return [*lines, *(f"warning: {sentence}" for sentence in found.warnings)]


def _check_options(command: InvertCommand) -> None:
    numbers = {"noise": (command.noise,), "cell": (command.cell,), "velocities": command.velocities}
    for name, values in numbers.items():
        if not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name}: found {' '.join(map(str, values))}, expected positive numbers")
    if command.num_samples < 4:
        raise ValueError(f"num_samples: found {command.num_samples}, expected at least 4 to compare the chains")


def _rays(table: "Table", command: InvertCommand, depth: float, width: float) -> "Rays":
    """The rays of the table, all of them inside the section."""
    import numpy as np

    from aejax.tasks.inversion import Rays

    values = _values(table)
    time = values["travel_time"] * _NANOSECONDS[command.time_unit]
    if (time <= 0).any():
        row = int((time <= 0).argmax())
        raise ValueError(
            f"DATA: travel_time: found {time[row]:g} ns in row {row + 1}, expected a positive time; leave such rows out"
        )
    down = [_depths(name, values[name], command, depth) for name in _COLUMNS[:2]]
    across = _across(values, command, width)
    source, receiver = (np.column_stack(ends) for ends in zip(down, across, strict=True))
    return Rays(source, receiver, time)


def _values(table: "Table") -> "dict[str, np.ndarray]":
    """The columns that are needed, all of them known; heights turned into depths."""
    import numpy as np

    if not table.has_header:
        raise ValueError(f"DATA: found no line of names, expected one with {', '.join(_COLUMNS)}")
    positions = _POSITIONS if set(_POSITIONS) & set(table.columns) else ()
    missing = [name for name in (*_COLUMNS, *positions) if name not in table.columns]
    if missing:
        names = ", ".join((*table.columns, *table.left_out))
        raise ValueError(f"DATA: found columns {names}, expected also {', '.join(missing)}")
    values = {name: table.values[:, table.columns.index(name)] for name in (*_COLUMNS, *positions)}
    for name, column in values.items():
        if np.isnan(column).any():
            row = int(np.isnan(column).argmax()) + 1
            raise ValueError(f"DATA: {name}: found no value in row {row}, expected a number; leave such rows out")
    return values


def _depths(name: str, column: "np.ndarray", command: InvertCommand, depth: float) -> "np.ndarray":
    """Below the section's upper edge."""
    if command.top >= 0 and (column <= 0).all() and (column < 0).any():
        raise ValueError(
            f"DATA: {name}: found heights of {column.min():g} to {column.max():g} m, expected depths, which count "
            "downwards; change their signs"
        )
    below = column - command.top
    is_outside = (below < -depth * _ROUNDING) | (below > depth * (1 + _ROUNDING))
    if is_outside.any():
        row = int(is_outside.argmax())
        raise ValueError(
            f"DATA: {name}: found {column[row]:g} m in row {row + 1}, expected {command.top:g} to "
            f"{command.top + depth:g} m, the depth of the section; leave such rows out, or correct --cell or --top, "
            "where the section begins"
        )
    return below


def _across(values: "dict[str, np.ndarray]", command: InvertCommand, width: float) -> "list[np.ndarray]":
    """Where sources and receivers are between the sides of the section; at its sides if the table does not say."""
    import numpy as np

    if _POSITIONS[0] not in values:
        note(f"no columns source_x, receiver_x: the boreholes are taken to be {width:g} m apart", command.quiet)
        return [np.zeros(len(values["travel_time"])), np.full(len(values["travel_time"]), width)]
    ends = [values[name] for name in _POSITIONS]
    left = min(end.min() for end in ends)
    found = max(end.max() for end in ends) - left
    if found > width * (1 + _ROUNDING):
        columns = math.ceil(found / command.cell * (1 - _ROUNDING))
        raise ValueError(
            f"DATA: source_x, receiver_x: found {found:g} m between the boreholes, expected at most {width:g} m, the "
            f"width of the section; train a model of sections of {columns} columns with --patch, or correct --cell"
        )
    note(f"the boreholes are {found:g} m apart, in a section {width:g} m wide", command.quiet)
    return [end - left for end in ends]


COMMANDS = {"invert": Command(InvertCommand, invert)}
