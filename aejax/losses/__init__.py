"""Likelihoods, divergences and how they are reduced: arrays in, arrays out."""

# The names are listed where the functions are, so that a likelihood is added in one file.
from aejax.losses.divergences import *  # noqa: F403
from aejax.losses.likelihoods import *  # noqa: F403
from aejax.losses.products import *  # noqa: F403
from aejax.losses.reductions import *  # noqa: F403
