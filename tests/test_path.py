import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from models import ids, shake
from networks import SMOOTH, convolutional_networks, dense_networks, drawn, normal, outputs

import innspect
from innspect.analyzers.averaging.path import QUADRATURES
from innspect.analyzers.averaging.points import Points
from innspect.layers.program import Program

NOISY = ("smoothgrad", "smoothgrad.squared", "vargrad")


def small_cnn(seed=0):
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    h = L.MaxPooling2D(2, name="pool")(h)
    return shake(keras.Model(x, L.Dense(4, activation="softmax", name="out")(L.Flatten()(h))), seed)


@pytest.fixture
def cnn(quick):
    return small_cnn()


# ---------------------------------------------------------------------- quadratures
@pytest.mark.parametrize("name", QUADRATURES)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_quadratures_integrate_what_they_should(name, steps):
    degree = {"left": 0, "right": 0, "midpoint": 1, "trapezoid": 1, "gausslegendre": 2 * steps - 1}[name]
    nodes, weights = QUADRATURES[name](steps)
    for power in range(degree + 1):
        assert np.sum(weights * nodes**power) == pytest.approx(1 / (power + 1))
    assert np.sum(weights * nodes ** (degree + 1)) != pytest.approx(1 / (degree + 2), rel=1e-9)


@drawn
@given(network=dense_networks(activations=tuple(SMOOTH)), name=st.sampled_from(list(QUADRATURES)), seed=st.integers(0, 99))
def test_completeness_converges_at_the_rate_of_the_quadrature(double, quick, network, name, seed):
    build, width = network
    model = build()
    x, reference = normal(3, width, seed=seed), normal(width, seed=seed + 1)

    analyzer = innspect.create_analyzer("integrated_gradients", model, quadrature=name, reference_inputs=reference)

    def error(steps):
        analyzer.steps = steps
        return np.abs(analyzer.explain(x, 1, batch_size=32).delta).max()  # 8 points of three samples, padded to four

    rate = {"left": 1, "right": 1, "midpoint": 2, "trapezoid": 2, "gausslegendre": 4}[name]
    assert error(64) <= 5 * error(8) / 8**rate + 1e-9
    assert error(64) < (0.2 if rate == 1 else 0.02)


@drawn
@given(build=convolutional_networks(), seed=st.integers(0, 99))
def test_completeness_where_the_path_crosses_kinks(quick, build, seed):
    model = build()
    x, reference = normal(2, 6, 6, 2, seed=seed), normal(6, 6, 2, seed=seed + 1)
    explanation = innspect.create_analyzer("integrated_gradients", model, steps=300, reference_inputs=reference).explain(
        x, 2, batch_size=300
    )
    change = outputs(model, x)[:, 2] - outputs(model, reference[None])[:, 2]
    np.testing.assert_allclose(explanation.delta, change - explanation.attributions.sum((1, 2, 3)), atol=1e-4)
    assert np.all(np.abs(explanation.delta) < 0.05 * np.abs(change) + 0.02)


