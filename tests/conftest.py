import contextlib
import functools
import gc
import importlib.util
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

# Every test runs on the CPU with its own fixed number of host devices, whatever machine it is on.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time goes into compiling: XLA's older way of emitting loops takes half of it, and a program in one
# piece is compiled with less work than in parts side by side. Users, notebooks and the demo have neither. The level is
# the one that the engine compiles with. CI runs the tests marked `as_users` once more without any of this.
if os.environ.get("AEJAX_TEST_FLAGS") != "as-users":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 "
        "--xla_cpu_parallel_codegen_split_count=1",
    )

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro  # noqa: F401, which fails if it is imported after a doctest has left a list in builtins

from aejax import models
from aejax.base import Batch, Model
from aejax.training import engine

# A shell that starts a job in the background has it ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Boosted trees of scikit-learn would turn on a core that the other worker needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

AS_USERS = os.environ.get("AEJAX_TEST_FLAGS") == "as-users"

# The fast part: laws and known answers, marked `fast`.
FAST = ("laws/", "losses/", "test_metrics", "models/test_known_answers", "data/", "simulate/", "properties/")

# A program that was compiled longer ago is compiled anew, so that the folder does not grow for ever.
_DAYS_KEPT = 3

NUM_COLUMNS = 6

# One small instance of every model in the registry; a new model is tested by being registered.
REGISTRY = {name: factory((NUM_COLUMNS,), 2, hidden_dims=(8,)) for name, factory in sorted(models.MODELS.items())}
CODING = [name for name, member in REGISTRY.items() if isinstance(member, Model)]
# What training does is the same for every model: the smallest that draws numbers, which is compiled in half the time.
VAE = models.vae((NUM_COLUMNS,), 2, hidden_dims=())
_OPTIMISED = engine.program
_num_tests = 0


def pytest_configure(config):
    """Most of the time goes into compiling: what was compiled, other processes and the next run take from a folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_compiled(config))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # What is traced lives long: a collector that looks every 700 objects takes a fifteenth of the time.
    gc.set_threshold(50_000, 20, 20)
    _optimise(AS_USERS)


def _compiled(config):
    """The folder beside pytest's own; where pytest keeps none, or cannot write, a folder of this run alone."""
    try:
        folder = config.cache.mkdir("compiled")
    except (AttributeError, OSError):
        config.own_cache = tempfile.mkdtemp(prefix="aejax-tests-")
        return config.own_cache
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run may look through it, too
            if time.time() - path.stat().st_mtime > _DAYS_KEPT * 86_400:
                path.unlink()
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Long trainings, and the fixtures that they set up, are optimised."""
    _optimise(AS_USERS or any(item.get_closest_marker(name) for name in ("optimised", "slow")))
    try:
        return (yield)
    finally:
        _optimise(AS_USERS)


def _optimise(on):
    """Whether LLVM takes its time: programs are compiled in half of it without, and are slower."""
    jax.config.update("jax_disable_most_optimizations", not on)
    engine.program = _OPTIMISED if on else _unoptimised


@functools.cache
def _unoptimised(function, donated):
    """``engine.program``, which names a level of its own, at the lowest one."""
    options = {"xla_backend_optimization_level": 0}
    names = ("algorithm", "plan", "axes")
    return jax.jit(function, static_argnames=names, donate_argnames=donated, compiler_options=options)


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_looked_at_again():
    """Compiled programs stay, and a collector that went through all of them would take seconds each time."""
    yield
    gc.freeze()


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(FAST):
            item.add_marker(pytest.mark.fast)


def pytest_report_header():
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (extra 'peers'): the tests beside it are passed over"
    return None


def pytest_unconfigure(config):
    if hasattr(config, "own_cache"):
        shutil.rmtree(config.own_cache, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a file share fixtures and what is compiled: one process runs them, unless --dist says otherwise."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.option.dist == "load" else None


@pytest.fixture(autouse=True)
def _few_programs_at_a_time():
    """A process may map memory 65,530 times; each compiled program takes dozens of these, and the last one crashes."""
    yield
    global _num_tests
    _num_tests += 1
    if _num_tests % 100 == 0:
        jax.clear_caches()


@pytest.fixture(params=list(REGISTRY))
def member(request):
    """Each Model and Adversary of the registry."""
    return REGISTRY[request.param]


@pytest.fixture(params=CODING)
def model(request):
    """Each Model of the registry: what has an encoder."""
    return REGISTRY[request.param]


@pytest.fixture
def data(request, rows):
    """The rows as a Batch, with conditions for the models that want them."""
    names = [request.node.callspec.params.get(name, "") for name in ("model", "member")]
    wants_conditions = any(name.startswith("conditional") for name in names)
    return Batch(rows, cond=rows[:, :1] if wants_conditions else None)


@pytest.fixture(scope="session")
def rows():
    """(300, 6) standardised rows from two factors, float32."""
    with jax.transfer_guard("allow"):
        factors, weights, noise = (
            np.asarray(jax.random.normal(key, shape, jnp.float32))
            for key, shape in zip(
                jax.random.split(jax.random.key(0), 3),
                [(300, 2), (2, NUM_COLUMNS), (300, NUM_COLUMNS)],
                strict=True,
            )
        )
    x = factors @ weights + np.float32(0.1) * noise
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


@pytest.fixture
def key():
    with jax.transfer_guard("allow"):
        return jax.random.key(7)
