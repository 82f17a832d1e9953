"""The map methods: their laws on drawn networks, their formulas, other libraries' numbers, and clear refusals."""

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect.inputs.upsampling import interpolation, resized

quick = pytest.mark.usefixtures("quick")
CHANNELS_FIRST = keras.backend.backend() != "tensorflow"  # whose convolutions on a CPU are channels last
SIZES = {1: (11,), 2: (8, 10), 3: (5, 6, 7)}
MAPS = [
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "xgrad_cam",
    "hires_cam",
    "score_cam",
    "ablation_cam",
    "rsi_grad_cam",
    "cam",
]
REFERENCES = "tests/references/maps.npz"


def pooled(rank=2, first=False, seed=1, pooling="Average"):
    """A network that ends in global pooling and a dense layer, and inputs for it."""
    kind = {"data_format": "channels_first" if first else "channels_last"}
    shape = (2, *SIZES[rank]) if first else (*SIZES[rank], 2)
    conv, pool = getattr(L, f"Conv{rank}D"), getattr(L, f"Global{pooling}Pooling{rank}D")
    body = [
        conv(4, 3, activation="relu", padding="same", name="early", **kind),
        conv(5, 3, activation="relu", name="late", **kind),
    ]
    model = keras.Sequential([keras.Input(shape), *body, pool(**kind), L.Dense(3, activation="softmax", name="out")])
    return models.shake(model, seed), models.array(3, *shape, seed=seed)


def flattened(seed=1):
    """A network with a dense layer on all positions, so that every position's gradient differs."""
    body = [
        L.Conv2D(4, 3, activation="relu", name="early"),
        L.MaxPooling2D(name="pool"),
        L.Conv2D(5, 2, activation="relu", name="late"),
    ]
    head = [L.Flatten(), L.Dense(6, activation="tanh"), L.Dense(3, activation="softmax", name="out")]
    return models.shake(keras.Sequential([keras.Input((9, 10, 2)), *body, *head]), seed), models.array(3, 9, 10, 2, seed=seed)


def raw(name, model, x, *neuron, **kwargs):
    """The map as it is, before ReLU and resizing."""
    return innspect.create_analyzer(name, model, upsample=False, relu=False, **kwargs).analyze(x, *neuron)


def activations(model, layer, x):
    return ops.convert_to_numpy(keras.Model(model.inputs, model.get_layer(layer).output)([x]))


def gradients(model, layer, x, neuron, **kwargs):
    return innspect.create_analyzer("gradient", model, **kwargs).explain(x, neuron, at=layer).signals[layer]


def logits(model, x):
    return ops.convert_to_numpy(innspect.model_wo_softmax(model)(x))


def close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-12))


RANKS = [(1, False), (2, False), (3, False)] + ([(2, True)] if CHANNELS_FIRST else [])


# ---------------------------------------------------------------------- laws
@quick
@pytest.mark.parametrize(("rank", "first"), RANKS)
def test_the_mean_of_cam_and_the_bias_are_the_logit(rank, first):
    model, x = pooled(rank, first)
    explanation = innspect.create_analyzer("cam", model, upsample=False).explain(x, [0, 1, 2])
    bias = ops.convert_to_numpy(model.get_layer("out").bias)
    axes = tuple(range(1, rank + 1))
    close(explanation.attributions.mean(axis=axes) + bias, explanation.targets)
    close(logits(model, x)[np.arange(3), np.arange(3)], explanation.targets)
    positions = explanation.attributions[0].size
    close(raw("grad_cam", model, x, [0, 1, 2]) * positions, explanation.attributions)
    close(raw("hires_cam", model, x, [0, 1, 2]) * positions, explanation.attributions)


