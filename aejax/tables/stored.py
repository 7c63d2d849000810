"""How runs, their records and the monitors of tables are saved, and how those of the version before are read."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from aejax.artefacts import codecs, storage
from aejax.artefacts.codecs import Codec, Stored
from aejax.artefacts.rules import (
    ANY,
    FINITE,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    TEXT,
    each,
    fields,
    number,
    numbers,
    of_type,
    optional,
    whole,
)
from aejax.data.columns.conditions import Conditions
from aejax.data.columns.features import widths
from aejax.data.columns.gross import Limits
from aejax.data.columns.kinds import KINDS, Column
from aejax.data.columns.scalers import Scaler
from aejax.data.formats import options
from aejax.tables import config as configs
from aejax.tables import run as runs
from aejax.tables.monitoring import TableMonitor
from aejax.tables.profiles import Profile, unknown_profile
from aejax.tables.run import HeldOut, Record, Run
from aejax.tasks.anomaly.stored import (
    MONITOR_ARRAYS,
    MONITOR_SETTINGS,
    MONITOR_SHAPES,
    earlier_monitor,
    pack_monitor,
    unpack_calibration,
    unpack_monitor,
)

_OF_TABLE = ("columns", "has_header", "normal_contribution")


def _pack_run(run: Run) -> Stored:
    settings: dict[str, Any] = {
        "train": dataclasses.asdict(run.config),
        "data": run.source._asdict(),
        "diverged": run.diverged,
    }
    arrays = {name: getattr(run, name) for name in ("variables", "scaler", "cond_scaler", "calibration")}
    settings |= _packed_profile(run.profile)
    settings["conditions"] = [column._asdict() for column in run.conditions.columns]
    limits = run.profile.limits._asdict()
    return Stored(settings, arrays | {"limits": limits, "conditions": {"rows": run.conditions.rows}}, run.model)


def _packed_profile(profile: Profile) -> dict[str, Any]:
    return {
        "columns": [column._asdict() for column in profile.columns],
        "num_gross": np.asarray(profile.num_gross).tolist(),
        "standing_out": profile.standing_out,
    }


def _unpacked_profile(stored: Stored) -> Profile:
    columns = tuple(Column(**column) for column in stored.settings["columns"])
    limits = Limits(**stored.arrays["limits"])
    return Profile(columns, limits, np.asarray(stored.settings["num_gross"], int), stored.settings["standing_out"])


def _with_unknown_profile(stored: Stored) -> Stored:
    """Version 1 kept nothing on the columns: of its runs nothing is known, and nothing is said."""
    config, source = configs.from_dict(stored.settings["train"], "train"), runs.source_of(stored.settings["data"])
    profile = unknown_profile(len(runs.modelled_columns(config, source)))
    number = unknown_profile(len(config.condition_columns)).columns
    settings = _packed_profile(profile) | {"conditions": [column._asdict() for column in number]}
    no_rows = np.zeros((0, len(config.condition_columns)))
    arrays = {"limits": profile.limits._asdict(), "conditions": {"rows": no_rows}}
    return stored._replace(settings=stored.settings | settings, arrays=stored.arrays | arrays)


def _with_plain_angles(stored: Stored) -> Stored:
    """In version 2 an angle was its own feature."""

    def plain(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_plain_angle(column["facts"]) if column["kind"] == "angle" else column for column in columns]

    settings = {name: plain(stored.settings[name]) for name in ("columns", "conditions")}
    return stored._replace(settings=stored.settings | settings)


def _plain_angle(facts: dict[str, Any]) -> dict[str, Any]:
    bounds = {"lower": facts["low"], "upper": facts["low"] + facts["period"]}
    return {"kind": "whole number" if facts["whole"] else "number", "facts": bounds}


def _unpack_run(stored: Stored) -> Run:
    config = configs.from_dict(stored.settings["train"], "train")
    configs.check(config)
    source = runs.source_of(stored.settings["data"])
    num_columns, num_conditions = len(runs.modelled_columns(config, source)), len(config.condition_columns)
    arrays = stored.arrays
    profile = _unpacked_profile(stored)
    conditions = tuple(Column(**each) for each in stored.settings["conditions"])
    num_features = int(widths(profile.columns).sum())
    model = configs.earlier_model(config, num_columns) if stored.model is None else stored.model
    calibration = unpack_calibration(arrays["calibration"])
    sizes = {
        "scaler": (len(arrays["scaler"]["mean"]), num_features),
        "cond_scaler": (len(arrays["cond_scaler"]["mean"]), int(widths(conditions).sum())),
        "calibration: residual_scale": (len(calibration.residual_scale), num_features),
        "columns": (len(stored.settings["columns"]), num_columns),
        "limits": (len(arrays["limits"]["lower"]), num_columns),
        "conditions": (len(stored.settings["conditions"]), num_conditions),
    }
    for name, (found, expected) in sizes.items():
        if found != expected:
            raise ValueError(f"{name}: found {found} columns, expected {expected} as in its config")
    scaler, cond_scaler = Scaler(**arrays["scaler"]), Scaler(**arrays["cond_scaler"])
    return Run(
        config,
        source,
        model,
        codecs.fitted_variables(stored, model, runs.empty_row(scaler, cond_scaler)),
        scaler,
        cond_scaler,
        calibration,
        profile,
        Conditions(arrays["conditions"]["rows"], conditions),
        stored.settings["diverged"],
    )


def _earlier_run(folder: Path) -> Stored | None:
    """Reads six files, of which the variables were written last; their model is the one that the config names."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    content = storage.read_json(path)
    if not isinstance(content, dict) or "train" not in content or "kind" in content:
        return None
    config, source = runs.load_config(folder)
    if not (folder / runs.EARLIER_VARIABLES).is_file():
        raise FileNotFoundError(
            f"{folder} holds no run yet: its training has not finished; resume it with aejax train --resume {folder}"
        )
    scalers = storage.read_json(folder / "scaler.json")
    arrays = {
        "variables": storage.unflatten(storage.read_arrays(folder / runs.EARLIER_VARIABLES)),
        "scaler": _earlier_scaler(folder, scalers, "columns", runs.modelled_columns(config, source)),
        "cond_scaler": _earlier_scaler(folder, scalers, "conditions", config.condition_columns),
        "calibration": storage.read_arrays(folder / "calibration.safetensors"),
    }
    return Stored({"diverged": content.get("diverged"), **{name: content[name] for name in ("train", "data")}}, arrays)


