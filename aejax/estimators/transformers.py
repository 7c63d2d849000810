"""Autoencoders as transformers: rows to codes and back, and rows to cleaner rows."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from aejax import models, tasks
from aejax.base import Array, Batch, Model, PyTree, Variables, required
from aejax.data.columns.scalers import fit_scaler, scaled_rows, unscale
from aejax.estimators.rows import fitting_rows, key_of, new_rows, row_by_row
from aejax.tasks.reduction import suggest_latent_dim
from aejax.tasks.rows import over_rows
from aejax.training import fit


class _OfRows(TransformerMixin, BaseEstimator):
    """What the transformers share: they standardise rows, train a model of them, and score rows by it."""

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        hidden_dims: Sequence[int] = (64, 32),
        learning_rate: float = 1e-3,
        num_epochs: int = 100,
        batch_size: int = 64,
        validation: float = 0.1,
        random_state: Any = None,
    ):
        self.latent_dim = latent_dim
        self.hidden_dims = hidden_dims
        self.learning_rate = learning_rate
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.validation = validation
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learns the rows.

        Args:
            X: (n, c) rows in their own units, NaN where missing.
            y: ignored.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: rows or parameters that do not fit.
        """
        rows = fitting_rows(self, X)
        scaler = fit_scaler(rows, columns=getattr(self, "feature_names_in_", None))
        scaled = scaled_rows(scaler, rows)
        latent_dim = suggest_latent_dim(scaled) if self.latent_dim is None else self.latent_dim
        model, hparams = self._model(scaled.shape[1], latent_dim)
        fitted = fit(
            key_of(self.random_state),
            model,
            scaled,
            hparams=hparams,
            validation=self.validation,
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )
        self.model_, self.variables_, self.scaler_, self.latent_dim_ = model, fitted.variables, scaler, latent_dim
        self.history_ = fitted.history
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How usual each row is: minus the score of the model, which is that of the observed columns, standardised.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n,), higher is more usual; NaN for a row of which nothing is observed.
        """
        rows = self._scaled(X)
        key = key_of(0)  # the score of these models is not drawn
        found = row_by_row(lambda block: tasks.score(key, self.model_, self.variables_, block), rows)
        return -found.astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """The mean of ``score_samples``, by which a search chooses.

        Args:
            X: (n, c) rows, NaN where missing.
            y: ignored.

        Returns:
            The mean over the rows of which something is observed.
        """
        return float(np.nanmean(self.score_samples(X)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _model(self, num_columns: int, latent_dim: int) -> tuple[Model, PyTree]:
        """The Model, the same one whatever the values of its hyperparameters are, and these values."""
        raise NotImplementedError

    def _scaled(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return scaled_rows(self.scaler_, new_rows(self, X))


class _ToCodes(ClassNamePrefixFeaturesOutMixin, _OfRows):
    """Rows to codes and back."""

    def transform(self, X: Any) -> np.ndarray:
        """The code of each row; of a row with gaps the code that what was observed asks for.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n, latent_dim).
        """
        check_is_fitted(self)
        rows = new_rows(self, X)
        scaled = scaled_rows(self.scaler_, rows)
        codes = row_by_row(lambda block: tasks.encode(self.model_, self.variables_, block).mean, scaled)
        return codes.astype(rows.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows that codes stand for, in the units of ``fit``.

        Args:
            X: (n, latent_dim) codes.

        Returns:
            (n, c).

        Raises:
            ValueError: codes of another size.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32])
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"X: found codes of {codes.shape[1]} numbers, expected {self._n_features_out}, latent_dim")
        rows = row_by_row(lambda block: over_rows(_decoded, self.model_, self.variables_, block), codes)
        return unscale(self.scaler_, rows.astype(np.float64)).astype(codes.dtype)

    @property
    def _n_features_out(self) -> int:
        return int(self.latent_dim_)


class AutoencoderTransformer(_ToCodes):
    """An autoencoder: rows to codes and back (``aejax.models.autoencoder``).

    Columns are standardised inside, so that rows go in and come back in their own units. Rows may have gaps.
    ``score_samples`` is minus the mean squared error of the standardised columns.

    Args:
        latent_dim: size of the code; as many numbers as hold 90 % of the variance if None.
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them.
        learning_rate: Adam's. Values of it share one compiled program.
        num_epochs: passes over the rows.
        batch_size: rows a step.
        validation: share of the rows that choose the best epoch; 0 for none.
        random_state: a whole number for the same result each time.

    Attributes:
        model_: the Model.
        variables_: its variables.
        scaler_: of the columns.
        latent_dim_: size of the code.
        history_: metrics of the training by name; not saved.
        n_features_in_: columns of ``fit``.
        feature_names_in_: their names, where it had any.

    Example:
        >>> x = np.random.default_rng(0).normal(300, 5, (100, 1)) * np.ones(4)
        >>> estimator = AutoencoderTransformer(latent_dim=1, num_epochs=5, random_state=0).fit(x)
        >>> estimator.inverse_transform(estimator.transform(x)).shape
        (100, 4)
    """

    def _model(self, num_columns: int, latent_dim: int) -> tuple[Model, PyTree]:
        model = models.autoencoder((num_columns,), latent_dim, hidden_dims=self.hidden_dims)
        return model, model.hparams


class VAETransformer(_ToCodes):
    """A variational autoencoder: rows to codes and back, and new rows (``aejax.models.vae``).

    ``score_samples`` is the evidence lower bound at the mean code, divided by the number of observed columns.

    Args:
        latent_dim: size of the code; as many numbers as hold 90 % of the variance if None.
        beta: weight of the KL term. Values of it share one compiled program.
        hidden_dims: as in ``AutoencoderTransformer``, as are all that follow.
        learning_rate: likewise.
        num_epochs: likewise.
        batch_size: likewise.
        validation: likewise.
        random_state: likewise.

    Attributes:
        model_: the Model, and the others of ``AutoencoderTransformer``.

    Example:
        >>> x = np.random.default_rng(0).normal(300, 5, (100, 1)) * np.ones(4)
        >>> estimator = VAETransformer(latent_dim=1, num_epochs=5, random_state=0).fit(x)
        >>> estimator.sample(3, random_state=1).shape
        (3, 4)
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        beta: float = 1.0,
        hidden_dims: Sequence[int] = (64, 32),
        learning_rate: float = 1e-3,
        num_epochs: int = 100,
        batch_size: int = 64,
        validation: float = 0.1,
        random_state: Any = None,
    ):
        super().__init__(
            latent_dim,
            hidden_dims=hidden_dims,
            learning_rate=learning_rate,
            num_epochs=num_epochs,
            batch_size=batch_size,
            validation=validation,
            random_state=random_state,
        )
        self.beta = beta

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draws new rows, in the units of ``fit``.

        Args:
            n_samples: how many.
            random_state: of the draw.

        Returns:
            (n_samples, c).

        Raises:
            ValueError: a number that is not positive.
        """
        check_is_fitted(self)
        drawn = tasks.generate(key_of(random_state), self.model_, self.variables_, n_samples)
        return unscale(self.scaler_, np.asarray(drawn, np.float64))

    def _model(self, num_columns: int, latent_dim: int) -> tuple[Model, PyTree]:
        def made(**options: Any) -> Model:
            return models.vae((num_columns,), latent_dim, hidden_dims=self.hidden_dims, **options)

        return made(), made(beta=self.beta).hparams


class DenoisingTransformer(OneToOneFeatureMixin, _OfRows):
    """A denoising autoencoder: rows to cleaner rows (``aejax.models.denoising_autoencoder``).

    What is missing in a row is filled in as its observed columns have it.

    Args:
        latent_dim: size of the code; as many numbers as hold 90 % of the variance if None.
        noise_level: of the noise that is added in training, in standard deviations of a column. Values of it share one
            compiled program.
        hidden_dims: as in ``AutoencoderTransformer``, as are all that follow.
        learning_rate: likewise.
        num_epochs: likewise.
        batch_size: likewise.
        validation: likewise.
        random_state: likewise.

    Attributes:
        model_: the Model, and the others of ``AutoencoderTransformer``.

    Example:
        >>> x = np.random.default_rng(0).normal(300, 5, (100, 1)) * np.ones(4)
        >>> DenoisingTransformer(latent_dim=1, num_epochs=5, random_state=0).fit_transform(x).shape
        (100, 4)
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        noise_level: float = 0.3,
        hidden_dims: Sequence[int] = (64, 32),
        learning_rate: float = 1e-3,
        num_epochs: int = 100,
        batch_size: int = 64,
        validation: float = 0.1,
        random_state: Any = None,
    ):
        super().__init__(
            latent_dim,
            hidden_dims=hidden_dims,
            learning_rate=learning_rate,
            num_epochs=num_epochs,
            batch_size=batch_size,
            validation=validation,
            random_state=random_state,
        )
        self.noise_level = noise_level

    def transform(self, X: Any) -> np.ndarray:
        """Each row after the bottleneck, in its own units: without noise, and without gaps.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n, c).
        """
        check_is_fitted(self)
        rows = new_rows(self, X)
        scaled = scaled_rows(self.scaler_, rows)
        clean = row_by_row(lambda block: tasks.reconstruct(self.model_, self.variables_, block), scaled)
        return unscale(self.scaler_, clean.astype(np.float64)).astype(rows.dtype)

    def _model(self, num_columns: int, latent_dim: int) -> tuple[Model, PyTree]:
        def made(**options: Any) -> Model:
            return models.denoising_autoencoder((num_columns,), latent_dim, hidden_dims=self.hidden_dims, **options)

        return made(), made(noise_level=self.noise_level).hparams


def _decoded(model: Model, variables: Variables, batch: Batch) -> Array:
    return required(model.decode, "decode")(variables, batch.x)
