"""What is asked of a method: a request for all samples of a call, and the batches that it is answered in.

A request and its batches are written once and read by everybody: by the method, by what averages it, by what exports it.
"""

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.opened.layer_names import path_of
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import Inputs
from innspect.inputs.passing import Passing
from innspect.inputs.sites import UnitSite
from innspect.inputs.targets import Selection
from innspect.nests import joined
from innspect.types import Array, Tensors

Result = dict[str, Any]  # what is found for a batch, see `Analyzer.explain_batch`


@dataclass(frozen=True)
class Bare:
    """A request without its data: what a function that is compiled and kept may hold on to.

    Attributes:
        targets, several, output, at, through: See `Request`; the targets without their values, `through` without masks.
    """

    targets: tuple[Selection, ...]
    several: bool
    output: int
    at: tuple[Any, ...]
    through: tuple[Passing, ...]

    @property
    def key(self) -> Hashable:
        """What tells functions apart that are compiled for requests."""
        return (self.output, self.at, self.through, self.several, *(target.key for target in self.targets))


@dataclass(frozen=True)
class Request:
    """What is asked, for all samples.

    Attributes:
        inputs: The checked `Inputs`.
        targets: A `Selection` for each neuron.
        several: Whether results have a neuron axis first.
        output: Number of the model's output.
        at: Paths of the layers whose signals are wanted, or a `UnitSite`.
        through: The layers that signals must pass, and their channels.
        explained: Whether more than attributions is wanted, such as the error of completeness where it costs a pass.
        batch_size: How many samples may be computed at once; None: as many as fit.
        first: The number of the first sample, for messages.
        advance: A function that is told of the work that is done, see `Analyzer.work`.
        context: What the method's `begin` made of the request.
    """

    inputs: Inputs
    targets: tuple[Selection, ...]
    several: bool = False
    output: int = 0
    at: tuple[Any, ...] = ()
    through: tuple[Passing, ...] = ()
    explained: bool = True
    batch_size: int | None = None
    first: int = 0
    advance: Callable[[int], object] = field(default=lambda count: None, repr=False)
    context: Any = field(default=None, repr=False)

    @functools.cached_property
    def bare(self) -> Bare:
        """The request without its data."""
        targets = tuple(replace(target, values=None) for target in self.targets)
        return Bare(targets, self.several, self.output, self.at, tuple(replace(p, mask=None) for p in self.through))

    @property
    def key(self) -> Hashable:
        """What tells functions apart that are compiled for requests."""
        return self.bare.key

    def of(self, samples: Array) -> "Request":
        """What is asked of some samples, by number."""
        inputs = self.inputs.holding(a[samples] for a in self.inputs.arrays)
        targets, through = tuple(t.of(samples) for t in self.targets), tuple(p.of(samples) for p in self.through)
        return replace(self, inputs=inputs, targets=targets, through=through)

    def through_too(self, layer: Passing) -> "Request":
        """The request with one layer more that signals must pass."""
        return replace(self, through=(*self.through, layer))

    def batches(self, skip: int = 0, end: int | None = None) -> "Iterator[tuple[Batch, int]]":
        """A `Batch` for so many samples at once, and how many of its samples count.

        Left out are batches of the first `skip` samples, and those that begin at the sample `end` or later.
        """
        for rows, count in self.inputs.batches(self.batch_size, len(self.targets)):
            if end is not None and rows[0] >= end:
                return
            if rows[count - 1] >= skip:
                yield Batch.of(self, even(rows)), count

    @functools.cached_property
    def at_once(self) -> int:
        """How many samples, or versions of samples, may be computed at once."""
        return self.inputs.checked_size(self.batch_size, len(self.targets))


@dataclass(frozen=True)
class Batch:
    """Some samples of a request, on the device.

    Attributes:
        request: The `Request`.
        rows: The numbers of the samples; the last may be repeated.
        xs: The model's inputs, tensors (batch, ...).
        values: For each target, what tells it for these samples, see `Selection.rows`; then for each layer that signals
            must pass the mask of its channels, (batch, channels).
    """

    request: Request
    rows: Array
    xs: Tensors
    values: Tensors

    @classmethod
    def of(cls, request: Request, rows: Array) -> "Batch":
        xs = [backend.batch(a[rows]) for a in request.inputs.arrays]
        masks = [p.mask[rows] for p in request.through if p.mask is not None]
        return cls(request, rows, xs, [ops.convert_to_tensor(v) for v in (*(t.rows(rows) for t in request.targets), *masks)])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrays(self) -> list[Array]:
        """The model's inputs, NumPy arrays (batch, ...)."""
        return [a[self.rows] for a in self.request.inputs.arrays]

    @property
    def room(self) -> int:
        """How many versions of each sample may be computed at once."""
        return max(1, self.request.at_once // len(self))

    def of_targets(self, some: slice) -> "Batch":
        """The batch with some of its targets, a slice."""
        count = len(self.request.targets)
        request = replace(self.request, targets=self.request.targets[some])
        return replace(self, request=request, values=[*self.values[:count][some], *self.values[count:]])


def even(rows: Array) -> Array:
    """Rows that can be split over as many devices as Keras splits batches over: the last is repeated."""
    return np.concatenate([rows, np.full(-len(rows) % backend.shards(), rows[-1])])


def paths(at: Any, opened: OpenedModel | None) -> tuple[Any, ...]:
    """The argument `at` of `explain`, a layer or several, as a tuple of paths, see `path_of`; or of `UnitSite`."""
    several = isinstance(at, Iterable) and not isinstance(at, str | keras.Layer | UnitSite)
    given = tuple(at) if several else (at,)
    return tuple(layer if opened is None or isinstance(layer, UnitSite) else path_of(opened, layer, "at") for layer in given)


A = TypeVar("A")


def few_at_once(explain_batch: Callable[[A, Batch], Result]) -> Callable[[A, Batch], Result]:
    """For an `explain_batch` that sends one signal back for each neuron: many neurons go in groups.

    One compiled program holds the ways back of a group, and serves for all groups of its size.
    """

    @functools.wraps(explain_batch)
    def explain(self: A, batch: Batch) -> Result:
        count = len(batch.request.targets)
        size = backend.SCANNED or count
        if count <= size:
            return explain_batch(self, batch)
        parts = [explain_batch(self, batch.of_targets(slice(i, i + size))) for i in range(0, count, size)]
        outputs = [part.pop("outputs") for part in parts]
        return {**joined(keras.tree.map_structure(backend.to_numpy, parts)), "outputs": outputs[0]}

    return explain