@quick
def test_cam_of_maximum_pooling_and_of_convolutional_classes():
    model, x = pooled(pooling="Max")
    kernel = ops.convert_to_numpy(model.get_layer("out").kernel)
    close(raw("cam", model, x, 1), activations(model, "late", x) @ kernel[:, 1])
    classes = [L.Conv2D(3, 1, name="classes"), L.GlobalAveragePooling2D(keepdims=True), L.Flatten(), L.Softmax()]
    model = models.shake(keras.Sequential([keras.Input((6, 6, 2)), *classes]))
    x = models.array(2, 6, 6, 2)
    close(raw("cam", model, x, 2), activations(model, "classes", x)[..., 2])


@quick
def test_counterfactual_and_map_are_the_two_sides_of_one_map():
    model, x = flattened()
    arguments = {"layer": "pool", "upsample": False}
    positive = innspect.create_analyzer("grad_cam", model, **arguments).analyze(x, 1)
    negative = innspect.create_analyzer("grad_cam.counterfactual", model, **arguments).analyze(x, 1)
    assert positive.any()
    assert negative.any()
    assert not (positive * negative).any()
    close(positive - negative, raw("grad_cam", model, x, 1, layer="pool"))


@quick
@pytest.mark.parametrize("of", ["guided_backprop", "deconvnet"])
def test_guided_grad_cam_is_the_product_of_both(of):
    model, x = flattened()
    ours = innspect.create_analyzer("guided_grad_cam", model, layer="early", of=of).analyze(x, [2, 0, 1])
    lens = innspect.create_analyzer("grad_cam", model, layer="early").analyze(x, [2, 0, 1])
    signal = innspect.create_analyzer(of, model).analyze(x, [2, 0, 1])
    assert np.abs(ours).max() > 0
    assert (lens == 0).any()
    assert not ours[lens == 0].any()
    close(ours, signal * lens[..., None])


@quick
def test_guided_grad_cam_in_a_branch_beside_others():
    """One forward pass serves both signals, whatever lies beside and behind the layer."""
    image = keras.Input((6, 6, 2))
    left = L.Conv2D(3, 3, padding="same", activation="relu", name="left")(image)
    right = L.Conv2D(3, 3, padding="same", activation="tanh")(image)
    h = L.Maximum()([L.Conv2D(3, 3, padding="same", activation="relu")(left), L.Conv2D(3, 1)(right)])
    h = L.Concatenate()([L.GlobalMaxPooling2D()(h), L.GlobalAveragePooling2D()(right)])
    scores = L.Dense(3, activation="softmax")(L.Dense(4, activation="relu")(h))
    model, x = models.shake(keras.Model(image, scores)), models.array(3, 6, 6, 2)
    found = innspect.create_analyzer("guided_grad_cam", model, layer="left").explain(x, neurons=[0, 2], at="left")
    lens = innspect.create_analyzer("grad_cam", model, layer="left").explain(x, neurons=[0, 2], at="left")
    signal = innspect.create_analyzer("guided_backprop", model).analyze(x, neurons=[0, 2])
    assert np.abs(found.attributions).max() > 0
    close(found.attributions, signal * lens.attributions[..., None])
    close(found.signals["left"], lens.signals["left"])
    close(found.outputs, lens.outputs)


@quick
@pytest.mark.parametrize("layer", ["early", "late"])
def test_formulas(layer):
    model, x = flattened()
    a, g = (v.astype("float64") for v in (activations(model, layer, x), gradients(model, layer, x, 1)))
    axes, positive = (1, 2), np.maximum(g, 0)
    total = a.sum(axis=axes, keepdims=True)
    alpha = np.where(g != 0, 1 / np.where(g != 0, 2 + total * g, 1), 0)
    expected = {
        "grad_cam": (g.mean(axis=axes, keepdims=True) * a).sum(-1),
        "layer_cam": (positive * a).sum(-1),
        "hires_cam": (g * a).sum(-1),
        "xgrad_cam": ((g * a).sum(axis=axes, keepdims=True) / (total + 1e-7) * a).sum(-1),
        "grad_cam_plus_plus": ((alpha * positive).sum(axis=axes, keepdims=True) * a).sum(-1),
    }
    for name, theirs in expected.items():
        close(raw(name, model, x, 1, layer=layer), theirs, 1e-4)
    sums = alpha.sum(axis=axes, keepdims=True)
    normalized = np.divide(alpha, sums, out=np.zeros_like(alpha), where=sums != 0)
    theirs = ((normalized * positive).sum(axis=axes, keepdims=True) * a).sum(-1)
    close(raw("grad_cam_plus_plus", model, x, 1, layer=layer, normalize_alpha=True), theirs, 1e-3)


