"""Discrete codes: clusters that are known, a codebook's step by hand, a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import losses, models
from aejax.base import Batch
from aejax.data.batches import as_batch
from aejax.tasks import encode, generate, reconstruct
from aejax.training import ensemble, fit
from aejax.training.optimizers import adam

SCALE = 0.05
SHARES = np.array([0.05, 0.08, 0.1, 0.1, 0.12, 0.15, 0.18, 0.22])


def clusters(key, num_rows, shares):
    """Rows of eight tight clusters in six dimensions, their labels, and the clusters' centres."""
    centre_key, label_key, noise_key = jax.random.split(key, 3)
    centres = jax.random.normal(centre_key, (8, 6))
    labels = jax.random.choice(label_key, 8, (num_rows,), p=jnp.asarray(shares))
    x = centres[labels] + SCALE * jax.random.normal(noise_key, (num_rows, 6))
    return np.asarray(x), np.asarray(labels), np.asarray(centres)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [np.full(8, 1 / 8), SHARES], ids=["equal", "unequal"])
def test_each_cluster_gets_a_code_of_its_own_and_samples_have_its_frequency(shares):
    x, labels, centres = clusters(jax.random.key(0), 2000, shares)
    # In two dimensions some of the eight codes may lie close together, and three keys of twenty needed more steps for a
    # decoder that tells them apart; in three dimensions none of twenty did.
    model = models.vq_autoencoder((6,), 3, num_codes=8, hidden_dims=(32,), activation="tanh")
    keys, optimizer = jax.random.split(jax.random.key(1), 5), adam("cosine", 100 * 29)
    fitted = ensemble(keys, model, x, num_epochs=100, learning_rate=3e-3, optimizer=optimizer)
    for index in range(5):
        member = aejax.member(fitted, index)
        variables, codebook = member.variables, np.asarray(member.variables["codebook"]["codes"][0])
        code = encode(model, variables, x).mean
        numbers = np.argmax((code[:, None] == codebook).all(axis=2), axis=1)
        rows_of = np.array([np.bincount(numbers[labels == label], minlength=8) for label in range(8)])
        assert sorted(rows_of.argmax(axis=1)) == list(range(8))
        assert rows_of.max(axis=1).sum() >= 0.999 * len(x)  # a row half-way between two z may go astray
        assert np.mean((x - reconstruct(model, variables, x)) ** 2) < 1.25 * SCALE**2
        frequency = np.bincount(labels, minlength=8) / len(labels)
        expected = np.exp(-np.sum(frequency * np.log(frequency)))
        assert member.history["val_perplexity"][-1] == pytest.approx(expected, rel=0.08)
        assert member.history["val_unused"][-1] == 0
        drawn = np.asarray(generate(jax.random.key(2), model, variables, 20_000))
        nearest = np.argmin(((drawn[:, None] - centres) ** 2).sum(axis=2), axis=1)
        np.testing.assert_allclose(np.bincount(nearest, minlength=8) / 20_000, frequency, atol=0.015)
        means = [drawn[nearest == label].mean(axis=0) for label in range(8)]
        np.testing.assert_allclose(means, centres, atol=0.03)


def vq(**options):
    """A model and variables whose codes are all of use, so that none moves."""
    model = models.vq_autoencoder((6,), 2, num_codes=4, hidden_dims=(8,), activation="tanh", **options)
    variables = model.init(jax.random.key(3), Batch(jnp.zeros((1, 6))))
    codes = variables["codebook"]["codes"]
    weights = 1 + jnp.arange(codes[..., 0].size, dtype=jnp.float32).reshape(codes.shape[:2])
    return model, {**variables, "codebook": {"codes": codes, "rates": weights / 10, "savings": 100 * weights}}


def encoder_output(variables, x):
    layers = variables["params"]["encoder"]
    hidden = np.tanh(x @ np.asarray(layers["layer_0"]["kernel"]) + np.asarray(layers["layer_0"]["bias"]))
    return hidden @ np.asarray(layers["layer_1"]["kernel"]) + np.asarray(layers["layer_1"]["bias"])