@pytest.mark.parametrize("name", QUADRATURES)
def test_one_step_is_exact_on_a_linear_model(name, quick):
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(3)]))
    x, reference = normal(2, 4), normal(4, seed=1)
    analyzer = innspect.create_analyzer("integrated_gradients", model, steps=1, quadrature=name, reference_inputs=reference)
    np.testing.assert_allclose(analyzer.analyze(x, 1), (x - reference) * model.get_weights()[0][:, 1], rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- references
def test_several_references_are_averaged_and_each_sample_may_have_its_own(cnn):
    x, own = normal(3, 6, 6, 2), normal(3, 6, 6, 2, seed=1)

    analyzer = innspect.create_analyzer("integrated_gradients", cnn, steps=4)

    def analyze(reference, rows=slice(None)):
        analyzer.reference_inputs = reference
        return analyzer.analyze(x[rows], batch_size=4)

    each = np.concatenate([analyze(own[i], slice(i, i + 1)) for i in range(3)])
    np.testing.assert_allclose(analyze(own), each, atol=1e-6)
    np.testing.assert_allclose(analyze([0, own[0], own[1:2]]), (analyze(0) + analyze(own[0]) + analyze(own[1])) / 3, atol=1e-6)
    np.testing.assert_allclose(analyze(np.stack([own, own * 0])), (analyze(own) + analyze(0)) / 2, atol=1e-6)
    np.testing.assert_allclose(analyze(np.array([0.5, -1])), analyze(np.broadcast_to([0.5, -1], (6, 6, 2))), atol=0)


def test_zero_where_input_and_reference_agree(cnn):
    x = normal(2, 6, 6, 2)
    explanation = innspect.create_analyzer("integrated_gradients", cnn, steps=5, reference_inputs=x).explain(x)
    assert not explanation.attributions.any()
    np.testing.assert_allclose(explanation.delta, 0, atol=1e-6)


def test_several_inputs_run_on_one_joint_path(quick):
    a, b = keras.Input((3,)), keras.Input((2,))
    joined = keras.Input((5,))
    tail = keras.Sequential([keras.Input((5,)), L.Dense(4, activation="tanh"), L.Dense(2)])
    apart = shake(keras.Model([a, b], tail(L.Concatenate()([a, b]))))
    whole = keras.Model(joined, tail(joined))
    x, reference = normal(3, 5), normal(5, seed=1)
    one = innspect.create_analyzer("integrated_gradients", whole, steps=4, reference_inputs=reference).analyze(x)
    two = innspect.create_analyzer("integrated_gradients", apart, steps=4, reference_inputs=[reference[:3], reference[3:]])
    np.testing.assert_allclose(np.concatenate(two.analyze([x[:, :3], x[:, 3:]]), axis=1), one, atol=1e-6)


def embedding_models():
    """A model of ids, and the same from the embedding's vectors on."""
    tokens, vectors = keras.Input((4,), dtype="int32"), keras.Input((4, 3))
    tail = keras.Sequential([keras.Input((4, 3)), L.Conv1D(3, 2, activation="tanh"), L.Flatten(), L.Dense(2)])
    embedding = L.Embedding(7, 3)
    model = shake(keras.Model(tokens, tail(embedding(tokens))))
    return model, keras.Model(vectors, tail(vectors)), lambda x: keras.ops.convert_to_numpy(embedding(x))


def test_ids_run_on_the_path_of_their_vectors(quick):
    model, tail, look_up = embedding_models()
    x = ids(3, 4, below=7)
    of_ids = innspect.create_analyzer("integrated_gradients", model, steps=9).explain(x)
    of_vectors = innspect.create_analyzer("integrated_gradients", tail, steps=9).explain(look_up(x))
    np.testing.assert_allclose(of_ids.attributions, of_vectors.attributions.sum(-1), atol=1e-6)
    np.testing.assert_allclose(of_ids.delta, of_vectors.delta, atol=1e-6)


# ---------------------------------------------------------------------- what is explained
def test_the_neuron_is_chosen_at_the_input_and_not_along_the_path(quick):
    model = keras.Sequential([keras.Input((1,)), L.Dense(2)])
    model.set_weights([np.array([[2.0, -3.0]]), np.array([0.0, 1.0])])  # the second is larger near 0, the first at 1
    x = np.ones((1, 1), "float32")
    for name, arguments in (("integrated_gradients", {}), ("smoothgrad", {"noise_scale": 3.0})):
        analyzer = innspect.create_analyzer(name, model, **arguments)
        np.testing.assert_array_equal(analyzer.analyze(x), analyzer.analyze(x, 0))
        assert analyzer.analyze(x)[0, 0] == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("name", ["integrated_gradients", *NOISY])
@pytest.mark.filterwarnings("ignore:.*own output is not finite")
def test_targets_count_and_samples_do_not_meet(name, cnn):
    x = normal(4, 6, 6, 2)
    x[3] = np.nan
    analyzer = innspect.create_analyzer(name, cnn, **({"steps": 4} if "integrated" in name else {"num_samples": 4}))
    one, two = analyzer.analyze(x, 0), analyzer.analyze(x, 1)
    several = analyzer.analyze(x, neurons=[0, 1])
    np.testing.assert_allclose(several[:, :3], [one[:3], two[:3]], atol=1e-6)
    assert np.abs(one[:3] - two[:3]).max() > 1e-3
    np.testing.assert_allclose(analyzer.analyze(x, 0, batch_size=1)[:3], one[:3], atol=1e-6)
    np.testing.assert_allclose(analyzer.analyze(x[[2, 1, 0, 0]], 0)[:3], one[[2, 1, 0]], atol=1e-6)
    np.testing.assert_array_equal(analyzer.analyze(x, 0)[:3], one[:3])


def test_weights_tuples_and_callables_are_explained_along_the_path(double, quick):
    model = shake(keras.Sequential([keras.Input((3,)), L.Dense(4, activation="tanh"), L.Dense(2)]))
    x, analyzer = normal(3, 3), innspect.create_analyzer("integrated_gradients", model, steps=200)
    squares = analyzer.explain(x, lambda y: keras.ops.sum(y * y, axis=-1), batch_size=400)
    y, y0 = outputs(model, x), outputs(model, x[:1] * 0)
    np.testing.assert_allclose(squares.targets, (y * y).sum(1))
    np.testing.assert_allclose(squares.attributions.sum(1), (y * y).sum(1) - (y0 * y0).sum(), atol=1e-4)
    np.testing.assert_allclose(analyzer.analyze(x, np.array([0.0, 1.0])), analyzer.analyze(x, (1,)))


def test_memory_is_bounded_by_the_batch_size(cnn, monkeypatch):
    seen, forward = [], Program.forward

    def spy(program, values, record=None):
        seen.append(values[0].shape[0])
        return forward(program, values, record)

    monkeypatch.setattr(Program, "forward", spy)
    x = normal(3, 6, 6, 2)
    innspect.create_analyzer("integrated_gradients", cnn, steps=20).analyze(x, batch_size=8)
    compiled = keras.backend.backend() == "jax"  # there each shape is seen once
    bounded = [4, 8] if compiled else [4, *[8] * 10]  # the input itself, then two points of three samples, padded to four
    assert seen == bounded
    seen.clear()
    innspect.create_analyzer("smoothgrad", cnn, num_samples=20).analyze(x, batch_size=8)
    assert seen == bounded
    seen.clear()
    innspect.create_analyzer("integrated_gradients", cnn, steps=20).analyze(x[:1], batch_size=8)
    assert max(seen) <= 8
    assert sum(seen) <= 1.1 * 21 + 1


def test_what_is_no_point_of_the_path_is_looked_at_once(cnn, monkeypatch):
    looks, look = [], Points.look
    monkeypatch.setattr(Points, "look", lambda *args, **kwargs: looks.append(args) or look(*args, **kwargs))
    analyzer, x = innspect.create_analyzer("integrated_gradients", cnn, steps=3, quadrature="midpoint"), normal(2, 6, 6, 2)
    attributions = analyzer.analyze(x)
    assert len(looks) == 2  # at the input, which settles what is explained, and the reference, which says what is missing
    explanation = analyzer.explain(x)
    assert len(looks) == 2 + 2
    np.testing.assert_array_equal(explanation.attributions, attributions)
    assert explanation.delta.shape == (2,)


def test_compiled_as_eager(monkeypatch):
    from innspect import backend

    model, x = small_cnn(), normal(3, 6, 6, 2)
    arguments = {"integrated_gradients": {"steps": 5}, "vargrad": {"num_samples": 5, "of": "lrp.epsilon"}}
    compiled = {
        n: innspect.create_analyzer(n, model, **a).explain(x, neurons=[0, None], at=["conv"]) for n, a in arguments.items()
    }
    monkeypatch.setattr(backend, "compile", lambda function: function)
    for name, explanation in compiled.items():
        same = innspect.create_analyzer(name, model, **arguments[name]).explain(x, neurons=[0, None], at=["conv"])
        np.testing.assert_allclose(explanation.attributions, same.attributions, atol=1e-6)
        np.testing.assert_allclose(explanation.signals["conv"], same.signals["conv"], atol=1e-6)
        np.testing.assert_allclose(explanation.outputs, outputs(model, x), atol=1e-6)


# ---------------------------------------------------------------------- noise
@pytest.mark.parametrize(
    ("of", "arguments"),
    [
        ("gradient", {"postprocess": "square"}),
        ("lrp.epsilon", {"epsilon": 0.1}),
        ("guided_backprop", {}),
        ("saliency", {}),
        ("grad_cam", {"layer": "conv"}),
        ("deep_lift", {"reference_inputs": 0.5}),
        ("integrated_gradients", {"steps": 3}),
        ("input", {}),
    ],
)
def test_without_noise_smoothgrad_is_the_wrapped_method(of, arguments, cnn):
    x = normal(3, 6, 6, 2)
    plain = innspect.create_analyzer(of, cnn, **arguments).analyze(x)
    smooth = innspect.create_analyzer("smoothgrad", cnn, of=of, noise_scale=0, num_samples=5, **arguments).analyze(x)
    np.testing.assert_allclose(smooth, plain, rtol=1e-5, atol=1e-6)


@drawn
@given(network=dense_networks(), seed=st.integers(0, 99), count=st.integers(1, 9), size=st.sampled_from([1, 4, 16]))
def test_squared_is_variance_plus_square_of_the_mean(quick, network, seed, count, size):
    build, width = network
    model = build()
    x = normal(3, width, seed=seed)
    mean, squared, variance = (
        innspect.create_analyzer(n, model, num_samples=count, noise_scale=1.0, seed=seed).analyze(x, 0, batch_size=size)
        for n in ("smoothgrad", "smoothgrad.squared", "vargrad")
    )
    assert (variance >= 0).all()
    np.testing.assert_allclose(variance + mean**2, squared, rtol=1e-4, atol=1e-6)


def test_noise_has_the_scale_asked_for(quick):
    """The gradient of the sum of squares at x + e is 2 x + 2 e: its variance is 4 times the noise's."""
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.sum(x * x, axis=-1, keepdims=True))
    values = np.array([[0.0, 1.0, 5.0], [-2.0, 0.0, 0.0], [1.0, 1.0, 1.0]], "float32")
    absolute = innspect.create_analyzer("vargrad", model, num_samples=3000, noise_scale=0.5).analyze(values, batch_size=4096)
    np.testing.assert_allclose(absolute, np.full((3, 3), 1.0), rtol=0.15)
    relative = innspect.create_analyzer("vargrad", model, num_samples=3000, noise_level=0.2).analyze(values, batch_size=4096)
    np.testing.assert_allclose(relative, np.array([[4.0], [0.64], [0.0]]) * np.ones((1, 3)), rtol=0.15, atol=1e-9)


