"""`through` and `concepts`: what passes channels of layers on its way back, and nothing else."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.base.registry import example_arguments
from innspect.visualize.concept_rows import captions_of

METHODS = [n for n in innspect.list_analyzers() if not n.startswith("test.") and n not in ("cam", "innspect")]
SILENT = ["ablation_cam", "guided_grad_cam", "input", "occlusion", "random", "rise", "rsi_grad_cam", "score_cam"]
LINEAR = ["gradient", "input_t_gradient", "lrp.epsilon", "lrp.epsilon_plus_flat", "lrp.attention", "deep_lift", "smoothgrad"]
X = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype("float32")


def drawn(model, bias=True):
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 3 if bias or "bias" not in weight.path else np.zeros(weight.shape))
    return model


def plain(bias=True):
    """Every path crosses every layer but `second`, which a shortcut passes."""
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, activation="relu", name="first")(i)
    x = L.Add(name="sum")([L.Conv2D(4, 3, padding="same", activation="relu", name="second")(x), x])
    x = L.Conv2D(5, 3, activation="relu", name="third")(L.MaxPooling2D(2)(x))
    return drawn(keras.Model(i, L.Dense(4, activation="softmax", name="last")(L.Flatten()(x))), bias)


@pytest.fixture(scope="module")
def model():
    return plain()


def near(found, expected, share=1e-5):
    np.testing.assert_allclose(found, expected, atol=share * max(np.abs(expected).max(), 1e-6))


def made(name, model):
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    return analyzer.fit(np.concatenate([X, 1 - X])) if analyzer.learned else analyzer


@pytest.mark.sweep(on="jax tensorflow", keep=["lrp.epsilon_plus_flat", "integrated_gradients", "lrp.attention"])
@pytest.mark.parametrize("name", [n for n in METHODS if n not in SILENT])
def test_concepts_are_the_largest_sums_of_the_signal_and_their_maps_those_through_them(name, model):
    analyzer = made(name, model)
    found = analyzer.concepts(X, at="third", top=3)
    signal = analyzer.explain(X, at="third").signals["third"]
    sums = signal.reshape(3, -1, 5).sum(axis=1)
    near(found.channels, sums)
    assert found.ids.tolist() == np.argsort(-found.channels, axis=1, kind="stable")[:, :3].tolist()
    np.testing.assert_array_equal(found.relevances, np.take_along_axis(found.channels, found.ids, axis=1))
    for sample in range(3):
        if "seed" not in analyzer.get_config():  # else each call draws for as many samples as there are
            near(found.maps[sample, 1], analyzer.analyze(X, through={"third": int(found.ids[sample, 1])})[sample], 1e-3)
    assert found.maps.shape[:2] == (3, 3)


@pytest.mark.sweep(on="jax tensorflow", keep=["third-lrp.epsilon_plus_flat", "last-gradient"])
@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("layer", ["first", "third", "last"])
def test_all_channels_together_are_the_whole_map_where_every_path_crosses_the_layer(name, layer, model):
    analyzer, count = made(name, model), {"first": 4, "third": 5, "last": 4}[layer]
    whole = analyzer.analyze(X, 1)
    near(sum(analyzer.analyze(X, 1, through={layer: [c]}) for c in range(count)), whole)
    near(analyzer.analyze(X, 1, through={layer: list(range(count))}), whole)


def test_what_runs_beside_a_layer_is_dropped_and_several_channels_are_one_mask(model):
    analyzer = innspect.create_analyzer("gradient", model)
    each = [analyzer.analyze(X, 1, through={"second": [c]}) for c in range(4)]
    whole = analyzer.analyze(X, 1, through={"second": [0, 1, 2, 3]})
    near(sum(each), whole)
    assert np.abs(whole - analyzer.analyze(X, 1)).max() > 0.01
    near(analyzer.analyze(X, 1, through={"second": [2, 0, 2]}), each[0] + each[2])
    near(analyzer.analyze(X, 1, through={"second": 3}), each[3])
    both, other = ({"first": [1, 2], "third": 4}, {"third": [4], "first": [2, 1]})
    np.testing.assert_array_equal(analyzer.analyze(X, 1, through=both), analyzer.analyze(X, 1, through=other))


def test_and_of_layers_in_a_linear_network_is_exact():
    rng = np.random.default_rng(0)
    kernels, x = [rng.normal(size=s) for s in ((6, 5), (5, 4), (4, 3))], rng.normal(size=(2, 6)).astype("float32")
    named = [L.Dense(k.shape[1], use_bias=False, name=n) for k, n in zip(kernels, "abc", strict=True)]
    model = keras.Sequential([keras.Input((6,)), *named])
    model.set_weights(kernels)
    a, b, c = kernels
    found = innspect.create_analyzer("lrp.z", model).analyze(x, 2, through={"a": [3], "b": [1]})
    near(found, x * a[:, 3] * b[3, 1] * c[1, 2])


def test_a_shared_layer_is_masked_at_each_of_its_uses():
    rng = np.random.default_rng(0)
    i, dense = keras.Input((4,)), L.Dense(4, use_bias=False, name="again")
    model = drawn(keras.Model(i, L.Dense(2, use_bias=False, name="last")(L.Add()([dense(dense(i)), dense(i)]))))
    w, v, x = dense.get_weights()[0], model.get_layer("last").get_weights()[0], rng.normal(size=(3, 4)).astype("float32")
    analyzer = innspect.create_analyzer("gradient", model)
    twice, once = w[:, 2] * w[2, 2] * v[2, 1], w[:, 2] * v[2, 1]
    near(analyzer.analyze(x, 1, through={"again": 2}), np.tile(twice + once, (3, 1)))
    found = innspect.create_analyzer("lrp.z", model).concepts(x, 1, at="again", top=4)
    at_two = np.argwhere(found.ids == 2)
    near(found.maps[tuple(at_two.T)], x * (twice + once), 1e-4)


def test_concepts_and_masks_lie_in_two_inputs_and_the_steps_and_heads_of_sequences():
    a, b = keras.Input((3, 6), name="a"), keras.Input((3, 6), name="b")
    x = L.LSTM(4, return_sequences=True, name="steps")(L.MultiHeadAttention(2, 3, name="heads")(a, b))
    model = drawn(keras.Model({"a": a, "b": b}, L.Dense(2)(L.Flatten()(x))))
    xs = {k: np.random.default_rng(n).normal(size=(3, 3, 6)).astype("float32") for n, k in enumerate("ab")}
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    whole = analyzer.analyze(xs, 1)
    for layer, count in (("heads", 2), ("steps", 4)):
        parts = [analyzer.analyze(xs, 1, through={layer: c}) for c in range(count)]
        for k in "ab":
            near(sum(p[k] for p in parts), whole[k])
    found = analyzer.concepts(xs, 1, at="steps", top=2)
    assert found.maps["a"].shape == (3, 2, 3, 6)
    near(found.maps["b"][1, 0], parts[found.ids[1, 0]]["b"][1])


def test_the_map_of_a_concept_sums_to_its_relevance_without_biases():
    model = plain(bias=False)
    found = innspect.create_analyzer("lrp.epsilon", model).concepts(X, 1, at="third", top=5)
    near(found.maps.sum(axis=(2, 3, 4)), found.relevances, 1e-4)
    near(found.relevances.sum(axis=1), found.targets, 1e-4)


def test_many_concepts_go_in_groups_and_batches_do_not_show(model):
    i = keras.Input((5,))
    wide = drawn(keras.Model(i, L.Dense(2)(L.Dense(19, activation="relu", name="wide")(i))))
    x = np.random.default_rng(1).normal(size=(5, 5)).astype("float32")
    analyzer = innspect.create_analyzer("lrp.epsilon", wide)
    every, some = analyzer.concepts(x, 1, at="wide", top=19, batch_size=2), analyzer.concepts(x, 1, at="wide", top=3)
    np.testing.assert_array_equal(every.ids[:, :3], some.ids)
    near(every.maps[:, :3], some.maps)
    near(every.maps.sum(axis=1), analyzer.analyze(x, 1))
    shares = analyzer.concepts(x, 1, at="wide", top=19, normalize=True)
    near(np.abs(shares.channels).sum(axis=1), np.ones(5))
    for row, relevances in zip(every.ids, every.relevances, strict=True):
        assert (np.diff(row[relevances == 0]) > 0).all()  # at ties the smaller number


def test_concepts_of_a_unit_and_of_a_stream(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    unit = innspect.unit("third", 2)
    found = analyzer.concepts(X, unit, at="first", top=2)
    near(found.maps[0, 0], analyzer.analyze(X, unit, through={"first": int(found.ids[0, 0])})[0], 1e-4)
    streamed = analyzer.concepts(iter([X[:2], X[2:]]), unit, at="first", top=2)
    np.testing.assert_array_equal(streamed.ids, found.ids)


@pytest.mark.parametrize("name", ["lrp.epsilon", "lrp.attention"])
def test_the_books_say_what_a_mask_took(name, model):
    analyzer = innspect.create_analyzer(name, model, epsilon=0.01)
    whole = analyzer.conservation(X, 1)
    assert not whole.columns["masked"].any()
    assert "masked" not in str(whole)
    books = analyzer.conservation(X, 1, through={"third": [0, 3], "second": 1})
    assert books.error < 1e-4
    assert "masked" in str(books)
    lost = sum(books.columns[k].sum(axis=0) for k in ("bias", "stabiliser", "dropped", "masked", "unexplained"))
    near(books.kept + lost, books.explained, 1e-4)
    near(books.kept, analyzer.analyze(X, 1, through={"third": [0, 3], "second": 1}).reshape(3, -1).sum(axis=1), 1e-4)
    signal = analyzer.explain(X, 1, at="third").signals["third"].reshape(3, -1, 5).sum(axis=1)
    signal[:, [1, 2, 4]].sum(axis=1)
    alone = analyzer.conservation(X, 1, through={"third": [0, 3]})
    near(alone.columns["masked"].sum(axis=0), signal[:, [1, 2, 4]].sum(axis=1), 1e-4)
    near(
        alone.summary().masked,
        (signal[:, [1, 2, 4]].sum(axis=1) * np.sign(alone.explained)).sum() / np.abs(alone.explained).sum(),
    )


def test_what_has_no_number_is_told_of_its_sample_alone(model):
    x = X.copy()
    x[1, 0, 0, 0] = np.nan
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on TensorFlow the pooling loses it
        found = analyzer.analyze(x, 1, through={"third": 2})
    near(found[[0, 2]], analyzer.analyze(X, 1, through={"third": 2})[[0, 2]])


@pytest.mark.parametrize(
    ("through", "error", "match"),
    [
        ({"thrid": 1}, KeyError, "`through` must name layers.*'thrid'. Did you mean 'third'"),
        ({"third": 5}, ValueError, "channels between 0 and 4 of 'third'. Received: 5"),
        ({"third": [-1]}, ValueError, "`through` must hold the number of a channel"),
        ({"third": [True]}, ValueError, "`through` must hold the number of a channel"),
        ({"third": [1.0]}, ValueError, "`through` must hold the number of a channel"),
        ({"third": [[1]]}, ValueError, "`through` must hold the number of a channel"),
        ({"third": []}, ValueError, "at least one channel of 'third'"),
        ({}, ValueError, "at least one layer"),
        (["third"], TypeError, "`through` must be a dict"),
        ({3: [1]}, TypeError, "`through` must be the path of a layer"),
    ],
)
def test_masks_that_are_none_are_refused(through, error, match, model):
    with pytest.raises(error, match=match):
        innspect.create_analyzer("lrp.epsilon", model).analyze(X, 1, through=through)


def test_layers_of_which_neither_lies_behind_the_other_are_refused():
    i = keras.Input((4,))
    left, right = L.Dense(3, name="left")(i), L.Dense(3, name="right")(i)
    model = keras.Model(i, L.Dense(2, name="last")(L.Add()([left, right])))
    analyzer, x = innspect.create_analyzer("lrp.epsilon", model), np.ones((1, 4), "float32")
    with pytest.raises(ValueError, match=r"one lies behind the other. Received: 'left' and 'right'"):
        analyzer.analyze(x, 1, through={"left": 0, "right": 1})
    with pytest.raises(ValueError, match=r"`through` must name a layer before the unit that is explained. Received: 'right'"):
        analyzer.analyze(x, innspect.unit("left", 0), through={"right": 1})


@pytest.mark.parametrize("name", SILENT)
def test_methods_that_send_no_signal_refuse_masks(name, model):
    analyzer = made(name, model)
    with pytest.raises(ValueError, match="sends no signal back through layers"):
        analyzer.analyze(X, 1, through={"third": 1})
    with pytest.raises(ValueError, match="sends no signal back through layers"):
        analyzer.concepts(X, 1, at="third")


def test_concepts_that_are_none_are_refused(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    with pytest.raises(KeyError, match=r"`at` must name layers.*Did you mean 'third'"):
        analyzer.concepts(X, 1, at="thirt")
    with pytest.raises(ValueError, match=r"`top` must be between 1 and 5. Received: 6"):
        analyzer.concepts(X, 1, at="third", top=6)
    with pytest.raises(ValueError, match="'first', which no signal passes"):
        innspect.create_analyzer("grad_cam", model, layer="third").concepts(X, 1, at="first", top=2)


def test_a_row_is_drawn_for_each_concept(model):
    found = innspect.create_analyzer("lrp.epsilon", model).concepts(X, 1, at="third", top=4)
    crops = {int(c): [np.ones((n, n + 1, 3)) * np.arange(3) for n in range(2, 4 + k)] for k, c in enumerate(found.ids[1])}
    figure = found.plot(X, 1, references=crops, names={int(found.ids[1, 0]): "a wheel"})
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert sum("channel" in t for t in texts) == 4
    assert "third" in texts
    assert any("a wheel" in t for t in texts)
    assert len(figure.axes[0].images) == 4 * (1 + 1 + 5) + 1
    assert captions_of(found, 1)[0].startswith(f"channel {found.ids[1, 0]}\n")
    html = found._repr_html_()
    assert html.count("<img") == 3 * 4
    assert "channel" in html
    with pytest.raises(ValueError, match="`references` must be what"):
        found.plot(X, 1, references=3)
    with pytest.raises(ValueError, match="`sample` must be"):
        found.plot(X, 3)
