"""What is to be maximized: from what the user says to a weight for every number that the model computes.

Requirements of the design:

- Targets of all kinds, one for each image, are one weighted sum, so that one program serves them all and the weights alone
  differ.
- A target sees its own image only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.activity import sends_nothing
from innspect.graph.heads import is_head, without_head
from innspect.graph.ir import Tensor
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.targets import explained_value, resolve
from innspect.inputs.units import Quantity, Sum, Unit, UnitSite, reduced
from innspect.labels import Labels, number_of
from innspect.synthesis.objectives import objective
from innspect.types import Array, BackendTensor, Tensors

_ALL = 4096  # neurons of an output that "all" stands for at most


@dataclass(frozen=True)
class Neuron(Quantity):
    """A neuron of an output, or what else `analyze` takes. `innspect.synthesis.neuron` makes it."""

    what: Any
    output: int | str | None = None
    objective: str | None = None
    name: str = field(default="", compare=False)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name or f"output {self.what}" if isinstance(self.what, int | str | tuple) else "weights"


def neuron(what: Any, output: int | str | None = None, objective: str | None = None) -> Neuron:
    """A neuron of the model's output, as a target that can be added to others.

    Args:
        what: As the neuron of `analyze`: a number, a name where there are `labels`, a tuple for one element, weights of the
            output's shape, or a function of the explained tensor, (samples, ...) -> (samples,).
        output: The number or name of the output; None: that of `synthesize`.
        objective: One of `list_objectives()`; None: that of `synthesize`.

    Examples:
        >>> innspect.synthesize(model, neuron(3) - neuron(5))
        >>> innspect.synthesize(model, neuron("tabby", objective="log_probability") + 0.1 * innspect.unit("conv", 3))
    """
    return Neuron(what, output, objective)


def listed(target: Any, opened: OpenedModel, output: int | str) -> list[Quantity]:
    """A quantity for each image: of one target, a list of them, an array of numbers, or "all"."""
    if target is None:
        raise ValueError("`target` must say what is to be maximized, such as the number of a neuron. Received: None")
    if isinstance(target, str) and target == "all":
        shape = opened.graph.outputs[opened.number(output)].shape[1:]
        if len(shape) != 1 or shape[0] is None or shape[0] > _ALL:
            raise ValueError(
                f"target='all' needs an output of at most {_ALL} neurons, (samples, neurons). Received: shape {shape}"
            )
        target = range(shape[0])
    several = isinstance(target, list | range) or (
        isinstance(target, np.ndarray) and target.ndim == 1 and target.dtype.kind in "iu"
    )
    if several and not len(target):
        raise ValueError("`target` must hold at least one target. Received: an empty list")
    return [_quantity(each) for each in (target if several else [target])]


def _quantity(given: Any) -> Quantity:
    if isinstance(given, Quantity):
        return given
    return Neuron(int(given) if isinstance(given, np.integer) else given)


@dataclass
class Group:
    """Numbers of one tensor that are weighted alike.

    Attributes:
        kind: "output", "function", "reduced" or "position".
        tensor: Of the graph.
        settings: The objective and the head; the function; or the site of a unit, and how its positions are taken together.
        weights: For each image a weight of every number, (images, ...).
    """

    kind: str
    tensor: Tensor
    settings: tuple[Any, ...]
    weights: Array

    @property
    def key(self) -> Any:
        return self.kind, id(self.tensor), self.settings

    def value(self, y: BackendTensor, weights: BackendTensor, rows: int) -> BackendTensor:
        """The weighted sum, (rows,), of the tensor's values for so many rows, and of the weights of each."""
        if self.kind == "output":
            name, head = self.settings
            return objective(name)(y, weights, head)
        if self.kind == "function":
            (function,) = self.settings
            return explained_value(resolve(function, None, tuple(y.shape[1:]), rows), ops.ones_like(y), y) * weights
        site, reduce = self.settings
        arranged = site.arranged(y, rows)
        found = reduced(arranged, reduce) if self.kind == "reduced" else ops.reshape(arranged, (rows, -1))
        return ops.sum(ops.where(weights == 0, ops.zeros((), found.dtype), weights * found), axis=-1)


