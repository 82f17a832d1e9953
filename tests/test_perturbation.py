"""Occlusion and RISE: exact on models whose answer is known, the same for networks and plain functions."""

import itertools

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect.analyzers.perturbation.rise import RandomMasks

SHAPES = [(7,), (9, 2), (6, 8, 2), (4, 5, 6, 2)]


def close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-12))


def linear(shape, seed=0):
    """A linear function of inputs of a shape with two outputs, and its weights (*shape, 2)."""
    weights = models.array(*shape, 2, seed=seed + 10)
    return lambda x: np.tensordot(x, weights, axes=len(shape)) + 1, weights


def network():
    body = [L.Conv2D(4, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")]
    return models.shake(keras.Sequential([keras.Input((8, 9, 2)), *body])), models.array(3, 8, 9, 2)


def brute_force(function, x, window, stride, value, overlap, border):
    """Occlusion of images, written out: maps and the number of windows over each pixel."""
    starts = []
    for n, w, s in zip(x.shape[1:3], window, stride, strict=True):
        inside = [i for i in range(0, n, s) if i + w <= n]
        if border == "clip" and inside[-1] + w < n and inside[-1] + s < n:
            inside.append(inside[-1] + s)
        starts.append(inside)
    total, count = np.zeros(x.shape[:3]), np.zeros(x.shape[1:3])
    for i, j in itertools.product(*starts):
        hidden = x.copy()
        hidden[:, i : i + window[0], j : j + window[1]] = value
        total[:, i : i + window[0], j : j + window[1]] += (function(x) - function(hidden))[:, None, None]
        count[i : i + window[0], j : j + window[1]] += 1
    return total if overlap == "sum" else total / np.maximum(count, 1)


# ---------------------------------------------------------------------- occlusion
@pytest.mark.parametrize("shape", SHAPES)
def test_a_window_of_one_pixel_gives_a_linear_models_terms(shape):
    function, weights = linear(shape)
    x = models.array(3, *shape)
    ours = innspect.create_analyzer("occlusion", function, window=1, stride=1, value=0.25).analyze(x, [1, 0, 1])
    terms = (x - 0.25) * np.moveaxis(weights[..., [1, 0, 1]], -1, 0)
    close(ours, terms if len(shape) == 1 else terms.sum(-1), 1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_side_by_side_and_one_over_everything(shape):
    function, _ = linear(shape)
    x, spatial = models.array(2, *shape), shape[:-1] or shape
    whole = function(x)[:, 0] - function(np.zeros_like(x))[:, 0]
    tiles = innspect.create_analyzer("occlusion", function, window=2, stride=2).sweep(x, 0)
    close(tiles.drops.reshape(2, -1).sum(1), whole, 1e-4)
    assert tiles.drops.shape[1:] == tuple(-(-n // 2) for n in spatial)
    ours = innspect.create_analyzer("occlusion", function, window=spatial, stride=1).analyze(x, 0)
    close(ours, np.broadcast_to(whole.reshape(-1, *[1] * len(spatial)), ours.shape), 1e-4)


@pytest.mark.host
@pytest.mark.parametrize(
    ("window", "stride", "overlap", "border"),
    [
        ((3, 3), (1, 1), "mean", "valid"),
        ((3, 2), (2, 3), "sum", "clip"),
        ((4, 5), (3, 3), "mean", "clip"),
        ((2, 2), (5, 5), "mean", "clip"),
    ],
)
def test_windows_are_those_written_out(window, stride, overlap, border):
    weights = models.array(8, 9, 2, seed=3)
    function = lambda x: np.tanh((x * weights).sum((1, 2, 3)) / 5)  # noqa: E731
    x, value = models.array(3, 8, 9, 2), np.array([0.5, -1])
    expected = brute_force(function, x, window, stride, value, overlap, border)
    arguments = {"window": window, "stride": stride, "overlap": overlap, "border": border, "value": value}
    for batch_size in (32, 2):
        close(innspect.create_analyzer("occlusion", function, **arguments).analyze(x, batch_size=batch_size), expected, 1e-4)


def test_what_hides():
    seen = []

    def function(x):
        seen.append(x)
        return x.sum((1, 2))

    x = models.array(2, 6, 6, 2) + 3
    x[1] *= 100  # another sample's values never show
    for value, expected in ((2.0, 2.0), ([1.0, -1.0], [1, -1]), ("mean", x[:1].mean((1, 2))), (x[1], None)):
        seen.clear()
        innspect.create_analyzer("occlusion", function, window=6, value=value).analyze(x, 0)
        hidden = seen[-1][:1]
        close(hidden, np.broadcast_to(x[1] if expected is None else expected, hidden.shape))
    seen.clear()
    innspect.create_analyzer("occlusion", function, window=3, value="blur").analyze(x[:1], 0)
    last = seen[-1][-1]
    assert 0 < last[3:, 3:].std() < 0.7 * x[0, 3:, 3:].std()
    np.testing.assert_array_equal(last[:3, :3], x[0, :3, :3])


@pytest.mark.host
@pytest.mark.usefixtures("eager")
def test_a_sweep_tells_classes_and_responses():
    model, x = network()
    sweep = innspect.create_analyzer("occlusion", model, window=3, stride=2, border="valid").sweep(
        x, [0, 1, 2], layer="conv", batch_size=4
    )
    maps = keras.Model(model.inputs, model.get_layer("conv").output)
    totals = ops.convert_to_numpy(maps([x])).sum((1, 2))
    np.testing.assert_array_equal(sweep.feature_map, totals.argmax(1))
    assert [s.tolist() for s in sweep.starts] == [[0, 2, 4], [0, 2, 4, 6]]
    for i, j in ((0, 0), (1, 3), (2, 2)):
        hidden = x.copy()
        hidden[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] = 0
        y = ops.convert_to_numpy(model(hidden))
        close(sweep.scores[:, i, j], y[[0, 1, 2], [0, 1, 2]])
        np.testing.assert_array_equal(sweep.classes[:, i, j], y.argmax(1))
        responses = ops.convert_to_numpy(maps([hidden])).sum((1, 2))[[0, 1, 2], sweep.feature_map]
        close(sweep.responses[:, i, j], responses)
    chosen = innspect.create_analyzer("occlusion", model, window=3).sweep(x, layer="conv", feature_map=1)
    assert chosen.feature_map.tolist() == [1, 1, 1]


# ---------------------------------------------------------------------- RISE
@pytest.mark.host
@pytest.mark.parametrize(
    ("size", "grid", "probability"), [((20,), 7, 0.5), ((16, 23), 7, 0.3), ((32, 5), 4, 0.1), ((6, 7, 8), 3, 0.8)]
)
def test_masks_are_unbiased(size, grid, probability):
    masks = RandomMasks(size, 8000, grid, probability, seed=0).take(np.arange(8000))
    assert masks.shape == (8000, *size)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert np.abs(masks.mean(axis=0) - probability).max() < 0.02
    if len(size) == 1:  # between two cells there are four values, so more are several shifts
        assert len(np.unique(masks[:, 10].round(5))) > 4


@pytest.mark.host
def test_rise_is_the_mean_of_masks_weighted_by_scores():
    model, x = network()
    masks = RandomMasks((8, 9), 37, 7, 0.5, seed=4).take(np.arange(37))
    scores = np.stack([ops.convert_to_numpy(model(x * m[..., None])) for m in masks])  # (masks, samples, classes)
    expected = np.einsum("mbc,mij->cbij", scores, masks) / (37 * 0.5)
    analyzer = innspect.create_analyzer("rise", model, num_masks=37, seed=4)
    close(analyzer.analyze(x, neurons=[0, 1, 2]), expected)
    close(analyzer.analyze(x, 2, batch_size=5), expected[2])
    np.testing.assert_array_equal(analyzer.analyze(x, 1), analyzer.analyze(x, 1))
    close(innspect.create_analyzer("rise", model, masks=masks).analyze(x, 1), expected[1] * 0.5 / masks.mean())
    hidden = np.stack([ops.convert_to_numpy(model(x * m[..., None] + 2 * (1 - m[..., None])))[:, 1] for m in masks])
    filled = innspect.create_analyzer("rise", model, num_masks=37, seed=4, value=2.0)
    close(filled.analyze(x, 1), np.einsum("mb,mij->bij", hidden, masks) / (37 * 0.5))
    other = innspect.create_analyzer("rise", model, num_masks=37, seed=5).analyze(x, 2)
    assert np.abs(other - expected[2]).max() > 1e-2 * expected[2].max()


@pytest.mark.host
def test_rise_of_a_constant_and_with_all_kept():
    x = models.array(2, 10, 12, 3)
    constant = lambda x: np.full((len(x), 2), 3.0)  # noqa: E731
    maps = innspect.create_analyzer("rise", constant, num_masks=3000).analyze(x, 0)
    assert np.abs(maps - 3).max() < 3 * 0.05
    exact = innspect.create_analyzer("rise", constant, num_masks=50, normalize="masks").analyze(x, 0)
    close(exact, np.full((2, 10, 12), 3.0))
    model = lambda x: x.mean((1, 2))  # noqa: E731
    kept = innspect.create_analyzer("rise", model, num_masks=4, probability=1).analyze(x, 1)
    close(kept, np.broadcast_to(model(x)[:, 1, None, None], kept.shape))


def test_rise_finds_what_matters():
    x = np.ones((1, 14, 14, 1), "float32")
    corner = lambda x: x[:, :4, :4].mean((1, 2, 3))  # noqa: E731
    lens = innspect.create_analyzer("rise", corner, num_masks=1500).analyze(x)[0]
    assert lens[:4, :4].min() > lens[7:, 7:].max()


# ---------------------------------------------------------------------- any model
@pytest.mark.parametrize(("name", "arguments"), [("occlusion", {"window": 3}), ("rise", {"num_masks": 20})])
def test_a_network_and_its_function_get_the_same_map(name, arguments):
    model, x = network()
    analyzer = innspect.create_analyzer(name, model, **arguments)
    expected = analyzer.analyze(x, [2, 0, 1])
    assert expected.shape == x.shape[:3]
    function = lambda x: ops.convert_to_numpy(model(x))  # noqa: E731
    plain = innspect.create_analyzer(name, function, **arguments)
    close(plain.analyze(x, [2, 0, 1]), expected)
    inside = innspect.create_analyzer(name, lambda d: [function(d["image"])], **arguments)
    close(inside.analyze({"image": x}, [2, 0, 1])["image"], expected)
    close(analyzer.analyze(x, lambda y: y[:, 1] * 1), analyzer.analyze(x, 1))
    close(analyzer.analyze(np.stack([x[0], 1e3 * x[1]]), 1)[0], analyzer.analyze(x[:1], 1)[0])
    assert np.abs(analyzer.analyze(x, 0) - analyzer.analyze(x, 1)).max() > 1e-3
    weights = np.array([0.0, 2.0, 0.0])
    close(analyzer.analyze(x, weights), 2 * analyzer.analyze(x, 1))
    explanation = plain.explain(x)
    close(explanation.outputs, function(x))
    close(explanation.targets, function(x).max(1))
    assert plain.analyze(x[:0]).shape == (0, 8, 9)


@pytest.mark.usefixtures("eager")
def test_logit_or_output():
    model, x = network()
    logits = innspect.create_analyzer("occlusion", innspect.model_wo_softmax(model), window=8).analyze(x, 1)
    close(innspect.create_analyzer("occlusion", model, window=8, head="logit").analyze(x, 1), logits)
    assert np.abs(logits - innspect.create_analyzer("occlusion", model, window=8).analyze(x, 1)).max() > 1e-3


@pytest.mark.host
@pytest.mark.usefixtures("eager")
def test_inputs_of_every_kind():
    words = keras.Input((6,), dtype="int32")
    model = models.shake(keras.Model(words, L.Dense(2)(L.GlobalAveragePooling1D()(L.Embedding(9, 5, name="table")(words)))))
    ids = models.ids(2, 6, below=9)
    table, kernel = (ops.convert_to_numpy(w) for w in (model.get_layer("table").embeddings, model.layers[-1].kernel))
    terms = (table[ids] - table[0]) @ kernel[:, 1] / 6
    close(innspect.create_analyzer("occlusion", model, window=1, stride=1).analyze(ids, 1), terms, 1e-4)
    with pytest.raises(ValueError, match="ids; take 'occlusion'"):
        innspect.create_analyzer("rise", model).analyze(ids)

    a, b = keras.Input((6, 6, 1)), keras.Input((4,))
    model = models.shake(keras.Model([a, b], L.Dense(2)(L.Concatenate()([L.Flatten()(a), b]))))
    x = [models.array(2, 6, 6, 1), models.array(2, 4)]
    image, features = innspect.create_analyzer("occlusion", model, window=1, stride=1).analyze(x, 0)
    kernel = ops.convert_to_numpy(model.layers[-1].kernel)[:, 0]
    close(image, x[0][..., 0] * kernel[:36].reshape(6, 6), 1e-4)
    close(features, x[1] * kernel[36:], 1e-4)

    first = lambda x: x[:, 1].sum((1, 2))  # noqa: E731
    x = models.array(2, 3, 5, 6)
    ours = innspect.create_analyzer("occlusion", first, window=1, stride=1, channel_axis=1).analyze(x)
    close(ours, x[:, 1])
    grey = lambda x: x.sum((1, 2))  # noqa: E731
    ours = innspect.create_analyzer("occlusion", grey, window=1, stride=1, channel_axis=None).analyze(x[:, 0])
    close(ours, x[:, 0], 1e-4)


def test_a_model_that_cannot_be_opened_can_be_called():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.built = True

        def call(self, x):
            return ops.convert_to_tensor(ops.convert_to_numpy(x).sum((1, 2)))

        def get_build_config(self):
            return {"input_shape": (None, 4, 4, 3)}

    model, x = Hidden(), models.array(2, 4, 4, 3)
    if keras.backend.backend() != "torch":  # which runs it to learn its output's shape
        with pytest.raises(innspect.NotAnalyzeableModelError):
            innspect.create_analyzer("gradient", model)
    close(innspect.create_analyzer("occlusion", model, window=1, stride=1).analyze(x, 2), x[..., 2])


def test_progress_and_refusals(capsys):
    function = lambda x: x.mean((1, 2))  # noqa: E731
    x = models.array(2, 8, 8, 3)
    innspect.create_analyzer("rise", function, num_masks=40).analyze(x, verbose=1)
    assert "80/80" in capsys.readouterr().out
    cases = [
        ("occlusion", {"window": 9}, ValueError, r"must fit into the input, whose spatial axes are \(8, 8\)"),
        ("occlusion", {"window": 0}, ValueError, "positive integer"),
        ("occlusion", {"stride": (1, 2, 3)}, ValueError, "2 spatial axes"),
        ("occlusion", {"value": "grey"}, ValueError, "'mean' or 'blur'"),
        ("occlusion", {"value": [1, 2]}, ValueError, "one for each channel"),
        ("occlusion", {"overlap": "max"}, ValueError, "'mean' or 'sum'"),
        ("occlusion", {"border": "same"}, ValueError, "'clip' or 'valid'"),
        ("occlusion", {"head": "logit"}, ValueError, "needs a Keras model"),
        ("occlusion", {"channel_axis": 7}, ValueError, "channel_axis"),
        ("rise", {"num_masks": 0}, ValueError, "positive integer"),
        ("rise", {"probability": 0}, ValueError, "above 0"),
        ("rise", {"masks": np.ones((4, 5, 5))}, ValueError, r"\('masks', 8, 8\)"),
    ]
    for name, arguments, error, message in cases:
        with pytest.raises(error, match=message):
            innspect.create_analyzer(name, function, **arguments).analyze(x)
    for bad, message in ((lambda x: x[:1], "one row of numbers for each"), (lambda x: 1.0, "one row")):
        with pytest.raises(ValueError, match=message):
            innspect.create_analyzer("rise", bad).analyze(x)
    with pytest.raises(TypeError, match="function from a batch"):
        innspect.create_analyzer("rise", "model")
    with pytest.raises(ValueError, match="between 0 and 2"):
        innspect.create_analyzer("rise", function).analyze(x, 3)
    with pytest.raises(ValueError, match="whose layers can be seen"):
        innspect.create_analyzer("occlusion", function).sweep(x, layer="conv")
    with pytest.raises(TypeError, match="cannot be saved"):
        innspect.create_analyzer("occlusion", function).save("nowhere.zip")


@pytest.mark.usefixtures("eager")
def test_rise_of_another_library():
    with np.load("tests/references/maps.npz") as stored:
        body = [
            L.Conv2D(8, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(12, 3, padding="same", activation="relu"),
        ]
        model = keras.Sequential([keras.Input((16, 16, 3)), *body, L.GlobalAveragePooling2D(), L.Dense(5)])
        model.set_weights([stored[f"weights/{i}"] for i in range(6)])
        for n, masks in enumerate(stored["xplique.Rise.masks"]):
            analyzer = innspect.create_analyzer("rise", model, masks=masks, normalize="masks")
            ours = analyzer.analyze(stored["inputs"][n : n + 1], int(stored["targets"][n]))
            close(ours[0], stored["xplique.Rise"][n], 1e-4)