def test_score_cam_of_an_image_of_one_colour():
    """Channels that are the same everywhere mask everything: 0 / 1e-8, also behind TensorFlow's graph optimizer."""
    model, x = pooled(seed=3)
    assert np.isfinite(innspect.create_analyzer("score_cam", model).analyze(0 * x, 0)).all()


@quick
@pytest.mark.parametrize("batch_size", [32, 2])
def test_score_cam_and_ablation_cam_ask_the_model(batch_size):
    model, x = pooled()
    a = activations(model, "late", x)
    rows, neuron = np.arange(3), [1, 0, 2]
    spread = np.einsum("yi,xj,bijk->byxk", interpolation(6, 8), interpolation(8, 10), a)
    low, high = (f(spread, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    masks = ((spread - low) / (high - low + 1e-8)).astype("float32")
    scores = np.stack([logits(model, x * masks[..., k : k + 1])[rows, neuron] for k in range(5)], axis=1)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    ours = innspect.create_analyzer("score_cam", model, upsample=False).analyze(x, neuron, batch_size=batch_size)
    close(ours, np.einsum("bk,bijk->bij", shares, a))

    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("out").weights)
    value = (a.mean(axis=(1, 2)) @ kernel + bias)[rows, neuron]
    lost = a.mean(axis=(1, 2)) * kernel[:, neuron].T  # what each channel adds to the logit
    analyzer = innspect.create_analyzer("ablation_cam", model, upsample=False, relu=False)
    close(analyzer.analyze(x, neuron, batch_size=batch_size), np.einsum("bk,bijk->bij", lost / value[:, None], a), 1e-4)


# ---------------------------------------------------------------------- RSI-Grad-CAM
@quick
@pytest.mark.parametrize("selection", ["positive", "relu_grad", "none"])
def test_rsi_grad_cam_is_the_sum_over_its_path(selection):
    model, x = flattened()
    path = np.linspace(0, 1, 8).reshape(-1, 1, 1, 1, 1).astype("float32") * x
    points = path.reshape(-1, *x.shape[1:])
    a = activations(model, "pool", points).astype("float64")
    g = gradients(model, "pool", points, 1, head="output").astype("float64")
    a, g = (v.reshape(8, 3, *v.shape[1:]) for v in (a, g))
    g = np.maximum(g, 0) if selection == "relu_grad" else g
    units = ((g[1:] + g[:-1]) / 2 * (a[1:] - a[:-1])).sum(axis=0)
    if selection == "positive":
        units *= (a[-1] > 0) & (units > 0) & (a[-1] > a[0])
    expected = (units.mean(axis=(1, 2), keepdims=True) * a[-1]).sum(-1)
    arguments = {"layer": "pool", "selection": selection, "upsample": False, "relu": False}
    ways = [{"steps": 7}, {"path": path}, {"path": lambda x: path[:, : len(x)]}]
    for way in ways if selection == "positive" else ways[:1]:
        analyzer = innspect.create_analyzer("rsi_grad_cam", model, **arguments, **way)
        close(analyzer.analyze(x, 1, batch_size=8), expected, 1e-4)


def test_rsi_grad_cam_is_complete_in_the_limit():
    model, x = flattened(seed=2)
    reference = models.array(9, 10, 2, seed=7)
    errors = []
    for steps in (10, 1000):
        analyzer = innspect.create_analyzer(
            "rsi_grad_cam", model, layer="early", steps=steps, selection="none", reference_inputs=reference
        )
        explanation = analyzer.explain(x[:1], 1, batch_size=256)
        errors.append(np.abs(explanation.delta).max())
    change = explanation.targets - ops.convert_to_numpy(model(reference[None]))[:, 1]
    assert abs(change[0]) > 0.02
    assert errors[1] < 2e-3
    assert errors[1] < errors[0]
    still = innspect.create_analyzer("rsi_grad_cam", model, steps=4, reference_inputs=x)
    assert not still.analyze(x).any()  # a path of no length


# ---------------------------------------------------------------------- every method
@pytest.mark.parametrize("name", [*MAPS, "grad_cam.counterfactual", "guided_grad_cam"])
def test_targets_batches_and_neurons(name):
    model, x = pooled(seed=3)
    analyzer = innspect.create_analyzer(name, model, relu=False, **({"steps": 5} if name == "rsi_grad_cam" else {}))
    maps = [analyzer.analyze(x, c) for c in range(3)]
    assert all(np.abs(maps[a] - maps[b]).max() > 1e-4 * np.abs(maps[a]).max() for a, b in ((0, 1), (1, 2)))
    assert maps[0].shape == (x.shape if name == "guided_grad_cam" else x.shape[:-1])
    close(
        analyzer.analyze(x, neurons=[0, [2, 1, 0]]), np.stack([maps[0], np.stack([maps[2][0], maps[1][1], maps[0][2]])]), 1e-4
    )
    company = np.stack([x[0], 1e4 * x[1], np.zeros_like(x[2])])
    close(analyzer.analyze(company, 0)[0], analyzer.analyze(x[:1], 0)[0], 1e-4)
    close(analyzer.analyze(x, lambda y: y[:, 1]), maps[1], 1e-4)
    explanation = analyzer.explain(x)
    assert explanation.targets.shape == (3,)
    close(explanation.outputs, ops.convert_to_numpy(model(x)))
    assert analyzer.analyze(x[:0]).shape == (0, *maps[0].shape[1:])


@quick
def test_the_map_of_a_pixel_of_a_segmentation():
    x = keras.Input((8, 8, 1))
    h = L.MaxPooling2D(name="pool")(L.Conv2D(3, 3, padding="same", activation="relu", name="down")(x))
    model = models.shake(
        keras.Model(x, L.Conv2D(2, 3, padding="same", activation="softmax", name="out")(L.UpSampling2D(name="up")(h)))
    )
    data = models.array(2, 8, 8, 1)
    analyzer = innspect.create_analyzer("hires_cam", model, relu=False)
    assert analyzer.place().path == "up"  # neither the output nor the logits behind its softmax
    one = analyzer.analyze(data, (2, 3, 1))
    near = np.zeros((8, 8), bool)
    near[1:4, 2:5] = True
    assert np.abs(one[:, near]).max() > 0
    assert not one[:, ~near].any()
    close(analyzer.analyze(data, 1), sum(analyzer.analyze(data, (i, j, 1)) for i in range(8) for j in range(8)), 1e-4)


@quick
def test_signals_at_other_layers_come_from_the_same_pass():
    model, x = flattened()
    explanation = innspect.create_analyzer("grad_cam", model, layer="late").explain(x, 1, at=["early", "out"])
    close(explanation.signals["early"], gradients(model, "early", x, 1))
    close(explanation.attributions, innspect.create_analyzer("grad_cam", model, layer="late").analyze(x, 1))


def test_the_gradient_runs_only_down_to_the_layer():
    model, _ = flattened()
    analyzer = innspect.create_analyzer("grad_cam", model)
    program = analyzer.make_pass(0).program
    assert [n.path for n in program.stem.steps] == ["early", "early/re_lu", "pool/max_pool", "late", "late/re_lu"]
    assert not {n.path for s in program.steps for n in s.nodes} & {n.path for n in program.stem.steps}


# ---------------------------------------------------------------------- where
@quick
def test_several_inputs_and_calls():
    backbone = keras.Sequential([keras.Input((6, 6, 2)), L.Conv2D(3, 3, activation="relu", name="conv")], name="backbone")
    a, b, c = keras.Input((6, 6, 2)), keras.Input((6, 6, 2)), keras.Input((4,))
    h = L.Concatenate()([L.Flatten()(backbone(a)), L.Flatten()(backbone(b)), L.Dense(2)(c)])
    model = models.shake(keras.Model([a, b, c], L.Dense(2)(h)))
    x = [models.array(2, 6, 6, 2), models.array(2, 6, 6, 2, seed=1), models.array(2, 4)]
    with pytest.raises(ValueError, match=r"called 2 times.*'backbone/conv\[1\]' reads input [01]"):
        innspect.create_analyzer("grad_cam", model, layer="backbone/conv")
    calls = [innspect.create_analyzer("grad_cam", model, layer=f"backbone/conv[{i}]", relu=False) for i in (0, 1)]
    first, second = sorted(calls, key=lambda c: c.place().inputs)
    assert (first.place().inputs, second.place().inputs) == ((0,), (1,))
    moved = [x[0], x[1] + 1, x[2]]
    close(first.analyze(moved, 0), first.analyze(x, 0))
    assert np.abs(second.analyze(moved, 0) - second.analyze(x, 0)).max() > 0.01
    guided = innspect.create_analyzer("guided_grad_cam", model, layer=second.layer).analyze(x, 0)
    plain = innspect.create_analyzer("guided_backprop", model).analyze(x, 0)
    lens = innspect.create_analyzer("grad_cam", model, layer=second.layer).analyze(x, 0)
    close(guided[1], plain[1] * lens[..., None])
    close(guided[0], plain[0])


@quick
def test_the_default_layer():
    def default(model, **kwargs):
        return innspect.create_analyzer("grad_cam", model, **kwargs).place().path

    x = keras.Input((12, 12, 3))
    h = L.Conv2D(4, 3, name="patches")(x)
    tokens = L.MultiHeadAttention(2, 2, name="attention")(t := L.Reshape((100, 4), name="tokens")(h), t)
    model = keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(tokens)))
    assert default(model) == "patches"  # as many spatial axes as the image
    squeezed = L.Dense(2)(L.Flatten()(L.Dropout(0.5)(L.GlobalAveragePooling2D(keepdims=True)(h))))
    assert default(keras.Model(x, squeezed)) == "patches"  # 1 x 1 is no map

    class Bare(keras.Model):
        def __init__(self):
            super().__init__()
            self.kernel = self.add_weight(shape=(3, 3, 3, 4), initializer="ones")

        def call(self, x):
            return ops.mean(ops.relu(ops.conv(x, self.kernel)), axis=(1, 2))

    bare = Bare()
    bare(np.zeros((1, 12, 12, 3), "float32"))
    assert innspect.create_analyzer("grad_cam", bare).analyze(np.ones((2, 12, 12, 3), "float32"), 0).shape == (2, 12, 12)


