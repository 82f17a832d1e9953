"""The clone computes what the model computes, its gradient is the backend's own, and it follows the live weights."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import ZOO, Attention, Native, OfArguments, array, shake

import innspect
from innspect.graph.opened.opened_model import open_model

_HALF = {"mixed_precision"}


def flat(structure):
    return [np.asarray(a) for a in keras.tree.flatten(structure)]


def call(model, x):
    return model(*x, training=False) if isinstance(model, OfArguments) else model(x, training=False)


def numpy_of(structure):
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(structure)]


def weights_for(y):
    """Drawn weights of the elements of an output."""
    return array(*y.shape[1:], seed=3)


def backend_gradient(model, x, weights=1.0, number=0):
    """The backend's own gradient of an output, its elements weighted, with respect to every input."""

    def total(*xs):
        y = keras.tree.flatten(call(model, keras.tree.pack_sequence_as(x, xs)))[number]
        return ops.sum(ops.multiply(y, weights))

    xs = [ops.convert_to_tensor(a) for a in keras.tree.flatten(x)]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(xs)
            y = total(*xs)
        return [g.numpy() for g in tape.gradient(y, xs, unconnected_gradients="zero")]
    if backend == "jax":
        import jax

        with keras.StatelessScope():
            return [np.asarray(g) for g in jax.jit(jax.grad(total, argnums=tuple(range(len(xs)))))(*xs)]
    import torch

    xs = [a.detach().requires_grad_() for a in xs]
    grads = torch.autograd.grad(total(*xs), xs, allow_unused=True)
    return [np.zeros(tuple(a.shape), "float32") if g is None else g.cpu().numpy() for g, a in zip(grads, xs, strict=True)]


@pytest.mark.sweep(
    keep=[
        "composite*",
        "embedded_lstm",
        "lambdas",
        "masked*",
        "mixed*",
        "multi_head*",
        "native*",
        "nested",
        "operations",
        "subclassed*",
    ],
    on="jax",
)
@pytest.mark.parametrize("name", ZOO)
def test_outputs_are_the_models_own_and_gradients_the_backends(name):
    model, x = ZOO[name]()
    y = numpy_of(call(model, x))[0]
    weights = weights_for(y)
    explanation = innspect.create_analyzer("gradient", model, head="output").explain(x, weights)
    half = 3e-2 if name in _HALF else 1e-5
    np.testing.assert_allclose(explanation.outputs, y, atol=half * np.abs(y).max())
    ours = flat(explanation.attributions)
    assert all(a.dtype == "float32" for a in ours)
    if any(a.dtype.kind == "i" for a in flat(x)):
        return  # ids have no gradient; see test_ids_get_the_norm_of_the_embeddings_gradient
    for mine, theirs in zip(ours, backend_gradient(model, x, weights), strict=True):
        assert np.abs(theirs).max() > 1e-4
        np.testing.assert_allclose(mine, theirs, atol=half * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["masked_embedding", "embedded_lstm"])
def test_ids_get_the_norm_of_the_embeddings_gradient(name):
    model, x = ZOO[name]()
    embedding = model.get_layer("embedding")
    vectors = keras.Input((x.shape[1], embedding.output_dim))
    h = vectors
    for layer in model.layers[2:]:  # the same layers, fed with the vectors and the mask
        takes_mask = isinstance(layer, L.GlobalAveragePooling1D | L.Bidirectional)
        h = layer(h, mask=embedding.compute_mask(model.inputs[0])) if takes_mask else layer(h)
    behind = keras.Model([vectors, model.inputs[0]], h)
    looked_up = ops.convert_to_numpy(embedding(x))

    slope = innspect.create_analyzer("gradient", model).analyze(x, "all")
    places, step = list(np.ndindex(*looked_up.shape[1:])), 1e-2
    moves = np.zeros((len(places), *looked_up.shape[1:]), "float32")
    for row, place in enumerate(places):
        moves[row][place] = step
    difference = 0
    for sign in (1, -1):  # every sample with every entry moved, in one batch
        moved = (looked_up[:, None] + sign * moves).reshape(-1, *looked_up.shape[1:])
        y = ops.convert_to_numpy(behind([ops.convert_to_tensor(moved), ops.convert_to_tensor(np.repeat(x, len(places), 0))]))
        difference = difference + sign * y.sum(-1) / (2 * step)
    expected = (difference.reshape(len(x), *looked_up.shape[1:]) ** 2).sum(-1)
    np.testing.assert_allclose(slope, np.sqrt(expected), atol=2e-3)