def test_the_seed_decides_the_noise(cnn):
    x = normal(2, 6, 6, 2)

    analyzer = innspect.create_analyzer("smoothgrad", cnn, num_samples=3)

    def analyze(seed=0):
        analyzer.seed = seed
        return analyzer.analyze(x)

    np.testing.assert_array_equal(analyze(), analyze())
    np.testing.assert_array_equal(analyze(seed=5), analyze(seed=5))
    assert np.abs(analyze(seed=5) - analyze(seed=6)).max() > 1e-4
    assert np.abs(analyze(seed=None) - analyze(seed=None)).max() > 1e-4
    np.testing.assert_array_equal(analyze(), innspect.create_analyzer("smoothgrad", cnn, augment_by_n=3).analyze(x))


def test_noise_at_ids_moves_their_vectors(quick):
    model, tail, look_up = embedding_models()
    x = ids(3, 4, below=7)
    arguments = {"num_samples": 4, "noise_level": 0.3, "of": "input_t_gradient"}
    of_ids = innspect.create_analyzer("smoothgrad", model, **arguments).analyze(x)
    of_vectors = innspect.create_analyzer("smoothgrad", tail, **arguments).analyze(look_up(x))
    np.testing.assert_allclose(of_ids, of_vectors.sum(-1), atol=1e-6)