@quick
def test_inputs_without_a_channel_axis():
    grey = keras.Input((6, 6))
    model = models.shake(keras.Model(grey, L.Dense(2)(L.Flatten()(L.Conv2D(3, 3)(L.Reshape((6, 6, 1))(grey))))))
    x = models.array(2, 6, 6)
    lens = innspect.create_analyzer("grad_cam", model).analyze(x, 0)
    signal = innspect.create_analyzer("guided_backprop", model).analyze(x, 0)
    close(innspect.create_analyzer("guided_grad_cam", model).analyze(x, 0), lens * signal)
    words = keras.Input((7,), dtype="int32")
    h = L.Conv1D(4, 3, activation="relu")(L.Embedding(9, 5)(words))
    model = models.shake(keras.Model(words, L.Dense(2)(L.GlobalAveragePooling1D()(h))))
    for name in ("cam", "grad_cam", "guided_grad_cam", "ablation_cam"):
        assert innspect.create_analyzer(name, model).analyze(models.ids(3, 7, below=9)).shape == (3, 7)
    flat = keras.Input((36,))
    model = models.shake(keras.Model(flat, L.Dense(2)(L.Flatten()(L.Conv2D(3, 3, name="conv")(L.Reshape((6, 6, 1))(flat))))))
    with pytest.raises(innspect.NotAnalyzeableModelError, match="upsample=False"):
        innspect.create_analyzer("grad_cam", model).analyze(models.array(2, 36))
    assert innspect.create_analyzer("grad_cam", model, upsample=False).analyze(models.array(2, 36)).shape == (2, 4, 4)


