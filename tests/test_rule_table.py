"""Rules as tables: printed, given by users for every kind of node, combined."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.base.registry import example_arguments
from innspect.layers import Epsilon, Flat, Gradient, ZPlus
from innspect.layers.rule_table import RuleTable
from innspect.layers.weightless import Pass, Proportional

pytestmark = pytest.mark.usefixtures("quick")


def residual():
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, padding="same", activation="relu", name="first")(x)
    h = L.Add(name="sum")([h, L.Conv2D(3, 3, padding="same", name="second")(h)])
    h = L.AveragePooling2D(2, name="pool")(h)
    return shake(keras.Model(x, L.Dense(3, name="out")(L.Flatten()(h))))


@pytest.fixture(scope="module")
def model():
    return residual()


X = array(2, 6, 6, 2)


def test_every_method_with_a_way_back_prints_its_table(model):
    for name in innspect.list_analyzers():
        if name in ("cam",) or name.startswith("test."):
            continue
        analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
        if hasattr(analyzer, "table"):
            text = str(analyzer.table)
            assert text.startswith("where"), name
            assert "lambda" not in text, name
            assert len(text.splitlines()) == 2 + len(analyzer.table), name


def test_the_table_says_what_the_summary_does(model):
    analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", model)
    rules = analyzer.rules_for(0)
    for node, rule in rules.items():
        assert type(analyzer.table.rule_of(node)) is type(rule)
    shown = str(analyzer.table)
    assert "the first kernel layers" in shown
    assert "convolution" in shown


class Half(Pass):
    """All relevance of a sum to its first operand."""

    def backward(self, layer, saved, signals):
        return [signals[0], *[None] * (len(layer.inputs) - 1)]


CONDITIONS = {
    "the class's name": "Add",
    "the layer's name": "sum",
    "the class": L.Add,
    "a function": lambda node: node.operation == "Add",
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_rule_of_ones_own_for_an_addition(condition, model):
    """The name of a layer goes before the kind of that name: pooling, a "sum" too, keeps its rule."""
    plain = innspect.create_analyzer("lrp.epsilon", model)
    changed = innspect.create_analyzer("lrp.epsilon", model, rules=[(CONDITIONS[condition], Half())])
    paths = {n.path: type(r).__name__ for n, r in changed.rules_for(0).items()}
    assert paths["sum"] == "Half"
    assert list(paths.values()).count("Half") == 1
    explained = changed.explain(X, 0, at=["second", "sum"])
    assert not explained.signals["second"].any()
    assert np.abs(changed.analyze(X, 0) - plain.analyze(X, 0)).max() > 1e-4


def test_rules_of_kernel_layers_go_before_the_methods_own(model):
    by_table = innspect.create_analyzer("lrp.epsilon", model, rules=[("convolution", "ZPlus"), ("first", Flat())])
    expected = innspect.create_analyzer("lrp", model, rule={"default": "Epsilon", "convolution": ZPlus(), "first": Flat()})
    # a row that comes first decides
    np.testing.assert_allclose(
        by_table.analyze(X, 0), innspect.create_analyzer("lrp", model, rule={"convolution": "ZPlus"}).analyze(X, 0), rtol=1e-6
    )
    turned = innspect.create_analyzer("lrp.epsilon", model, rules=[("first", Flat()), ("convolution", "ZPlus")])
    np.testing.assert_allclose(turned.analyze(X, 0), expected.analyze(X, 0), rtol=1e-6)


def test_tables_are_added_and_taken_over(model):
    preset = innspect.create_analyzer("lrp.epsilon_plus_flat", model)
    mine = RuleTable([("pool", Proportional(0.5))])
    both = mine + preset.table
    assert len(both) == len(mine) + len(preset.table)
    taken = innspect.create_analyzer("lrp.z", model, rules=both)
    expected = innspect.create_analyzer("lrp.epsilon_plus_flat", model, rules=mine)
    np.testing.assert_allclose(taken.analyze(X, 0), expected.analyze(X, 0), rtol=1e-6)
    assert [row.when.text for row in [("x", Epsilon())] + mine] == ["x", "pool"]  # noqa: RUF005


def test_an_averaged_method_takes_rules_too(model):
    rules = [("Add", Half())]
    averaged = innspect.create_analyzer("smoothgrad", model, of="lrp.epsilon", rules=rules, num_samples=1, noise_scale=0)
    np.testing.assert_allclose(
        averaged.analyze(X, 0), innspect.create_analyzer("lrp.epsilon", model, rules=rules).analyze(X, 0), rtol=1e-5, atol=1e-7
    )


def test_a_word_that_means_nothing_is_an_error_with_near_matches(model):
    with pytest.raises(ValueError, match=r"No layer, kind or operation is called 'Addd'.*'Add'"):
        innspect.create_analyzer("lrp.epsilon", model, rules=[("Addd", Half())])
    innspect.create_analyzer("lrp.epsilon", model, rules=[("MaxPool", Half())])  # one that this model has not


def test_a_rule_of_another_form_is_refused(model):
    with pytest.raises(ValueError, match=r"must be in relevance form.*Gradient"):
        innspect.create_analyzer("lrp.epsilon", model, rules=[("Add", Gradient())])
    with pytest.raises(ValueError, match="must be in gradient form"):
        innspect.create_analyzer("gradient", model, rules=[("Add", Half())])
    with pytest.raises(ValueError, match="MultiplierRule"):
        innspect.create_analyzer("deep_lift", model, rules=[("Add", Gradient())])


@pytest.mark.parametrize("condition", [3, None, ["Add"]])
def test_what_is_no_condition_is_an_error(condition, model):
    with pytest.raises(TypeError, match="A condition of a rule must be a string"):
        innspect.create_analyzer("lrp.epsilon", model, rules=[(condition, Half())])
