"""Everything about one pass: signals at layers, targets, errors, files, and the tables of rules and of relevance."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import ZOO, array, shake

import innspect
from innspect.testing import support

X = array(3, 8, 8, 2)


@pytest.fixture(scope="module")
def model():
    return ZOO["functional"]()[0]


@pytest.fixture(scope="module")
def lrp(model):
    return innspect.create_analyzer("lrp.epsilon", model)


# ---------------------------------------------------------------------- fields
def test_fields(model, lrp):
    explanation = lrp.explain(X, 2)
    np.testing.assert_array_equal(explanation.attributions, lrp.analyze(X, 2))
    np.testing.assert_allclose(explanation.outputs, ops.convert_to_numpy(model(X, training=False)), rtol=1e-5)
    assert explanation.targets.shape == (3,)
    assert explanation.signals == {}
    settings = explanation.settings
    assert settings["method"] == "lrp.epsilon"
    assert settings["model"] == "functional"
    assert settings["neuron_selection"] == 2
    assert settings["backend"] == keras.backend.backend()


def test_delta_is_what_is_missing(model, lrp):
    explanation = lrp.explain(X, 2)
    sums = explanation.attributions.sum((1, 2, 3))
    np.testing.assert_allclose(explanation.delta, explanation.targets - sums, rtol=1e-5, atol=1e-6)
    chain, x = ZOO["sequential_with_input"]()
    assert np.abs(innspect.create_analyzer("lrp.z", chain).explain(x).delta).min() > 1e-3  # the bias took its share
    assert np.abs(innspect.create_analyzer("lrp.z_IB", chain).explain(x).delta).max() < 1e-5
    assert innspect.create_analyzer("gradient", model).explain(X).delta is None


# ---------------------------------------------------------------------- signals at layers
def test_signals_have_the_layers_shapes_and_conserve(model):
    analyzer = innspect.create_analyzer("lrp.z_IB", model)
    explanation = analyzer.explain(X, 2, at=["conv1", "norm", "pool", "hidden", "out"])
    shapes = {path: signal.shape for path, signal in explanation.signals.items()}
    assert shapes == {"conv1": (3, 6, 6, 3), "norm": (3, 6, 6, 3), "pool": (3, 3, 3, 3), "hidden": (3, 6), "out": (3, 4)}
    for path in ("hidden", "pool"):
        sums = explanation.signals[path].reshape(3, -1).sum(-1)
        np.testing.assert_allclose(sums, explanation.targets, rtol=1e-4)
    np.testing.assert_array_equal(explanation.attributions, analyzer.analyze(X, 2))


def test_the_signal_at_the_head_is_the_seed(lrp):
    seed = lrp.explain(X, 2, at="out")
    np.testing.assert_allclose(seed.signals["out"][:, 2], seed.targets, rtol=1e-6)
    assert (seed.signals["out"][:, [0, 1, 3]] == 0).all()


def test_gradients_at_layers_are_the_gradient_of_what_follows(model):
    ours = innspect.create_analyzer("gradient", model).explain(X, 1, at=["flatten", "hidden"]).signals
    tail = keras.Sequential([keras.Input((27,)), model.get_layer("hidden"), model.get_layer("out")])
    features = ops.convert_to_numpy(keras.Model(model.input, model.get_layer("flatten").output)(X, training=False))
    theirs = innspect.create_analyzer("gradient", tail).explain(features, 1, at="hidden")
    np.testing.assert_allclose(ours["flatten"], theirs.attributions, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours["hidden"], theirs.signals["hidden"], rtol=1e-5, atol=1e-7)


def test_nested_layers_are_found_by_path():
    model, x = ZOO["nested"]()
    analyzer = innspect.create_analyzer("lrp.z_IB", model)
    path = "outer/middle/innermost/deep"
    explanation = analyzer.explain(x, 0, at=[path, "outer/middle/add"])
    assert explanation.signals[path].shape == (3, 5)
    np.testing.assert_allclose(explanation.signals["outer/middle/add"].sum(-1), explanation.targets, rtol=1e-4)


def test_a_layer_called_several_times_gives_a_signal_for_each_call():
    model, x = ZOO["shared_layer"]()
    signals = innspect.create_analyzer("lrp.z_IB", model).explain(x, 0, at="dense").signals["dense"]
    assert [s.shape for s in signals] == [(3, 4)] * 3
    model, x = ZOO["shared_model"]()
    signals = innspect.create_analyzer("gradient", model).explain(x, 0, at="tower/dense").signals["tower/dense"]
    np.testing.assert_allclose(signals[0], -signals[1], rtol=1e-6)  # the two sides of a difference


@pytest.mark.parametrize("method", ["lrp.epsilon", "gradient"])
def test_layers_that_are_folded_or_do_nothing_have_a_signal_too(method):
    x = keras.Input((4,))
    h = L.Dense(5, name="dense")(x)
    h = L.BatchNormalization(name="norm")(h)
    h = L.Dropout(0.5, name="drop")(h)
    h = L.ReLU(name="relu")(h)
    h = L.Reshape((5,), name="reshape")(h)
    model, values = shake(keras.Model(x, L.Dense(2, activation="softmax", name="out")(h))), array(3, 4)
    analyzer = innspect.create_analyzer(method, model)
    explanation = analyzer.explain(values, 1, at=["dense", "norm", "drop", "relu", "reshape", "out"])
    assert all(s.shape == (3, 5) for path, s in explanation.signals.items() if path != "out")
    np.testing.assert_array_equal(explanation.signals["norm"], explanation.signals["drop"])
    np.testing.assert_allclose(explanation.attributions, analyzer.analyze(values, 1), rtol=1e-5, atol=1e-7)


def test_several_neurons_put_their_axis_first(lrp):
    several = lrp.explain(X, neurons=[2, 0], at="hidden")
    assert several.signals["hidden"].shape == (2, 3, 6)
    assert several.targets.shape == several.delta.shape == (2, 3)
    np.testing.assert_allclose(several.signals["hidden"][1], lrp.explain(X, 0, at="hidden").signals["hidden"], rtol=1e-5)


def test_batches_do_not_show_in_signals(lrp):
    whole, split = lrp.explain(X, 2, at="conv1"), lrp.explain(X, 2, at="conv1", batch_size=2)
    np.testing.assert_allclose(whole.signals["conv1"], split.signals["conv1"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(whole.delta, split.delta, rtol=1e-4, atol=1e-6)


def test_unknown_layers_offer_near_matches(lrp):
    with pytest.raises(KeyError, match=r"`at` must name layers.*Received: 'conv_1'. Did you mean 'conv1'"):
        lrp.explain(X, at="conv_1")


def test_layers_of_another_output_are_refused():
    model, x = ZOO["several_outputs"]()
    analyzer = innspect.create_analyzer("gradient", model)
    with pytest.raises(ValueError, match=r"layers that the explained output depends on.*Received: 'hidden'"):
        analyzer.explain(x, at="hidden", output="one")
    assert analyzer.explain(x, at="hidden", output="two").signals["hidden"].shape == (3, 4)


# ---------------------------------------------------------------------- files
def test_an_explanation_is_saved_whole(lrp, tmp_path):
    explanation = lrp.explain(X, 2, at=["conv1", "hidden"])
    explanation.save(tmp_path / "one.npz")
    loaded = innspect.Explanation.load(tmp_path / "one.npz")
    for name in ("attributions", "outputs", "targets", "delta"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(explanation, name))
    assert loaded.signals.keys() == explanation.signals.keys()
    np.testing.assert_array_equal(loaded.signals["conv1"], explanation.signals["conv1"])
    assert loaded.settings == explanation.settings
    assert [p.name for p in tmp_path.iterdir()] == ["one.npz"]


def test_nested_attributions_are_saved_in_their_structure(tmp_path):
    model, x = ZOO["several_outputs"]()
    explanation = innspect.create_analyzer("gradient", model).explain(x, np.array([0, 1, 2]), at="join")
    explanation.save(tmp_path / "two.npz")
    loaded = innspect.Explanation.load(tmp_path / "two.npz")
    assert loaded.attributions.keys() == {"a", "b"}
    assert loaded.delta is None
    assert loaded.settings["neuron_selection"] == [0, 1, 2]


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="is no saved explanation"):
        innspect.Explanation.load(tmp_path / "other.npz")


# ---------------------------------------------------------------------- tables
def test_the_summary_names_rule_and_form(model):
    summary = innspect.create_analyzer("lrp.alpha_2_beta_1", model).summary()
    rows = {path: (kind, rule, form) for path, kind, rule, form in summary.rows}
    assert rows["conv1"][0] == "Conv2D"
    assert rows["conv1"][1].startswith("AlphaBeta(alpha=2")
    assert "four quadrants" in rows["conv1"][2]  # the input may be negative
    assert "one-sided" in rows["out"][2]  # a ReLU stands before it
    assert "lrp.alpha_2_beta_1 on functional: relevance form" in str(summary)
    assert summary._repr_html_().count("<tr>") == len(summary.rows) + 1


def test_the_summary_tells_what_was_folded():
    x = keras.Input((4,))
    h = L.BatchNormalization(name="norm")(L.Dense(5, name="dense")(x))
    model = shake(keras.Model(x, L.Dense(2, name="out")(h)))
    text = str(innspect.create_analyzer("lrp.epsilon", model).summary())
    assert "batch normalization folded in" in text
    assert "norm" not in [row[0] for row in innspect.create_analyzer("lrp.epsilon", model).summary().rows]


def test_the_summary_of_gradients(model):
    summary = innspect.create_analyzer("gradient", model).summary()
    assert "gradient form" in str(summary)
    assert {row[2] for row in summary.rows} == {"Gradient()"}


def test_conservation_closes_and_prints(lrp):
    table = lrp.conservation(X, 2)
    assert table.error < 1e-5
    row = table["hidden"]
    booked = row["passed_on"] + row["bias"] + row["stabiliser"] + row["dropped"] + row["unexplained"]
    np.testing.assert_allclose(row["received"], booked, rtol=1e-4, atol=1e-6)
    assert table.layers[0] == "out"
    lines = str(table).splitlines()
    assert lines[0].split()[:2] == ["layer", "rule"]
    assert len(lines) == len(table.layers) + 4
    assert lines[-2] == str(table.summary())
    assert "largest unexplained share" in lines[-1]
    assert table._repr_html_().startswith("<table>")


def test_conservation_starts_at_the_target_and_ends_at_the_map(lrp):
    table, explanation = lrp.conservation(X, 2, batch_size=2), lrp.explain(X, 2)
    np.testing.assert_allclose(table[table.layers[0]]["received"], explanation.targets, rtol=1e-5)
    np.testing.assert_allclose(
        table[table.layers[-1]]["passed_on"], explanation.attributions.sum((1, 2, 3)), rtol=1e-4, atol=1e-6
    )
    lost = sum(table.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
    np.testing.assert_allclose(explanation.delta, lost, rtol=1e-3, atol=1e-5)


def test_the_summary_tells_what_became_of_the_value(lrp):
    table, explanation = lrp.conservation(X, 2, batch_size=2), lrp.explain(X, 2)
    np.testing.assert_allclose(table.explained, explanation.targets, rtol=1e-5)
    np.testing.assert_allclose(table.kept, explanation.attributions.sum((1, 2, 3)), rtol=1e-4, atol=1e-6)
    summary = table.summary()
    total = sum(getattr(summary, share) for share in ("kept", "bias", "stabiliser", "dropped", "unexplained"))
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    signs = np.sign(table.explained) / np.abs(table.explained).sum()
    np.testing.assert_allclose(summary.bias, table.columns["bias"].sum(axis=0) @ signs, rtol=1e-4)
    lost = {path: (row["received"] - row["passed_on"]) @ signs for path in table.layers for row in [table[path]]}
    worst = sorted(lost, key=lambda path: -abs(lost[path]))
    assert [loss.layer for loss in summary.layers] == [path for path in worst if lost[path]][:5]
    np.testing.assert_allclose(
        [loss.share for loss in summary.layers], [lost[loss.layer] for loss in summary.layers], rtol=1e-3
    )
    assert summary.layers[0].cause == "bias"
    assert summary.bias < 0  # in this network
    assert str(summary).startswith(f"{100 * summary.kept:.0f} % of the explained value reached the map; biases added ")
    assert f"Most of that at norm (Proportional: {-100 * summary.layers[0].share:.0f} % added by the bias), out (" in str(
        summary
    )
    assert len(table.summary(layers=1).layers) == 1
    assert "Most of that" not in str(table.summary(layers=0))
    assert summary._repr_html_().startswith("<table>")
    with pytest.raises(ValueError, match="`layers` must be"):
        table.summary(layers=-1)


def test_the_summary_of_what_loses_nothing_and_of_nothing():
    dense = keras.Sequential([keras.Input((3,)), L.Dense(2, use_bias=False, name="out")])
    dense.set_weights([np.array([[1.0, 0], [1.0, 0], [0, 0]])])
    analyzer = innspect.create_analyzer("lrp.z", dense)
    assert str(analyzer.conservation(np.ones((1, 3)), 0).summary()) == "100 % of the explained value reached the map."
    nothing = analyzer.conservation(np.ones((2, 3)), 1).summary()
    assert np.isnan(nothing.kept)
    assert str(nothing) == "Nothing was explained: every value is zero."


def test_relevance_on_padding_is_booked_as_dropped():
    x = keras.Input((4, 4, 1))
    h = L.Conv2D(2, 3, name="conv")(L.ZeroPadding2D(1, name="pad")(x))
    model, values = shake(keras.Model(x, L.Dense(2, name="out")(L.Flatten(name="flatten")(h)))), array(3, 4, 4, 1)
    table = innspect.create_analyzer("lrp.flat", model).conservation(values, 0)
    assert table.error < 1e-5
    row = table[table.layers[-1]]
    np.testing.assert_allclose(row["received"] - row["passed_on"], row["dropped"], rtol=1e-4)
    assert np.abs(row["dropped"]).min() > 0


def test_conservation_of_nothing_is_refused(lrp):
    with pytest.raises(ValueError, match=r"at least one sample.*Received: none"):
        lrp.conservation(X[:0])


def test_signals_that_grow_beyond_their_dtype_are_named():
    x = keras.Input((2,))
    model = keras.Model(x, L.Dense(2, use_bias=False)(L.Dense(3, use_bias=False)(x)))
    for layer in model.layers[1:]:
        layer.kernel.assign(np.full(layer.kernel.shape, 1e20))
    inputs = np.array([[1e-30, 1e-30], [np.nan, 1.0]], "float32")  # who gives NaN gets NaN
    analyzer = innspect.create_analyzer("gradient", model)
    for selection in ({"neuron_selection": 0}, {"neurons": [0, 1]}):
        with pytest.warns(UserWarning, match="finite") as told:
            analyzer.analyze(inputs, **selection)
        own, grown = (str(warning.message) for warning in told if warning.category is UserWarning)
        assert own.startswith("'gradient': the model's own output is not finite for 1 of 2 samples (number 1)")
        assert grown.startswith("'gradient': signals grew beyond what float32")
        assert "1 of 2 samples (number 0)" in grown
    assert support(model, inputs[:1], ["gradient"]) == {
        "gradient": "signals grew beyond what float32 can hold, so the maps are not finite"
    }
