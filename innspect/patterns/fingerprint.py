"""What tells one model from another: a digest of every layer's class, settings and weights.

The layers are those of the user's model, so that a file written on one backend is known on the others. Names count for
nothing: Keras numbers automatic names anew for every model that is built.
"""

import hashlib
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.graph.ir import Graph

Fingerprints = dict[str, str]  # layer path -> digest, in the order in which the model calls its layers

# Settings that change what a layer computes but not the shapes of its weights.
_SETTINGS = (
    "strides padding dilation_rate groups data_format equation activation pool_size axis epsilon depth_multiplier "
    "output_padding size target_shape rate negative_slope max_value threshold scale offset"
).split()


def layer_fingerprints(graph: Graph) -> Fingerprints:
    """Layer path -> digest, in the order in which the model calls its layers."""
    seen: set[int] = set()
    digests: dict[str, str] = {}
    for path in sorted(graph.layers, key=lambda p: -p.count("/")):  # inner layers first: their weights are theirs
        digests[path] = _digest(graph.layers[path], seen)
    return {path: digests[path] for path in graph.layers}


def combined(fingerprints: Fingerprints) -> str:
    """One digest of all layers."""
    return hashlib.sha256("\n".join(fingerprints.values()).encode()).hexdigest()[:32]


def first_difference(mine: Fingerprints, theirs: Fingerprints) -> str | None:
    """The path of the first layer that differs, layers compared in their order, or None."""
    nothing: tuple[str | None, str | None] = (None, None)
    for (path, digest), (other, their_digest) in zip_longest(mine.items(), theirs.items(), fillvalue=nothing):
        if digest != their_digest:
            return other if path is None else path
    return None


def check_of_one_model(what: str, done: str, mine: tuple[str, Fingerprints], theirs: tuple[str, Fingerprints]) -> None:
    """Raise where two results are of different models, whose names and fingerprints these are.

    Args:
        what: They are, such as "Statistics".
        done: With them, such as "merged".
        mine, theirs: (name of the model, fingerprints of its layers).

    Raises:
        ValueError: The message names the first layer that differs.
    """
    path = first_difference(mine[1], theirs[1])
    if path is not None:
        raise ValueError(
            f"{what} of different models cannot be {done}: the first layer that differs is {path!r}. "
            f"Received: {what.lower()} of {mine[0]!r} and {theirs[0]!r}"
        )


def check_same_settings(what: str, done: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise where two results were collected with different settings; see `check_of_one_model`."""
    for name in {**mine, **theirs}:
        if mine.get(name) != theirs.get(name):
            raise ValueError(
                f"{what} can only be {done} that were collected with the same `{name}`. "
                f"Received: {mine.get(name)!r} and {theirs.get(name)!r}"
            )


def _digest(layer: keras.Layer, seen: set[int]) -> str:
    hasher = hashlib.sha256(type(layer).__name__.encode())
    for name in _SETTINGS:
        hasher.update(f"{name}={_plain(getattr(layer, name, None))};".encode())
    for variable in layer.weights:
        if id(variable) not in seen:
            seen.add(id(variable))
            values = np.ascontiguousarray(backend.to_numpy(variable.value))
            hasher.update(f"{values.dtype}{values.shape}".encode())
            hasher.update(values.data.cast("B") if values.dtype.kind in "fiub" and values.size else values.tobytes())
    return hasher.hexdigest()[:32]


def _plain(value: Any) -> Any:
    """A setting as text that is the same in every session."""
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return value if isinstance(value, str | int | float | bool | type(None)) else type(value).__name__
