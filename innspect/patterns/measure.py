"""One forward pass of a model that measures the moments of all its affine layers.

Requirements of the design:

- Nothing is unfolded: the sum over positions of patch times t is the weight gradient of the layer for the cotangent t.
- Centred before multiplying: the layer is run on x - centre, which serves the output and the weight gradients alike;
  the centre itself goes through the layer once a batch, as a single sample, and gives the output its constant part.
- Sums over one batch only; adding batches up is left to float64.
"""

import math
from dataclasses import dataclass

import keras
from keras import ops

from innspect import backend
from innspect.graph.ir import is_float
from innspect.graph.operations import Extremum, Rectifier
from innspect.layers.affine import BatchNorm
from innspect.patterns.layout import layout_of

GATES = ("activation", "bias_free")

# An input channel is centred where its mean is so many times its standard deviation.
_OFFSET = 3.0


@dataclass
class Unit:
    """An affine layer: all the nodes that share its kernel.

    Attributes:
        path: Path of its first node, the layer's name in a `Patterns` object.
        nodes: Its nodes, one for each call.
        layouts: The `Layout` of each node.
        norms: For each node the batch normalizations that follow it directly: the gate is taken behind them.
        gated: Whether a ReLU follows every call.
    """

    path: str
    nodes: list
    layouts: list
    norms: list
    gated: bool

    @property
    def layout(self):
        return self.layouts[0]

    def kernel(self):
        return backend.to_numpy(self.nodes[0].view.kernel())


def units_of(graph):
    """The affine layers of a graph, in the order of computation."""
    consumers, groups = graph.consumers(), {}
    for node in graph.nodes:
        if node.kind == "affine":
            layer = getattr(node.view, "layer", None)
            groups.setdefault((id(layer or node), type(node.view)), []).append(node)
    return [
        Unit(
            nodes[0].path,
            nodes,
            [layout_of(n) for n in nodes],
            [_norms_after(n, consumers) for n in nodes],
            all(_is_gated(n.outputs[0], consumers) for n in nodes),
        )
        for nodes in groups.values()
    ]


def _norms_after(node, consumers):
    """The batch normalizations that are the only readers of the node's output, one after the other."""
    found, tensor = [], node.outputs[0]
    while True:
        readers = [reader for reader, _ in consumers.get(tensor, ())]
        if len(readers) != 1 or not isinstance(readers[0].view, BatchNorm):
            return found
        found.append(readers[0])
        tensor = readers[0].outputs[0]


def _is_gated(tensor, consumers):
    """Whether a ReLU follows, perhaps behind normalization, max pooling or a change of shape."""
    readers = [reader for reader, _ in consumers.get(tensor, ()) if reader.kind != "constant"]
    return bool(readers) and all(
        isinstance(r.view, Rectifier) or (_keeps_gate(r) and all(_is_gated(t, consumers) for t in r.outputs)) for r in readers
    )


def _keeps_gate(node):
    if isinstance(node.view, BatchNorm) or node.kind == "reindex":
        return True
    pooling = node.operation in ("MaxPool", "AdaptiveMaxPool") or (isinstance(node.view, Extremum) and node.view.largest)
    return node.kind == "winner" and pooling


