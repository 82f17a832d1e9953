"""Forms that are chosen by proof, against the general forms that need none, on drawn networks (METHODS 1.3, 5.4)."""

import keras
import numpy as np
import pytest
from hypothesis import given
from keras import layers as L
from keras import ops
from law_networks import relu_networks, signed_networks, some_inputs
from models import array, shake
from networks import drawn

import innspect
from innspect.analyzers.base.request import Request
from innspect.analyzers.relevance import base as relevance
from innspect.analyzers.reverse import plan
from innspect.graph.ir import Rewritten
from innspect.graph.opened.opened_model import open_model
from innspect.graph.passes.nonnegativity import nonnegative
from innspect.layers import AffineRule

pytestmark = [
    pytest.mark.usefixtures("double", "eager"),
    pytest.mark.filterwarnings("ignore:'deep_taylor'"),  # maps of values that are not positive are zero, and said to be
]

RULES = ("lrp.epsilon", "lrp.epsilon_IB", "lrp.gamma", "lrp.alpha_2_beta_1", "lrp.alpha_1_beta_0", "lrp.z_plus")
RULES += ("lrp.z_plus_fast", "lrp.flat", "deep_taylor")


def values(graph, x):
    """Every tensor of the graph, computed."""
    env = {graph.inputs[0]: ops.convert_to_tensor(x)}
    for node in graph.nodes:
        env.update(zip(node.outputs, node(*[env[t] for t in node.inputs]), strict=True))
    return env


def check_proofs(model, x):
    graph = open_model(model).graph
    computed, proven = values(graph, x), nonnegative(graph)
    for tensor in proven:
        assert np.all(ops.convert_to_numpy(computed[tensor]) >= 0), f"{tensor} was proven to be >= 0"
    return proven


@drawn
@given(signed_networks())
def test_what_is_proven_not_to_be_negative_is_not(build):
    model = build()
    check_proofs(model, some_inputs(model))


SIGNS = {
    "relu": (lambda t: ops.relu(t), True),
    "relu layer": (lambda t: L.ReLU(max_value=1.0)(t), True),
    "relu with a slope": (lambda t: L.ReLU(negative_slope=0.3)(t), False),
    "relu with a threshold": (lambda t: L.ReLU(negative_slope=0.3, threshold=0.5)(t), False),
    "leaky relu": (lambda t: ops.leaky_relu(t), False),
    "sigmoid": (lambda t: ops.sigmoid(t), True),
    "softplus": (lambda t: ops.softplus(t), True),
    "gelu": (lambda t: ops.gelu(t), False),
    "square": (lambda t: ops.square(t), True),
    "pooled": (lambda t: L.AveragePooling1D(2)(L.MaxPooling1D(2)(ops.relu(t))), True),
    "maximum with zero": (lambda t: ops.maximum(t, 0), True),
    "maximum of two": (lambda t: ops.maximum(t, ops.relu(-t)), True),
    "minimum of two": (lambda t: ops.minimum(t, ops.relu(t)), False),
    "sum": (lambda t: ops.relu(t) + ops.relu(-t), True),
    "sum with one that is signed": (lambda t: ops.relu(t) + t, False),
    "difference": (lambda t: ops.relu(t) - ops.sigmoid(t), False),
    "less a number": (lambda t: ops.relu(t) - 1.0, False),
    "more than a number below zero": (lambda t: ops.relu(t) + (-1.0), False),
    "times a number below zero": (lambda t: ops.relu(t) * -2.0, False),
    "product": (lambda t: ops.relu(t) * ops.sigmoid(t), True),
    "concatenation": (lambda t: ops.concatenate([ops.relu(t), ops.sigmoid(t)]), True),
    "concatenation with one that is signed": (lambda t: ops.concatenate([ops.relu(t), t]), False),
    "padded": (lambda t: L.ZeroPadding1D(1)(ops.relu(t)), True),
    "padded with a number below zero": (lambda t: ops.pad(ops.relu(t), [[0, 0], [1, 1], [0, 0]], constant_values=-1), False),
    "chosen or a number below zero": (lambda t: ops.where(t > 0, ops.relu(t), -1), False),
    "normalized": (lambda t: L.BatchNormalization()(ops.relu(t)), False),
    "resized": (lambda t: L.UpSampling1D(2)(ops.relu(t)), True),
}


@pytest.mark.parametrize("name", SIGNS)
def test_proofs_of_single_operations(name):
    function, positive = SIGNS[name]
    x = keras.Input((4, 3))
    model = shake(keras.Model(x, function(x)))
    proven = check_proofs(model, 3 * array(8, 4, 3))
    assert bool(open_model(model).graph.outputs)
    assert (len(proven) > 0) >= positive
    graph = open_model(model).graph
    assert (graph.outputs[0] in nonnegative(graph)) == positive


def without_proofs(name, model, monkeypatch):
    """The analyzer in its general forms: nothing is known of signs, no ReLU is merged into the layer before it."""
    with monkeypatch.context() as patch:
        patch.setattr(AffineRule, "gates", False)
        patch.setattr(plan, "nonnegative", lambda graph: ())
        analyzer = innspect.create_analyzer(name, model)
        forms(analyzer)
    return analyzer


def forms(analyzer):
    steps = analyzer.way(Request(None, ())).program.steps
    return [(step.nonnegative, step.gated) for step in steps if hasattr(step, "gated")]


@pytest.mark.host
@drawn
@given(signed_networks())
def test_forms_chosen_by_proof_equal_the_general_ones(monkeypatch, build):
    model = build()
    x = some_inputs(model)
    for name in RULES:
        chosen, general = innspect.create_analyzer(name, model), without_proofs(name, model, monkeypatch)
        assert any(a or b for a, b in forms(chosen))
        assert not any(a or b for a, b in forms(general))
        ours, theirs = chosen.analyze(x), general.analyze(x)
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9 * np.abs(theirs).max())


@drawn
@given(relu_networks(normalized=True))
def test_a_folded_network_is_explained_as_the_unfolded_one(monkeypatch, build):
    """LRP-0 does not see how affine steps are grouped; the rules that do are compared in test_batch_normalization.py."""
    model = build()
    x = some_inputs(model)
    folded = innspect.create_analyzer("lrp.z", model)
    with monkeypatch.context() as patch:
        patch.setattr(relevance, "fold", lambda graph, **_: Rewritten(graph))
        unfolded = innspect.create_analyzer("lrp.z", model)
    count = len([n for n in unfolded.plan.graph.nodes if n.operation == "BatchNormalization"])
    assert len(unfolded.plan.graph.nodes) - len(folded.plan.graph.nodes) == count - _left(folded)
    ours, theirs = folded.analyze(x, 1), unfolded.analyze(x, 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def _left(analyzer):
    return len([n for n in analyzer.plan.graph.nodes if n.operation == "BatchNormalization"])
