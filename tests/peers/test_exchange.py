"""A user's PyTorch modules go over, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from aejax import exchange, models
from aejax.base import Batch
from tests.peers import networks
from tests.peers.peer import KEY, close, state_of, torched


def test_a_module_with_two_heads_and_other_names_goes_over_and_back(tmp_path):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.Tanh())
            self.fc_mu, self.fc_log_var = torch.nn.Linear(32, 4), torch.nn.Linear(32, 4)
            self.expand = networks.dense(4, (32,), 10)

    from safetensors.torch import save_file

    torch.manual_seed(0)
    module = Theirs()
    path = tmp_path / "theirs.safetensors"
    save_file(module.state_dict(), path)
    model = models.vae((10,), 4, hidden_dims=(32,), activation="tanh", shortcut=False)
    names = {"encoder": "trunk", "encoder.layer_1": ["fc_mu", "fc_log_var"], "decoder": "expand"}
    variables = exchange.load_state_dict(path, model.init(KEY, Batch(jnp.zeros((1, 10)))), names)
    x = jax.random.normal(KEY, (5, 10))
    with torch.no_grad():
        h = module.trunk(torched(x))
        close(model.encode(variables, x).mean, module.fc_mu(h).numpy())
        close(model.encode(variables, x).log_var, module.fc_log_var(h).numpy())
    back = exchange.to_state_dict(variables, like=state_of(module), names=names)
    assert set(back) == set(state_of(module))
    for name, tensor in state_of(module).items():
        np.testing.assert_array_equal(back[name], tensor)


def test_our_names_load_strictly_into_a_module_of_the_same_names():
    model = models.convolutional_autoencoder((8, 8), 4, hidden_dims=(6, 8))
    variables = jax.jit(model.init)(KEY, Batch(jnp.zeros((1, 8, 8))))
    module = networks.Pair(
        networks.convolutional_encoder((8, 8), 1, (6, 8), 4), networks.convolutional_decoder((8, 8), 1, (8, 6), 4)
    )
    like = state_of(module)
    module.load_state_dict({name: torch.from_numpy(a) for name, a in exchange.to_state_dict(variables, like).items()})
    again = exchange.from_state_dict(state_of(module), variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.parametrize(
    "model",
    [
        models.convolutional_autoencoder((8, 8), 2, hidden_dims=(4,), dense_dims=(8,)),
        models.convolutional_vae((8, 8), 2, hidden_dims=(4,)),
        models.autoencoder((8, 8), 2, shortcut=True),
    ],
    ids=["composed", "a scalar of the likelihood", "shortcut"],
)
def test_networks_of_several_parts_go_over_and_back_by_our_own_names(model):
    shapes = jax.eval_shape(model.init, KEY, Batch(jnp.zeros((1, 8, 8))))
    numbers = iter(range(1000))
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, next(numbers), jnp.float32), shapes)
    nothing = jax.tree.map(jnp.zeros_like, variables)
    jax.tree.map(
        np.testing.assert_array_equal, exchange.from_state_dict(exchange.to_state_dict(variables), nothing), variables
    )


def test_a_part_of_a_composed_network_is_named_by_its_path():
    model = models.convolutional_autoencoder((8, 8), 2, hidden_dims=(4,), dense_dims=(6,), batch_norm=False)
    variables = model.init(KEY, Batch(jnp.zeros((1, 8, 8))))
    theirs = {name.replace("encoder.dense", "net.head"): a for name, a in exchange.to_state_dict(variables).items()}
    again = exchange.from_state_dict(theirs, variables, {"encoder.dense": "net.head"})
    jax.tree.map(np.testing.assert_array_equal, again, variables)
