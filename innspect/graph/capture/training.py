"""Whether a layer computes something else in training, where `training=True` is written into a model."""

import inspect

from keras import layers as L

from innspect.graph.keras_internals import is_of_keras

_DROPPING = (
    L.Dropout,
    L.SpatialDropout1D,
    L.SpatialDropout2D,
    L.SpatialDropout3D,
    L.AlphaDropout,
    L.GaussianDropout,
    L.GaussianNoise,
    L.SimpleRNN,
    L.LSTM,
    L.GRU,
    L.ConvLSTM1D,
    L.ConvLSTM2D,
    L.ConvLSTM3D,
    L.SimpleRNNCell,
    L.LSTMCell,
    L.GRUCell,
)
_DRAWING = ("Random", "RandAugment", "MixUp", "CutMix", "AugMix")  # how classes begin that augment pictures
_RATES = ("rate", "stddev", "dropout", "recurrent_dropout")


def differs_in_training(layer):
    """Whether a layer of Keras computes something else in training; the layers within it are asked by themselves.

    Layers of the user's are not known: what they do is seen when they are opened.
    """
    cls = type(layer)
    if "training" not in inspect.signature(layer.call).parameters or not is_of_keras(cls):
        return False
    if isinstance(layer, L.BatchNormalization):
        return layer.trainable  # a frozen one keeps its statistics
    if isinstance(layer, _DROPPING):
        return any(getattr(layer, name, 0) for name in _RATES)
    return isinstance(layer, L.SpectralNormalization) or cls.__name__.startswith(_DRAWING)