@pytest.mark.parametrize("num_groups", [1, 2])
def test_one_step_of_the_codebook_by_hand(rows, key, num_groups):
    """Van den Oord et al. 2017, eq. 6 to 8, with sums and counts as shares of the batch."""
    model, variables = vq(num_groups=num_groups)
    decay, before = 0.7, jax.tree.map(np.asarray, variables["codebook"])
    hparams = model.hparams._replace(ema_decay=decay)
    after = model.loss(key, variables, Batch(jnp.asarray(rows)), hparams)[1].collections["codebook"]
    z = encoder_output(variables, rows).reshape(300, num_groups, -1)
    for group in range(num_groups):
        distance = ((z[:, group, None] - before["codes"][group]) ** 2).sum(axis=2)
        chosen, in_order = distance.argmin(axis=1), np.sort(distance, axis=1)
        for code in range(4):
            own = chosen == code
            count = decay * before["rates"][group, code] + (1 - decay) * own.mean()
            total = decay * before["rates"][group, code] * before["codes"][group, code]
            total = total + (1 - decay) * z[own, group].sum(axis=0) / 300
            saved = decay * before["savings"][group, code]
            saved += (1 - decay) * (in_order[own, 1] - in_order[own, 0]).sum() / 300
            np.testing.assert_allclose(after["rates"][group, code], count, rtol=1e-5)
            np.testing.assert_allclose(after["codes"][group, code], total / count, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(after["savings"][group, code], saved, rtol=1e-5)


def test_the_loss_and_its_gradient_by_hand(rows, key):
    """The decoder's gradient reaches the encoder as if it gave the code; the commitment pulls it there."""
    model, variables = vq(likelihood=losses.squared_error())
    batch, commitment = Batch(jnp.asarray(rows)), 0.5
    hparams = model.hparams._replace(commitment=commitment)
    code = model.encode(variables, batch.x).mean

    def by_hand(params):
        z = jnp.tanh(batch.x @ params["encoder"]["layer_0"]["kernel"] + params["encoder"]["layer_0"]["bias"])
        z = z @ params["encoder"]["layer_1"]["kernel"] + params["encoder"]["layer_1"]["bias"]
        fixed = jax.lax.stop_gradient(z)
        output = model.decode({**variables, "params": params}, code + z - fixed)
        error = jnp.sum((batch.x - output) ** 2, axis=1) + commitment * jnp.sum((z - code) ** 2, axis=1)
        return error.mean()

    def loss(params):
        return model.loss(key, {**variables, "params": params}, batch, hparams)[0]

    expected, found = (jax.value_and_grad(function)(variables["params"]) for function in (by_hand, loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    assert np.abs(found[1]["encoder"]["layer_0"]["kernel"]).max() > 1e-3


def test_a_code_moves_to_where_it_saves_more(key):
    """Two clusters share a code, a third has two: one of these goes to the others."""
    model, variables = vq()
    ends = jnp.array([[-3.0], [0], [3]]) * jnp.ones((3, 6))
    x = ends[jnp.arange(300) % 3] + 0.01 * jax.random.normal(key, (300, 6))
    left, middle, right = encoder_output(variables, np.asarray(ends))
    codes = jnp.array([[right, right + 0.001, (left + middle) / 2, [50.0, 50]]])
    codebook = {"codes": codes, "rates": jnp.full((1, 4), 0.25), "savings": jnp.array([[1.0, 1e-6, 1, 1]])}
    state = model.loss(key, {**variables, "codebook": codebook}, Batch(x), model.hparams)[1].collections["codebook"]
    moved = np.abs(np.asarray(state["codes"] - codes)[0]).max(axis=1) > 0.1
    np.testing.assert_array_equal(moved, [False, True, False, False])
    assert min(np.abs(state["codes"][0, 1] - end).max() for end in (left, middle)) < 0.05
    useful = {**codebook, "savings": jnp.ones((1, 4))}
    state = model.loss(key, {**variables, "codebook": useful}, Batch(x), model.hparams)[1].collections["codebook"]
    assert np.abs(state["codes"] - codes).max() < 0.1


@pytest.mark.parametrize("begun", [False, True])
def test_rows_that_are_masked_do_not_move_the_codebook(rows, key, begun):
    model, variables = vq()
    variables = variables if begun else model.init(key, Batch(rows))
    x = np.array(rows)
    x[200:] += 30
    seen = np.arange(300) < 200
    batch = Batch(jnp.asarray(x), mask=jnp.asarray(np.repeat(seen[:, None], 6, axis=1)))

    @jax.jit
    def codebook(batch):
        """After a step, for each of some keys: each tries another row."""
        step = jax.vmap(lambda key: model.loss(key, variables, batch, model.hparams)[1].collections["codebook"])
        return step(jax.random.split(key, 8))

    other = jnp.where(batch.mask, batch.x, 0.0)
    jax.tree.map(np.testing.assert_array_equal, codebook(batch), codebook(batch._replace(x=other)))
    by_row = codebook(batch._replace(mask=batch.mask[:, 0]))
    jax.tree.map(np.testing.assert_array_equal, codebook(batch), by_row)
    without = codebook(batch._replace(mask=None))
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(*map(jax.tree.leaves, (without, by_row)), strict=True))
    nothing = codebook(batch._replace(mask=jnp.zeros(300, bool)))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, jnp.stack([b] * 8)), nothing, variables["codebook"])