@pytest.mark.parametrize("number", [0, 1])
def test_gradients_of_every_output(number):
    model, x = ZOO["several_outputs"]()
    analyzer = innspect.create_analyzer("gradient", model, head="output")
    weights = weights_for(numpy_of(call(model, x))[number])
    ours = flat(analyzer.analyze(x, weights, output=number))
    for mine, theirs in zip(ours, backend_gradient(model, x, weights, number), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


# ---------------------------------------------------------------------- the graph
def paths(model):
    return set(open_model(model).graph.paths)


def test_layers_are_named_by_their_path():
    assert {"outer/widen", "outer/middle/innermost/deep", "outer/middle/add", "out"} <= paths(ZOO["nested"]()[0])
    assert {"block1/dense", "block2/dense"} <= paths(ZOO["composite_layer"]()[0])
    assert {"tower/dense", "apart"} <= paths(ZOO["shared_model"]()[0])


def test_a_layer_used_three_times_is_three_nodes():
    graph = open_model(ZOO["shared_layer"]()[0]).graph
    assert [n.path for n in graph.nodes if n.kind == "affine"] == ["dense", "dense[1]", "dense[2]", "out"]
    assert len(graph.paths["dense"]) == 3


def test_attention_of_ones_own_opens_into_operations():
    kinds = {n.path: n.kind for n in open_model(ZOO["own_attention"]()[0]).graph.nodes}
    assert kinds["attention/qkv"] == "affine"
    assert kinds["attention/matmul"] == "bilinear"
    assert "softmax" in kinds.values()
    assert "opaque" not in kinds.values()


def test_native_code_stays_a_leaf():
    clone = open_model(ZOO["native_leaf"]()[0])
    assert [n.path for n in clone.graph.nodes if n.kind == "opaque"] == ["native"]
    assert "native" in clone.unopened


def test_native_code_has_no_rule_and_is_named():
    with pytest.raises(
        innspect.NotAnalyzeableModelError, match=r"'lrp.epsilon' has no rule for 'native' .*register_reverse_mapping"
    ):
        innspect.create_analyzer("lrp.epsilon", ZOO["native_leaf"]()[0])


def test_several_arguments_may_be_given_by_name():
    model, (left, right) = ZOO["subclassed_of_arguments"]()
    analyzer = innspect.create_analyzer("gradient", model)
    listed, named = analyzer.analyze([left, right]), analyzer.analyze({"right": right, "left": left})
    np.testing.assert_array_equal(listed[0], named["left"])
    np.testing.assert_array_equal(listed[1], named["right"])


def test_several_arguments_inside_a_functional_model():
    inner, x = ZOO["subclassed_of_arguments"]()
    a, b = keras.Input((4,)), keras.Input((5,))
    outer = keras.Model([a, b], inner(a, b))
    ours = innspect.create_analyzer("gradient", outer).analyze(x)
    for mine, theirs in zip(ours, innspect.create_analyzer("gradient", inner).analyze(x), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


class TwoAnswers(keras.Model):
    """A subclassed model that names what it returns."""

    def __init__(self):
        super().__init__()
        self.features, self.out = L.Dense(4, activation="relu", name="features"), L.Dense(3, name="out")

    def call(self, x):
        h = self.features(x)
        return {"logits": self.out(h), "features": h}


def test_outputs_of_a_subclassed_model_have_the_names_it_gives_them():
    model, x = TwoAnswers(), array(2, 5)
    model(x)
    analyzer = innspect.create_analyzer("gradient", model)
    ours = analyzer.explain(x, 1, output="logits")
    np.testing.assert_allclose(ours.targets, ops.convert_to_numpy(model(x)["logits"])[:, 1], rtol=1e-5)
    with pytest.raises(innspect.errors.PlainKeyError, match=r"\['features', 'logits'\]"):
        analyzer.analyze(x, output="logit")


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_number_of_samples_that_a_model_was_built_for_does_not_bind(samples):
    x, fixed = keras.Input((6, 6, 2)), keras.Input(batch_shape=(2, 6, 6, 2))
    layers = [L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(3)]
    model, bound = (shake(keras.Model(i, layers[2](layers[1](layers[0](i))))) for i in (x, fixed))
    data = array(samples, 6, 6, 2)
    ours = innspect.create_analyzer("lrp.epsilon", bound).analyze(data, 1)
    np.testing.assert_allclose(ours, innspect.create_analyzer("lrp.epsilon", model).analyze(data, 1), rtol=1e-5, atol=1e-7)


def test_a_deep_stack_of_models():
    x = keras.Input((3,))
    model = keras.Model(x, L.Dense(3, activation="relu", name="core")(x), name="core_model")
    for depth in range(20):
        model = keras.Sequential([keras.Input((3,)), model], name=f"level{depth}")
    shake(model)
    values = array(2, 3)
    ours = innspect.create_analyzer("gradient", model).analyze(values, "all")
    np.testing.assert_allclose(ours, backend_gradient(model, values)[0], atol=1e-6)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_first(data_format):
    if data_format == "channels_first" and keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no channels_first convolution on a CPU")
    axis = -1 if data_format == "channels_last" else 1
    shape = (6, 6, 2) if axis == -1 else (2, 6, 6)
    x = keras.Input(shape)
    h = L.Conv2D(3, 3, activation="relu", data_format=data_format, name="conv")(x)
    h = L.BatchNormalization(axis=axis, name="norm")(h)
    h = L.GlobalAveragePooling2D(data_format=data_format, name="mean")(h)
    model, values = shake(keras.Model(x, L.Dense(2, name="out")(h))), array(2, *shape)
    ours = innspect.create_analyzer("gradient", model).analyze(values, "all")
    np.testing.assert_allclose(ours, backend_gradient(model, values)[0], atol=1e-6)
    assert innspect.create_analyzer("lrp.epsilon", model).conservation(values).error < 1e-5


# ---------------------------------------------------------------------- what would go wrong is told
class Eager(L.Layer):
    """Doubles unless it is told that this is inference."""

    def call(self, x, training=True):
        return x * 2.0 if training else x


def test_layers_are_told_that_this_is_inference():
    x = keras.Input((4,))
    model = shake(keras.Model(x, L.Dense(2, name="out")(Eager(name="eager")(x))))
    values = array(3, 4)
    explanation = innspect.create_analyzer("lrp.z_IB", model).explain(values)
    np.testing.assert_allclose(explanation.outputs, numpy_of(model(values, training=False))[0], rtol=1e-6)


class TwoFaced(L.Layer):
    """Computes something else on symbolic tensors than on values."""

    def call(self, x):
        return x * 2.0 if isinstance(x, keras.KerasTensor) else x * 3.0


def test_a_layer_that_differs_on_symbolic_tensors_is_named():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4, name="fine"), TwoFaced(name="liar")], name="inner")
    model = shake(keras.Model(x, L.Dense(2, name="out")(inner(x))))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'inner/liar' \(of type TwoFaced\) is the first that differs"):
        innspect.create_analyzer("gradient", model)


