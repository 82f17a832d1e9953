"""One forward pass of a model that measures the moments of all its affine layers, sums over one batch only.

Adding batches up is left to float64 (`innspect.patterns.accumulate`).
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.interpreter import Interpreter
from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.precision import PreciseCompiler
from innspect.patterns.rows import gives_rows
from innspect.patterns.sums import Call, as_float, centre_of, gate_open
from innspect.patterns.units import Unit, units_of
from innspect.types import Array, BackendTensor, Tensors

Centres = dict[str, dict[str, BackendTensor]]  # path -> x, y


class Measurement:
    """The compiled functions that measure a model's affine layers.

    Args:
        opened: The `OpenedModel`.
        regimes: Dict from the path of each unit to the regimes to measure.
        gate: "activation" splits by the sign of the real pre-activation, bias included; "bias_free" by that of w . x.
    """

    def __init__(self, opened: OpenedModel, regimes: dict[str, tuple[str, ...]], gate: str):
        self.regimes, self._gate = regimes, gate
        self.units = units_of(opened.graph)
        self._of = {node: (u, i) for u in self.units for i, node in enumerate(u.nodes)}
        nodes = opened.graph.ancestors([t for node in self._of for t in node.outputs])
        self._run = Interpreter(nodes, opened.graph.inputs, ())
        self._call = PreciseCompiler(opened.variables())

    def centres(self, arrays: list[Array]) -> dict[str, dict[str, Array]]:
        """What to measure every layer from: path -> {"x", "y"}, means over one batch (0 for inputs with no offset)."""
        found = self._call("centres", self._run_centres, _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def moments(self, arrays: list[Array], centres: Centres) -> dict[str, dict[str, BackendTensor]]:
        """Sums over one batch about what `centre_tensors` gave: path -> dict as `Call.sums`, backend tensors."""
        key = frozenset(path for path, centre in centres.items() if "x" in centre)
        return self._call(("moments", key), self._run_moments, _tensors(arrays), centres)

    def views(self, arrays: list[Array], paths: Iterable[str]) -> dict[str, list[list[Array]]]:
        """What some layers see: path -> (input, where its neurons are active) for each call, NumPy arrays."""
        wanted = tuple(paths)
        found = self._call(("views", wanted), lambda xs: self._run_views(xs, wanted), _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def centre_tensors(self, centres: dict[str, dict[str, Array]]) -> Centres:
        """Centres as backend tensors in the dtype that each layer computes in; without "x" where that is zero."""
        dtypes = {u.path: keras.backend.standardize_dtype(u.nodes[0].outputs[0].dtype) for u in self.units}
        return {
            path: {k: ops.convert_to_tensor(v, dtype=dtypes[path]) for k, v in centre.items() if k != "x" or np.any(v)}
            for path, centre in centres.items()
        }

    # ------------------------------------------------------------------ the program
    def _walk(self, xs: Tensors, visit: Callable[[Unit, int, BackendTensor], BackendTensor]) -> None:
        """Compute the graph; `visit(unit, number of the call, x)` computes the affine nodes."""
        self._run(xs, lambda node, inputs: [visit(*self._of[node], inputs[0])] if node in self._of else node(*inputs))

    def _run_centres(self, xs: Tensors) -> Centres:
        means: dict[str, list[tuple[BackendTensor, BackendTensor]]] = {unit.path: [] for unit in self.units}

        def visit(unit: Unit, number: int, x: BackendTensor) -> BackendTensor:
            (y,) = unit.nodes[number](x)
            means[unit.path].append(centre_of(unit, number, x, y))
            return y

        self._walk(xs, visit)
        return {
            path: {"x": sum(x for x, _ in pairs) / len(pairs), "y": sum(y for _, y in pairs) / len(pairs)}
            for path, pairs in means.items()
        }

    def _run_views(self, xs: Tensors, paths: Iterable[str]) -> dict[str, list[Tensors]]:
        found: dict[str, list[Tensors]] = {path: [] for path in paths}

        def visit(unit: Unit, number: int, x: BackendTensor) -> BackendTensor:
            y = unit.nodes[number](x)[0]
            if unit.path in found:
                view = unit.nodes[number].view
                z = y if self._gate == "activation" else view.linear(x, view.kernel())
                found[unit.path].append([as_float(x, y.dtype), gate_open(z, unit.norms[number], self._gate)])
            return y

        self._walk(xs, visit)
        return found

    def _run_moments(self, xs: Tensors, centres: Centres) -> dict[str, dict[str, BackendTensor]]:
        found: dict[str, dict[str, BackendTensor]] = {}

        def visit(unit: Unit, number: int, x: BackendTensor) -> BackendTensor:
            call = Call(unit, number, x, centres[unit.path], self._gate)
            sums = call.sums(self.regimes[unit.path], as_rows=gives_rows(unit, x))
            before = found.get(unit.path)
            found[unit.path] = sums if before is None else {k: before[k] + v for k, v in sums.items()}
            return backend.after(call.y, sums)

        self._walk(xs, visit)
        return found


def _tensors(arrays: list[Array]) -> Tensors:
    return [backend.batch(a) for a in arrays]
