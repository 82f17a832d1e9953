"""What cannot be explained though it runs, and is refused by name where it is met."""

import keras

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.training import differs_in_training

# What is to be done about code that cannot be run on symbols.
OF_VALUES = (
    "Code that asks for the value of a tensor, such as `float(x)`, `if x > 0` or `np.asarray(x)`, cannot be traced: write it "
    "with `keras.ops` (`ops.where`, `ops.cond`)."
)


def check_layer(layer, path, training):
    """Raise where a layer computes what no method can explain."""
    if getattr(layer, "quantization_mode", None):
        raise NotAnalyzeableModelError(
            f"The layer {path!r} (a {type(layer).__name__}) is quantized ({layer.quantization_mode!r}): it rounds what it is "
            "given and its kernel to integers, which has no gradient and no rule. Explain the model as it was before "
            "`quantize`."
        )
    if training and differs_in_training(layer):
        raise called_in_training(layer, path)


def called_in_training(layer, path):
    """The error for a layer that computes something else in training."""
    return NotAnalyzeableModelError(
        f"The layer {path!r} (a {type(layer).__name__}) is called with `training=True`, also in inference: what it computes is "
        "drawn anew at each call, or depends on the other samples of the batch, so there is no one function to explain. Hand "
        "on the `training` that `call` is given (`training=training`), and explain the model's inference."
    )


def build(layer, path, args, kwargs):
    """Build a layer that is called before it was built, as one that is made within `call` is; raise where it gets weights.

    Raises:
        NotAnalyzeableModelError: It has weights, so it computes what nobody has trained.
    """
    if layer.built or type(layer).build is keras.Layer.build:
        return
    shapes = _shapes(args, kwargs)
    try:
        like = type(layer).from_config(layer.get_config())  # so that the layer itself gets no weights
        like.build(shapes)
    except Exception:
        like = None
    if like is None or like.weights:
        raise NotAnalyzeableModelError(
            f"The layer {path!r} (a {type(layer).__name__}) is not built, so it has no weights to explain. Call the model "
            "once on data, or `model.build(input_shape)`, before creating an analyzer; a layer that is made within `call` gets "
            "new weights each time: make it in the constructor."
        )
    layer.build(shapes)


def _shapes(args, kwargs):
    """The shapes of the first argument, which `build` takes."""
    first = args[0] if args else next(iter(kwargs.values()))
    return keras.tree.map_structure(lambda t: tuple(t.shape), first)
