"""Tetrominoes on noise, after XAI-TRIS (Clark et al. 2024, arXiv 2306.12816): which of two shapes, where, with which sign?"""

from functools import cached_property, partial
from typing import Any

import keras
import numpy as np
from keras import layers as L

from innspect.checks import Integer, Number, OneOf
from innspect.evaluation.planted.tasks import Planted, Task, register
from innspect.types import Array

KINDS = ("linear", "multiplicative", "translation", "xor")
BACKGROUNDS = ("white", "correlated")
_T, _L = np.array([[1, 0], [1, 1], [1, 0]], bool), np.array([[1, 0], [1, 0], [1, 1]], bool)
_PLACES = ((1, 1), (4, 5))  # first corners of T and L on 8 x 8
_SIGMA = 3  # positions of 8 x 8, of the correlated background
_SHARES = {  # those of the paper, but for one
    ("linear", "white"): 0.18,
    ("linear", "correlated"): 0.03,  # the paper has 0.0125, which takes long to learn
    ("multiplicative", "white"): 0.7,
    ("multiplicative", "correlated"): 0.1,
    ("translation", "white"): 0.65,
    ("translation", "correlated"): 0.2,
    ("xor", "white"): 0.35,
    ("xor", "correlated"): 0.15,
}
_STEPS = {"linear": 200, "multiplicative": 400, "translation": 400, "xor": 400}
_ASKS = {
    "linear": "a T in one place, or an L in another",
    "multiplicative": "as linear, but the shape weakens the noise instead of being added",
    "translation": "a T or an L, turned, anywhere",
    "xor": "a T and an L, each positive or negative: are their signs equal?",
}


