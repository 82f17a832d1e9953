"""Other weights for a model, drawn from its own: handed to what explains it, never written to it (METRICS 4)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.backend.weights import handing
from innspect.checks import Finite
from innspect.evaluation.maps import Maps, RandomMaps
from innspect.evaluation.trial import Trial
from innspect.graph.heads import without_head
from innspect.graph.keras_internals import layers_of, parameters_of
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import as_numbers
from innspect.types import Array

Pairs = list[tuple[keras.Variable, Any]]  # variables, and what stands for each


def normal(values: Array, generator: np.random.Generator) -> Array:
    """A normal draw with a tensor's own mean and deviation; the tensor itself where it is constant."""
    deviation = values.std()
    return values if deviation == 0 else values.mean() + deviation * generator.standard_normal(values.shape)


def permuted(values: Array, generator: np.random.Generator) -> Array:
    """All entries of a tensor in another order."""
    return generator.permutation(values.reshape(-1)).reshape(values.shape)


HOW: dict[str, Callable[[Array, np.random.Generator], Array]] = {"normal": normal, "permute": permuted}


@dataclass(frozen=True)
class Weighted:
    """A layer with weights of its own.

    Attributes:
        name: Its path in the model.
        variables: Those that it made for training, also where it is frozen.
    """

    name: str
    variables: list[keras.Variable]


class Replacement:
    """Weights that stand for a model's own, layer by layer.

    Args:
        trial: The `Trial`.
        maps: The `Maps`, whose analyzer's model it is.
        how: A name of `HOW`.
        weights: Dict from each variable's path to an array, in the place of what is drawn; None.

    Attributes:
        layers: The layers that the explained output depends on, in the order in which they compute, a shared one once.

    Raises:
        TypeError: The maps were not made by an analyzer of a Keras model.
        ValueError: The model has no weights, or `weights` does not fit them.
    """

    def __init__(self, trial: Trial, maps: Maps, how: str = "normal", weights: Any = None):
        self._trial, self._how, random = trial, how, isinstance(maps, RandomMaps)
        if maps.analyzer is None and not random:
            raise maps.given_error()
        # Our own may be blind to weights, as "input" is; what others read elsewhere would only seem to be.
        self._blind = random or type(maps.analyzer).__module__.startswith("innspect.")
        model = _model_of(trial.predictor if random else maps.analyzer)
        self.layers = _layers(model, trial.output)
        if not self.layers:
            raise ValueError(f"The model {_name(model)!r} has no weights that could be replaced.")
        self._given = None if weights is None else self._checked(weights, model)
        self._made: dict[int, Any] = {}
        # Not by the variable's own path, which is another one once the model was saved and loaded.
        self._places = {id(v): f"weights {layer.name} {i}" for layer in self.layers for i, v in enumerate(layer.variables)}

    def _checked(self, weights: Any, model: Any) -> dict[str, Array]:
        if not isinstance(weights, Mapping):
            raise TypeError(f"`weights` must be a dict from a variable's path to an array. Received: {type(weights).__name__}")
        known = {v.path: v for v in (model.model if isinstance(model, OpenedModel) else model).variables}
        wanted = [v.path for layer in self.layers for v in layer.variables]
        unknown, missing = sorted(set(weights) - set(known)), [p for p in wanted if p not in weights]
        if unknown or missing:
            what = f"unknown: {unknown[:5]}" if unknown else f"missing: {missing[:5]}"
            raise ValueError(f"`weights` must hold an array for each of the variables {wanted[:10]}. Received: {what}")
        given = {path: as_numbers(weights[path], f"weights[{path!r}]") for path in wanted}
        for path, array in given.items():
            if array.shape != tuple(known[path].shape) or array.dtype.kind not in "fiu" or not Finite().holds(array):
                raise ValueError(
                    f"weights[{path!r}] must hold finite numbers of shape {tuple(known[path].shape)}. "
                    f"Received: shape {array.shape}, dtype {array.dtype}"
                )
        return given

    def _value(self, variable: keras.Variable) -> Any:
        if id(variable) not in self._made:
            if self._given is not None:
                array = self._given[variable.path]
            else:
                values = backend.to_numpy(variable.value).astype("float64")
                array = HOW[self._how](values, self._trial.generator(self._places[id(variable)]))
            self._made[id(variable)] = ops.convert_to_tensor(np.asarray(array, "float64"), variable.dtype)
        return self._made[id(variable)]

    def pairs(self, layers: list[Weighted]) -> Pairs:
        """What stands for the weights of some layers."""
        return [(v, self._value(v)) for layer in layers for v in layer.variables]

    def forget(self) -> None:
        """Let go of what was made."""
        self._made.clear()

    @contextmanager
    def of(self, layers: list[Weighted]) -> Iterator[None]:
        """A scope in which all that explains sees other weights in some layers.

        Raises:
            TypeError: What was done within it read none of them, such as by an analyzer of another model.
        """
        with handing(self.pairs(layers)) as handed:
            yield
        if not handed.asked and not self._blind:
            raise TypeError(
                "`maps` must be an analyzer that runs its model by innspect, such as by the `question` of `attribute`, so that "
                "other weights can be handed in. Received: one that has read none of them"
            )

    def orders(self, order: str) -> Iterator[tuple[str, list[Weighted]]]:
        """The steps of an order: the layer that is next, and all that are replaced in the step."""
        ordered = self.layers[::-1] if order == "top_down" else self.layers
        for k, layer in enumerate(ordered):
            yield layer.name, [layer] if order == "independent" else ordered[: k + 1]


def _model_of(explains: Any) -> Any:
    opened = getattr(explains, "opened", None)
    model = opened if opened is not None else getattr(explains, "model", None)
    if not isinstance(model, OpenedModel | keras.Layer):
        raise TypeError(
            f"`maps` must be an analyzer of a Keras model, whose weights can be replaced. Received: {type(explains).__name__} "
            f"of {type(model).__name__}"
        )
    return model


def _name(model: Any) -> str:
    return (model.model if isinstance(model, OpenedModel) else model).name


def _layers(model: Any, output: int) -> list[Weighted]:
    whole = model.model if isinstance(model, OpenedModel) else model
    owners = {id(v): layer for layer in layers_of(whole) for v in parameters_of(layer)}
    names = {id(layer): layer.name for layer in layers_of(whole)}
    if isinstance(model, OpenedModel):
        names |= {id(layer): path for path, layer in model.graph.layers.items()}
        nodes = model.graph.ancestors([without_head(model.graph, model.graph.outputs[output])])
        read = [v for node in nodes for v in (*node.variables, *getattr(node.layer, "variables", ()))]
    else:
        read = list(whole.variables)
    found = dict.fromkeys(id(owners[id(v)]) for v in read if id(v) in owners)
    by_id = {id(layer): layer for layer in owners.values()}
    return [Weighted(names[key], parameters_of(by_id[key])) for key in found]
