"""The parts of the suite: each yields timings."""

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import aejax
from aejax import losses, models
from benchmarks import limits, peers
from benchmarks.measuring import Contestant, Timing, interleaved, timing
from benchmarks.systems import (
    SYSTEMS,
    System,
    contestants,
    cost_of,
    first_variables,
    large_images,
    rows_of,
)
from tests.peers.peer import KEY, torched

_BATCH_SIZES = (64, 256, 1024)
_ALWAYS = ("vae", "gan")  # timed at every batch size and beside compiled peers also without --full
_SECONDS_PER_ROUND = 0.4
_EPOCHS = 4


def steps(full: bool) -> Iterator[Timing]:
    """A training step of every model of the registry, as whole calls of ``aejax.fit`` divided by their steps."""
    for name, make in SYSTEMS.items():
        for batch_size in _BATCH_SIZES if full or name in _ALWAYS else _BATCH_SIZES[:1]:
            torch.manual_seed(0)
            yield from _step(name, make(), batch_size, full or name in _ALWAYS)


def _step(name: str, system: System, batch_size: int, compiled: bool, num_steps: int | None = None) -> list[Timing]:
    if num_steps is None:
        probe = rows_of(system, 4 * batch_size)
        eager = contestants(system, probe, batch_size, 1, False)[1]
        eager.run()
        began = time.perf_counter()
        eager.run()
        num_steps = max(1, int(_SECONDS_PER_ROUND / _EPOCHS / (time.perf_counter() - began) * 4))
    batch = rows_of(system, num_steps * batch_size)
    work: dict[str, float] = {"batch_size": batch_size}
    if name == "vae":
        work |= cost_of(system, batch_size)
    return interleaved(
        "steps",
        f"{name} {system.name}",
        contestants(system, batch, batch_size, _EPOCHS, compiled),
        _EPOCHS * num_steps,
        "step",
        work,
    )


def convolution(full: bool) -> Iterator[Timing]:
    """A training step of the convolutional autoencoder on 3x224x224, batch 16."""
    del full
    torch.manual_seed(0)
    system = large_images()
    batch_size, num_epochs, num_steps = 16, 1, 8  # a call of ``fit`` costs 0.2 s of page faults whatever its length
    batch = rows_of(system, num_steps * batch_size)
    work = {"batch_size": batch_size, **cost_of(system, batch_size)}
    found = contestants(system, batch, batch_size, num_epochs, True)
    yield from interleaved("convolution", system.name, found, num_epochs * num_steps, "step", work)