class Tetrominoes(Task):
    """Images (samples, size, size, 1) of a shape and of noise, both of mean square 1: share * shape + (1 - share) * noise.

    Args:
        kind: "linear", "multiplicative", "translation" or "xor".
        background: "white" noise, or "correlated": smoothed by a Gaussian of 3 positions.
        size: Side of the images, a multiple of 8.
        share: Of the shape; "multiplicative" is (1 - share * shape) * noise. None: the paper's, 0.03 to 0.7.
        network: "cnn", three convolutions with ReLU; "mlp", two hidden dense layers; or "linear".

    The truth are the shape's positions; for "linear" and "multiplicative" those of both places, since that a shape is missing
    says as much as that the other is there. A sign means nothing: for a gradient it is a direction, so maps count by their
    magnitude, as in the paper. On the correlated background noise elsewhere tells of the noise below the shape: all other
    positions are distractors.
    """

    accuracy = 0.8
    sign = "abs"

    def __init__(self, kind: str, background: str, *, size: int = 8, share: float | None = None, network: str = "cnn"):
        OneOf(*KINDS).check("kind", kind)
        OneOf(*BACKGROUNDS).check("background", background)
        OneOf(*_NETWORKS).check("network", network)
        if Integer(8).check("size", size) % 8:
            raise ValueError(f"`size` must be a multiple of 8. Received: {size!r}")
        share = _SHARES[kind, background] if share is None else share
        self.kind, self.background, self.size, self.kind_of_network = kind, background, size, network
        self.share = float(Number(1).check("share", share))
        self.name, self.steps = f"{kind}.{background}", _STEPS[kind]
        self.asks = f"{_ASKS[kind]}, on {background} noise"

    def _drawn(self, samples: int, random: np.random.Generator) -> Planted:
        y = random.integers(0, 2, samples).astype("int32")
        shape, masks = getattr(self, f"_{self.kind}")(y, random)
        noise = self._noise(samples, random)
        if self.kind == "multiplicative":
            x = (1 - self.share * shape) * noise
        else:
            x = self.share * shape / np.sqrt((8 if self.kind == "xor" else 4) / 64) + (1 - self.share) * noise
        others = ~masks if self.background == "correlated" else None
        return Planted(x[..., None].astype("float32"), y, masks, distractors=others)

    # ------------------------------------------------------------------ the shapes: (values, masks), (samples, size, size)
    @cached_property
    def _fixed(self) -> Any:
        """T and L in their places, (2, size, size)."""
        both = np.zeros((2, 8, 8), bool)
        for image, shape, (row, column) in zip(both, (_T, _L), _PLACES, strict=True):
            image[row : row + 3, column : column + 2] = shape
        return np.kron(both, np.ones((1, self.size // 8, self.size // 8), bool))

    def _linear(self, y: Array, random: np.random.Generator) -> tuple[Array, Array]:
        return self._fixed[y].astype("float64"), np.repeat(self._fixed.any(axis=0)[None], len(y), axis=0)

    _multiplicative = _linear

    def _translation(self, y: Array, random: np.random.Generator) -> tuple[Array, Array]:
        masks = np.zeros((len(y), self.size, self.size), bool)
        turns, places = random.integers(0, 4, len(y)), random.random((len(y), 2))
        for mask, one, turn, place in zip(masks, y, turns, places, strict=True):
            shape = np.kron(np.rot90((_T, _L)[one], turn), np.ones((self.size // 8, self.size // 8), bool))
            row, column = (int(p * (self.size - n + 1)) for p, n in zip(place, shape.shape, strict=True))
            mask[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
        return masks.astype("float64"), masks

    def _xor(self, y: Array, random: np.random.Generator) -> tuple[Array, Array]:
        first = random.choice([-1.0, 1.0], len(y))
        second = np.where(y == 0, first, -first)
        shape = first[:, None, None] * self._fixed[0] + second[:, None, None] * self._fixed[1]
        return shape, shape != 0

    # ------------------------------------------------------------------ the noise
    def _noise(self, samples: int, random: np.random.Generator) -> Array:
        white = random.standard_normal((samples, self.size, self.size))
        if self.background == "white":
            return white
        smooth = self._smooth
        return (smooth @ white @ smooth.T) / np.square(smooth).sum(axis=1).mean()

    @cached_property
    def _smooth(self) -> Array:
        """A Gaussian along an axis, cut at 4 sigma, mirrored at the borders, (size, size)."""
        sigma = _SIGMA * self.size / 8
        reach = int(4 * sigma + 0.5)
        offsets = np.arange(-reach, reach + 1)
        weights = np.exp(-np.square(offsets / sigma) / 2)
        places = (np.arange(self.size)[:, None] + offsets) % (2 * self.size)
        places = np.minimum(places, 2 * self.size - 1 - places)
        matrix = np.zeros((self.size, self.size))
        np.add.at(matrix, (np.arange(self.size)[:, None], places), weights / weights.sum())
        return matrix

    # ------------------------------------------------------------------ the network
    def network(self, seed: int) -> keras.Model:
        """A new, compiled network."""
        seeded = iter(range(100 * seed, 100 * seed + 100))

        def how(**more: Any) -> dict[str, Any]:
            return {"kernel_initializer": keras.initializers.HeNormal(next(seeded))} | more

        layers = [keras.Input((self.size, self.size, 1)), *_NETWORKS[self.kind_of_network](how)]
        network = keras.Sequential([*layers, L.Dense(2, **how(activation="softmax"))])
        network.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
        return network


def _cnn(how: Any) -> list[keras.Layer]:
    convolution = partial(L.Conv2D, kernel_size=3, padding="same", data_format="channels_last")
    first, second, third = (convolution(n, **how(activation="relu")) for n in (16, 16, 32))
    return [first, second, L.MaxPooling2D(data_format="channels_last"), third, L.Flatten(data_format="channels_last")]


def _mlp(how: Any) -> list[keras.Layer]:
    return [L.Flatten(), *(L.Dense(n, **how(activation="relu")) for n in (64, 32))]


def _linear(how: Any) -> list[keras.Layer]:
    return [L.Flatten()]


_NETWORKS = {"cnn": _cnn, "mlp": _mlp, "linear": _linear}
for _kind in KINDS:
    for _background in BACKGROUNDS:
        register(f"{_kind}.{_background}", partial(Tetrominoes, _kind, _background))
