"""Preprocessing within the model that turns categories into numbers: lookups, hashes, bins, and one-hot vectors.

Requirements of the design:

- A one-hot vector is an embedding whose matrix is the identity. So a column of categories is explained as ids of an
  embedding are: its relevance is the sum over the encoded block, its gradient the norm over it (METHODS 15.4).
- A lookup, a hash or a bin is one id for one value: what is said of the id is said of the value.
- A number that is put into bins and also used as a number is explained as the number, whose bins are constant around it.
- Strings, and tables to look up in, are TensorFlow's; elsewhere the error says so.
"""

import keras
from keras import layers as L
from keras import ops

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.registry import lowers
from innspect.graph.capture.untouched import called
from innspect.graph.ir import is_float
from innspect.graph.keras_internals import idf_weights
from innspect.graph.views.ids import Lookup

_REMEDY = "Apply it to the data first, and explain the model behind it"


def one_hot(trace, ids, depth, dtype, name="one_hot"):
    """One-hot vectors along a new last axis."""
    spec = keras.KerasTensor((*ids.shape, depth), dtype=dtype)

    def encode(ids):
        return ops.one_hot(ops.cast(ids, "int32"), depth, dtype=spec.dtype)

    return trace.emit("embedding", encode, ids, spec=spec, name=name, operation="OneHot")


def _encode(trace, layer, ids, depth, weights=None):
    """Ids (batch, columns) as the layer's `output_mode` has them."""
    mode, dtype = layer.output_mode, layer.compute_dtype if is_float(layer.compute_dtype) else keras.config.floatx()
    if mode == "one_hot" and len(ids.shape) > 1 and ids.shape[-1] == 1:
        ids = ops.squeeze(ids, -1)
    vectors = one_hot(trace, ids, depth, dtype)
    if mode == "one_hot":
        return vectors
    if mode == "multi_hot":
        return ops.max(vectors, axis=-2)
    if weights is not None:
        vectors = vectors * ops.expand_dims(ops.cast(weights, dtype), -1)
    return ops.sum(vectors, axis=-2)


@lowers(L.CategoryEncoding)
def _category_encoding(trace, layer, inputs, count_weights=None):
    if layer.sparse:
        return trace.leaf(layer, inputs, count_weights=count_weights)
    return _encode(trace, layer, inputs, layer.num_tokens, count_weights)


def _lookup(needs_tensorflow):
    def lower(trace, layer, inputs, **_):
        if needs_tensorflow and not (backend.LOOKS_UP and (backend.HAS_STRINGS or not _reads_strings(inputs))):
            raise NotAnalyzeableModelError(
                f"The layer {layer.name!r} (a {type(layer).__name__}) looks up in a table of TensorFlow, which "
                f"{keras.backend.backend()} cannot do within a compiled function. {_REMEDY}, or run Keras on TensorFlow."
            )
        if layer.output_mode == "int":
            return _ids(trace, layer, layer, inputs)
        if getattr(layer, "sparse", False):
            return trace.leaf(layer, inputs)
        depth = _depth(layer, inputs)
        encoded = _encode(trace, layer, _ids(trace, layer, _giving_ids(layer), inputs), depth)
        return encoded * ops.cast(idf_weights(layer), encoded.dtype) if layer.output_mode == "tf_idf" else encoded

    return lower


def _depth(layer, inputs):
    """The length of the vectors that a layer encodes ids as; before Keras 3.15 a `Discretization` tells another shape."""
    bins = isinstance(layer, L.Discretization)
    return len(layer.bin_boundaries) + 1 if bins else layer.compute_output_spec(inputs).shape[-1]


def _reads_strings(inputs):
    return any(t.dtype == "string" for t in keras.tree.flatten(inputs))


def _giving_ids(layer):
    """A layer that gives the ids which `layer` encodes."""
    config = layer.get_config() | {"output_mode": "int"}
    if isinstance(layer, L.Hashing | L.HashedCrossing):
        config["dtype"] = "int64"
    if hasattr(layer, "get_vocabulary"):
        # Ids that are encoded have no place for a mask.
        vocabulary = layer.get_vocabulary(include_special_tokens=False)
        config |= {"vocabulary": vocabulary, "mask_token": None, "pad_to_max_tokens": False, "idf_weights": None}
    return type(layer).from_config(config)


def _ids(trace, layer, giver, inputs):
    run = called(giver)
    several = isinstance(inputs, list | tuple)
    spec = keras.KerasTensor((inputs[0] if several else inputs).shape, dtype=backend.ID_DTYPE)

    def look_up(*values):
        return ops.cast(run(tuple(values) if several else values[0]), spec.dtype)

    name = type(layer).__name__
    tensors = inputs if several else [inputs]
    kind = "reindex" if several else "pass"
    return trace.emit(kind, look_up, *tensors, spec=spec, name="ids", layer=layer, view=Lookup(), operation=name)


lowers(L.StringLookup, L.IntegerLookup, L.Hashing, L.HashedCrossing)(_lookup(needs_tensorflow=True))
lowers(L.Discretization)(_lookup(needs_tensorflow=False))


@lowers(L.TextVectorization)
def _text_vectorization(trace, layer, *_, **__):
    raise NotAnalyzeableModelError(
        f"The layer {layer.name!r} (a TextVectorization) makes many tokens of one string, so what is said of the tokens has no "
        f"place in the model's input. {_REMEDY}: `analyzer.analyze(layer(texts))`."
    )
