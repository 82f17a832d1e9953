"""Attention taken apart into the products, masks and softmax it is made of, the same on every backend.

Requirements of the design:

- `ops.dot_product_attention` never stays one step: what it computes would then depend on the kernel that a backend
  chooses (flash attention rounds otherwise, and computes in half precision only), and no rule could be given for it.
- Masks come from what is masked at run time, so lengths may be unknown when the model is replayed.
"""

import keras
from keras import layers as L
from keras import ops

from innspect.graph.capture.layer_calls import Bound
from innspect.graph.capture.registry import lowers, opens
from innspect.graph.keras_internals import caps_logits

_LOWEST = -2.4e38  # of a masked score: 0.7 times the lowest number in float32, as the backends have it


@opens("DotProductAttention")
def _dot_product_attention(trace, operation, query, key, value, bias=None, mask=None, scale=None):
    """softmax(scale Q K^T + bias) V, for (batch, tokens, heads, width)."""
    if caps_logits(operation):
        return None  # what the cap does differs by backend: the operation stays whole
    heads, groups = query.shape[2], key.shape[2]
    if heads != groups:
        key, value = (ops.repeat(x, heads // groups, axis=2) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = ops.multiply(ops.einsum("btnh,bsnh->bnts", query, key), scale)
    if bias is not None:
        scores = ops.add(scores, bias)
    if operation.is_causal:
        causal = _causal_mask(trace, query, key)
        mask = causal if mask is None else ops.logical_and(mask, causal)
    if mask is not None:
        scores = ops.where(mask, scores, _LOWEST)
    return ops.einsum("bnts,bsnh->btnh", ops.softmax(scores, axis=-1), value)


def _causal_mask(trace, query, keys):
    """Token t sees the tokens up to t: a mask (1, tokens, tokens seen). The tokens are axis 1 of what is given."""
    spec = keras.KerasTensor((1, query.shape[1], keys.shape[1]), dtype="bool")
    return trace.emit("constant", _lower_triangle, query, keys, spec=spec, name="causal_mask", operation="CausalMask")


def _lower_triangle(query, keys):
    rows, columns = ops.shape(query)[1], ops.shape(keys)[1]
    return (ops.arange(rows)[:, None] >= ops.arange(columns)[None, :])[None]


@lowers(L.Softmax)
def _softmax(trace, layer, x, mask=None, **_):
    """A softmax over one axis or several; masked positions get exactly 0."""
    axes = tuple(layer.axis) if isinstance(layer.axis, tuple | list) else (layer.axis,)
    if mask is not None:
        mask = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
        x = ops.where(mask, x, -3e4 if layer.compute_dtype == "float16" else -1e9)
    if len(axes) == 1:
        p = ops.softmax(x, axis=axes[0])
    else:
        p = trace.emit("softmax", lambda x: _over_axes(x, axes), x, name="softmax", operation="Softmax")
    return p if mask is None else ops.where(mask, p, 0.0)


def _over_axes(x, axes):
    shifted = ops.exp(x - ops.stop_gradient(ops.max(x, axis=axes, keepdims=True)))
    return shifted / ops.sum(shifted, axis=axes, keepdims=True)


@lowers(L.MultiHeadAttention, L.GroupQueryAttention)
def _causal_attention(trace, layer, query, value, *args, **kwargs):
    """The layer's own call, where the causal mask is made of lengths that are known at run time only."""
    if kwargs.get("use_causal_mask") and len(query.shape) == 3 and not args[2:]:
        causal = _causal_mask(trace, query, value)
        given = kwargs.get("attention_mask")
        mask = causal if given is None else ops.logical_and(ops.cast(given, "bool"), causal)
        kwargs = kwargs | {"use_causal_mask": False, "attention_mask": mask}
    return trace.opened(layer, Bound((query, value, *args), kwargs))
