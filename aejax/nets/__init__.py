"""Networks. Linen lives here and nowhere else: what leaves this package are pairs of pure functions."""

from aejax.nets.convolutional import convolutional_decoder, convolutional_encoder
from aejax.nets.dense import mlp
from aejax.nets.layers import ACTIVATIONS
from aejax.nets.network import Network, as_network, compose, join, select
from aejax.nets.precision import Precision, computed_in
from aejax.nets.recomputing import recomputed
from aejax.nets.resizing import resize
from aejax.nets.shortcut import with_shortcut
from aejax.nets.temporal import dilated_convolutions

__all__ = [
    "ACTIVATIONS",
    "Network",
    "Precision",
    "as_network",
    "compose",
    "computed_in",
    "convolutional_decoder",
    "convolutional_encoder",
    "dilated_convolutions",
    "join",
    "mlp",
    "recomputed",
    "resize",
    "select",
    "with_shortcut",
]
