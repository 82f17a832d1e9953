"""Methods that average another method over many points: on a path to the input, or around it.

Requirements of the design:

- What is explained is fixed at the input itself: the largest output there is the target at every point.
- Points are made on the device from the batch that is there already, as many (sample, point) pairs at once as the batch
  size allows, and are reduced before they leave it. Memory does not grow with their number.
- Ids of an embedding cannot be moved; their vectors can. So every embedding gets one more input, by which its vectors
  are moved.
"""

import copy
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers import selection
from innspect.analyzers.base import Analyzer
from innspect.analyzers.data import on_device
from innspect.analyzers.registry import accepted_arguments, create_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.selection import explained_value
from innspect.analyzers.stateless import Compiler
from innspect.graph.ir import Node, Ref, Tensor


class Averaging(Analyzer):
    """Base of the methods that average another one.

    Args:
        model: A built Keras model.
        of: The method that is averaged: its name, with its arguments among `arguments`, or an analyzer of `model`.
        **arguments: Of that method.
    """

    def __init__(self, model, *, of="gradient", neuron_selection_mode=None, disable_model_checks=False, **arguments):
        selection.check_mode(neuron_selection_mode)
        self.neuron_selection_mode, self.disable_model_checks = neuron_selection_mode, disable_model_checks
        self.of = of
        self.inner = self._make_inner(model, of, dict(arguments, disable_model_checks=disable_model_checks))
        self._clone = self.inner._clone

    @classmethod
    def more_arguments(cls, given):
        """The names of the arguments that the averaged method takes, for the check of spelling."""
        of = given.get("of", "gradient")
        return accepted_arguments(of) if isinstance(of, str) else set()

    def _make_inner(self, model, of, arguments):
        if isinstance(of, str):
            return create_analyzer(of, model, **arguments)
        if not isinstance(of, Analyzer) or of.model is not model:
            raise ValueError(f"`of` must be the name of an analyzer, or an analyzer of the same model. Received: {of!r}")
        return of

    def fit(self, *args, **kwargs):
        """Fit the averaged method, where it learns from data."""
        self.inner.fit(*args, **kwargs)
        vars(self).pop("_runner", None)
        return self

    def state(self):
        return self.inner.state()

    def set_state(self, state):
        self.inner.set_state(state)
        vars(self).pop("_runner", None)

    def _explained(self, number):
        return self.inner._explained(number)

    def _output_number(self, output):
        return self.inner._output_number(output)

    def _restore(self, inputs, arrays):
        return self.inner._restore(inputs, arrays)

    def _attribution_shapes(self, shapes):
        return self.inner._attribution_shapes(shapes)

    @property
    def runner(self):
        """The averaged method, ready to run at points; None where it has no backward pass of the usual kind."""
        if "_runner" not in vars(self):
            cls, own = type(self.inner), ("analyze", "_run", "_program", "_explain_batch", "_function", "_back")
            plain = isinstance(self.inner, ReverseAnalyzer) and all(getattr(cls, n) is getattr(ReverseAnalyzer, n) for n in own)
            self._runner = Runner(self.inner, self) if plain else None
        return self._runner

    # ------------------------------------------------------------------ what a method decides
    def place(self, xs, moves, count):
        """The points, inside the compiled call.

        Args:
            xs: The inputs, (batch, ...) each.
            moves: What `Batch.step` was given.
            count: Points of each sample.

        Returns:
            A tensor (batch * count, ...) for each input, the points of a sample together; then what each embedding's
            `move` is given.
        """
        raise NotImplementedError

    def move(self, vectors, given):
        """An embedding's vectors, moved by what `place` gave for it."""
        raise NotImplementedError

    def reduce(self, maps, ws):
        """What is kept of the maps (batch, count, ...) of a chunk; `ws` broadcasts over them and weighs the points."""
        return ops.sum(maps * ws, axis=1)


