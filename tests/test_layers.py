"""Every layer that Keras users build with, in a small model, under the main methods."""

import functools

import keras
import numpy as np
import pytest
from checks import BACKEND, own_gradient
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect.testing.layers import AFFINE_LAYERS

pytestmark = [
    pytest.mark.usefixtures("eager"),
    # Deep Taylor has nothing to say where the explained value is not positive, and says so.
    pytest.mark.filterwarnings("ignore:'deep_taylor'"),
]

RELEVANCE = ("lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.z_plus", "lrp.flat", "deep_taylor")
VECTOR, SEQUENCE, IMAGE, VOLUME = (5,), (6, 2), (4, 4, 2), (4, 4, 4, 2)
# One of each kind; all their settings are in test_rules.py.
KERNELS = (
    "dense on sequences",
    "einsum dense with heads",
    "conv1d causal, dilation",
    "conv2d same, strides",
    "conv3d",
    "depthwise conv1d same, strides",
    "depthwise conv2d",
    "separable conv1d",
    "separable conv2d",
    "conv1d transpose",
    "conv2d transpose same, strides",
    "conv3d transpose",
)

LAYERS = {
    # pooling
    "max_pooling1d": (lambda: L.MaxPooling1D(2), SEQUENCE),
    "max_pooling2d": (lambda: L.MaxPooling2D(2), IMAGE),
    "max_pooling2d overlapping, same": (lambda: L.MaxPooling2D(3, strides=1, padding="same"), IMAGE),
    "max_pooling3d": (lambda: L.MaxPooling3D(2), VOLUME),
    "average_pooling1d": (lambda: L.AveragePooling1D(2), SEQUENCE),
    "average_pooling2d": (lambda: L.AveragePooling2D(2), IMAGE),
    "average_pooling2d overlapping, same": (lambda: L.AveragePooling2D(3, strides=1, padding="same"), IMAGE),
    "average_pooling3d": (lambda: L.AveragePooling3D(2), VOLUME),
    "global_max_pooling1d": (lambda: L.GlobalMaxPooling1D(), SEQUENCE),
    "global_max_pooling2d": (lambda: L.GlobalMaxPooling2D(), IMAGE),
    "global_max_pooling3d": (lambda: L.GlobalMaxPooling3D(keepdims=True), VOLUME),
    "global_average_pooling1d": (lambda: L.GlobalAveragePooling1D(), SEQUENCE),
    "global_average_pooling2d": (lambda: L.GlobalAveragePooling2D(keepdims=True), IMAGE),
    "global_average_pooling3d": (lambda: L.GlobalAveragePooling3D(), VOLUME),
    # normalization that is affine
    "batch_normalization": (lambda: L.BatchNormalization(), IMAGE),
    "batch_normalization on another axis": (lambda: L.BatchNormalization(axis=1), IMAGE),
    "batch_normalization without scale and center": (lambda: L.BatchNormalization(scale=False, center=False), VECTOR),
    "rescaling": (lambda: L.Rescaling(0.5, offset=0.1), IMAGE),
    "normalization": (lambda: L.Normalization(mean=[0.1, -0.2], variance=[0.5, 2.0]), IMAGE),
    # activations
    **{
        f"activation {name}": (lambda name=name: L.Activation(name), VECTOR)
        for name in "relu relu6 leaky_relu elu selu gelu silu mish softplus softsign tanh sigmoid hard_sigmoid exponential "
        "linear log_sigmoid hard_silu celu".split()
    },
    "relu": (lambda: L.ReLU(), IMAGE),
    "relu with a maximum": (lambda: L.ReLU(max_value=0.5), IMAGE),
    "relu with slope and threshold": (lambda: L.ReLU(negative_slope=0.1, threshold=0.2), IMAGE),
    "leaky_relu": (lambda: L.LeakyReLU(0.2), IMAGE),
    "prelu": (lambda: L.PReLU(shared_axes=[1, 2]), IMAGE),
    "elu": (lambda: L.ELU(), IMAGE),
    # copies
    "flatten": (lambda: L.Flatten(), IMAGE),
    "reshape": (lambda: L.Reshape((8, 4)), IMAGE),
    "reshape with a free axis": (lambda: L.Reshape((-1, 2)), IMAGE),
    "permute": (lambda: L.Permute((2, 1, 3)), IMAGE),
    "repeat_vector": (lambda: L.RepeatVector(3), VECTOR),
    "zero_padding1d": (lambda: L.ZeroPadding1D((1, 2)), SEQUENCE),
    "zero_padding2d": (lambda: L.ZeroPadding2D(((1, 0), (2, 1))), IMAGE),
    "zero_padding3d": (lambda: L.ZeroPadding3D(1), VOLUME),
    "cropping1d": (lambda: L.Cropping1D((1, 2)), SEQUENCE),
    "cropping2d": (lambda: L.Cropping2D(1), IMAGE),
    "cropping3d": (lambda: L.Cropping3D(1), VOLUME),
    "up_sampling1d": (lambda: L.UpSampling1D(2), SEQUENCE),
    "up_sampling2d": (lambda: L.UpSampling2D((2, 1)), IMAGE),
    "up_sampling2d bilinear": (lambda: L.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    "up_sampling3d": (lambda: L.UpSampling3D(2), VOLUME),
    "resizing bilinear": (lambda: L.Resizing(5, 3), IMAGE),
    "resizing nearest": (lambda: L.Resizing(6, 6, interpolation="nearest"), IMAGE),
    # nothing in inference
    "dropout": (lambda: L.Dropout(0.5), VECTOR),
    "spatial_dropout1d": (lambda: L.SpatialDropout1D(0.5), SEQUENCE),
    "spatial_dropout2d": (lambda: L.SpatialDropout2D(0.5), IMAGE),
    "spatial_dropout3d": (lambda: L.SpatialDropout3D(0.5), VOLUME),
    "alpha_dropout": (lambda: L.AlphaDropout(0.5), VECTOR),
    "gaussian_dropout": (lambda: L.GaussianDropout(0.5), VECTOR),
    "gaussian_noise": (lambda: L.GaussianNoise(1.0), VECTOR),
    "activity_regularization": (lambda: L.ActivityRegularization(l2=0.1), VECTOR),
    "identity": (lambda: L.Identity(), VECTOR),
    "masking": (lambda: L.Masking(), SEQUENCE),
    # wrappers
    "time_distributed dense": (lambda: L.TimeDistributed(L.Dense(3, activation="relu")), SEQUENCE),
    "time_distributed convolution": (lambda: L.TimeDistributed(L.Conv1D(3, 2, activation="relu")), IMAGE),
    "lambda": (lambda: L.Lambda(lambda t: ops.relu(t) * 2.0), VECTOR),
    # layers with a kernel
    **{name: (lambda name=name: AFFINE_LAYERS[name][0](activation="relu"), AFFINE_LAYERS[name][1]) for name in KERNELS},
}

MERGES = {
    "add": lambda: L.Add(),
    "subtract": lambda: L.Subtract(),
    "average": lambda: L.Average(),
    "multiply": lambda: L.Multiply(),
    "maximum": lambda: L.Maximum(),
    "minimum": lambda: L.Minimum(),
    "concatenate": lambda: L.Concatenate(),
    "concatenate on another axis": lambda: L.Concatenate(axis=1),
    "dot": lambda: L.Dot(axes=1),
}


@functools.cache
def with_layer(name):
    """A dense layer along the channels, then the layer; or two dense layers that are merged."""
    if name in MERGES:
        x = keras.Input((3, 4))
        y = MERGES[name]()([L.Dense(2)(x), L.Dense(2, activation="relu")(x)])
    else:
        layer, shape = LAYERS[name]
        x = keras.Input(shape)
        y = layer()(L.Dense(shape[-1], name="front")(x))
    return shake(keras.Model(x, y)), array(2, *x.shape[1:])


@pytest.fixture
def case(name, request):
    """A model, inputs, and how well its books close: in float64, where TensorFlow resizes nothing and pools nothing in 3D."""
    if BACKEND == "tensorflow" and name in ("max_pooling3d", "average_pooling3d"):
        return *with_layer(name), 1e-5
    request.getfixturevalue("double")
    in_float32 = BACKEND == "tensorflow" and name in ("up_sampling2d bilinear", "resizing bilinear")
    return *with_layer(name), 1e-6 if in_float32 else 1e-9


every_layer = pytest.mark.parametrize("name", [*LAYERS, *MERGES])
# JAX compiles every operation for every shape: a kind in one rank, and an activation of each kind, are enough there.
KEPT = ("activation relu", "activation gelu", "activation sigmoid")
COPIES = "dropout noise identity cropping repeat permute reshape flatten padding".split()
SHORT = [n for n in [*LAYERS, *MERGES] if not any(word in n for word in ("1d", "3d", *COPIES))]
SHORT = [n for n in SHORT if n in KEPT or not n.startswith("activation ")]
one_rank_on_jax = pytest.mark.sweep(keep=SHORT, on="jax")


@one_rank_on_jax
@every_layer
def test_the_gradient_is_the_backends_own(name, case):
    model, x, _ = case
    gradient = innspect.create_analyzer("gradient", model, head="output").analyze(x, 1)
    np.testing.assert_allclose(gradient, own_gradient(model, x, 1), rtol=1e-5, atol=1e-6)


@one_rank_on_jax
@every_layer
def test_guided_backprop_runs(name, case):
    model, x, _ = case
    guided = innspect.create_analyzer("guided_backprop", model, head="output").analyze(x, 1)
    assert guided.shape == x.shape
    assert np.isfinite(guided).all()


@one_rank_on_jax
@every_layer
def test_relevance_methods_run_and_their_books_close(name, case):
    model, x, error = case
    for method in RELEVANCE:
        analyzer = innspect.create_analyzer(method, model, head="output")
        relevance = analyzer.analyze(x, 1)
        assert relevance.shape == x.shape
        assert np.isfinite(relevance).all()
        assert analyzer.conservation(x, 1).error < error, method
