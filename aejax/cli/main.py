"""The command line: the words say which command, which reads its options from them."""

import contextlib
import dataclasses
import functools
import importlib
import operator
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
from tyro.conf import subcommand

from aejax.cli.commands.command import Command
from aejax.cli.ending import exit_code

# The module of each command and what it does, so that those that are not asked for are not loaded.
_COMMANDS = {
    "demo": ("demo", "simulate a plant, train on it, find its faults"),
    "inspect": ("inspection", "say what is read of a table"),
    "train": ("training", "train a model on a table, or go on with a run"),
    "encode": ("runs", "write the code of each row"),
    "reconstruct": ("runs", "write each row after the bottleneck"),
    "detect": ("runs", "write score, p-value and verdict of each row"),
    "generate": ("runs", "write new rows"),
    "evaluate": ("runs", "say how well a run represents a table"),
    "report": ("training", "write a run's page again, or one of two runs"),
    "monitor": ("monitoring", "learn normal operation, judge rows in time"),
    "watch": ("watching", "judge rows as they come"),
    "compare": ("comparing", "say how like new rows are to real ones"),
    "augment": ("augmenting", "write new rows of rare levels"),
    "impute": ("imputation", "fill missing cells"),
    "export": ("exporting", "write a run as ONNX or StableHLO"),
    "denoise-train": ("denoising", "train a denoiser on events and noise"),
    "denoise": ("denoising", "denoise a file of traces"),
    "surrogate": ("surrogate", "learn to compress maps and to predict them"),
    "surrogate-compress": ("surrogate", "write the codes of maps"),
    "surrogate-predict": ("surrogate", "write maps predicted from properties"),
    "sections": ("sections", "train a model of geological sections"),
    "invert": ("inversion", "find velocities that explain travel times"),
    "verify": ("verification", "compare folders with the SHA-256 noted"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: the words after ``aejax``; those of the process by default.

    Raises:
        SystemExit: always; 0 if all went well, 1 for an error that was explained, 2 for words that are not a command,
            130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--debug"]
    sys.exit(exit_code(functools.partial(_main, words), is_debug="--debug" in given))


def _main(words: list[str]) -> int:
    if words == ["--version"]:
        import aejax

        print(f"aejax {aejax.__version__}")
        return 0
    command, options = _parse(words)
    _use_compilation_cache()
    with _others(options):
        _check_platform()
        return _run(command, options)


def _others(options: object) -> contextlib.AbstractContextManager[None]:
    """With the other processes of a run, if this one is one of several."""
    if not getattr(options, "distributed", False):
        return contextlib.nullcontext()
    from aejax.training import processes

    return processes.joined()


def _run(command: Command, options: object) -> int:
    """Does what a command says, alone in the folder that it writes."""
    from aejax.artefacts.locking import locked

    folder = command.folder(options) if command.folder else None
    with contextlib.nullcontext() if folder is None else locked(folder):
        return command.run(options) or 0


def _parse(words: list[str]) -> tuple[Command, object]:
    name = words[0].replace("_", "-") if words else ""
    if name not in _COMMANDS:
        _explain(words)
    command = _command(name)
    given = {"default": command.defaults(words)} if command.defaults else {}
    return command, tyro.cli(command.options, args=words[1:], prog=f"aejax {name}", **given)


def _command(name: str) -> Command:
    module, _ = _COMMANDS[name]
    found: Command = importlib.import_module(f"aejax.cli.commands.{module}").COMMANDS[name]
    return found


def _explain(words: list[str]) -> NoReturn:
    """Ends with the help, a message or a shell's completion: the words begin with no command."""
    options: dict[str, type] = {}
    for name, (_, summary) in _COMMANDS.items():
        if any(word.startswith("--tyro-") for word in words):  # a completion knows the options of all commands
            options[name] = _command(name).options
        else:
            options[name] = dataclasses.make_dataclass(name, [], namespace={"__doc__": summary})
    subcommands: Any = functools.reduce(
        operator.or_, (Annotated[kind, subcommand(name)] for name, kind in options.items())
    )
    tyro.cli(subcommands, args=words, prog="aejax", description=_DESCRIPTION)
    raise AssertionError(words)


_DESCRIPTION = """Learn compressed and generative representations of sensor tables.

The compiled programs are kept in the user's cache folder; AEJAX_CACHE names another folder, AEJAX_CACHE=off none.
Errors are one sentence; --debug shows where they happened."""


def _use_compilation_cache() -> None:
    """Keeps compiled programs between processes: for small work, compiling is most of the wait."""
    import jax

    choice = os.environ.get("AEJAX_CACHE", "")
    if choice.lower() in ("off", "0", "none") or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        folder = Path(choice) if choice else Path(caches or Path.home() / ".cache") / "aejax" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no such user, no home, or one that takes nothing: it is only for speed
        return
    if not os.access(folder, os.W_OK):
        return
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _check_platform() -> None:
    """Refuses a device that was asked for and is not there, before anything is read or written."""
    if not (asked := os.environ.get("JAX_PLATFORMS")):
        return
    import jax

    try:
        jax.devices()
    except Exception as error:
        raise RuntimeError(
            f"JAX_PLATFORMS: found {asked!r}, which this JAX or this machine does not have ({type(error).__name__}"
            f"{f': {error}' if str(error) else ''}); set it to cpu, or unset it"
        ) from error
