"""`innvestigate.utils.keras.checks`, as far as it serves as conditions in a list of (condition, rule) pairs.

Each is a function of a layer; what else is given is ignored, as there.
"""

from keras import activations
from keras import layers as L

_CONVOLUTIONS = tuple(
    getattr(L, f"{kind}{n}D{transposed}")
    for kind, dims, transposed in (
        ("Conv", (1, 2, 3), ""),
        ("Conv", (1, 2, 3), "Transpose"),
        ("SeparableConv", (1, 2), ""),
        ("DepthwiseConv", (1, 2), ""),
    )
    for n in dims
)
_POOLING = {
    kind: tuple(getattr(L, f"{scope}{kind}Pooling{n}D") for scope in ("", "Global") for n in (1, 2, 3))
    for kind in ("Average", "Max")
}


def contains_activation(layer, activation=None):
    """Whether the layer has an activation, or is one; with a name, whether it is that one."""
    own = getattr(layer, "activation", None)
    kinds = (L.ReLU, L.ELU, L.PReLU, L.LeakyReLU, L.Softmax)
    if activation is None:
        return own is not None or isinstance(layer, kinds)
    if own is not None:
        return own is activations.get(activation.lower())
    return type(layer).__name__.lower() == activation.lower() and isinstance(layer, kinds)


def contains_kernel(layer):
    """Whether the layer has a kernel, by the names Keras gives it."""
    return any(hasattr(layer, name) for name in ("kernel", "depthwise_kernel", "pointwise_kernel"))


def only_relu_activation(layer):
    """Whether the layer has no activation, a linear one or ReLU."""
    return not contains_activation(layer) or contains_activation(layer, "linear") or contains_activation(layer, "relu")


def is_dense_layer(layer, *_):
    return isinstance(layer, L.Dense)


def is_conv_layer(layer, *_):
    return isinstance(layer, _CONVOLUTIONS)


def is_embedding_layer(layer, *_):
    return isinstance(layer, L.Embedding)


def is_batch_normalization_layer(layer, *_):
    return isinstance(layer, L.BatchNormalization)


def is_add_layer(layer, *_):
    return isinstance(layer, L.Add)


def is_average_pooling(layer, *_):
    return isinstance(layer, _POOLING["Average"])


def is_max_pooling(layer, *_):
    return isinstance(layer, _POOLING["Max"])
