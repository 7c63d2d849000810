"""A tracker that notes to an MLflow server."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aejax.artefacts.storage import finite
from aejax.training.trackers.tracker import Tracker

# Where ``MLFLOW_EXPERIMENT_NAME``, a variable of MLflow's own, names no other.
_EXPERIMENT = "aejax"
# A server refuses longer values, and more metrics in a request.
_LONGEST_VALUE, _MOST_METRICS = 6000, 1000
# A training does not wait for a server that is away: it is asked again after so many seconds.
_PATIENCE = 60.0
_RETRIES = "2"


def mlflow(place: str) -> Tracker:
    """Notes to a run of an MLflow server, in the experiment that ``MLFLOW_EXPERIMENT_NAME`` names, or "aejax".

    A run of that name is gone on with. Epochs that a server does not take are kept and sent again; what it has not
    taken at the end is an error. User, password and certificates are read from MLflow's own variables.

    Args:
        place: ``ADDRESS#RUN``, such as ``http://127.0.0.1:5000#plant``; the address as MLflow's tracking URI.

    Returns:
        The Tracker. An epoch is one request, which the server takes whole or not at all.

    Raises:
        ImportError: without the extra ``mlflow``.
        OSError: the server does not answer, or refuses.
        ValueError: a place without the name of a run, or several runs of that name.
    """
    address, _, name = place.rpartition("#")
    if not address or not name or set(name) & set("'\"`"):
        raise ValueError(
            f"track: found 'mlflow:{place}', expected mlflow:ADDRESS#RUN with a name without quotes, such as "
            "mlflow:http://127.0.0.1:5000#plant"
        )
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError as error:
        raise ImportError('mlflow needs MLflow: pip install "aejax[mlflow]"') from error
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)  # the client takes it from nowhere else
    client = MlflowClient(address)
    with _errors_of(address):
        identity, known, last = _begun(client, name)
    waiting: list[tuple[int, Mapping[str, float]]] = []
    ask_again_at = 0.0

    def send() -> None:
        while waiting:
            now = int(1000 * time.time())
            some = waiting[: max(1, _MOST_METRICS // max(len(waiting[0][1]), 1))]
            metrics = [Metric(key, float(value), now, epoch) for epoch, values in some for key, value in values.items()]
            with _errors_of(address):
                client.log_batch(identity, metrics)
            del waiting[: len(some)]

    def hyperparameters(values: Mapping[str, Any]) -> None:
        new = {key: str(value)[:_LONGEST_VALUE] for key, value in values.items() if key not in known}
        with _errors_of(address):
            client.log_batch(identity, params=[Param(key, value) for key, value in new.items()])
        known.update(new)

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal last, ask_again_at
        if epoch <= last:
            return
        last = epoch
        waiting.append((epoch, dict(metrics)))
        if time.monotonic() < ask_again_at:
            return
        try:
            send()
        except OSError as error:
            ask_again_at = time.monotonic() + _PATIENCE
            warnings.warn(f"{error}; {len(waiting)} epoch(s) wait to be noted", stacklevel=2)

    def summary(figures: Mapping[str, float]) -> None:
        with _errors_of(address):
            client.log_batch(identity, [Metric(key, v, 0, 0) for key, v in finite(figures).items() if v is not None])

    def artefact(path: Path) -> None:
        upload = client.log_artifacts if path.is_dir() else client.log_artifact
        with _errors_of(address):
            upload(identity, str(path))

    def finish() -> None:
        send()
        with _errors_of(address):
            client.set_terminated(identity)

    return Tracker(hyperparameters, log, summary, artefact, finish)


def _begun(client: Any, name: str) -> tuple[str, set[str], int]:
    """A run's identity, the parameters that it has, and its last epoch; a new run where there is none of the name."""
    title = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
    experiment = client.get_experiment_by_name(title)
    place = experiment.experiment_id if experiment else client.create_experiment(title)
    found = client.search_runs([place], f"attributes.run_name = '{name}'")
    if len(found) > 1:
        raise ValueError(f"track: found {len(found)} runs named {name} in the experiment {title}, expected one")
    if not found:
        return client.create_run(place, run_name=name).info.run_id, set(), 0
    identity = found[0].info.run_id
    client.update_run(identity, "RUNNING")
    steps = [noted.step for key in found[0].data.metrics for noted in client.get_metric_history(identity, key)]
    return identity, set(found[0].data.params), max(steps, default=0)


@contextlib.contextmanager
def _errors_of(address: str) -> Iterator[None]:
    """What MLflow raises, as one sentence that names the server."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        said = str(error).partition("\n")[0][:300]
        raise OSError(f"the MLflow server at {address} did not take what was sent to it: {said}") from error
