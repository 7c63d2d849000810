"""The same architectures as PyTorch modules, written as a PyTorch user would."""

import math

import torch
from torch import nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "leaky_relu": lambda: nn.LeakyReLU(0.2)}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def dense(num_inputs, hidden_dims, num_outputs, activation="tanh", batch_norm=False, dropout_rate=0.0):
    layers = []
    for width in hidden_dims:
        layers.append(nn.Linear(num_inputs, width))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(ACTIVATIONS[activation]())
        if dropout_rate > 0:
            layers.append(nn.Dropout(dropout_rate))
        num_inputs = width
    return nn.Sequential(*layers, nn.Linear(num_inputs, num_outputs))


def halved(spatial):
    return tuple(math.ceil(size / 2) for size in spatial)


def convolutional_encoder(spatial, channels, hidden_dims, num_outputs):
    layers, dims = [], len(spatial)
    for width in hidden_dims:
        layers += [CONVOLUTIONS[dims](channels, width, 3, stride=2, padding=1), NORMS[dims](width), nn.ReLU()]
        channels, spatial = width, halved(spatial)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(spatial), num_outputs))


def convolutional_decoder(spatial, channels, hidden_dims, latent_dim):
    dims = len(spatial)
    sizes = [tuple(spatial)]
    for _ in hidden_dims:
        sizes.append(halved(sizes[-1]))
    smallest, *larger = sizes[::-1]
    width = hidden_dims[0]
    layers = [
        nn.Linear(latent_dim, width * math.prod(smallest)),
        nn.Unflatten(1, (width, *smallest)),
        NORMS[dims](width),
        nn.ReLU(),
    ]
    before = smallest
    for index, size in enumerate(larger):
        last = index == len(larger) - 1
        out = channels if last else hidden_dims[index + 1]
        padding = tuple(1 if after == 2 * small else 0 for after, small in zip(size, before, strict=True))
        layers.append(TRANSPOSED[dims](width, out, 3, stride=2, padding=1, output_padding=padding))
        if not last:
            layers += [NORMS[dims](out), nn.ReLU()]
        width, before = out, size
    return nn.Sequential(*layers)


class Pair(nn.Module):
    """An encoder and a decoder; conditions are appended to the inputs of both."""

    def __init__(self, encoder, decoder, **parameters):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        for name, value in parameters.items():
            part, _, own = name.partition("__")
            if not hasattr(self, part):
                setattr(self, part, nn.Module())
            getattr(self, part).register_parameter(own, nn.Parameter(torch.tensor(value)))

    def encode(self, x, cond=None):
        return self.encoder(x if cond is None else torch.cat([x, cond], dim=1))

    def decode(self, z, cond=None):
        return self.decoder(z if cond is None else torch.cat([z, cond], dim=1))


class Players(nn.Module):
    """A generator and a discriminator."""

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


def channels_first(x, has_channels):
    return x.movedim(-1, 1) if has_channels else x.unsqueeze(1)


def channels_last(x, has_channels):
    return x.movedim(1, -1) if has_channels else x.squeeze(1)
