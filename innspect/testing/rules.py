"""Whether a rule keeps the contract that the engine relies on, on every kind of layer it may meet."""

import functools
import warnings

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.graph.opened.opened_model import open_model
from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.program import Entry, Program
from innspect.layers.weightless import Pass
from innspect.testing.layers import AFFINE_LAYERS

# Keras itself computes some float64 layers in float32 on torch, so the forward pass is compared less strictly.
_TOLERANCE, _FORWARD_TOLERANCE = {"float64": 1e-10, "float32": 5e-4}, 1e-5


def check_rule(rule, formula=None, *, layers=None, seed=0):
    """Check a rule on every kind of affine layer, or on layers of your own.

    Inputs are drawn from [-1, 1], once signed and once not negative, with an input of zeros among them; the relevance
    at the layer's outputs is drawn with both signs. For each layer:

    - the forward pass gives what the layer gives, finite;
    - what arrived is what was passed on plus what `rule.shares` accounts for, for every sample;
    - the answer is linear in the signal, finite, and one sample does not depend on the others, not even on NaN;
    - where the rule has a form for inputs that are not negative (`layer.nonnegative`), or for a ReLU that follows
      (`gates = True`), that form gives the same numbers as the general one;
    - with `formula`, the answer equals it, through the layer's Jacobian.

    All of it is in float64. JAX needs its 64-bit mode for that (`JAX_ENABLE_X64=1`), else float32 is used.

    Args:
        rule: A `innspect.layers.Rule` in relevance form.
        formula: The rule for one sample in plain NumPy, `formula(x, W, b, R) -> R_in`, where the layer is
            `y = x @ W + b`: x (inputs,), W (inputs, outputs), b and R (outputs,), R_in (inputs,). Entries of W are 0
            where an input does not reach an output. It must say what 0/0 is.
        layers: Dict from a name to a (layer, shape of one input) pair, instead of the affine kinds. A layer that is
            not built gets random weights.
        seed: Of all that is drawn.

    Raises:
        AssertionError: The rule breaks the contract; the message names rule, layer and difference.

    Examples:
        >>> check_rule(innspect.layers.WSquare(), lambda x, W, b, R: (W**2 / (W**2).sum(0)) @ R)
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"`rule` must be an instance of `innspect.layers.Rule`. Received: {rule!r}")
    if layers is None:
        cases = [_known_case(name, _precision()) for name in AFFINE_LAYERS]
    else:
        cases = [_Case(name, layer, shape, _precision()) for name, (layer, shape) in layers.items()]
    for case in cases:
        if rule.needs_bounds and len(case.nodes) > 1:
            continue  # the bounds of the input hold for what reads the input, not for the second half of a layer
        _check(rule, formula, case, seed)


def _precision():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns where it has no float64
        return keras.backend.standardize_dtype(ops.zeros((), "float64").dtype)


@functools.cache
def _known_case(name, dtype):
    make, shape = AFFINE_LAYERS[name]
    return _Case(name, make(dtype=dtype), shape, dtype)


class _Case:
    """A layer with a ReLU behind it, and its Jacobian."""

    def __init__(self, name, layer, shape, dtype):
        self.name, self.layer, self.shape, self.dtype = name, layer, shape, dtype
        fresh, random = not layer.built, np.random.default_rng(1)
        x = keras.Input(shape, dtype=dtype)
        model = keras.Model(x, keras.layers.ReLU(dtype=dtype)(layer(x)))
        for variable in layer.weights if fresh else ():
            variable.assign(random.normal(0, 0.5, variable.shape))
        self.graph = open_model(model).graph
        self.nodes = [n for n in self.graph.nodes if n.layer is layer]
        if not self.nodes:
            raise ValueError(
                f"`layers` must hold layers that are one step of the graph; {name!r} is opened into its parts. Give it "
                "a reverse mapping with `innspect.register_reverse_mapping`, or check the rules of its parts."
            )
        self.z = self.nodes[-1].outputs[0]

    def program(self, rule, nonnegative=False, gated=False):
        rules = {node: rule if node.layer is self.layer else Pass() for node in self.graph.nodes}
        proven = self.graph.inputs if nonnegative else ()
        return Program(self.graph, self.graph.outputs[0] if gated else self.z, rules, set(proven), seed_support=gated)

    @functools.cached_property
    def matrices(self):
        """(W, b) of each affine node on the way."""
        pairs, shape = [], self.shape
        for node in self.nodes:
            count = int(np.prod(shape))
            basis = np.concatenate([np.eye(count), np.zeros((1, count))]).reshape(count + 1, *shape)
            y = backend.to_numpy(node(ops.convert_to_tensor(basis.astype(self.dtype)))[0])
            shape, y = y.shape[1:], y.reshape(count + 1, -1)
            pairs.append((y[:-1] - y[-1], y[-1]))
        return pairs

    def explained_by(self, formula, x, relevance):
        """What the formula says of a whole batch."""
        results = []
        for sample, r in zip(x.reshape(len(x), -1), relevance.reshape(len(x), -1), strict=True):
            values = [sample]
            for weights, bias in self.matrices:
                values.append(values[-1] @ weights + bias)
            for value, (weights, bias) in zip(values[-2::-1], self.matrices[::-1], strict=True):
                r = formula(value, weights, bias, r)
            results.append(r)
        return np.reshape(results, x.shape)


_RUNS = ("one", "other", "mixed", "spoiled", "gated")


class _Batch:
    """Inputs and signals of all that is tried, four samples each, so that one pass answers everything.

    Each run is a place in the batch: a signal, another one, a sum of both, the first signal where all samples but one
    are NaN, and a signal that can come from behind a ReLU.
    """

    def __init__(self, case, seed):
        random = np.random.default_rng(seed)
        signed = random.uniform(-1, 1, (4, *case.shape))
        signed[-1] = 0
        xs: list[np.ndarray] = []
        self.rows: dict[tuple[str, str], slice] = {}
        for sign, x in (("", signed), (", inputs not negative", np.abs(signed))):
            for run in _RUNS:
                self.rows[sign, run] = slice(4 * len(xs), 4 * len(xs) + 4)
                xs.append(x.copy())
                xs[-1][1:] = np.nan if run == "spoiled" else x[1:]
        self.x = np.concatenate(xs).astype(case.dtype)
        self.outputs = backend.to_numpy(case.layer(ops.convert_to_tensor(self.x)))
        self.signals = random.normal(size=self.outputs.shape).astype(case.dtype)
        for sign in ("", ", inputs not negative"):
            one, other, mixed, spoiled, gated = (self.rows[sign, run] for run in _RUNS)
            self.signals[mixed] = 2 * self.signals[one] - 3 * self.signals[other]
            self.signals[spoiled] = self.signals[one]
            self.signals[gated] *= np.maximum(self.outputs[gated], 0)


class _Answer:
    """Output, signal at the input and the books of one pass over a batch."""

    def __init__(self, program, batch):
        with read_only(), backend.inference():
            y, tape = program.forward([ops.convert_to_tensor(batch.x)])
            ledger: list[Entry] = []
            signals = program.backward(tape, ops.convert_to_tensor(batch.signals), ledger=ledger)
            books = [(arrived, left, _shares(step, saved, arrived)) for step, arrived, left, saved, _ in ledger]
        self.output = backend.to_numpy(y)
        arrived = signals.get(program.inputs[0])
        self.signal = np.zeros_like(batch.x) if arrived is None else backend.to_numpy(arrived)
        self._missing = [
            self._total(arrived) - self._total(left) - sum(self._total(share) for share in shares.values())
            for arrived, left, shares in books
        ]

    @staticmethod
    def _total(tensors):
        """Sums over each sample."""
        arrays = [backend.to_numpy(t) for t in tensors if t is not None]
        return sum(a.reshape(len(a), -1).sum(1) for a in arrays)

    def unexplained(self, rows):
        """What the books of each step and sample leave unexplained, relative to what was moved."""
        scale = 1 + np.abs(self.signal[rows]).sum()
        return np.array([missing[rows] / scale for missing in self._missing])


def _shares(step, saved, arrived):
    return step.rule.shares(step, saved, arrived) if isinstance(step, ReverseLayer) else {}  # gradients lose nothing


def _check(rule, formula, case, seed):
    tolerance = _TOLERANCE[case.dtype]

    def same(ours, theirs, sign, what, tolerance=tolerance):
        where = f"{rule!r} on {case.name!r}{sign}"
        assert np.isfinite(ours).all(), f"{where}: {what} is not finite. Received: {ours[~np.isfinite(ours)][:3]}"
        error, scale = np.abs(ours - theirs).max(initial=0), max(1.0, np.abs(theirs).max(initial=0))
        assert error <= tolerance * scale, f"{where}: {what} is off by {error / scale:.2e}, more than {tolerance:.0e}"

    batch = _Batch(case, seed)
    general = _Answer(case.program(rule), batch)
    for sign in ("", ", inputs not negative"):
        one, other, mixed, spoiled, gated = (batch.rows[sign, run] for run in _RUNS)
        answer = general.signal
        close = max(tolerance, _FORWARD_TOLERANCE)
        same(answer[spoiled][:1], answer[one][:1], sign, "a sample's answer, where the other samples are NaN,")
        same(general.output[one], batch.outputs[one], sign, "the output of `forward`", close)
        same(general.unexplained(one), 0, sign, "relevance that `shares` does not account for")
        sum_of_answers = 2 * answer[one] - 3 * answer[other]
        same(answer[mixed], sum_of_answers, sign, "the answer to a sum of signals, against the sum of answers,")
        if formula is not None:
            said = case.explained_by(formula, batch.x[one], batch.signals[one])
            same(answer[one], said, sign, "the answer, against the formula,")
        if sign:
            form = _Answer(case.program(rule, nonnegative=True), batch)
            same(form.signal[one], answer[one], sign, "the form for inputs that are not negative, against the general one,")
            same(form.unexplained(one), 0, sign, "relevance that `shares` does not account for")
        if rule.gates:
            form = _Answer(case.program(rule, nonnegative=bool(sign), gated=True), batch)
            same(form.signal[gated], answer[gated], sign, "the form with a ReLU behind the layer, against the general one,")
            same(form.unexplained(gated), 0, sign, "with a ReLU behind, relevance that `shares` does not account for")
