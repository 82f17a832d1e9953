"""What one call of an affine layer adds to the moments: sums over a batch, from which patterns are made.

Requirements of the design:

- Nothing is unfolded: the sum over positions of patch times t is the layer's weight gradient for the cotangent t.
- Centred before multiplying: the layer is run on x - centre, which serves the output and the weight gradients alike;
  the centre itself goes through the layer once a batch, as a single sample, and gives the output its constant part.
  A centre of zero, as inputs behind a ReLU have, costs nothing.
- One weight gradient for each sum that differs from neuron to neuron, and none for the others: what a cotangent of ones
  gives is the same for all samples and neurons, so one sample, their sum, and one neuron are enough.
- Of a dense layer with many inputs and few rows the rows are handed on, which are far smaller than their products.
"""

import math

from keras import ops

from innspect import backend
from innspect.graph.ir import is_float

GATES = ("activation", "bias_free")

# An input channel is centred where its mean is so many times its standard deviation.
_OFFSET = 3.0


def _where(condition, v):
    return ops.where(condition, v, ops.zeros((), v.dtype))


# What x is multiplied by, from v = y - centre and where the neurons are active, for the sums of each regime.
_COTANGENTS = {
    "linear": {"xy_linear": lambda v, is_open: v},
    "positive": {
        "x_positive": lambda v, is_open: ops.cast(is_open, v.dtype),
        "xy_positive": lambda v, is_open: _where(is_open, v),
    },
    "negative": {
        "x_negative": lambda v, is_open: ops.cast(ops.logical_not(is_open), v.dtype),
        "xy_negative": lambda v, is_open: _where(ops.logical_not(is_open), v),
    },
}


class Call:
    """One call of an affine layer, given its input.

    Args:
        unit: The `Unit`.
        number: Which of its calls.
        x: The input.
        centre: Dict of "y" and, where it is not zero, "x": what the moments are measured from.
        gate: One of `GATES`.

    Attributes:
        y: The output of the layer.
    """

    def __init__(self, unit, number, x, centre, gate):
        self._node, self._layout = unit.nodes[number], unit.layouts[number]
        view, layout = self._node.view, self._layout
        self._view, self._kernel, self._middle = view, view.kernel(), centre.get("x")
        self._x, bias = as_float(x, self._kernel.dtype), view.bias()
        if self._middle is not None:
            middle = layout.over_input(self._middle, len(x.shape))
            self._x, self._constant = self._x - middle, ops.broadcast_to(middle, (1, *x.shape[1:]))
        z, self._weights = view.kernel_vjp(self._x, self._kernel)
        if self._middle is not None:
            base, self._weights_of_centre = view.kernel_vjp(self._constant, self._kernel)
            z = z + base
        self.y = z if bias is None else z + bias
        self._v = self.y - layout.over_output(centre["y"], len(self.y.shape))
        self._opened = gate_open(z if gate == "bias_free" else self.y, unit.norms[number], gate)

    # ------------------------------------------------------------------ sums
    def sums(self, regimes, as_rows=False):
        """Sums over the batch, as `Moments.sums`.

        Args:
            regimes: The regimes to measure.
            as_rows: Instead of those in the kernel's shape give "rows", what they are products of.
        """
        layout, v, is_open = self._layout, self._v, self._opened
        found = {
            "count": ops.full((), positions(v, layout), dtype="int32"),
            "active": layout.sum_output(ops.cast(is_open, "int32")),
            "y": layout.sum_output(v),
            "yy": layout.sum_output(v * v),
            "y_positive": layout.sum_output(_where(is_open, v)),
        }
        rows = {}
        if "linear" in regimes:
            found["x"] = self._sum_of_x()
        for regime in regimes:
            for key, cotangent in _COTANGENTS[regime].items():
                t = cotangent(backend.after(v, found), backend.after(is_open, found))  # one at a time: each is as large as y
                if as_rows:
                    rows[key] = _rows(t)
                else:
                    found[key] = self._sum_of_x_times(t)
        return {**found, "rows": {"x": _rows(self._x), "times": rows}} if as_rows else found

    def _sum_of_x_times(self, t):
        total = self._weights(t)
        if self._middle is None or not self._layout.padded:
            return total
        # Beyond the border x is 0, not the centre: the centre counts only where there is input.
        inside = self._weights_of_centre(ops.sum(t, axis=0, keepdims=True))
        everywhere = self._layout.over_kernel(self._layout.sum_output(t), ops)
        return total + inside - self._layout.inputs_over_kernel(self._middle, ops) * everywhere

    def _sum_of_x(self):
        """The sum of x - centre, of one neuron a group: it is the same for the others."""
        layout, x = self._layout, self._x
        small = layout.small(self._kernel)
        total = self._weights_of_ones(ops.sum(x, axis=0, keepdims=True) if self._samples_first else x, small)
        if self._middle is None or not layout.padded:
            return total
        inside, middle = self._weights_of_ones(self._constant, small), layout.inputs_over_kernel(self._middle, ops)
        return total + inside * x.shape[0] - layout.small(middle) * positions(self._v, layout)

    def _weights_of_ones(self, x, kernel):
        y, weights = self._view.kernel_vjp(x, kernel)
        return weights(ops.ones_like(y))

    @property
    def _samples_first(self):
        """Whether what the layer gives for an element of the first axis depends on that element only."""
        return all(a % len(self._x.shape) for a in self._layout.input_axes)


def centre_of(unit, number, x, y):
    """The means of a layer's input and output over one batch; 0 for input channels that have no offset."""
    layout, x = unit.layouts[number], as_float(x, y.dtype)
    mean = layout.mean_input(x)
    spread = ops.sqrt(layout.mean_input(ops.square(x - layout.over_input(mean, len(x.shape)))))
    # Where the mean is of the size of the spread, to subtract it gains nothing, and costs the exact zeros.
    middle = ops.where(ops.absolute(mean) > _OFFSET * spread, mean, ops.zeros_like(mean))
    return middle, layout.sum_output(y) / positions(y, layout)


def gate_open(y, norms, gate):
    """Where a layer's neurons are active: by its output, or by what batch normalization makes of it."""
    for norm in norms:
        y = norm(y)[0] if gate == "activation" else norm(y)[0] - norm(ops.zeros_like(y))[0]
    return y > 0


def as_float(x, dtype):
    return x if is_float(x.dtype) else ops.cast(x, dtype)


def positions(y, layout):
    """How many samples and positions each neuron has."""
    return math.prod(y.shape) // math.prod(y.shape[a] for a in layout.output_axes)


def _rows(x):
    return ops.reshape(x, (-1, x.shape[-1]))
