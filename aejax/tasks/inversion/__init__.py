"""Inversion: from a measurement to models of the ground, with a decoder that knows what these look like.

The unknown is a code z with a known prior p(z); the decoder makes a model of the ground from it, x = decode(z), and
a forward function what would be measured, observe(x). With Gaussian noise of covariance C,

    log p(z | y) = log p(z) - (y - observe(decode(z)))^T C^-1 (y - observe(decode(z))) / 2 + constant.
"""

from aejax.tasks.inversion import stored  # noqa: F401  (registers the kind "sections")
from aejax.tasks.inversion.accuracy import (
    ApproximationError,
    approximation_error,
    interval_coverage,
    posterior_predictive,
    truths_alike,
)
from aejax.tasks.inversion.chains import effective_sample_size, rank_normalised_r_hat
from aejax.tasks.inversion.density import Observe, Problem, decode_one, problem, standard_normal
from aejax.tasks.inversion.maxima import Optima, chain_starts, maximum_a_posteriori, refine
from aejax.tasks.inversion.noise import heavy_tailed_weights, time_covariance, time_zero
from aejax.tasks.inversion.rays import Explanation, Rays, explanations, travel_time_limits
from aejax.tasks.inversion.sampling import Posterior, posterior
from aejax.tasks.inversion.sections import Sections, evaluate_sections, fit_sections
from aejax.tasks.inversion.travel_times import TravelTimeInversion, invert_travel_times
from aejax.tasks.inversion.velocities import block_draws, block_velocities, cell_velocities, check_block
from aejax.tasks.inversion.verdict import Usual, Verdict, judge, usual

__all__ = [
    "ApproximationError",
    "Explanation",
    "Observe",
    "Optima",
    "Posterior",
    "Problem",
    "Rays",
    "Sections",
    "TravelTimeInversion",
    "Usual",
    "Verdict",
    "approximation_error",
    "block_draws",
    "block_velocities",
    "cell_velocities",
    "chain_starts",
    "check_block",
    "decode_one",
    "effective_sample_size",
    "evaluate_sections",
    "explanations",
    "fit_sections",
    "heavy_tailed_weights",
    "interval_coverage",
    "invert_travel_times",
    "judge",
    "maximum_a_posteriori",
    "posterior",
    "posterior_predictive",
    "problem",
    "rank_normalised_r_hat",
    "refine",
    "standard_normal",
    "time_covariance",
    "time_zero",
    "travel_time_limits",
    "truths_alike",
    "usual",
]
