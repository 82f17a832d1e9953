"""The map of a method as a function that can be differentiated, for what trains with it.

An analyzer computes its maps compiled and apart from all else. Where a map is one formula of values and gradients in the model,
`formula_of` takes that formula out; who computes it within a graph of their own has a map that knows the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keras import ops

from innspect.analyzers.base.registry import find
from innspect.analyzers.cam.base import GradientMap, LayerMap
from innspect.analyzers.gradient import GradientRules
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.ir import Tensor
from innspect.graph.opened.opened_model import OpenedModel
from innspect.types import BackendTensor, Shape, Tensors

Values = Mapping[Tensor, BackendTensor]


@dataclass(frozen=True)
class MapFormula:
    """A map, made of values and signals at some tensors of the model's graph.

    Attributes:
        opened: The model.
        explained: The explained tensor.
        read: The tensors whose values are needed.
        moved: The tensors whose signals are, the gradients of the explained value.
        seed: A function of the weights of the explained tensor's elements and of its value: the signal there.
        maps: A function of the values and the signals, dicts from tensor: a list of maps, (samples, ...), as they are before
            ReLU and resizing.
        shapes: Of a sample's maps, None where a length is not known.
        where: What the map is of: the path of a layer, or None for the inputs.
    """

    opened: OpenedModel
    explained: Tensor
    read: tuple[Tensor, ...]
    moved: tuple[Tensor, ...]
    seed: Callable[[BackendTensor, BackendTensor], BackendTensor]
    maps: Callable[[Values, Values], Tensors]
    shapes: list[Shape]
    where: str | None = None


def check_formula(name: str) -> None:
    """Raise where the map of a method is no formula of values and plain gradients.

    Args:
        name: Of the method.

    Raises:
        KeyError: There is no such method.
        ValueError: Its map is none.
    """
    cls, _ = find(name)
    if issubclass(cls, GradientMap):
        found = cls.attributed is GradientMap.attributed
    else:
        plain = issubclass(cls, GradientRules) and not issubclass(cls, LayerMap)
        found = plain and getattr(cls, "attributed", None) is ReverseAnalyzer.attributed
    if not found or cls.explain_batch is not ReverseAnalyzer.explain_batch:
        raise ValueError(
            "`method` must be one whose map is a formula of values and plain gradients, such as 'grad_cam_plus_plus', "
            "'grad_cam', 'layer_cam', 'hires_cam', 'xgrad_cam', 'cam', 'gradient', 'input_t_gradient' or 'saliency'. "
            f"Received: {name!r}"
        )


def formula_of(analyzer: GradientRules) -> MapFormula:
    """The formula of an analyzer's map of the model's first output.

    Raises:
        ValueError: The analyzer has rules of its own.
        NotAnalyzeableModelError: The model has no such map.
    """
    if analyzer.rules is not None:
        raise ValueError(f"`rules` must be None, since maps are trained through plain gradients. Received: {analyzer.rules!r}")
    analyzer.ready()
    analyzer.check_output(0)
    return _of_layer(analyzer) if isinstance(analyzer, GradientMap) else _of_inputs(analyzer)


def _of_layer(analyzer: GradientMap) -> MapFormula:
    place = analyzer.place()
    if None in place.frames:
        raise NotAnalyzeableModelError(
            f"The layer {place.path!r} has frames, and a map that is trained must know beforehand how many. Give their "
            "number in the shape of the model's input, or name another layer."
        )

    def maps(values: Values, signals: Values) -> Tensors:
        found = analyzer.map_of(0, values, signals, None)
        return [ops.reshape(found, (-1, *place.frames, *found.shape[1:])) if place.frames else found]

    read, moved = (place.tensor,), (analyzer.stops(0)[-1],)
    return MapFormula(
        analyzer.opened,
        analyzer._explained(0),
        read,
        moved,
        analyzer.slope,
        maps,
        [(*place.frames, *place.positions)],
        place.path,
    )


def _of_inputs(analyzer: GradientRules) -> MapFormula:
    inputs = analyzer.opened.graph.inputs
    still = [name for name, t in zip(analyzer.opened.names, inputs, strict=True) if not analyzer.opened.moves(t)]
    if still:
        raise NotAnalyzeableModelError(
            f"The gradient of {analyzer.name!r} must reach every input, and {still[0]!r} of the model {analyzer.model.name!r} "
            "holds ids, or no signal reaches it. Take a layer's map, such as 'grad_cam'."
        )

    def maps(values: Values, signals: Values) -> Tensors:
        return [analyzer.finish(signals[t], values[t]) for t in inputs]

    return MapFormula(
        analyzer.opened, analyzer._explained(0), inputs, inputs, analyzer.seed, maps, [t.shape[1:] for t in inputs]
    )