class Runner:
    """Another analyzer's forward and backward passes at many points, in one compiled call.

    Args:
        inner: The analyzer; it is left as it is.
        owner: The `Averaging` method, which places the points and reduces what is found there.
    """

    def __init__(self, inner, owner):
        self.owner, self.analyzer = owner, copy.copy(inner)
        self.analyzer._programs, self.analyzer._compiled = {}, {}
        self.analyzer._graph, self.embeddings, self.sources = _with_moved_embeddings(inner._graph, owner.move)
        self.compiled = Compiler(inner._variables)

    def run(self, batch, moves, ws, backward):
        """One compiled call; see `Batch`."""
        key = (backward, batch.number, batch.at, batch.several, *[s.key for s in batch.chosen])
        program = self.analyzer._program(batch.number, batch.at)
        chosen, several, number = batch.chosen, batch.several, batch.number
        layers = {path: self.analyzer._tensors_at(path) for path in batch.at}

        def function(xs, moves, values, ws):
            points = self.owner.place(xs, moves, ws.shape[0])
            y, tape = program.forward(points)
            values = [ops.repeat(v, ws.shape[0], axis=0) for v in values]
            weights = [s.weights(v, y) for s, v in zip(chosen, values, strict=True)]
            at_points = ops.stack([explained_value(s, w, y) for s, w in zip(chosen, weights, strict=True)])
            at_points = ops.reshape(at_points, (len(chosen), -1, ws.shape[0]))
            found = {
                "outputs": self.analyzer._with_head(number, y),
                "values": at_points if several else at_points[0],
                "settled": [s.settled(v, y) for s, v in zip(chosen, values, strict=True)],
            }
            if not backward:
                return found

            def back(w):
                result = self.analyzer._back(program, tape, w, points, y, layers, keep_tape=several)
                maps = {"attributions": result["attributions"][: len(xs)], "signals": result.get("signals", {})}
                return keras.tree.map_structure(lambda t: self._reduced(t, ws, xs), maps)

            return found | {"maps": backend.scan(back, ops.stack(weights)) if several else back(weights[0])}

        return self.compiled(key, function, batch.xs, moves, batch.values, ops.convert_to_tensor(ws))

    def _reduced(self, maps, ws, xs):
        count, batch = ws.shape[0], xs[0].shape[0]
        maps = ops.reshape(maps, (batch, count, *ops.shape(maps)[1:]))
        return self.owner.reduce(maps, ops.cast(ops.reshape(ws, (1, count, *[1] * (len(maps.shape) - 2))), maps.dtype))


class Batch:
    """One batch of an analysis on the device, ready to be explained at points.

    Attributes:
        outputs: The model's outputs at the input, known from `look` or `step` with `here` on.
        targets: The explained values there, (batch,), with a neuron axis first for several neurons.
        room: How many points of each sample may be computed at once.
    """

    def __init__(self, runner, inputs, rows, chosen, number, at, several):
        self.runner, self.number, self.at, self.several = runner, number, at, several
        self.xs = on_device([a[rows] for a in inputs.arrays], runner.analyzer._clone)
        self.room = max(1, inputs.batch_size // len(rows))
        self.chosen = chosen
        self.values = [ops.convert_to_tensor(s.rows(rows)) for s in chosen]

    def step(self, moves, ws, here=False):
        """Reduced maps at a chunk of points, and the explained values there, (batch, points).

        Args:
            moves: What places the points.
            ws: (points,), the weight of each.
            here: True where the one point is the input itself, which settles what is explained.
        """
        found = self.runner.run(self, moves, ws, backward=True)
        if here:
            self._settle(found)
        return found["maps"], found["values"]

    def look(self, moves, here=False):
        """The explained values at one point of each sample, (batch,), without a backward pass."""
        found = self.runner.run(self, moves, np.ones(1, "float32"), backward=False)
        if here:
            self._settle(found)
        return found["values"][..., 0]

    def _settle(self, found):
        self.outputs = found["outputs"]
        self.targets = found["values"][..., 0]
        self.values = found["settled"]


def _with_moved_embeddings(graph, move):
    """A graph with one more input for every embedding, by which its vectors are moved.

    Returns:
        The graph, the tensors of those inputs, and for each the number of the input that its ids come from.
    """
    nodes, more, sources = [], [], []
    for node in graph.nodes:
        if node.kind == "embedding":
            given = Tensor(node.outputs[0].shape, node.outputs[0].dtype)
            more.append(given)
            sources.append(_source(graph, node))
            moved = _moved(node.function, move)
            args = (*node.args, Ref(given))
            node = Node(node.path, node.kind, moved, args, node.kwargs, node.outputs, node.layer, node.view, node.operation)
        nodes.append(node)
    return replace(graph, nodes=nodes, inputs=[*graph.inputs, *more]), more, sources


def _source(graph, node):
    """The number of the input that a node's signal goes to first."""
    wanted = {t for n in graph.ancestors(node.outputs) for t in n.inputs if t.active}
    return next(i for i, t in enumerate(graph.inputs) if t in wanted)


def _moved(look_up, move):
    return lambda *args, **kwargs: move(look_up(*args[:-1], **kwargs), args[-1])