def test_noise_at_ids_of_lengths_not_known_beforehand(quick):
    """As for a model of these lengths; each embedding has that of its own ids."""
    layers = [L.Embedding(7, 3), L.Embedding(7, 2), L.GlobalAveragePooling1D(), L.Dense(3, activation="tanh")]

    def make(*lengths):
        given = [keras.Input((n,), dtype="int32") for n in lengths]
        pooled = [layers[2](embedding(x)) for embedding, x in zip(layers, given, strict=False)]
        return keras.Model(given, layers[3](L.Concatenate()(pooled)))

    model, x = shake(make(None, None)), [ids(2, 5, below=7), ids(2, 3, below=7)]
    ours, known = (innspect.create_analyzer("smoothgrad", m, num_samples=3, seed=1).analyze(x, 1) for m in (model, make(5, 3)))
    for mine, expected in zip(ours, known, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5)


def test_wrappers_take_the_wrapped_method_as_name_or_analyzer(cnn):
    x, inner = normal(2, 6, 6, 2), innspect.create_analyzer("lrp.z", cnn)
    before = inner.analyze(x)
    by_name = innspect.create_analyzer("smoothgrad", cnn, of="lrp.z", num_samples=3).analyze(x)
    np.testing.assert_array_equal(innspect.create_analyzer("smoothgrad", cnn, of=inner, num_samples=3).analyze(x), by_name)
    np.testing.assert_array_equal(inner.analyze(x), before)
    path = innspect.create_analyzer("integrated_gradients", cnn, of="guided_backprop", start="one", steps=3)
    assert path.explain(x).delta is None