def ensembles(full: bool) -> Iterator[Timing]:
    """Ensembles of VAEs by one call: the cost of a member's step."""
    torch.manual_seed(0)
    system = SYSTEMS["vae"]()
    batch_size, num_steps = 64, 20
    batch = jax.tree.map(jnp.asarray, rows_of(system, num_steps * batch_size))
    found = {}
    counts = [1, 8, 32, 128] + ([1024] if jax.default_backend() == "gpu" else [])
    for num_members in counts:
        num_epochs = max(2, 200 // num_members) * (3 if full else 1)
        keys = jax.random.split(KEY, num_members) if num_members > 1 else KEY

        def run(keys: Any = keys, num_epochs: int = num_epochs) -> float:
            train = aejax.ensemble if keys.ndim else aejax.fit
            fitted = train(keys, system.model, batch, num_epochs=num_epochs, batch_size=batch_size, validation=0)
            return float(np.mean(fitted.history["loss"][..., -1]))

        found[num_members] = (Contestant(str(num_members), run), num_members * num_epochs * num_steps)
    for one, _ in found.values():
        one.run()
    rounds: dict[int, list[float]] = {num: [] for num in found}
    for _ in range(7):
        for num_members, (one, num_units) in found.items():
            began = time.perf_counter()
            one.run()
            rounds[num_members].append((time.perf_counter() - began) / num_units)
    for num_members, times in rounds.items():
        yield timing("ensembles", "vae 15-128-64-4", "aejax", times, "member's step", {"members": num_members})


def rows(full: bool) -> Iterator[Timing]:
    """Scoring a million rows of 52 sensors, and drawing rows."""
    del full
    num_rows, num_columns = 1_000_000, 52
    torch.manual_seed(0)
    from tests.peers import systems

    peer = systems.autoencoder(num_columns, 8, (64, 32))
    system = System("52-64-32-8", peer.model, peer.module, None, (num_columns,))  # type: ignore[arg-type]
    batch = rows_of(system, num_rows)
    variables = first_variables(system, batch)
    module = peer.module.to(peers.DEVICE).eval()
    x = torched(batch.x)

    @torch.no_grad()
    def theirs(block: int) -> np.ndarray:
        parts = [part.to(peers.DEVICE) for part in x.split(block)]
        return torch.cat([((part - module.decode(module.encode(part))) ** 2).mean(1) for part in parts]).cpu().numpy()

    block = min((1024, 16384, num_rows), key=lambda size: _seconds(functools.partial(theirs, size)))
    threads = peers.best_threads(lambda: theirs(block))

    def eager() -> float:
        torch.set_num_threads(threads)
        return float(theirs(block).mean())

    def ours() -> float:
        return float(aejax.score(KEY, peer.model, variables, batch.x).mean())

    contest = [Contestant("aejax", ours), Contestant("PyTorch eager", eager), _pyod_scorer(batch.x)]
    yield from interleaved("rows", "score, autoencoder 52-64-32-8", contest, num_rows, "row", {"rows": num_rows})

    vae = systems.vae(num_columns=num_columns, latent_dim=8, hidden_dims=(64, 32))
    drawer = System("", vae.model, vae.module, None, (num_columns,))  # type: ignore[arg-type]
    vae_variables = first_variables(drawer, batch)
    scale = torch.sqrt(torch.exp(2 * vae.module.likelihood.log_scale) + 1e-4).detach()

    @torch.no_grad()
    def draw() -> None:
        torch.set_num_threads(threads)
        z = torch.randn(num_rows, 8).split(block)
        torch.cat([vae.module.decode(part) + scale * torch.randn(len(part), num_columns) for part in z]).numpy()

    def ours_draw() -> None:
        np.asarray(aejax.generate(KEY, vae.model, vae_variables, num_rows))

    contest = [Contestant("aejax", ours_draw), Contestant("PyTorch eager", draw)]
    yield from interleaved("rows", "generate, VAE 52-64-32-8", contest, num_rows, "row", {"rows": num_rows})


def _seconds(run: Any) -> float:
    run()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _pyod_scorer(x: np.ndarray) -> Contestant:
    """PyOD's autoencoder of the same widths."""
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(hidden_neuron_list=[64, 32, 8], epoch_num=1, batch_size=1024, preprocessing=False, verbose=0)
    detector.fit(x[:4096])
    return Contestant("PyOD", lambda: float(detector.decision_function(x).mean()))


def fits(full: bool) -> Iterator[Timing]:
    """Whole fits on 10,000 rows of 52 sensors, beside PyOD; and PCA, which answers the same question linearly."""
    del full
    system = System("52-64-32-8", models.autoencoder((52,), 8), None, None, (52,))  # type: ignore[arg-type]
    x = rows_of(system, 10_000).x
    train, new = x[:9000], x[9000:]
    num_epochs, batch_size = 20, 64

    def unexplained(reconstruction: np.ndarray) -> float:
        return float(np.square(new - reconstruction).sum() / np.square(new - new.mean(0)).sum())

    def fitted(model: Any) -> float:
        found = aejax.fit(KEY, model, train, num_epochs=num_epochs, batch_size=batch_size, validation=0)
        aejax.score(KEY, model, found.variables, new)
        return unexplained(aejax.reconstruct(model, found.variables, new))

    autoencoder = models.autoencoder((52,), 8, hidden_dims=(64, 32), activation="relu", shortcut=False)
    gaussian = losses.gaussian(0.1)
    vae = models.vae((52,), 8, hidden_dims=(64, 32), likelihood=gaussian, activation="relu", shortcut=False)
    work = {"rows": 9000, "epochs": num_epochs}
    for name, model, pyod_name in (("autoencoder", autoencoder, "AutoEncoder"), ("vae", vae, "VAE")):
        contest = [
            Contestant("aejax", functools.partial(fitted, model)),
            _pyod_fit(pyod_name, train, new, num_epochs),
        ]
        if name == "autoencoder":
            contest.append(_pca(train, new, unexplained))
        yield from interleaved("fits", f"fit and score, {name} 52-64-32-8", contest, 1, "fit", work)


def _pyod_fit(name: str, train: np.ndarray, new: np.ndarray, num_epochs: int) -> Contestant:
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.vae import VAE

    def run() -> None:
        options = {"epoch_num": num_epochs, "batch_size": 64, "preprocessing": False, "verbose": 0, "lr": 1e-3}
        if name == "VAE":
            detector = VAE(
                encoder_neuron_list=[64, 32], decoder_neuron_list=[32, 64], latent_dim=8, dropout_rate=0.0, **options
            )
        else:
            detector = AutoEncoder(hidden_neuron_list=[64, 32, 8], dropout_rate=0.0, batch_norm=False, **options)
        detector.fit(train)
        detector.decision_function(new)

    return Contestant("PyOD", run)


def _pca(train: np.ndarray, new: np.ndarray, unexplained: Any) -> Contestant:
    from sklearn.decomposition import PCA

    def run() -> float:
        found = PCA(8).fit(train)
        return unexplained(found.inverse_transform(found.transform(new)))

    return Contestant("scikit-learn PCA", run)


def cold(full: bool) -> Iterator[Timing]:
    """The eight process examples as one cold process: import, compile, train; compilation cache empty and filled."""
    num_rounds = 7 if full else 3
    scripts = Path(__file__).parent / "cold"
    seconds: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(num_rounds):
            cache = Path(folder) / str(index)
            for who, script, arguments in (
                ("aejax, cache empty", "ours.py", [str(cache)]),
                ("aejax, cache filled", "ours.py", [str(cache)]),
                ("PyTorch eager", "theirs.py", []),
            ):
                began = time.perf_counter()
                output = subprocess.run(
                    [sys.executable, "-m", f"benchmarks.cold.{script.removesuffix('.py')}", *arguments],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=scripts.parent.parent,
                ).stdout
                seconds.setdefault(who, []).append(time.perf_counter() - began)
                memory[who] = float(output.split()[-1])
    for who, times in seconds.items():
        yield timing("cold", "eight process examples", who, times, "process", {"peak_megabytes": memory[who]})


SECTIONS = {
    "steps": steps,
    "convolution": convolution,
    "ensembles": ensembles,
    "rows": rows,
    "fits": fits,
    "cold": cold,
    "bfloat16": limits.bfloat16,
    "largest_batch": limits.largest_batch,
}


def line(one: Timing) -> str:
    """A timing as a line of text."""
    work = ", ".join(f"{name} {value:,.6g}" for name, value in one.work.items())
    quality = "" if one.quality is None else f"  reached {one.quality:.4g}"
    spread = f"{_duration(one.low)} to {_duration(one.high)}"
    return f"{one.case:48s} {one.who:20s} {_duration(one.median):>10s} a {one.unit} ({spread})  {work}{quality}"


def _duration(seconds: float) -> str:
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def summary(results: dict[str, Any]) -> str:
    """Ratios to the peers, of medians of one run."""
    timings = [Timing(**one) for one in results["timings"]]
    ours = {(one.section, one.case, one.work.get("batch_size")): one for one in timings if one.who == "aejax"}
    lines = ["ratio of medians, peer / aejax"]
    for one in timings:
        own = ours.get((one.section, one.case, one.work.get("batch_size")))
        if own is None or one.who == "aejax":
            continue
        batch = f", batch {one.work['batch_size']}" if "batch_size" in one.work else ""
        lines.append(f"  {one.section:12s} {one.case + batch:56s} {one.who:18s} {one.median / own.median:6.2f}")
    for measure, unit in (("flops", "GFLOP/s"), ("bytes", "GB/s")):
        attainable = results["attainable"][measure]
        for one in timings:
            if one.who == "aejax" and measure in one.work:
                share = one.work[measure] / one.median / attainable
                case = f"{one.case}, batch {one.work['batch_size']}"
                lines.append(f"  {one.section:12s} {case:56s} of {attainable / 1e9:.0f} {unit} {share:6.2f}")
    return "\n".join(lines)
