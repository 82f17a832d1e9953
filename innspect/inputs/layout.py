"""From a layer's values to maps: channels last, tokens as the image they are of, frames apart from samples."""

import math

from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.opened.target_layer import Place
from innspect.graph.opened.turned import inverse
from innspect.types import BackendTensor, Shape


def with_positions(values: BackendTensor, place: Place) -> BackendTensor:
    """The values of a place as (rows, *positions, channels)."""
    if place.tokens is not None:
        if values.shape[1] < place.tokens.end:
            raise ValueError(
                f"`tokens` must be of tokens that the layer has. Received: {place.tokens.skipped, place.tokens.grid} for the "
                f"layer {place.path!r}, of {values.shape[1]} tokens"
            )
        patches = values[:, place.tokens.skipped : place.tokens.end]
        return ops.reshape(patches, (-1, *place.tokens.grid, patches.shape[-1]))
    values = values if place.order is None else ops.transpose(values, inverse(place.order))
    return ops.moveaxis(values, 1, -1) if place.channels_first else values


def by_samples(values: BackendTensor, place: Place, samples: int) -> BackendTensor:
    """Values (rows, ...) as (samples, *frames, ...)."""
    frames = _frames(place, values.shape[0], samples)
    return ops.reshape(values, (samples, *frames, *values.shape[1:])) if frames else values


def _frames(place: Place, rows: int, samples: int) -> Shape:
    """The lengths of the frames' axes, of which one may be known only now."""
    count = rows // samples
    known = math.prod(d for d in place.frames if d is not None)
    frames = tuple(count // known if d is None else d for d in place.frames)
    if rows != samples * math.prod(frames):
        raise NotAnalyzeableModelError(
            f"The layer {place.path!r} has {rows} rows for {samples} samples, which are no frames of lengths {place.frames}. "
            "Where several of these are not known beforehand, give them in the shapes of the model's inputs; or name a layer "
            "whose rows are samples."
        )
    return frames
