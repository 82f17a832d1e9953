"""A random sample of the patches that a model's affine layers see, for the quality criterion."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from innspect import backend
from innspect.errors import PlainKeyError
from innspect.graph.opened.opened_model import open_model
from innspect.patterns.fitting import batches
from innspect.patterns.measure import Measurement

_BYTES_AT_ONCE = 2**28


@dataclass
class Patches:
    """Patches of one layer.

    Attributes:
        unit: The layer.
        values: (patches, groups, inputs), where neurons of one group see the same inputs.
        gates: (patches, *neurons), True where the neuron is active.
    """

    unit: object
    values: np.ndarray
    gates: np.ndarray

    def patches(self, group):
        """(patches, inputs) in float64."""
        return self.values[:, group].astype("float64")

    def gate(self, neuron):
        """(patches,) for one neuron."""
        return self.gates[(slice(None), *neuron)]


def drawn_patches(model, data, *, layers=None, count=10_000, batch_size=None, seed=0, part=(0, 1)):
    """Draw patches of every layer, each patch of the data with the same probability.

    Args:
        model: A built Keras model.
        data: Arrays or a stream of batches.
        layers: Paths of the layers; None means all.
        count: Patches of each layer; all are taken where there are fewer.
        batch_size: For arrays; None: by the size of samples and model.
        seed: Of the draw.
        part: (i, n) takes every n-th batch, from the i-th.

    Returns:
        Dict from path to `Patches`.
    """
    model = open_model(model)
    views = Measurement(model, {}, "activation")
    units = {u.path: u for u in views.units}
    unknown = [p for p in layers or () if p not in units]
    if unknown:
        raise PlainKeyError(f"`layers` must be among {list(units)}. Received: {unknown[0]!r}")
    random = np.random.default_rng(seed)
    drawn = {path: _Drawn(u, count) for path, u in units.items() if layers is None or path in layers}
    for number, arrays in enumerate(batches(data, model, batch_size)):
        if number % part[1] != part[0]:
            continue
        seen = views.views(arrays, list(drawn))
        for path, calls in seen.items():
            for call, (x, opened) in enumerate(calls):
                drawn[path].add(call, x, opened, random)
    if not drawn or any(not d.parts for d in drawn.values()):
        raise ValueError(f"The data must hold at least {part[0] + 1} batches. Received: fewer")
    return {path: d.result() for path, d in drawn.items()}


class _Drawn:
    """Keeps the patches with the smallest of random keys: a fair sample of a stream of unknown length."""

    def __init__(self, unit, count):
        self._unit, self._count = unit, count
        self._kernel = ops.convert_to_tensor(unit.layout.patch_kernel())
        self.parts, self._limit = [], 1.0

    def add(self, call, x, opened, random):
        layout = self._unit.layouts[call]
        gates = layout.neurons_last(opened)
        keys = random.random((len(x), len(gates) // len(x)))
        chosen = keys <= self._limit
        step = max(1, _BYTES_AT_ONCE // (4 * keys.shape[1] * int(np.prod(self._kernel.shape))))
        for start in range(0, len(x), step):
            rows = np.arange(start, min(start + step, len(x)))
            here = chosen[rows].ravel()
            if here.any():
                y = self._unit.nodes[call].view.linear(ops.convert_to_tensor(x[rows]), ops.cast(self._kernel, x.dtype))
                values = layout.patches_of(backend.to_numpy(y))[here]
                self.parts.append(
                    (
                        keys[rows].ravel()[here],
                        values,
                        gates.reshape(*keys.shape, *layout.neurons)[rows].reshape(-1, *layout.neurons)[here],
                    )
                )
        if sum(len(keys) for keys, _, _ in self.parts) > 2 * self._count:
            self._shrink()

    def _shrink(self):
        keys, values, gates = (np.concatenate(parts) for parts in zip(*self.parts, strict=True))
        kept = np.sort(np.argsort(keys)[: self._count])
        if len(keys) > self._count:
            self._limit = keys[kept].max()
        self.parts = [(keys[kept], values[kept], gates[kept])]

    def result(self):
        self._shrink()
        _, values, gates = self.parts[0]
        return Patches(self._unit, values, gates)