@quick
def test_class_specific_units():
    model, _ = pooled()
    kernel = ops.convert_to_numpy(model.get_layer("out").kernel)
    found = innspect.class_specific_units(model, 1)
    np.testing.assert_array_equal(found.units, np.argsort(-kernel[:, 1]))
    close(found.weights, np.sort(kernel[:, 1])[::-1])
    np.testing.assert_array_equal(found.specific, (kernel.argmax(axis=1) == 1)[found.units])
    with pytest.raises(ValueError, match="between 0 and 2"):
        innspect.class_specific_units(model, 3)


# ---------------------------------------------------------------------- refusals
@quick
def test_refusals():
    model, x = flattened()
    cases = [
        ({"layer": "lat"}, KeyError, "Did you mean 'late'"),
        ({"layer": "out"}, ValueError, "spatial axes"),
        ({"layer": 3}, TypeError, "path of a layer"),
        ({"layer": "late[2]"}, ValueError, "calls of 'late'"),
        ({"resize": "nearest"}, ValueError, "align_corners"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            innspect.create_analyzer("grad_cam", model, **arguments)
    cases = [
        ("cam", {}, innspect.NotAnalyzeableModelError, r"'dense.*/tanh' .* is not affine"),
        ("guided_grad_cam", {"upsample": False}, ValueError, "upsample=True"),
        ("guided_grad_cam", {"of": "gradient"}, ValueError, "deconvnet"),
        ("rsi_grad_cam", {"selection": "some"}, ValueError, "relu_grad"),
        ("rsi_grad_cam", {"steps": 0}, ValueError, "positive integer"),
    ]
    for name, arguments, error, message in cases:
        with pytest.raises(error, match=message):
            innspect.create_analyzer(name, model, **arguments)
    with pytest.raises(innspect.NotAnalyzeableModelError, match="spatial axes"):
        innspect.create_analyzer("grad_cam", keras.Sequential([keras.Input((4,)), L.Dense(2)]))
    with pytest.raises(ValueError, match="`path` must hold"):
        innspect.create_analyzer("rsi_grad_cam", model, path=x[..., :1]).analyze(x)
    with pytest.raises(ValueError, match="walks from one reference"):
        innspect.create_analyzer("rsi_grad_cam", model, reference_inputs=[0, 1]).analyze(x)
    with pytest.raises(ValueError, match="no signal"):
        innspect.create_analyzer("score_cam", model).explain(x, at=["late"])
    nested = keras.Sequential(
        [keras.Input((9, 10, 2)), keras.Sequential([L.Conv2D(2, 3, name="conv5")], name="backbone"), L.Flatten()]
    )
    with pytest.raises(KeyError, match="Did you mean 'backbone/conv5'"):
        innspect.create_analyzer("grad_cam", nested, layer="conv5")
    middle, x = pooled()
    with pytest.raises(ValueError, match="global pooling reads, 'late'"):
        innspect.create_analyzer("cam", middle, layer="early")
    spread = keras.Sequential([keras.Input((8, 8, 2)), L.Conv2D(3, 3, name="late"), L.Flatten(name="flat"), L.Dense(2)])
    with pytest.raises(innspect.NotAnalyzeableModelError, match="'flat/reshape' reads the positions of 'late'"):
        innspect.create_analyzer("cam", spread)
    hidden = keras.Sequential(
        [keras.Input((8, 8, 2)), L.Conv2D(3, 3), L.GlobalAveragePooling2D(), L.ReLU(name="gate"), L.Dense(2)]
    )
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'gate.*not affine"):
        innspect.create_analyzer("cam", hidden)


# ---------------------------------------------------------------------- resizing, and other libraries
@pytest.mark.parametrize("size", [(9, 14), (3, 2), (5, 5)])
def test_half_pixel_resizing_is_that_of_keras(size):
    maps = models.array(2, 5, 7, 1)
    theirs = ops.convert_to_numpy(
        ops.image.resize(maps, size, interpolation="bilinear", antialias=False, data_format="channels_last")
    )
    close(ops.convert_to_numpy(resized(ops.convert_to_tensor(maps[..., 0]), size)), theirs[..., 0])


@pytest.mark.parametrize("convention", ["half_pixel", "align_corners"])
def test_resizing_keeps_constants_and_corners(convention):
    for source, target in ((1, 4), (4, 1), (3, 7), (7, 3)):
        close(interpolation(source, target, convention).sum(axis=1), np.ones(target))
    corners = interpolation(4, 9, "align_corners")[[0, -1]]
    close(corners, np.eye(4)[[0, -1]])


@pytest.mark.parametrize(
    ("theirs", "name", "arguments"),
    [
        ("tf_keras_vis.Gradcam_zoom", "grad_cam", {}),
        ("tf_keras_vis.Layercam_zoom", "layer_cam", {}),
        ("tf_keras_vis.GradcamPlusPlus_zoom", "grad_cam_plus_plus", {"normalize_alpha": True}),
        ("tf_explain.GradCAM_raw", "grad_cam", {"upsample": False, "relu": False}),
        ("xplique.Occlusion_p4s4", "occlusion", {"window": 4, "stride": 4}),
        ("xplique.Occlusion_p5s3", "occlusion", {"window": 5, "stride": 3, "value": 0.5, "overlap": "sum", "border": "valid"}),
        ("saliency.Occlusion_5", "occlusion", {"window": 5, "stride": 1, "overlap": "sum", "border": "valid"}),
    ],
)
def test_other_libraries(theirs, name, arguments):
    with np.load(REFERENCES) as stored:
        model, x, targets = stored_model(stored), stored["inputs"], stored["targets"]
        extra = {} if name == "occlusion" else {"layer": "c2", "resize": "align_corners"}
        ours = innspect.create_analyzer(name, model, **extra, **arguments).analyze(x, targets)
        expected = stored[theirs]
        if name == "grad_cam_plus_plus":  # there with a factor exp(score)
            expected = expected * np.exp(-ops.convert_to_numpy(model(x))[np.arange(4), targets])[:, None, None]
        close(ours, expected, 1e-4)


def stored_model(stored):
    """The network of the reference file."""
    body = [
        L.Conv2D(8, 3, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(12, 3, padding="same", activation="relu", name="c2"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 3)), *body, L.GlobalAveragePooling2D(), L.Dense(5)])
    model.set_weights([stored[f"weights/{i}"] for i in range(6)])
    return model


def test_maps_of_one_position_are_told():
    x = keras.Input((3, 3, 1))
    h = L.GlobalAveragePooling2D()(L.Conv2D(2, 3, activation="relu")(x))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"single position, \(None, 1, 1, 2\): give larger inputs"):
        innspect.create_analyzer("cam", keras.Model(x, L.Dense(2)(h)))


def test_a_path_where_the_layer_depends_on_ids_only_is_refused():
    """The other input moves, but the layer does not see it."""
    inputs = {"ids": keras.Input((4,), dtype="int32", name="ids"), "numbers": keras.Input((2,), name="numbers")}
    h = L.Concatenate()([L.Flatten()(L.Embedding(9, 3, name="embedding")(inputs["ids"])), inputs["numbers"]])
    analyzer = innspect.create_analyzer("rsi_grad_cam", keras.Model(inputs, L.Dense(2)(h)), steps=2)
    with pytest.raises(ValueError, match="no straight path between ids or masks, which are all that the layer 'embedding'"):
        analyzer.analyze({"ids": models.ids(3, 4, below=9), "numbers": models.array(3, 2)})