class Chaotic(L.Layer):
    """Rounds otherwise on symbolic tensors, and a last digit more or less is another result."""

    def call(self, x):
        z = x * 1e7 * 0.3 if isinstance(x, keras.KerasTensor) else x * 0.3 * 1e7
        return ops.sin(z)


def test_a_model_that_does_not_keep_its_own_numbers_is_not_refused():
    model = keras.Sequential([keras.Input((4,)), Chaotic()])
    assert innspect.create_analyzer("gradient", model).analyze(array(2, 4)).shape == (2, 4)


class Closed(L.Layer):
    """A layer that fails on anything once it is closed."""

    closed = False

    def call(self, x):
        if self.closed:
            raise TypeError("closed")
        return x * 2.0


def test_a_layer_that_can_neither_be_opened_nor_run_is_named():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="dense"), Closed(name="closed")])
    model.get_layer("closed").closed = True
    with pytest.raises(
        innspect.NotAnalyzeableModelError, match=r"'closed' \(of type Closed\).*compute_output_spec.*Received: .*closed"
    ):
        innspect.create_analyzer("gradient", model)


class Halved(L.Layer):
    def call(self, x):
        return x / 2


class Holder(L.Layer):
    """Says what it makes, so that Keras never builds what it holds."""

    def __init__(self, held, **kwargs):
        super().__init__(**kwargs)
        self.held = held

    def build(self, shape):
        self.built = True

    def call(self, x):
        return self.held(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


def test_what_has_no_weights_need_not_be_built():
    data = array(2, 4)
    model = keras.Sequential([keras.Input((4,)), Holder(Halved())])
    np.testing.assert_allclose(innspect.create_analyzer("input_t_gradient", model).analyze(data, 1)[:, 1], data[:, 1] / 2)
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'holder.*/dense' .* is not built.*Call the model once"):
        innspect.create_analyzer("gradient", keras.Sequential([keras.Input((4,)), Holder(L.Dense(4, name="dense"))]))


class Shifting(L.Layer):
    """Takes another place on symbolic tensors, which there is not in the data."""

    def call(self, x):
        return x[:, : 2 if isinstance(x, keras.KerasTensor) else 3]

    def compute_output_spec(self, x):
        return keras.KerasTensor((None, 3), dtype=x.dtype)


def test_a_step_that_cannot_run_on_data_is_named():
    x = keras.Input((4,))
    model = shake(keras.Model(x, L.Dense(2, name="out")(Shifting(name="shifting")(x))))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'out' \(a Dense\) cannot run on data.*register_reverse_map"):
        innspect.create_analyzer("gradient", model)


# ---------------------------------------------------------------------- live weights
FOLLOWERS = ["gradient", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.w_square"]


def fresh(method, model, x):
    return innspect.create_analyzer(method, model).analyze(x)


@pytest.mark.parametrize("method", FOLLOWERS)
def test_the_next_analysis_follows_set_weights(method):
    model, x = ZOO["functional"]()
    analyzer = innspect.create_analyzer(method, model)
    before = analyzer.analyze(x)
    shake(model, seed=5)
    after = analyzer.analyze(x)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_array_equal(after, fresh(method, model, x))


def test_the_next_analysis_follows_a_training_step():
    model, x = ZOO["functional"]()
    jit = keras.backend.backend() != "torch"  # torch.compile takes longer than all other tests
    analyzers = [innspect.create_analyzer(m, model) for m in FOLLOWERS[:2]]
    labels = np.array([0, 1, 2])
    for optimizer in ("sgd", keras.optimizers.Adam(0.1)):  # the second one replaces the first
        before = [a.analyze(x) for a in analyzers]
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
        model.fit(x, labels, epochs=1, verbose=0)
        for analyzer, earlier in zip(analyzers, before, strict=True):
            later = analyzer.analyze(x)
            assert np.abs(later - earlier).max() > 0
            np.testing.assert_array_equal(later, fresh(analyzer.name, model, x))


def test_leaves_follow_too():
    model, x = ZOO["native_leaf"]()
    analyzer = innspect.create_analyzer("gradient", model)
    analyzer.analyze(x)
    model.get_layer("native").scale.assign([0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(analyzer.analyze(x, "all"), backend_gradient(model, x)[0], atol=1e-6)


def test_moving_statistics_follow():
    model, x = ZOO["convolutions"]()
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    analyzer.analyze(x)
    model.get_layer("norm").moving_mean.assign(np.full(8, 0.7))
    np.testing.assert_array_equal(analyzer.analyze(x), fresh("lrp.epsilon", model, x))


def test_native_and_attention_train_while_explained():
    x = keras.Input((5, 4))
    h = Native(name="native")(Attention(2, name="attention")(x))
    model = shake(keras.Model(x, L.Dense(2, name="out")(L.Flatten(name="flatten")(h))))
    values = array(4, 5, 4)
    analyzer = innspect.create_analyzer("gradient", model)
    analyzer.analyze(values)
    model.compile("adam", "mse", jit_compile=False)
    model.train_on_batch(values, array(4, 2))
    np.testing.assert_allclose(analyzer.analyze(values, "all"), backend_gradient(model, values)[0], atol=1e-5)


# ---------------------------------------------------------------------- what a compiler makes of it
@pytest.mark.sweep(keep=["deep_lift", "lrp.alpha_2_beta_1"], on="jax")
@pytest.mark.parametrize("rule", ["lrp.gamma", "lrp.alpha_2_beta_1", "lrp.epsilon_plus_flat", "deep_lift", "guided_backprop"])
def test_compiled_and_as_written_are_the_same(rule, request):
    """TensorFlow's graph optimizer rewrites by pattern, and not always rightly (max(c k, k) with c > 1, for one)."""
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(4, 3, activation="relu", padding="same")(x)
    h = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, use_bias=False, padding="same")(h)))
    h = L.Add()([h, L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(h))])
    h = L.LeakyReLU(0.2)(L.MaxPooling2D()(L.ReLU()(h)))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(L.Conv2D(4, 2, activation="relu")(h)))))
    compiled = innspect.create_analyzer(rule, model).analyze(array(3, 6, 6, 2))
    request.getfixturevalue("eager")
    written = innspect.create_analyzer(rule, model).analyze(array(3, 6, 6, 2))
    np.testing.assert_allclose(compiled, written, rtol=1e-4, atol=1e-5 * np.abs(written).max())
