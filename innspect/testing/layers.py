"""Every kind of affine layer, small: what a rule is checked on."""

from keras import layers as L

# Name -> (make the layer, shape of one input). Each makes a new layer every time.
AFFINE_LAYERS = {
    "dense": (lambda **kw: L.Dense(4, **kw), (5,)),
    "dense without bias": (lambda **kw: L.Dense(4, use_bias=False, **kw), (5,)),
    "dense on sequences": (lambda **kw: L.Dense(3, **kw), (3, 4)),
    "einsum dense": (lambda **kw: L.EinsumDense("abc,cd->abd", (3, 2), bias_axes="d", **kw), (3, 4)),
    "einsum dense with heads": (lambda **kw: L.EinsumDense("abc,cde->abde", (2, 2, 3), bias_axes="de", **kw), (2, 4)),
    "einsum dense over two axes": (lambda **kw: L.EinsumDense("abcd,cde->abe", (2, 3), bias_axes="e", **kw), (2, 2, 2)),
    "conv1d same, strides": (lambda **kw: L.Conv1D(2, 3, strides=2, padding="same", **kw), (6, 2)),
    "conv1d causal, dilation": (lambda **kw: L.Conv1D(2, 2, dilation_rate=2, padding="causal", **kw), (5, 2)),
    "conv2d": (lambda **kw: L.Conv2D(3, (2, 3), **kw), (4, 4, 2)),
    "conv2d same, strides": (lambda **kw: L.Conv2D(2, 3, strides=2, padding="same", **kw), (4, 5, 2)),
    "conv2d same, dilation": (lambda **kw: L.Conv2D(2, 2, dilation_rate=2, padding="same", **kw), (4, 4, 2)),
    "conv2d groups": (lambda **kw: L.Conv2D(4, 2, groups=2, **kw), (3, 3, 4)),
    "conv3d": (lambda **kw: L.Conv3D(2, 2, use_bias=False, **kw), (3, 3, 2, 2)),
    "conv3d same, strides": (lambda **kw: L.Conv3D(2, 2, strides=2, padding="same", **kw), (3, 2, 2, 2)),
    "depthwise conv1d same, strides": (
        lambda **kw: L.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2, **kw),
        (5, 2),
    ),
    "depthwise conv2d": (lambda **kw: L.DepthwiseConv2D(2, depth_multiplier=2, **kw), (3, 4, 2)),
    "depthwise conv2d same, strides": (lambda **kw: L.DepthwiseConv2D(3, strides=2, padding="same", **kw), (4, 4, 2)),
    "depthwise conv2d, dilation": (lambda **kw: L.DepthwiseConv2D(2, dilation_rate=2, **kw), (4, 4, 2)),
    "separable conv1d": (lambda **kw: L.SeparableConv1D(3, 3, padding="same", **kw), (5, 2)),
    "separable conv2d": (lambda **kw: L.SeparableConv2D(3, 2, strides=2, depth_multiplier=2, **kw), (4, 4, 2)),
    "conv1d transpose": (lambda **kw: L.Conv1DTranspose(2, 3, strides=2, **kw), (3, 2)),
    "conv2d transpose same, strides": (lambda **kw: L.Conv2DTranspose(3, 3, strides=2, padding="same", **kw), (2, 3, 2)),
    "conv2d transpose, output padding": (
        lambda **kw: L.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1, **kw),
        (2, 2, 2),
    ),
    "conv3d transpose": (lambda **kw: L.Conv3DTranspose(2, 2, strides=2, **kw), (2, 2, 2, 2)),
}