class Measurement:
    """The compiled functions that measure a clone's affine layers.

    Args:
        clone: The `Clone`.
        regimes: Dict from the path of each unit to the regimes to measure.
        gate: "activation" splits by the sign of the real pre-activation, bias included; "bias_free" by that of w . x.
    """

    def __init__(self, clone, regimes, gate):
        self._clone, self.regimes, self._gate = clone, regimes, gate
        self.units = units_of(clone.graph)
        self._of = {node: (u, i) for u in self.units for i, node in enumerate(u.nodes)}
        self._nodes = clone.graph.ancestors([t for node in self._of for t in node.outputs])
        self._variables = clone.variables()
        self._last_use = {t: i for i, node in enumerate(self._nodes) for t in node.inputs}
        self._centres = backend.compile(self._scoped(self._run_centres))
        self._moments = backend.compile(self._scoped(self._run_moments))
        self._views = {}

    def centres(self, arrays):
        """What to measure every layer from: path -> {"x", "y"}, means over one batch (0 for inputs with no offset)."""
        found = self._centres(backend.variable_values(self._variables), _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def moments(self, arrays, centres):
        """Sums over one batch about the centres: path -> dict as `Moments.sums`, backend tensors."""
        return self._moments(backend.variable_values(self._variables), _tensors(arrays), centres)

    def views(self, arrays, paths):
        """What some layers see: path -> (input, where its neurons are active) for each call, NumPy arrays."""
        key = tuple(paths)
        if key not in self._views:
            self._views[key] = backend.compile(self._scoped(lambda xs: self._run_views(xs, key)))
        found = self._views[key](backend.variable_values(self._variables), _tensors(arrays))
        return keras.tree.map_structure(backend.to_numpy, found)

    def centre_tensors(self, centres):
        """Centres as backend tensors in the dtype that each layer computes in."""
        dtypes = {u.path: keras.backend.standardize_dtype(u.nodes[0].outputs[0].dtype) for u in self.units}
        return {
            path: {k: ops.convert_to_tensor(v, dtype=dtypes[path]) for k, v in centre.items()}
            for path, centre in centres.items()
        }

    # ------------------------------------------------------------------ the program
    def _scoped(self, run):
        def scoped(variables, *arguments):
            mapping = zip(self._variables, variables, strict=True) if variables else []
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True, initialize_variables=False):
                return run(*arguments)

        return scoped

    def _walk(self, xs, visit):
        """Compute the graph; `visit(unit, number of the call, x)` computes the affine nodes."""
        env = dict(zip(self._clone.graph.inputs, xs, strict=True))
        for index, node in enumerate(self._nodes):
            inputs = [env[t] for t in node.inputs]
            outputs = [visit(*self._of[node], inputs[0])] if node in self._of else node(*inputs)
            env.update(zip(node.outputs, outputs, strict=True))
            for tensor in node.inputs:
                if self._last_use[tensor] == index:
                    env.pop(tensor, None)

    def _run_centres(self, xs):
        means = {unit.path: [] for unit in self.units}

        def visit(unit, call, x):
            (y,), layout = unit.nodes[call](x), unit.layouts[call]
            x = _as_float(x, y.dtype)
            mean = layout.mean_input(x)
            spread = ops.sqrt(layout.mean_input(ops.square(x - layout.over_input(mean, len(x.shape)))))
            # Where the mean is of the size of the spread, to subtract it gains nothing, and costs the exact zeros.
            middle = ops.where(ops.absolute(mean) > _OFFSET * spread, mean, ops.zeros_like(mean))
            means[unit.path].append((middle, layout.sum_output(y) / _positions(y, layout)))
            return y

        self._walk(xs, visit)
        return {
            path: {"x": sum(x for x, _ in pairs) / len(pairs), "y": sum(y for _, y in pairs) / len(pairs)}
            for path, pairs in means.items()
        }

    def _run_views(self, xs, paths):
        found = {path: [] for path in paths}

        def visit(unit, call, x):
            y = unit.nodes[call](x)[0]
            if unit.path in found:
                z = y if self._gate == "activation" else unit.nodes[call].view.linear(x, unit.nodes[call].view.kernel())
                found[unit.path].append([_as_float(x, y.dtype), self._opened(z, unit.norms[call]) > 0])
            return y

        self._walk(xs, visit)
        return found

    def _run_moments(self, xs, centres):
        found = {}

        def visit(unit, call, x):
            y, sums = self._measure(unit, call, x, centres[unit.path])
            before = found.get(unit.path)
            found[unit.path] = sums if before is None else {k: before[k] + v for k, v in sums.items()}
            return y

        self._walk(xs, visit)
        return found

    def _measure(self, unit, call, x, centre):
        """The layer's output, and its sums."""
        node, layout = unit.nodes[call], unit.layouts[call]
        view, kernel, bias = node.view, node.view.kernel(), node.view.bias()
        x = _as_float(x, kernel.dtype)
        middle = layout.over_input(centre["x"], len(x.shape))
        centred, constant = x - middle, ops.broadcast_to(middle, (1, *x.shape[1:]))
        (z,), weights = backend.vjp(lambda k: [view.linear(centred, k)], [kernel])
        (base,), weights_of_centre = backend.vjp(lambda k: [view.linear(constant, k)], [kernel])
        z = z + base
        y = z if bias is None else z + bias
        v = y - layout.over_output(centre["y"], len(y.shape))
        opened = self._opened(z if self._gate == "bias_free" else y, unit.norms[call]) > 0
        gate = ops.cast(opened, y.dtype)
        middle_of_kernel = layout.inputs_over_kernel(centre["x"], ops)

        def sum_of_x_times(t):
            total = weights([t])[0]
            if not layout.padded:
                return total
            # Beyond the border x is 0, not the centre: the centre counts only where there is input.
            inside = weights_of_centre([ops.sum(t, axis=0, keepdims=True)])[0]
            return total + inside - middle_of_kernel * layout.over_kernel(layout.sum_output(t), ops)

        sums = {
            "count": ops.full((), _positions(y, layout), dtype="int32"),
            "active": layout.sum_output(ops.cast(opened, "int32")),
            "y": layout.sum_output(v),
            "yy": layout.sum_output(v * v),
            "y_positive": layout.sum_output(v * gate),
            "x": self._sum_of_x(view, layout, kernel, centred, constant, middle_of_kernel),
        }
        for regime in self.regimes[unit.path]:
            if regime == "linear":
                sums["xy_linear"] = sum_of_x_times(v)
                continue
            mask = gate if regime == "positive" else 1 - gate
            sums[f"x_{regime}"], sums[f"xy_{regime}"] = sum_of_x_times(mask), sum_of_x_times(mask * v)
        return y, sums

    def _sum_of_x(self, view, layout, kernel, centred, constant, middle_of_kernel):
        """The sum of x - centre, which is the same for all neurons of a group: one of them is measured."""
        small = layout.small(kernel)
        (y,), weights = backend.vjp(lambda k: [view.linear(centred, k)], [small])
        total = weights([ops.ones_like(y)])[0]
        if not layout.padded:
            return total
        (y,), weights = backend.vjp(lambda k: [view.linear(constant, k)], [small])
        samples, positions = centred.shape[0], math.prod(y.shape) // math.prod(y.shape[a] for a in layout.output_axes)
        inside = weights([ops.ones_like(y)])[0]
        return total + (inside - layout.small(middle_of_kernel) * positions) * samples

    def _opened(self, y, norms):
        """What the activation's gate looks at: y, or what batch normalization makes of it."""
        for norm in norms:
            y = norm(y)[0] if self._gate == "activation" else norm(y)[0] - norm(ops.zeros_like(y))[0]
        return y


def _tensors(arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def _as_float(x, dtype):
    return x if is_float(x.dtype) else ops.cast(x, dtype)


def _positions(y, layout):
    """How many samples and positions each neuron has."""
    kept = math.prod(y.shape[a] for a in layout.output_axes)
    return math.prod(y.shape) // kept
