"""Both players of every adversary beside the same ones in PyTorch: losses, gradients, loss curves."""

import jax
import numpy as np
import pytest
import torch
from torch.nn import functional

from aejax import exchange, models
from aejax.training.algorithms import adversarial
from tests.peers import networks
from tests.peers.peer import KEY, NUM_ROWS, NUM_STEPS, Peer, batch_of, close, shake, state_of, torched, zeros_like

ADVERSARIES = {
    "gan": lambda: models.gan((5,), 3, hidden_dims=(16,), dropout_rate=0.0, output_activation="tanh"),
    "conditional gan": lambda: models.conditional_gan((5,), 3, hidden_dims=(16,), dropout_rate=0.0, real_label=0.9),
    "wgan-gp": lambda: models.wgan_gp((5,), 3, hidden_dims=(16,)),
    "wgan-gp, both sides": lambda: models.wgan_gp((5,), 3, hidden_dims=(16,), one_sided=False),
}


def players(name):
    conditions = 1 if name == "conditional gan" else 0
    generator = networks.dense(3 + conditions, (16,), 5, "relu", batch_norm=not name.startswith("wgan"))
    if name == "gan":
        generator.append(torch.nn.Tanh())
    return networks.Players(generator, networks.dense(5 + conditions, (16,), 1, "leaky_relu")), conditions


def joined(x, cond):
    return x if cond is None else torch.cat([x, cond], dim=1)


def their_losses(name, module, x, cond, generator_key, discriminator_key):
    """Loss of each player as a PyTorch user writes it, on the noise that ours draws from the same keys."""

    def fake(key):
        return module.generator(joined(torched(jax.random.normal(key, (NUM_ROWS, 3))), cond))

    def verdict(rows):
        return module.discriminator(joined(rows, cond))[:, 0]

    if name.startswith("wgan"):
        judge_key, between_key = jax.random.split(discriminator_key)
        drawn = fake(jax.random.split(judge_key, 3)[0]).detach()
        share = torched(jax.random.uniform(between_key, (NUM_ROWS, 1)))
        between = (share * x + (1 - share) * drawn).requires_grad_()
        (slope,) = torch.autograd.grad(verdict(between).sum(), between, create_graph=True)
        excess = slope.norm(dim=1) - 1
        excess = functional.relu(excess) if name == "wgan-gp" else excess
        penalty = (excess**2).mean()
        return -verdict(fake(jax.random.split(generator_key)[0])).mean(), (
            10 * penalty - (verdict(x) - verdict(drawn)).mean()
        )
    drawn = fake(jax.random.split(discriminator_key, 3)[0]).detach()
    label = 0.9 if name == "conditional gan" else 1.0
    cross_entropy = functional.binary_cross_entropy_with_logits
    real, false = verdict(x), verdict(drawn)
    on_data = cross_entropy(real, torch.full_like(real, label)) + cross_entropy(false, torch.zeros_like(false))
    fooled = verdict(fake(jax.random.split(generator_key)[0]))
    return cross_entropy(fooled, torch.ones_like(fooled)), on_data


@pytest.mark.parametrize("name", list(ADVERSARIES))
def test_both_players_losses_and_gradients(name):
    torch.manual_seed(0)
    adversary, (module, conditions) = ADVERSARIES[name](), players(name)
    shake(module)
    batch = batch_of(Peer(None, module, None, None, event_shape=(5,), num_conditions=conditions))
    variables = exchange.from_state_dict(state_of(module), zeros_like(adversary, batch))
    z = jax.random.normal(KEY, (7, 3))
    cond = None if batch.cond is None else batch.cond[:7]
    module.eval()
    with torch.no_grad():
        close(adversary.generate(variables, z, cond), module.generator(joined(torched(z), torched(cond))).numpy())
    module.train()
    theirs = their_losses(name, module, torched(batch.x), torched(batch.cond), KEY, KEY)
    for player, loss, their_loss in zip(
        ("generator", "discriminator"), (adversary.generator_loss, adversary.discriminator_loss), theirs, strict=True
    ):

        def ours_of(own, player=player, loss=loss):
            params = {**variables["params"], player: own}
            return loss(KEY, {**variables, "params": params}, batch, adversary.hparams)[0]

        value, gradient = jax.jit(jax.value_and_grad(ours_of))(variables["params"][player])
        close(value, their_loss.item())
        module.zero_grad()
        their_loss.backward(retain_graph=True)
        gradients = {key: np.zeros_like(v) for key, v in state_of(module).items()}
        gradients |= {key: p.grad.numpy() for key, p in module.named_parameters() if p.grad is not None}
        other = exchange.from_state_dict(gradients, variables)["params"][player]
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
            close(a, b)


@pytest.mark.parametrize("name", list(ADVERSARIES))
def test_both_players_loss_curves_of_twenty_steps(name):
    torch.manual_seed(0)
    adversary, (module, conditions) = ADVERSARIES[name](), players(name)
    peer = Peer(None, module, None, None, event_shape=(5,), num_conditions=conditions)
    algorithm = adversarial(adversary)
    variables = exchange.from_state_dict(state_of(module), zeros_like(adversary, batch_of(peer)))
    state = algorithm.init(KEY, batch_of(peer), algorithm.hparams, variables)
    step = jax.jit(algorithm.step)
    optimizers = [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (module.generator, module.discriminator)]
    module.train()
    for index in range(NUM_STEPS):
        batch = batch_of(peer, index)
        generator_key, discriminator_key = jax.random.split(jax.random.fold_in(state.key, index))
        state, metrics = step(state, batch, algorithm.hparams)
        turns = [(1, key) for key in jax.random.split(discriminator_key, adversary.num_discriminator_steps)]
        values = {0: [], 1: []}
        for player, key in [*turns, (0, generator_key)]:
            loss = their_losses(name, module, torched(batch.x), torched(batch.cond), key, key)[player]
            optimizers[player].zero_grad()
            loss.backward()
            optimizers[player].step()
            values[player].append(loss.item())
        np.testing.assert_allclose(metrics["generator_loss"], values[0][0], rtol=5e-5, atol=2e-5)
        np.testing.assert_allclose(metrics["discriminator_loss"], np.mean(values[1]), rtol=5e-5, atol=2e-5)
