"""Variables of a MusiCNN checkpoint, of random values, for tests."""

import numpy as np

from benchmark.encoders.published.musicnn.network import TINY, MusicnnConfig


def name_of(kind: str, i: int) -> str:
    return f"{kind}_{i}" if i else kind


def variables(config: MusicnnConfig = TINY, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the variables of a checkpoint of ``config`` in TensorFlow's names and shapes, of random values."""
    rng, found = np.random.default_rng(seed), {}
    kernels = [(*size, 1, config.timbral_channels) for size in config.timbral]
    kernels += [(k, 1, 1, config.temporal_channels) for k in config.temporal]
    widths = [config.front] + [config.middle_channels] * (config.middle - 1)
    kernels += [(7, width, 1, config.middle_channels) for width in widths]
    for i, shape in enumerate(kernels):
        found[f"{name_of('conv2d', i)}/kernel"] = rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
        found[f"{name_of('conv2d', i)}/bias"] = 0.1 * rng.standard_normal(shape[-1])
    sizes = (2 * config.pooled, config.units, config.tags)
    for i in range(2):
        found[f"{name_of('dense', i)}/kernel"] = rng.standard_normal(sizes[i : i + 2]) / np.sqrt(sizes[i])
        found[f"{name_of('dense', i)}/bias"] = 0.1 * rng.standard_normal(sizes[i + 1])
    for i, channels in enumerate((1, *(shape[-1] for shape in kernels), *sizes[:2])):
        scope = name_of("batch_normalization", i)
        found[f"{scope}/gamma"] = rng.standard_normal(channels)  # of either sign, as trained ones are
        found[f"{scope}/beta"] = rng.standard_normal(channels)
        found[f"{scope}/moving_mean"] = rng.standard_normal(channels)
        found[f"{scope}/moving_variance"] = rng.uniform(0.1, 2, channels)
    return {name: np.asarray(array, np.float32) for name, array in found.items()}