def test_inference_leaves_the_codebook_and_gives_its_codes(rows, key):
    model = models.vq_autoencoder((6,), 4, num_codes=5, num_groups=2, hidden_dims=(8,))
    variables = fit(key, model, rows, num_epochs=5).variables
    aux = model.loss(key, variables, as_batch(rows), model.hparams, train=False)[1]
    jax.tree.map(np.testing.assert_array_equal, aux.collections["codebook"], variables["codebook"])
    gaps = np.array(rows)
    gaps[::2, 0] = np.nan
    code = np.asarray(model.encode(variables, gaps).mean).reshape(300, 2, 1, 2)
    assert (code == np.asarray(variables["codebook"]["codes"])).all(axis=3).any(axis=2).all()
    z = jnp.asarray(code.reshape(300, 4)[:7])
    mean = model.decode(variables, z)
    drawn = model.sample(key, variables, 7000, None, jnp.repeat(z, 1000, axis=0)).reshape(7, 1000, 6).mean(axis=1)
    np.testing.assert_allclose(drawn, mean, atol=0.15)


def test_groups_are_drawn_each_by_its_own_frequencies(rows, key):
    model = models.vq_autoencoder((2,), 2, num_codes=2, num_groups=2, hidden_dims=(), likelihood=losses.squared_error())
    variables = model.init(key, Batch(jnp.zeros((1, 2))))
    decoder = {"layer_0": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}}
    codebook = {"codes": jnp.array([[[0.0], [1]], [[0], [1]]]), "rates": jnp.array([[0.3, 0.1], [0.0, 0.2]])}
    variables = {"params": {**variables["params"], "decoder": decoder}, "codebook": codebook}
    drawn = np.asarray(model.sample(key, variables, 10_000))
    np.testing.assert_allclose(drawn.mean(axis=0), [0.25, 1], atol=0.02)


@pytest.mark.parametrize("levels", [2, 3, 8, (2, 5), [4, 3]])
def test_codes_lie_on_the_grid(levels, rows, key):
    model = models.fsq_autoencoder((6,), 2, levels=levels, hidden_dims=(8,))
    variables = model.init(key, Batch(rows))
    per_dim = (levels, levels) if isinstance(levels, int) else levels
    code = np.asarray(model.encode(variables, 10 * rows).mean)
    assert 1 < len(np.unique(code, axis=0)) <= np.prod(per_dim)
    for values, number in zip(code.T, per_dim, strict=True):
        np.testing.assert_allclose(np.abs(values[:, None] - np.linspace(-1, 1, number)).min(axis=1), 0, atol=1e-6)
    z = np.arctanh(np.linspace(-0.999, 0.999, 999))  # every level is reached, by cells of equal width under tanh
    grid = models.quantised._on_grid(aejax.nets.Network(None, lambda z: (z, {})), tuple(per_dim))
    reached = np.asarray(grid.apply(jnp.asarray(np.stack([z, z], axis=1), jnp.float32))[0])
    for values, number in zip(reached.T, per_dim, strict=True):
        np.testing.assert_allclose(np.unique(values), np.linspace(-1, 1, number), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(values, np.tanh(z), atol=1 / (number - 1) + 1e-3)


def test_the_gradient_passes_straight_through_the_rounding(rows, key):
    model = models.fsq_autoencoder((6,), 2, levels=(4, 5), hidden_dims=(8,), activation="tanh")
    variables = model.init(key, Batch(rows))
    batch, code = Batch(jnp.asarray(rows)), model.encode(variables, rows).mean

    def by_hand(params):
        z = jnp.tanh(batch.x @ params["encoder"]["layer_0"]["kernel"] + params["encoder"]["layer_0"]["bias"])
        bounded = jnp.tanh(z @ params["encoder"]["layer_1"]["kernel"] + params["encoder"]["layer_1"]["bias"])
        output = model.decode({**variables, "params": params}, code + bounded - jax.lax.stop_gradient(bounded))
        return jnp.sum((batch.x - output) ** 2, axis=1).mean()

    found = jax.grad(lambda p: model.loss(key, {**variables, "params": p}, batch, ())[0])(variables["params"])
    expected = jax.grad(by_hand)(variables["params"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    assert np.abs(found["encoder"]["layer_0"]["kernel"]).max() > 1e-3


def test_more_levels_leave_less_error(rows, key):
    errors = []
    for levels in (2, 4, 16):
        model = models.fsq_autoencoder((6,), 2, levels=levels, hidden_dims=(16,))
        errors.append(fit(key, model, rows, num_epochs=150, learning_rate=3e-3).history["mse"][-10:].mean())
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.6 * errors[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.vq_autoencoder((6,), 2, num_codes=0), "num_codes: found 0"),
        (lambda: models.vq_autoencoder((6,), 3, num_groups=2), "num_groups: found 2, expected a divisor of latent_dim"),
        (lambda: models.vq_autoencoder((6,), 2, commitment=-1.0), "commitment: found -1.0"),
        (lambda: models.vq_autoencoder((6,), 2, ema_decay=1.0), "ema_decay: found 1.0"),
        (lambda: models.vq_autoencoder((6,), 0), "latent_dim: found 0"),
        (lambda: models.fsq_autoencoder((6,), 0), "latent_dim: found 0"),
        (lambda: models.fsq_autoencoder((6,), 2, levels=1), "levels: found 1"),
        (lambda: models.fsq_autoencoder((6,), 2, levels=(8, 5, 5)), "levels: found"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