class Wanted:
    """What is to be maximized of a batch of images.

    Args:
        opened: The model.
        targets: A `Quantity` for each image.
        output: Of targets that name none.
        objective: Of targets that name none.
        labels: Names of the output's neurons, or None.
        shapes: A function from tensors of the graph to the shapes that they have here, without the samples.
    """

    def __init__(
        self, opened: OpenedModel, targets: Sequence[Quantity], output: int | str, name: str, labels: Any, shapes: Any
    ):
        self._opened, self._output, self._objective, self._labels, self._shapes = opened, output, name, labels, shapes
        objective(name)
        self.groups: list[Group] = []
        self._found: dict[Any, Group] = {}
        self.names = [self._added(row, len(targets), target) for row, target in enumerate(targets)]

    @property
    def tensors(self) -> list[Tensor]:
        """What must be computed, a tensor for each group."""
        return [group.tensor for group in self.groups]

    def weights(self, rows: Any) -> list[Array]:
        """The weights of some images, for each group."""
        return [group.weights[rows] for group in self.groups]

    def values(self, ys: Iterable[BackendTensor], weights: Tensors, rows: int) -> BackendTensor:
        """What is maximized, (rows,), from the tensors' values and the weights of the images."""
        total: Any = 0.0
        for group, y, each in zip(self.groups, ys, weights, strict=True):
            given = ops.cast(each, y.dtype)
            copies = rows // given.shape[0]
            total = total + group.value(y, ops.repeat(given, copies, axis=0) if copies > 1 else given, rows)
        return total

    # ------------------------------------------------------------------ from targets to weights
    def _added(self, row: int, rows: int, target: Quantity) -> str:
        told = []
        for factor, leaf in target.terms:
            if isinstance(leaf, Unit):
                self._add_unit(row, rows, factor, leaf)
            elif isinstance(leaf, Neuron):
                leaf = self._add_neuron(row, rows, factor, leaf)
            else:
                raise TypeError(f"`target` must hold neurons and units. Received: {leaf!r}")
            told.append((factor, leaf))
        return str(Sum(tuple(told))) if isinstance(target, Sum) else str(told[0][1])

    def _group(self, kind: str, tensor: Tensor, settings: tuple[Any, ...], shape: tuple[int, ...]) -> Group:
        key = kind, id(tensor), settings
        if key not in self._found:
            self._found[key] = Group(kind, tensor, settings, np.zeros(shape, "float32"))
            self.groups.append(self._found[key])
        return self._found[key]

    def _add_neuron(self, row: int, rows: int, factor: float, leaf: Neuron) -> Neuron:
        opened, output = self._opened, self._output if leaf.output is None else leaf.output
        number, name = opened.number(output), leaf.objective or self._objective
        objective(name)
        made = opened.graph.outputs[number]
        tensor = without_head(opened.graph, made)
        if tensor not in opened.graph.active:
            raise NotAnalyzeableModelError(f"The output {opened.output_names[number]!r}{sends_nothing(opened.graph, tensor)}")
        shape: tuple[int, ...] = self._shapes(tensor)
        labels: Labels | None = self._labels if number == opened.number(self._output) else None
        what = number_of(leaf.what, labels) if isinstance(leaf.what, str) and leaf.what != "all" else leaf.what
        selection = resolve(what, None, shape, 1)
        if selection.kind == "max":
            raise ValueError("A target must say which neuron is meant. Received: None")
        if selection.function is not None:
            group = self._group("function", tensor, (selection.function,), (rows,))
            group.weights[row] += factor
            return Neuron(what, name=getattr(selection.function, "__name__", "function"))
        group = self._group("output", tensor, (name, self._head(number, made, tensor)), (rows, *shape))
        with backend.inference():
            one = ops.zeros((1, *shape))
            group.weights[row] += (
                factor
                * backend.to_numpy(selection.weights(ops.convert_to_tensor(selection.rows(np.zeros(1, "int32"))), one))[0]
            )
        known = labels.short(what) if labels is not None and isinstance(what, int) else ""
        return Neuron(what, name=known)

    def _head(self, number: int, made: Tensor, tensor: Tensor) -> str:
        if number in self._opened.hidden_softmax:
            return "probability"
        head = self._opened.graph.producer(made) if made is not tensor else None
        if not is_head(head):
            return ""
        return "sigmoid" if head.operation == "Sigmoid" else "softmax"

    def _add_unit(self, row: int, rows: int, factor: float, unit: Unit) -> None:
        site: UnitSite = unit.site(self._opened.graph)
        shape = self._shapes(site.tensor)
        channels, positions = shape[site.axis - 1], site.positions_of((1, *shape))
        site.check(unit, channels, positions)
        if unit.position is None:
            group = self._group("reduced", site.tensor, (site, unit.reduce), (rows, channels))
            group.weights[row, unit.channel] += factor
            return
        lengths = tuple(int(n) for n in positions)  # type: ignore[arg-type]  # a position is asked for, so all are known
        group = self._group("position", site.tensor, (site, ""), (rows, int(np.prod(lengths)) * channels))
        place = int(np.ravel_multi_index((*unit.position, unit.channel), (*lengths, channels)))
        group.weights[row, place] += factor
