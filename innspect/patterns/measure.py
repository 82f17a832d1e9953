"""One forward pass of a model that measures the moments of all its affine layers, sums over one batch only.

Adding batches up is left to float64 (`innspect.patterns.accumulate`).
"""

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.backend.compiling import Compiler
from innspect.graph.interpreter import Interpreter
from innspect.patterns.rows import gives_rows
from innspect.patterns.sums import Call, as_float, centre_of, gate_open
from innspect.patterns.units import units_of


class Measurement:
    """The compiled functions that measure a model's affine layers.

    Args:
        opened: The `OpenedModel`.
        regimes: Dict from the path of each unit to the regimes to measure.
        gate: "activation" splits by the sign of the real pre-activation, bias included; "bias_free" by that of w . x.
    """

    def __init__(self, opened, regimes, gate):
        self.regimes, self._gate = regimes, gate
        self.units = units_of(opened.graph)
        self._of = {node: (u, i) for u in self.units for i, node in enumerate(u.nodes)}
        nodes = opened.graph.ancestors([t for node in self._of for t in node.outputs])
        self._run = Interpreter(nodes, opened.graph.inputs, ())
        self._call = Compiler(opened.variables())

    def centres(self, arrays):
        """What to measure every layer from: path -> {"x", "y"}, means over one batch (0 for inputs with no offset)."""
        found = self._call("centres", self._run_centres, _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def moments(self, arrays, centres):
        """Sums over one batch about what `centre_tensors` gave: path -> dict as `Call.sums`, backend tensors."""
        key = frozenset(path for path, centre in centres.items() if "x" in centre)
        return self._call(("moments", key), self._run_moments, _tensors(arrays), centres)

    def views(self, arrays, paths):
        """What some layers see: path -> (input, where its neurons are active) for each call, NumPy arrays."""
        paths = tuple(paths)
        found = self._call(("views", paths), lambda xs: self._run_views(xs, paths), _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def centre_tensors(self, centres):
        """Centres as backend tensors in the dtype that each layer computes in; without "x" where that is zero."""
        dtypes = {u.path: keras.backend.standardize_dtype(u.nodes[0].outputs[0].dtype) for u in self.units}
        return {
            path: {k: ops.convert_to_tensor(v, dtype=dtypes[path]) for k, v in centre.items() if k != "x" or np.any(v)}
            for path, centre in centres.items()
        }

    # ------------------------------------------------------------------ the program
    def _walk(self, xs, visit):
        """Compute the graph; `visit(unit, number of the call, x)` computes the affine nodes."""
        self._run(xs, lambda node, inputs: [visit(*self._of[node], inputs[0])] if node in self._of else node(*inputs))

    def _run_centres(self, xs):
        means = {unit.path: [] for unit in self.units}

        def visit(unit, number, x):
            (y,) = unit.nodes[number](x)
            means[unit.path].append(centre_of(unit, number, x, y))
            return y

        self._walk(xs, visit)
        return {
            path: {"x": sum(x for x, _ in pairs) / len(pairs), "y": sum(y for _, y in pairs) / len(pairs)}
            for path, pairs in means.items()
        }

    def _run_views(self, xs, paths):
        found = {path: [] for path in paths}

        def visit(unit, number, x):
            y = unit.nodes[number](x)[0]
            if unit.path in found:
                view = unit.nodes[number].view
                z = y if self._gate == "activation" else view.linear(x, view.kernel())
                found[unit.path].append([as_float(x, y.dtype), gate_open(z, unit.norms[number], self._gate)])
            return y

        self._walk(xs, visit)
        return found

    def _run_moments(self, xs, centres):
        found = {}

        def visit(unit, number, x):
            call = Call(unit, number, x, centres[unit.path], self._gate)
            sums = call.sums(self.regimes[unit.path], as_rows=gives_rows(unit, x))
            before = found.get(unit.path)
            found[unit.path] = sums if before is None else {k: before[k] + v for k, v in sums.items()}
            return backend.after(call.y, sums)

        self._walk(xs, visit)
        return found


def _tensors(arrays):
    return [ops.convert_to_tensor(a) for a in arrays]