def _earlier_scaler(folder: Path, scalers: Any, part: str, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = folder / "scaler.json"
    try:
        found, mean, scale = (scalers[part][name] for name in ("columns", "mean", "scale"))
        arrays = {"mean": np.asarray(mean, float), "scale": np.asarray(scale, float)}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {part}: found no lists columns, mean and scale") from error
    if tuple(found) != columns or not all(array.shape == (len(columns),) for array in arrays.values()):
        raise ValueError(f"{path}: {part}: found {found}, expected mean and scale of {list(columns)} as in config.json")
    return arrays


def _pack_record(record: Record) -> Stored:
    return Stored({}, record._asdict())


def _unpack_record(stored: Stored) -> Record:
    return Record(storage.flatten(stored.arrays.get("history", {})), HeldOut(**stored.arrays["held_out"]))


def _earlier_record(folder: Path) -> Stored | None:
    """Reads what lay beside the run, not in a folder of its own."""
    run = folder.parent
    if folder != runs.record_folder(run) or not (run / "history.jsonl").is_file():
        return None
    if not (run / "held_out.safetensors").is_file():
        return None
    arrays = {
        "history": storage.read_history(run / "history.jsonl"),
        "held_out": storage.read_arrays(run / "held_out.safetensors"),
    }
    return Stored({}, arrays)


def _pack_monitor(monitor: TableMonitor) -> Stored:
    stored = pack_monitor(monitor.monitor)
    table = {"columns": list(monitor.columns), "has_header": monitor.has_header}
    table["reading"] = dataclasses.asdict(monitor.reading)
    arrays = {"normal_contribution": monitor.normal_contribution, "longest_still": monitor.longest_still}
    kept = {name: array for name, array in arrays.items() if array is not None}
    return stored._replace(settings=stored.settings | table, arrays=stored.arrays | kept)


def _unpack_monitor(stored: Stored) -> TableMonitor:
    monitor = unpack_monitor(stored)
    columns, contribution = tuple(stored.settings["columns"]), stored.arrays["normal_contribution"]
    if not len(columns) == len(contribution) == len(monitor.scaler.mean):
        raise ValueError(f"columns: found {len(columns)}, expected {len(monitor.scaler.mean)}, those of its scaler")
    longest_still = stored.arrays.get("longest_still")
    reading = options.from_json(stored.settings.get("reading", {}), "reading")
    return TableMonitor(monitor, columns, stored.settings["has_header"], contribution, longest_still, reading)


def _earlier_monitor(path: Path) -> Stored | None:
    found = earlier_monitor(path)
    if found is None or not set(_OF_TABLE) <= found[1].keys():
        return None
    stored, notes = found
    return stored._replace(
        settings=stored.settings | {name: notes[name] for name in ("columns", "has_header")},
        arrays=stored.arrays | {"normal_contribution": np.asarray(notes["normal_contribution"], float)},
    )


_COLUMNS = {"columns": each(TEXT, 1), "has_header": FLAG}


def _column(name: str, value: Any) -> None:
    fields({"kind": TEXT, "facts": of_type(dict, "what is known of a column")})(name, value)
    if value["kind"] not in KINDS:
        raise ValueError(f"{name}.kind: found {value['kind']!r}, expected one of {', '.join(KINDS)}")
    KINDS[value["kind"]].check(f"{name}.facts", value["facts"])


_RUN_SETTINGS = {
    "train": of_type(dict, "the options of a training"),
    "data": fields({"path": TEXT, "sha256": TEXT, **_COLUMNS}),
    "diverged": optional(TEXT),
    "columns": each(_column),
    "conditions": each(_column),
    "num_gross": each(whole(0, 2**63)),
    "standing_out": number(0, 1),
}
# Version 1 of a run had no profile and no calibration rows, version 1 of a monitor no second moment.
_RUN_ARRAYS = {
    "variables/*": FINITE,
    "*scaler/mean": FINITE,
    "*scaler/scale": POSITIVE,
    # a row without any observed value has none
    "calibration/score": numbers(nan=True, infinite=True, least=1),
    "calibration/residual_scale": NOT_NEGATIVE,
    "calibration/rows/x": numbers(nan=True),
    "calibration/rows/cond": FINITE,
    "limits/*": numbers(infinite=True),
    "conditions/rows": FINITE,
}
_RECORD_ARRAYS = {
    "history/*": ANY,  # NaN behind the last epoch of a member
    "held_out/x": numbers(nan=True),
    "held_out/*": ANY,
}
_RUN_SHAPES = {
    "scaler/*": "f",
    "limits/*": "c",
    "cond_scaler/*": "g",
    "conditions/rows": "qk",
    "calibration/score": "m",
    "calibration/rows/x": "rf",
    "calibration/rows/cond": "rg",
}
_RECORD_SHAPES = {
    "history/*": "e",
    "held_out/x": "nc",
    "held_out/reconstruction": "nc",
    "held_out/explained_variance": "c",
    "held_out/cond": "nk",
    "held_out/code": "nd",
}

codecs.register(
    Codec(
        "run",
        Run,
        3,
        _pack_run,
        _unpack_run,
        {1: _with_unknown_profile, 2: _with_plain_angles},
        _earlier_run,
        settings=_RUN_SETTINGS,
        arrays=_RUN_ARRAYS,
        shapes=_RUN_SHAPES,
    )
)
codecs.register(
    Codec(
        "record",
        Record,
        1,
        _pack_record,
        _unpack_record,
        earlier=_earlier_record,
        arrays=_RECORD_ARRAYS,
        shapes=_RECORD_SHAPES,
    )
)
codecs.register(
    Codec(
        "table monitor",
        TableMonitor,
        2,
        _pack_monitor,
        _unpack_monitor,
        {1: lambda stored: stored},
        _earlier_monitor,
        settings=MONITOR_SETTINGS | _COLUMNS | {"reading": of_type(dict, "how a table is read")},
        arrays=MONITOR_ARRAYS | {"normal_contribution": NOT_NEGATIVE, "longest_still": NOT_NEGATIVE},
        shapes=MONITOR_SHAPES | {"normal_contribution": "c", "longest_still": "c"},
    )
)
