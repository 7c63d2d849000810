"""The tracker of MLflow beside a real server on this machine, read back by MLflow's own client."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

from aejax.cli.commands.training import TrainCommand, train
from aejax.tables.config import TrainConfig
from aejax.training.trackers import mlflow

NEEDED = ("mlflow", "flask", "sqlalchemy", "alembic", "graphene", "aiohttp")
if os.environ.get("AEJAX_REQUIRE_PEERS") != "1":
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own, of many libraries


class Server:
    """An MLflow server that can be stopped and begun again, at one address."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def begin(self):
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.folder}/runs.sqlite"]
        words += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = (self.folder / "log.txt").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words], env=environment, stdout=log, stderr=log
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-2000:]
                time.sleep(0.5)
        raise TimeoutError(self.address)

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.begin()
    yield server
    server.end()


def read_back(server, name, experiment="aejax"):
    """MLflow's own run, and (epoch, loss) as it has them."""
    from mlflow import MlflowClient

    client = MlflowClient(server.address)
    place = client.get_experiment_by_name(experiment).experiment_id
    (run,) = client.search_runs([place], f"attributes.run_name = '{name}'")
    return run, [(noted.step, noted.value) for noted in client.get_metric_history(run.info.run_id, "loss")]


def test_a_training_is_read_back_with_each_epoch_once(server, tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 3))
    np.savetxt(tmp_path / "plant.csv", values, delimiter=",", header="a,b,c", comments="")
    config = TrainConfig(model="autoencoder", latent_dim=1, num_epochs=4, hidden_dims=())
    places = (f"mlflow:{server.address}#plant", f"jsonl:{tmp_path / 'log.jsonl'}")
    train(TrainCommand(str(tmp_path / "plant.csv"), tmp_path / "run", train=config, track=places, quiet=True))
    train(TrainCommand(resume=tmp_path / "run", track=places, quiet=True))  # over already: nothing is noted twice
    run, losses = read_back(server, "plant")
    import aejax
    from aejax import tables

    history = aejax.load(tables.record_folder(tmp_path / "run")).history
    assert losses == [(epoch, float(loss)) for epoch, loss in enumerate(history["loss"], 1)]
    assert run.data.params["latent_dim"] == "1"
    assert run.data.metrics["lowest_val_loss"] == float(history["val_loss"].min())
    assert run.info.status == "FINISHED"
    from mlflow import MlflowClient

    assert "config.json" in {entry.path for entry in MlflowClient(server.address).list_artifacts(run.info.run_id)}


def test_epochs_wait_for_a_server_that_is_away(server, monkeypatch):
    monkeypatch.setattr("aejax.training.trackers.mlflow_server._PATIENCE", 0.0)
    tracker = mlflow(f"{server.address}#away")
    tracker.log(1, {"loss": 3.0})
    server.end()
    with pytest.warns(UserWarning, match="1 epoch"):
        tracker.log(2, {"loss": 2.0})
    with pytest.raises(OSError, match="did not take what was sent"):
        tracker.finish()
    server.begin()
    tracker.log(3, {"loss": 1.0})
    tracker.finish()
    assert read_back(server, "away")[1] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_more_numbers_than_a_request_takes_and_such_as_are_not_finite(server):
    tracker = mlflow(f"{server.address}#many")
    tracker.log(1, {f"m{number}": float(number) for number in range(900)} | {"loss": float("nan")})
    tracker.log(2, {"loss": 1.0})
    tracker.finish()
    run, losses = read_back(server, "many")
    assert len(run.data.metrics) == 901
    assert [step for step, _ in losses] == [1, 2]


@pytest.mark.parametrize("place", ["http://127.0.0.1:5000", "#plant", "http://127.0.0.1:5000#a'b"])
def test_a_place_without_a_name_is_refused(place):
    with pytest.raises(ValueError, match="expected mlflow:ADDRESS#RUN"):
        mlflow(place)


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match=r"MLflow server at http://127\.0\.0\.1:9"):
        mlflow("http://127.0.0.1:9#plant")
