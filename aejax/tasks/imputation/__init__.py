"""Imputation: what the missing cells of a table may have been, and how sure that is."""

from aejax.tasks.imputation.imputer import Imputed, Imputer, evaluate_imputer, fit_imputer, impute, impute_draws

__all__ = ["Imputed", "Imputer", "evaluate_imputer", "fit_imputer", "impute", "impute_draws"]
