"""Whether patterns and statistics are those of a model, and under which names its layers have them."""

from itertools import zip_longest
from typing import TYPE_CHECKING

from innspect.graph.opened.opened_model import open_model
from innspect.patterns.fingerprint import Fingerprints, first_difference, layer_fingerprints
from innspect.patterns.units import units_of

if TYPE_CHECKING:
    import keras

    from innspect.graph.opened.opened_model import OpenedModel
    from innspect.patterns.collection import Patterns


def fitted_to(patterns: "Patterns", model: "keras.Layer | OpenedModel", *, strict: bool = True) -> "Patterns":
    """`patterns`, checked to be those of `model`, a model or an opened one, under the names that its layers have there.

    Raises:
        ValueError: They are not; the message names the first layer that differs.
    """
    opened = open_model(model)
    shapes = {unit.path: unit.layout.shape for unit in units_of(opened.graph)}
    _compare_shapes(patterns, shapes, opened.model.name)
    theirs, known = patterns.fingerprints, None
    if theirs is not None or not strict:
        known = layer_fingerprints(opened.graph)
    if strict and theirs is not None and known is not None:
        check_same_layers(theirs, known, patterns.model_name, opened.model.name, "patterns")
    layers = dict(zip(shapes, patterns.layers.values(), strict=True))
    return patterns.of_model(layers, opened.model.name, known)


def _compare_shapes(patterns: "Patterns", shapes: dict[str, tuple[int, ...]], name: str) -> None:
    for (path, shape), (other, layer) in zip_longest(shapes.items(), patterns.layers.items(), fillvalue=(None, None)):
        theirs = None if layer is None else next(iter(layer.arrays.values())).shape
        if theirs != shape:
            there = f"is {path!r}, whose kernel has the shape {shape}" if path else f"is {other!r}, which this model has not"
            received = f"a pattern of shape {theirs}" if layer is not None else "no pattern of it"
            raise ValueError(
                f"The patterns do not fit the model {name!r}: the first layer that differs {there}. Received: {received}"
            )


def check_same_layers(theirs: Fingerprints, mine: Fingerprints, their_name: str, my_name: str, what: str) -> None:
    """Raise where two models' fingerprints differ, naming the first layer; `what` is "patterns" or "statistics"."""
    path = first_difference(mine, theirs)
    if path is not None:
        raise ValueError(
            f"The {what} were fitted on another model ({their_name!r}) than {my_name!r}, or on "
            f"other weights: the first layer that differs is {path!r}. Fit again, or compare shapes only with "
            "`innspect.patterns.load(path, model, strict=False)`."
        )
