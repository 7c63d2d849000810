"""Everything that decides the result of a training run, in one value that is stored with it."""

import dataclasses
import difflib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, get_args

from aejax import losses
from aejax.artefacts import described
from aejax.base import Adversary, Model
from aejax.data.columns.features import has_categories, likelihood_of
from aejax.data.columns.kinds import Column
from aejax.data.formats import options as reading_options
from aejax.data.formats.options import ReadOptions
from aejax.models import MODELS

# The length of a run where none is asked for: about this many steps, within these numbers of epochs.
_DEFAULT_STEPS = 20_000
# What models take where they are told no likelihood, if it is another than the squared error. Beside categories the
# conditional VAE has one scale a column: a scale for each value, its own, is a second output of the decoder.
_OWN_LIKELIHOODS: dict[str, Callable[[], losses.Likelihood]] = {
    **dict.fromkeys(("vae", "conditional_vae", "vq_autoencoder"), losses.gaussian),
    "convolutional_vae": lambda: losses.gaussian("shared"),
}
_ADVERSARIAL_EMA_DECAY = 0.999
_FEWEST_EPOCHS, _MOST_EPOCHS = 20, 1000


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Options of a training run on a table.

    Attributes:
        model: autoencoder, denoising_autoencoder, sparse_autoencoder, deep_autoencoder, vae, conditional_vae, gan,
            wgan_gp, conditional_gan, vq_autoencoder, fsq_autoencoder, convolutional_autoencoder,
            convolutional_denoising_autoencoder or convolutional_vae; the convolutional ones take neighbouring columns
            to be neighbours.
        latent_dim: size of the code; by default the number of principal components that hold 90 % of the variance of
            the training rows, and for a GAN, whose noise must fill all columns, twice their number.
        hidden_dims: widths of the hidden layers, channels of convolutional ones; the model's own by default.
        likelihood: what the decoder's output means, one of bernoulli (columns between two values), gaussian, poisson
            (counts), squared_error and student_t (outliers); the model's own by default. The columns are scaled as it
            needs them.
        options: further arguments of the model, NAME=VALUE, such as beta=4 or noise_level=0.2; a wrong one has the
            error list them.
        num_epochs: the most passes over the training rows; by default as many as make 20,000 steps, between 20 and
            1000.
        batch_size: rows a step.
        learning_rate: of Adam.
        schedule: of the learning rate: constant, or falling along half a cosine.
        clip_norm: largest norm of a gradient; no clipping by default.
        weight_decay: decoupled weight decay.
        ema_decay: decay of a moving average of the parameters, which is then kept; none by default, 0.999 for a
            GAN.
        patience: epochs without a better validation loss after which training stops; by default a fifth of
            num_epochs, at least 20; for a GAN all of them.
        pretrain_epochs: passes over the training rows for each Boltzmann machine that deep_autoencoder begins from;
            none by default.
        seed: of the run's key.
        condition_columns: columns that are given rather than modelled.
        drop_columns: columns to leave out.
        reading: how the table's file is read, where it does not say so itself; new files are read alike.
        numbers: how columns of numbers are given to the model: scaled, or ranked among the training rows. Ranks suit
            rows that are to be generated, with heavy tails and values that pile up; they hide how far out a value is.
        gross_errors: whether single values that are far beyond the tail of their column count as missing in training,
            or are kept.
        split: hold out rows at random, or the last ones in time.
        validation_fraction: share of rows that choose the best epoch.
        calibration_fraction: share of rows that nothing is fitted to, from which the alarm threshold comes.
        false_alarm_rate: share of normal rows that detection may flag.
    """

    model: str = "vae"
    latent_dim: int | None = None
    hidden_dims: tuple[int, ...] | None = None
    likelihood: str | None = None
    options: tuple[str, ...] = ()
    num_epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    clip_norm: float | None = None
    weight_decay: float = 0.0
    ema_decay: float | None = None
    patience: int | None = None
    pretrain_epochs: int = 0
    seed: int = 0
    condition_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    reading: ReadOptions = ReadOptions()
    numbers: Literal["scaled", "ranked"] = "scaled"
    gross_errors: Literal["leave_out", "keep"] = "leave_out"
    split: Literal["random", "time"] = "random"
    validation_fraction: float = 0.1
    calibration_fraction: float = 0.2
    false_alarm_rate: float = 0.01


def for_new_rows(num_rows: int, **options: Any) -> TrainConfig:
    """Options of a run that is trained to generate rows, and to detect nothing: docs/generation.md has what they give.

    Forty passes of about fifty steps; a code with room for all that varies, which a flow then learns; numbers by their
    ranks, so that heavy tails and values that pile up are kept. All rows train but those that choose the best epoch.

    Args:
        num_rows: of the table.
        options: further ones, or others in their place, such as ``seed``.

    Returns:
        The TrainConfig.

    Example:
        >>> for_new_rows(26_048, seed=1).batch_size
        512
    """
    chosen: dict[str, Any] = {
        "model": "vae",
        "numbers": "ranked",
        "latent_dim": 32,
        "hidden_dims": (256, 256),
        "options": ("beta=0.02",),
        "batch_size": min(max(num_rows // 50, 32), 512),
        "num_epochs": 40,
        "learning_rate": 2e-3,
        "calibration_fraction": 0.01,
        "validation_fraction": 0.05,
    }
    return TrainConfig(**(chosen | options))


def from_dict(values: Mapping[str, object], where: str = "config") -> TrainConfig:
    """A TrainConfig from parsed JSON.

    Args:
        values: options by name; the others keep their defaults.
        where: what the values are, for the error.

    Returns:
        The TrainConfig.

    Raises:
        ValueError: an unknown option, or a value of another kind.

    Example:
        >>> from_dict({"model": "autoencoder", "hidden_dims": [32]}).hidden_dims
        (32,)
    """
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"{where}: found an unknown option {name!r}{_nearest(name, fields)}")
        if name != "reading" and not _is_of_kind(value, str(fields[name].type)):
            raise ValueError(f"{where}: {name}: found {value!r}, expected {fields[name].type}")
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    if "reading" in options:
        options["reading"] = reading_options.from_json(options["reading"], f"{where}: reading")
    return TrainConfig(**options)


def _is_of_kind(value: object, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if isinstance(value, list | tuple):
        inner = int if "int" in kind else str
        return "tuple" in kind and all(type(item) is inner for item in value)
    if "Literal" in kind:
        return repr(value) in kind.replace('"', "'")
    if "float" in kind:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value).__name__ in kind and "tuple" not in kind


def check(config: TrainConfig) -> None:
    """Checks the options that need no data.

    Args:
        config: the TrainConfig.

    Raises:
        ValueError: an option out of range, or an unknown model; the message names it.
    """
    if config.model not in MODELS:
        raise ValueError(f"model: found {config.model!r}, expected one of {', '.join(sorted(MODELS))}")
    if config.likelihood is not None:
        losses.likelihood(config.likelihood)
    if config.numbers == "ranked" and scaling(config) != "standardised":
        raise ValueError(
            f"numbers: found 'ranked' with the likelihood {config.likelihood}, expected one of measurements; leave one "
            "of both out"
        )
    for name in ("latent_dim", "num_epochs", "batch_size", "learning_rate", "patience", "clip_norm"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: found {value}, expected a positive number")
    for name in ("validation_fraction", "calibration_fraction", "false_alarm_rate"):
        if not 0 < getattr(config, name) < 1:
            raise ValueError(f"{name}: found {getattr(config, name)}, expected a share between 0 and 1")
    if config.validation_fraction + config.calibration_fraction > 0.9:
        raise ValueError("calibration_fraction: validation and calibration together leave under a tenth to train on")
    if config.ema_decay is not None and not 0 <= config.ema_decay < 1:
        raise ValueError(f"ema_decay: found {config.ema_decay}, expected a number in [0, 1)")
    if config.pretrain_epochs < 0:
        raise ValueError(f"pretrain_epochs: found {config.pretrain_epochs}, expected at least 0")
    if config.pretrain_epochs and config.model != "deep_autoencoder":
        raise ValueError(
            f"pretrain_epochs: found {config.pretrain_epochs} with {config.model}, expected it with deep_autoencoder "
            "only"
        )
    if not 0 <= config.weight_decay < math.inf:
        raise ValueError(f"weight_decay: found {config.weight_decay}, expected a number that is not negative")
    if not 0 <= config.seed < 2**63:
        raise ValueError(f"seed: found {config.seed}, expected a whole number that is not negative")


def resolve(config: TrainConfig, num_train: int, suggested_latent_dim: int) -> TrainConfig:
    """Fills in the numbers that the config leaves to the data.

    Args:
        config: the TrainConfig.
        num_train: the number of training rows.
        suggested_latent_dim: the size of the code where none is asked for.

    Returns:
        The TrainConfig without a None in latent_dim, hidden_dims, num_epochs and patience.

    Example:
        >>> resolve(TrainConfig(), num_train=6400, suggested_latent_dim=3).num_epochs
        200
    """
    adversarial = is_adversarial(config.model)
    own_hidden_dims = inspect.signature(MODELS[config.model]).parameters["hidden_dims"].default
    num_steps = math.ceil(num_train / min(config.batch_size, num_train))
    num_epochs = config.num_epochs or min(max(_DEFAULT_STEPS // num_steps, _FEWEST_EPOCHS), _MOST_EPOCHS)
    return dataclasses.replace(
        config,
        latent_dim=config.latent_dim or suggested_latent_dim,
        hidden_dims=own_hidden_dims if config.hidden_dims is None else config.hidden_dims,
        num_epochs=num_epochs,
        # The distance of samples to data goes up and down on its way: an adversary is given its whole time, and
        # averaged.
        patience=config.patience or (num_epochs if adversarial else max(num_epochs // 5, 20)),
        ema_decay=_ADVERSARIAL_EMA_DECAY if adversarial and config.ema_decay is None else config.ema_decay,
    )


def is_adversarial(model: str) -> bool:
    """Whether a model of the registry is a GAN, which has no encoder.

    Example:
        >>> is_adversarial("wgan_gp"), is_adversarial("vae")
        (True, False)
    """
    return isinstance(MODELS[model]((1,), 1), Adversary)


def scaling(config: TrainConfig) -> losses.Scaling:
    """How the modelled columns are scaled.

    Example:
        >>> scaling(TrainConfig(likelihood="poisson")), scaling(TrainConfig())
        ('counts', 'standardised')
    """
    return "standardised" if config.likelihood is None else losses.likelihood(config.likelihood).scaling


def build_model(config: TrainConfig, num_features: int, columns: Sequence[Column] = ()) -> Model | Adversary:
    """The model of a resolved config.

    Args:
        config: the TrainConfig.
        num_features: the number of features that it models.
        columns: what is known of the columns; all are numbers if none.

    Returns:
        The Model or Adversary.

    Raises:
        ValueError: an option that the model does not have, or a bad value.

    Example:
        >>> build_model(TrainConfig(latent_dim=2, options=("beta=4",)), num_features=5).hparams.beta
        4
    """
    factory = MODELS[config.model]
    known = {
        name: parameter
        for name, parameter in inspect.signature(factory).parameters.items()
        if name not in ("event_shape", "latent_dim", "hidden_dims", "likelihood", "encoder", "decoder", "visible")
    }
    options: dict[str, Any] = {} if config.hidden_dims is None else {"hidden_dims": config.hidden_dims}
    if config.likelihood is not None:
        if "likelihood" not in inspect.signature(factory).parameters:
            raise ValueError(
                f"likelihood: found {config.likelihood!r} for {config.model}, which takes none; leave it out"
            )
        options["likelihood"] = losses.likelihood(config.likelihood)
    if has_categories(columns) and "likelihood" in inspect.signature(factory).parameters:
        own = _OWN_LIKELIHOODS.get(config.model, losses.squared_error)()
        options["likelihood"] = likelihood_of(columns, options.get("likelihood", own))
    if config.pretrain_epochs:  # the units of Boltzmann machines are logistic
        options["activation"] = "sigmoid"
    for option in config.options:
        name, separator, text = option.partition("=")
        if not separator or name not in known:
            raise ValueError(
                f"options: found {option!r}, expected NAME=VALUE with one of {', '.join(known)} for {config.model}"
            )
        options[name] = _value(name, text, known[name])
    try:
        return factory((num_features,), config.latent_dim, **options)
    except TypeError as error:
        raise ValueError(f"options: found {' '.join(config.options)}, which {config.model} refuses: {error}") from error


def earlier_model(config: TrainConfig, num_columns: int) -> Model | Adversary:
    """``build_model`` with the defaults of the versions that did not store a model.

    Example:
        >>> earlier_model(TrainConfig("vae", latent_dim=2), 5) is build_model(TrainConfig("vae", latent_dim=2), 5)
        False
    """
    told = {option.partition("=")[0] for option in config.options}
    before = described.earlier_defaults(MODELS[config.model])
    added = tuple(f"{name}={json.dumps(value)}" for name, value in before.items() if name not in told)
    return build_model(dataclasses.replace(config, options=(*config.options, *added)), num_columns)


def _value(name: str, text: str, parameter: inspect.Parameter) -> object:
    """The value of the text, of a type that the parameter takes."""
    try:
        value = json.loads(_AS_JSON.get(text, text))
    except json.JSONDecodeError:
        value = text
    taken = set(get_args(parameter.annotation)) or {parameter.annotation}
    kind = next((kind for kind in _EXPECTED if kind in taken and taken <= {kind, NoneType}), None)
    if kind is None or (value is None and NoneType in taken):
        return value
    accepted = int | float if kind is float else kind
    is_switch = isinstance(value, bool) and kind is not bool  # Python's True is an int
    if not isinstance(value, accepted) or is_switch:
        raise ValueError(f"options: {name}: found {text!r}, expected {_EXPECTED[kind]}")
    return value


# As Python spells them.
_AS_JSON = {"True": "true", "False": "false", "None": "null"}
_EXPECTED: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the options are {', '.join(known)}"
