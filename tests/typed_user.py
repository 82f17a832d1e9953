"""What a user writes, with annotations: mypy reads this file, and says where the package's own do not fit.

A rule and an analyzer of one's own, a view of a layer, and the public calls.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

import innspect
from innspect.analyzers.base.question import Question
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.graph.ir import Graph, Node
from innspect.graph.views.affine import Affine
from innspect.layers import AffineRule, Epsilon, Gradient, ReverseLayer, Rule, make_term
from innspect.layers.rule_table import RuleTable, anything, kind
from innspect.layers.terms import AffineLayer, Term
from innspect.types import Array, BackendTensor, Signals, Tensors


class Halving(Rule):
    """Half of the gradient."""

    form = "gradient"

    def __init__(self, share: float = 0.5):
        self.share = share

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer.active_vjp(inputs)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        return [None if s is None else s * self.share for s in saved(signals)]

    def describe(self, layer: ReverseLayer) -> str:
        return f"half of the gradient of {layer.path}"


class Magnitude(AffineRule):
    """The rule of docs/extending.md."""

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        return [make_term(layer, [(ops.absolute(x), ops.absolute(layer.view.kernel()))])]


@innspect.register_analyzer("typed_user.halves", share=0.25)
class Halves(ReverseAnalyzer):
    """The gradient, halved at every layer with a kernel."""

    family = "mine"

    def __init__(self, model: keras.Model, *, share: float = 0.5, **arguments: Any):
        super().__init__(model, **arguments)
        self.share = share

    def rows(self, graph: Graph) -> RuleTable:
        return RuleTable([(kind("affine"), Halving(self.share)), (anything, Gradient())])

    def seed(self, weights: BackendTensor, y: BackendTensor) -> BackendTensor:
        return 2 * weights


class OneRule(ReverseAnalyzer):
    """One rule for every node."""

    def rule(self, node: Node) -> Rule | None:
        return Halving() if node.kind == "affine" else Gradient()


class Silenced(innspect.Analyzer):
    """How much the explained value falls where all is 0."""

    def attribute(self, question: Question) -> list[Array]:
        fallen = question.target - question.value([np.zeros_like(a) for a in question.arrays])
        return [np.broadcast_to(fallen.reshape(-1, *[1] * (a.ndim - 1)), a.shape) for a in question.arrays]


class Scaled(keras.layers.Layer):
    """x times a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = self.add_weight(shape=(3, 3))

    def call(self, x: BackendTensor) -> BackendTensor:
        return ops.matmul(x, self.kernel)


class ScaledView(Affine):
    """What rules may ask of a `Scaled`."""

    def __init__(self, layer: keras.layers.Layer, input_rank: int):
        self.layer, self.input_rank = layer, input_rank

    def kernel(self) -> BackendTensor:
        return ops.convert_to_tensor(self.layer.kernel)

    def bias(self) -> BackendTensor | None:
        return None

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return ops.matmul(x, kernel)


def calls(model: keras.Model, x: np.ndarray, path: str) -> np.ndarray:
    """The public calls, in the ways that users make them."""
    innspect.register_reverse_mapping(Scaled, kind="affine", view=ScaledView)
    innspect.register_reverse_mapping(Scaled, rule=Epsilon(0.1), gradient_rule=Halving())
    opened = innspect.open_model(model)
    analyzer: innspect.Analyzer = innspect.create_analyzer("lrp.epsilon", opened, epsilon=0.1, rules=[("Add", Halving())])
    attribution: np.ndarray = analyzer.analyze(x)
    for neuron in (3, [1, 2], (0, 1), np.array([1, 2]), "all", None, lambda y: y[:, 0]):
        analyzer.analyze(x, neuron, batch_size=8, output="logits", verbose=0)
    analyzer.analyze(x, neurons=[0, np.int32(1), None])
    explanation: innspect.Explanation = analyzer.explain(x, 3, at=["conv1"])
    explanation.save(path)
    again = innspect.Explanation.load(path)
    missing: np.ndarray | None = again.delta
    signals = {layer: np.shape(signal) for layer, signal in again.signals.items()}
    analyzer.save(path)
    loaded = innspect.load_analyzer(path, custom_objects={"Scaled": Scaled})
    names: list[str] = innspect.list_analyzers()
    report = innspect.report(model, x, names[:2], top=2, labels=["cat", "dog"])
    report.save(path)
    halves = Halves(model, share=0.5, head="output", rules=[*RuleTable([("dense", "Flat")]), ("conv1", Magnitude())])
    print(missing, signals, loaded.name, halves.table, halves.summary())
    return attribution
