"""python -m benchmarks.cold.ours CACHE_FOLDER."""

import sys

import jax

import aejax
from aejax import models
from benchmarks.cold.examples import EXAMPLES, peak_megabytes, rows_of

FACTORIES = {
    "autoencoder": lambda shape: models.autoencoder(shape, 2),
    "denoising autoencoder": lambda shape: models.denoising_autoencoder(shape, 4),
    "vae": lambda shape: models.vae(shape, 4),
    "beta-vae": lambda shape: models.vae(shape, 4, beta=4.0),
    "sparse autoencoder": lambda shape: models.sparse_autoencoder(shape, 32, penalty="kl"),
    "conditional vae": lambda shape: models.conditional_vae(shape, 2),
    "gan": lambda shape: models.gan(shape, 4),
    "convolutional autoencoder": lambda shape: models.convolutional_autoencoder(
        shape, 128, hidden_dims=(32, 64, 128, 256), num_spatial_dims=2
    ),
}


def main() -> None:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    for example in EXAMPLES:
        x, cond = rows_of(example)
        model = FACTORIES[example.name](example.event_shape)
        fitted = aejax.fit(
            jax.random.key(0),
            model,
            aejax.Batch(x, cond=cond),
            num_epochs=example.num_epochs,
            batch_size=example.batch_size,
            validation=0,
        )
        print(example.name, fitted.history["loss"][-1])
    print(peak_megabytes())


if __name__ == "__main__":
    main()