# ---------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("integrated_gradients", {"steps": 0}, ValueError, "`steps` must be a positive integer or 'auto'. Received: 0"),
        ("integrated_gradients", {"steps": 2.5}, ValueError, "`steps`"),
        ("integrated_gradients", {"quadrature": "simpson"}, ValueError, "trapezoid.*Received: 'simpson'"),
        ("integrated_gradients", {"epsilon": 1}, TypeError, "takes no argument 'epsilon'"),
        ("smoothgrad", {"of": "lrp.epsilo"}, KeyError, "Did you mean 'lrp.epsilon'"),
        ("smoothgrad", {"of": "lrp.epsilon", "epsilo": 1}, TypeError, "Did you mean 'epsilon'"),
        ("smoothgrad", {"num_samples": 0}, ValueError, "`num_samples` must be a positive integer. Received: 0"),
        ("smoothgrad", {"num_samples": 3, "augment_by_n": 3}, ValueError, "either `num_samples` or `augment_by_n`"),
        ("vargrad", {"noise_scale": -1.0}, ValueError, "`noise_scale`.*Received: -1.0"),
        ("vargrad", {"noise_level": None}, ValueError, "`noise_scale` or `noise_level`"),
        ("vargrad", {"seed": -1}, ValueError, "`seed`.*Received: -1"),
    ],
)
def test_errors_of_arguments(name, arguments, error, message, cnn):
    with pytest.raises(error, match=message):
        innspect.create_analyzer(name, cnn, **arguments)


@pytest.mark.parametrize(
    "reference", [np.zeros((5, 6, 6, 2)), np.zeros((6, 5, 2)), np.zeros((0, 6, 6, 2)), "mean", [[0], []], []]
)
def test_references_of_the_wrong_shape(reference, cnn):
    analyzer = innspect.create_analyzer("integrated_gradients", cnn, reference_inputs=reference)
    with pytest.raises(ValueError, match=r"`reference_inputs` (must|has the wrong shape)"):
        analyzer.analyze(normal(3, 6, 6, 2))


def test_maps_of_the_averaged_method_have_the_inputs_shape(cnn):
    with pytest.raises(ValueError, match=r"`of` must give maps of the input's shape. Received: 'grad_cam', shape"):
        innspect.create_analyzer("integrated_gradients", cnn, of="grad_cam").analyze(normal(2, 6, 6, 2))


def test_errors_of_ids(quick):
    model, _, _ = embedding_models()
    with pytest.raises(ValueError, match="`of` can only be 'gradient'"):
        innspect.create_analyzer("integrated_gradients", model, of="guided_backprop")
    with pytest.raises(ValueError, match="zero vector"):
        innspect.create_analyzer("integrated_gradients", model, reference_inputs=[np.ones((4,))]).analyze(ids(2, 4, below=7))
    with pytest.raises(ValueError, match="ids of an embedding"):
        innspect.create_analyzer("smoothgrad", model, of="deep_lift").analyze(ids(2, 4, below=7))
