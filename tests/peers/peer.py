"""One system twice, and what is needed to compare the two."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from aejax.base import Batch

KEY = jax.random.key(3)
NUM_ROWS, NUM_STEPS, MOMENTUM = 32, 20, 0.9


class Peer(NamedTuple):
    """One system twice.

    Attributes:
        model: ours.
        module: PyTorch's, with weights of its own.
        loss: (module, x, cond, noise) -> scalar.
        output: (module, x, cond) -> what ``decode(encode(x).mean)`` is.
        noise: (key, x) -> the noise that our loss draws.
        event_shape: of x.
        num_conditions: of cond, 0 for none.
        low, high: the range of the data.
    """

    model: Any
    module: torch.nn.Module
    loss: Callable[..., Any]
    output: Callable[..., Any]
    noise: Callable[..., dict[str, Any]] = lambda key, x: {}
    event_shape: tuple[int, ...] = (10,)
    num_conditions: int = 0
    low: float = -2.0
    high: float = 2.0


def torched(array):
    return None if array is None else torch.from_numpy(np.array(array, np.float32))


def close(ours, theirs, tolerance=1e-5):
    """Equal to the tolerance, relative to the largest value where that is above 1."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1.0, np.abs(theirs).max()))


def zeros_like(model, batch):
    """Variables of the right shapes without the wait for drawing them."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), jax.eval_shape(model.init, KEY, batch))


def state_of(module):
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def batch_of(peer, index=0):
    x_key, cond_key = jax.random.split(jax.random.fold_in(KEY, index))
    x = jax.random.uniform(x_key, (NUM_ROWS, *peer.event_shape), minval=peer.low, maxval=peer.high)
    cond = jax.random.normal(cond_key, (NUM_ROWS, peer.num_conditions)) if peer.num_conditions else None
    return Batch(x, cond=cond)


def shake(module):
    """Weights and running statistics that are nobody's first values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "code" not in name and "likelihood" not in name:
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
