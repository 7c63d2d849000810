"""The main job on a simulated plant: what a new user sees first."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from aejax import metrics, plots, tables, tasks
from aejax.artefacts import codecs, manifest, storage
from aejax.artefacts.locking import is_leftover
from aejax.cli.commands.training import BESIDE, DEMO
from aejax.data.columns.scalers import scale
from aejax.data.formats.tables import Table, write_table
from aejax.reports import pages
from aejax.reports.pages import Panel, Rows
from aejax.reports.run import write_report
from aejax.simulate import plant
from aejax.tables.config import TrainConfig
from aejax.tables.run import Record, Run, record_folder
from aejax.training import Progress, checkpoint

_TRAINING_TRAJECTORIES, _TEST_TRAJECTORIES, _FAULTY_TRAJECTORIES = 120, 20, 5
_NUM_SAMPLES, _FAULT_START = 240, 60
_COLUMNS = (*plant.SENSORS, *plant.CONDITIONS)

# ``DEMO`` is written first. It notes the SHA-256 of each table and page: only a folder that holds it is an earlier
# demo, and only what nobody has changed since is replaced.
_WRITTEN_BY = "aejax demo"

CONFIG = TrainConfig(
    model="vae",
    latent_dim=8,
    hidden_dims=(64,),
    # The code has room for more than moves the plant. Begun as principal components, it would carry noise there.
    options=("shortcut=false", "activation=tanh"),
    learning_rate=2e-3,
    batch_size=128,
    condition_columns=plant.CONDITIONS,
    num_epochs=60,
    split="time",  # trajectories follow each other: whole ones are held out, not rows beside training rows
    calibration_fraction=0.3,
)


def demo(folder: str | Path, seed: int = 0, progress: bool | Callable[[Progress], None] = False) -> str:
    """Simulates a plant, trains a conditional VAE on its normal operation, measures it on new trajectories.

    Args:
        folder: the run folder. An earlier demo there is replaced, file by file; a folder that holds anything else is
            refused.
        seed: of the plant and of the training.
        progress: as in ``aejax.fit``.

    Returns:
        The results as text.

    Raises:
        FileExistsError: the folder holds something that no demo wrote, or that has changed since; nothing in it was
            changed.
    """
    folder = Path(folder)
    _refuse_others(folder)
    checkpoint.remove(folder / "checkpoints")
    _note(folder)
    normal = _table(plant.plant(_keys(seed)[0], _TRAINING_TRAJECTORIES, _NUM_SAMPLES))
    write_table(folder / "plant.csv", _by_name(normal))
    _note(folder, "plant.csv")
    run = tables.train(
        normal,
        dataclasses.replace(CONFIG, seed=seed),
        folder,
        path=str((folder / "plant.csv").resolve()),
        sha256=manifest.file_digest(folder / "plant.csv"),
        progress=progress,
    )
    new, faulty = _new_rows(seed)
    write_table(folder / "faults.csv", _labelled(faulty))
    _note(folder, "faults.csv")
    panels = _panels(run, new, faulty)
    write_report(folder / "report.html", run, codecs.load(record_folder(folder), Record), panels)
    _note(folder, "report.html")
    manifest.note_files(folder, (*BESIDE, "plant.csv", "faults.csv"))
    tables_of_both = "\n\n".join(pages.format_table(panel.table) for panel in panels if panel.table)
    return (
        f"{tables_of_both}\n\npictures in {folder / 'report.html'}; next: aejax detect {folder} {folder / 'faults.csv'}"
    )


def panels_of(folder: Path, run: Run) -> list[Panel]:
    """What the report of a demo has beside that of any run; the plant is simulated anew.

    Args:
        folder: of any run.
        run: the Run in it.

    Returns:
        Panels; none of a folder that is no demo's.
    """
    return [] if _noted(folder) is None else _panels(run, *_new_rows(run.config.seed))


def _keys(seed: int) -> jax.Array:
    """Of the training rows, of new rows and of faults."""
    return jax.random.split(jax.random.key(seed), 3)


def _new_rows(seed: int) -> tuple[plant.PlantData, dict[str, plant.PlantData]]:
    """Trajectories that nothing was trained on: of normal operation, and with each fault."""
    _, test_key, fault_key = _keys(seed)
    faulty = {
        fault: plant.plant(key, _FAULTY_TRAJECTORIES, _NUM_SAMPLES, fault, _FAULT_START)
        for fault, key in zip(plant.FAULTS[1:], jax.random.split(fault_key, len(plant.FAULTS) - 1), strict=True)
    }
    return plant.plant(test_key, _TEST_TRAJECTORIES, _NUM_SAMPLES), faulty


def _panels(run: Run, new: plant.PlantData, faulty: dict[str, plant.PlantData]) -> list[Panel]:
    return [
        Panel(
            "New trajectories",
            text=f"{_TEST_TRAJECTORIES} trajectories of four hours that the model has not seen, without a fault.",
            table=_on_normal_operation(run, new),
        ),
        Panel(
            "Faults",
            text="The model was trained on normal operation only. AUROC compares the rows after a fault has entered "
            "with those of normal operation.",
            table=_on_faults(run, new, faulty),
        ),
        *_pictures(run, faulty),
    ]


def _refuse_others(folder: Path) -> None:
    """Refuses a folder that holds anything but an earlier demo as that wrote it."""
    noted = _noted(folder)
    found = sorted(folder.iterdir()) if folder.exists() else []
    others = [path.name for path in found if not _is_own(path, noted)]
    if others:
        raise FileExistsError(
            f"out: {folder} holds {', '.join(others[:3])}, which no demo wrote or which has changed since; choose "
            "another folder, or move its files away"
        )


def _is_own(path: Path, noted: dict[str, str] | None) -> bool:
    """Whether a demo may replace a file; None is noted where no demo has been."""
    if is_leftover(path.name):
        return True
    if noted is None:
        return False
    # What belongs to a run is replaced by the training, which knows its own.
    if path.name in (DEMO, "config.json", "record", "checkpoints") or manifest.is_part(path.name):
        return True
    return path.is_file() and noted.get(path.name) == manifest.file_digest(path)


def _noted(folder: Path) -> dict[str, str] | None:
    try:
        found = storage.read_json(folder / DEMO)
    except (FileNotFoundError, ValueError):
        return None
    is_ours = isinstance(found, dict) and found.get("written_by") == _WRITTEN_BY
    return dict(found.get("files", {})) if is_ours else None


def _note(folder: Path, *names: str) -> None:
    files = {**(_noted(folder) or {}), **{name: manifest.file_digest(folder / name) for name in names}}
    storage.write_json(folder / DEMO, {"written_by": _WRITTEN_BY, "files": files})


def _table(data: plant.PlantData) -> Table:
    values = np.concatenate([np.asarray(data.x), np.asarray(data.cond)], axis=-1).astype(float)
    return Table(_COLUMNS, values.reshape(-1, len(_COLUMNS)), True, ())


def _by_name(table: Table) -> dict[str, np.ndarray]:
    return dict(zip(table.columns, table.values.T, strict=True))


def _labelled(faulty: dict[str, plant.PlantData]) -> dict[str, np.ndarray]:
    """The faulty trajectories as one table; the label is text, which a run that does not know it leaves out."""
    parts = [_by_name(_table(data)) for data in faulty.values()]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    label = [np.where(np.ravel(data.faulty), fault, "normal") for fault, data in faulty.items()]
    return {**columns, "fault": np.concatenate(label)}


def _on_normal_operation(run: Run, new: plant.PlantData) -> Rows:
    table = _table(new)
    evaluation, reconstructed = tables.evaluate(run, table), tables.reconstruct(run, table)
    clean = scale(run.scaler, np.asarray(new.clean, float).reshape(-1, len(plant.SENSORS)))
    measured = scale(run.scaler, table.values[:, : len(plant.SENSORS)])
    filtered = scale(run.scaler, np.stack([reconstructed[name] for name in plant.SENSORS], axis=1))
    cond = scale(run.cond_scaler, table.values[:, len(plant.SENSORS) :])
    samples = tasks.generate(jax.random.key(run.config.seed), run.model, run.variables, len(cond), cond)
    distance = metrics.ks_distance(samples, measured)
    return [
        ("on new trajectories", "value"),
        ("rows", len(table.values)),
        ("explained variance, mean over sensors", evaluation["explained_variance"]),
        ("signal-to-noise ratio as measured, dB", metrics.snr_db(clean, measured)),
        ("signal-to-noise ratio reconstructed, dB", metrics.snr_db(clean, filtered)),
        ("false alarm rate asked for", run.config.false_alarm_rate),
        ("false alarm rate obtained", evaluation["flagged"]),
        ("generated rows, KS distance, mean over sensors", float(distance.mean())),
        ("generated rows, KS distance, worst sensor", float(distance.max())),
    ]


def _on_faults(run: Run, new: plant.PlantData, faulty: dict[str, plant.PlantData]) -> Rows:
    rows: list[tuple[object, ...]] = [("fault", "detected", "AUROC", "sensor named most often")]
    normal = tables.detect(run, _table(new))["score"]
    for fault, data in faulty.items():
        found = tables.detect(run, _table(data))
        after = np.ravel(data.faulty)
        score, flagged, named = (found[name][after] for name in ("score", "is_anomaly", "top_sensor"))
        is_faulty = np.arange(len(normal) + len(score)) >= len(normal)
        area = metrics.auroc(np.concatenate([normal, score]), is_faulty)
        names, counts = np.unique(named, return_counts=True)
        rows.append((fault, float(flagged.mean()), area, str(names[counts.argmax()])))
    return rows


def _pictures(run: Run, faulty: dict[str, plant.PlantData]) -> list[Panel]:
    first = {fault: jax.tree.map(lambda leaf: leaf[:1], data) for fault, data in faulty.items()}
    scores = np.concatenate([tables.detect(run, _table(data))["score"] for data in first.values()])
    after = np.concatenate([np.ravel(data.faulty) for data in first.values()])
    limit = tasks.threshold(run.calibration.score, run.config.false_alarm_rate)
    chart = plots.score_chart(scores, limit, after)
    middles = (np.arange(len(first)) + 0.5) * _NUM_SAMPLES
    chart.set_xticks(middles, [fault.replace("_", "\n") for fault in first], fontsize=7)
    chart.tick_params(axis="x", length=0)
    chart.set_xlabel(f"{_NUM_SAMPLES} rows with each fault")
    return [
        Panel(
            "Control chart",
            figure=chart.figure,
            caption="Score of one trajectory with each fault. The axis is linear up to the limit, logarithmic above.",
        )
    ]
