"""How far means of draws are from the truth, and when drawing stops (METRICS 8)."""

import re

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.base import sampling
from innspect.visualize.uncertainty import error_text

SIZE = 2000


def diagonal(power, size=SIZE, classes=1, seed=0):
    """f = sum of a x^power, and a: all that is drawn is independent from position to position."""
    inputs = keras.Input((size,))
    powers = inputs if power == 1 else L.Multiply()([inputs] * power)
    model = keras.Model(inputs, L.Dense(classes, use_bias=False)(powers))
    a = np.random.default_rng(seed).uniform(0.5, 2, (size, classes)).astype("float32")
    model.set_weights([a])
    return model, a[:, 0].astype("float64")


@pytest.fixture(scope="module")
def quadratic():
    return diagonal(2)


def samples(count, size=SIZE, seed=1):
    return np.random.default_rng(seed).uniform(0.5, 1.5, (count, size)).astype("float32")


def share(explanation, of=None):
    found = explanation.details["error"] if of is None else of
    return np.linalg.norm(found, axis=-1) / np.linalg.norm(explanation.attributions, axis=-1)


# ---------------------------------------------------------------------- averages over noise
def test_the_error_of_a_linear_model_is_zero():
    model, _ = diagonal(1, size=30)
    explanation = innspect.create_analyzer("smoothgrad", model, num_samples=20).explain(samples(3, 30), batch_size=7)
    assert share(explanation).max() < 1e-6
    stopped = innspect.create_analyzer("smoothgrad", model, tolerance=1e-5).explain(samples(3, 30))
    np.testing.assert_array_equal(stopped.details["draws"], [8, 8, 8])


@pytest.mark.parametrize("count", [16, 64])
def test_the_interval_of_a_quadratic_model_covers_the_truth(quadratic, count):
    stats = pytest.importorskip("scipy.stats")
    model, a = quadratic
    x = samples(1)
    found = innspect.create_analyzer("smoothgrad", model, num_samples=count, noise_scale=0.5).explain(x)
    wide = stats.t.ppf(0.975, count - 1) * found.details["error"][0]
    covered = np.abs(found.attributions[0] - 2 * a * x[0]) <= wide
    assert 0.93 <= covered.mean() <= 0.97


def test_the_error_falls_as_the_root_of_the_draws(quadratic):
    model, _ = quadratic
    errors = [
        np.linalg.norm(innspect.create_analyzer("smoothgrad", model, num_samples=n).explain(samples(1)).details["error"])
        for n in (16, 64, 256)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("batch_size", [1, 5, 32])
@pytest.mark.parametrize("method", ["smoothgrad", "smoothgrad.squared", "vargrad"])
def test_errors_by_brute_force(quadratic, method, batch_size):
    model, a = quadratic
    x, n, scale = samples(2), 21, 0.3
    explanation = innspect.create_analyzer(method, model, num_samples=n, noise_scale=scale).explain(x, batch_size=batch_size)
    noise = np.stack([np.random.default_rng([0, k]).standard_normal(SIZE, "float32") for k in range(n)])
    gradients = 2 * a * (x[:, None] + scale * noise[None].astype("float64"))
    draws = np.square(gradients) if method == "smoothgrad.squared" else gradients
    expected = draws.std(axis=1, ddof=1) / np.sqrt(n)
    if method == "vargrad":
        fourth = np.mean((draws - draws.mean(axis=1, keepdims=True)) ** 4, axis=1)
        expected = np.sqrt((fourth - draws.var(axis=1, ddof=1) ** 2 * (n - 3) / (n - 1)) / n)
    np.testing.assert_allclose(explanation.details["error"], expected, rtol=2e-3, atol=1e-3 * expected.mean())
    assert explanation.details["draws"].tolist() == [n, n]


def test_the_error_of_a_variance_is_what_it_varies_by():
    model, a = diagonal(2)
    x, n = samples(1), 200
    found = innspect.create_analyzer("vargrad", model, num_samples=n, noise_scale=0.5).explain(x, batch_size=64)
    apart = found.attributions[0] * n / (n - 1) - a**2  # (2 a 0.5)^2
    assert np.mean((apart / a**2) ** 2) == pytest.approx(np.mean((found.details["error"][0] / a**2) ** 2), rel=0.15)


def test_one_draw_has_no_error(quadratic):
    explanation = innspect.create_analyzer("smoothgrad", quadratic[0], num_samples=1).explain(samples(2))
    assert np.isnan(explanation.details["error"]).all()
    assert explanation.relative_error.shape == (2,)


# ---------------------------------------------------------------------- when it stops
@pytest.fixture(scope="module")
def uneven():
    """Samples whose gradients are of different strengths, so that they need different numbers of draws."""
    model, _ = diagonal(2, size=50, classes=3)
    return model, samples(5, 50) * np.array([[0.1], [1], [0.3], [4], [0.6]], "float32")


@pytest.mark.parametrize("method", ["smoothgrad", "smoothgrad.squared", "vargrad"])
def test_it_stops_where_it_says(uneven, method):
    model, x = uneven
    given = {"noise_scale": 0.4, "seed": 3}
    tolerance = 0.3 if method == "vargrad" else 0.1
    analyzer = innspect.create_analyzer(method, model, tolerance=tolerance, num_samples=300, **given)
    found = analyzer.explain(x, 0, batch_size=8)
    draws = found.details["draws"]
    assert len(set(draws)) > 1 or method == "vargrad"
    assert ((found.relative_error <= tolerance) | (draws == 300)).all()
    for i, count in enumerate(draws):
        whole = innspect.create_analyzer(method, model, num_samples=int(count), **given).explain(x[i : i + 1], 0)
        np.testing.assert_allclose(found.attributions[i], whole.attributions[0], rtol=1e-4)
        np.testing.assert_allclose(found.details["error"][i], whole.details["error"][0], rtol=1e-2)
        alone = analyzer.explain(x[i : i + 1], 0)
        assert alone.details["draws"] == count
        np.testing.assert_allclose(found.attributions[i], alone.attributions[0], rtol=1e-4)
        if count > 8:
            before = count // 2 if count < 300 else 256
            half = innspect.create_analyzer(method, model, num_samples=int(before), **given).explain(x[i : i + 1], 0)
            assert half.relative_error[0] > tolerance
    np.testing.assert_array_equal(analyzer.analyze(x, 0, batch_size=8), found.attributions)


def test_neurons_stop_by_themselves(uneven):
    model, x = uneven
    analyzer = innspect.create_analyzer("smoothgrad", model, tolerance=0.1, num_samples=64, noise_scale=0.4)
    found = analyzer.explain(x, neurons=[0, None])
    for k, neuron in enumerate([0, None]):
        alone = analyzer.explain(x, neuron)
        np.testing.assert_array_equal(found.details["draws"][k], alone.details["draws"])
        np.testing.assert_allclose(found.details["error"][k], alone.details["error"], rtol=1e-2)


def test_memory_does_not_grow_with_the_draws(uneven):
    """No call of the model is larger than a batch."""
    model, x = uneven
    analyzer = innspect.create_analyzer("smoothgrad", model, tolerance=0.01, num_samples=64, noise_scale=0.4)
    sizes, run = [], analyzer.runner.run

    def watched(points, moves, ws, backward):
        sizes.append(len(points.xs[0]) * len(ws))
        return run(points, moves, ws, backward)

    analyzer.runner.run = watched
    analyzer.explain(x, batch_size=3)
    assert max(sizes) <= 3


# ---------------------------------------------------------------------- RISE
def looked_at(x):
    return (x[..., 0] * np.linspace(0, 2, x.shape[1])[:, None]).sum(axis=(1, 2)) + 1


@pytest.mark.parametrize("normalize", ["probability", "masks"])
def test_rise_by_brute_force(normalize):
    random = np.random.default_rng(0)
    masks, x = random.random((40, 5, 6)), random.random((3, 5, 6, 1)).astype("float32")
    found = innspect.create_analyzer("rise", looked_at, masks=masks, normalize=normalize).explain(x, batch_size=7)
    scores = np.stack([looked_at(x * m[None, :, :, None]) for m in masks])  # (masks, samples)
    product = scores[..., None, None] * masks[:, None]
    if normalize == "probability":
        expected = (product / masks.mean()).std(axis=0, ddof=1) / np.sqrt(40)
    else:
        map = product.sum(axis=0) / masks.sum(axis=0)
        expected = np.sqrt((masks[:, None] ** 2 * (scores[..., None, None] - map) ** 2).sum(axis=0)) / masks.sum(axis=0)
    np.testing.assert_allclose(found.details["error"], expected, rtol=1e-4)
    assert found.details["error"].shape == found.attributions.shape == (3, 5, 6)
    assert found.details["draws"].tolist() == [40] * 3


@pytest.mark.parametrize("normalize", ["probability", "masks"])
def test_rise_stops(normalize):
    x = np.random.default_rng(0).random((4, 12, 12, 1)).astype("float32") * np.array([0.02, 1, 5, 0.2]).reshape(4, 1, 1, 1)
    given = {"grid": 3, "normalize": normalize}
    tolerance = 0.1 if normalize == "probability" else 0.03
    analyzer = innspect.create_analyzer("rise", looked_at, num_masks=1000, tolerance=tolerance, **given)
    found = analyzer.explain(x)
    assert (found.relative_error <= tolerance).all()
    assert (found.details["draws"] < 1000).all()
    for i, count in enumerate(found.details["draws"]):
        alone = analyzer.explain(x[i : i + 1])
        assert alone.details["draws"] == count
        np.testing.assert_allclose(alone.attributions[0], found.attributions[i], rtol=1e-4)
    every = analyzer.explain(x, neurons=[None, None])
    np.testing.assert_allclose(every.details["error"][1], found.details["error"], rtol=1e-3)


def test_a_model_that_says_always_the_same_has_no_error_by_the_masks():
    found = innspect.create_analyzer("rise", lambda x: np.ones(len(x)), normalize="masks", num_masks=50, grid=2).explain(
        np.ones((1, 6, 6, 1), "float32")
    )
    assert np.nanmax(found.details["error"]) < 1e-6


# ---------------------------------------------------------------------- DeepSHAP
@pytest.fixture(scope="module")
def background():
    return np.random.default_rng(5).normal(size=(50, 20)).astype("float32")


def test_deep_shap_by_brute_force(background):
    model, x = diagonal(2, size=20)[0], samples(3, 20)
    found = innspect.create_analyzer("deep_shap", model, background=background).explain(x, batch_size=16)
    draws = np.stack([innspect.create_analyzer("deep_lift", model, reference_inputs=r).analyze(x) for r in background])
    expected = draws.std(axis=0, ddof=1, dtype="float64") / np.sqrt(50)
    np.testing.assert_allclose(found.details["error"], expected, rtol=1e-3)
    np.testing.assert_allclose(found.attributions, draws.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_deep_shap_stops(background):
    model, x = diagonal(2, size=20)[0], samples(3, 20) * np.array([[0.3], [1], [5]], "float32")
    analyzer = innspect.create_analyzer("deep_shap", model, background=background, tolerance=0.2)
    found = analyzer.explain(x)
    draws = found.details["draws"]
    assert (((found.relative_error <= 0.2) & (draws < 50)) | (draws == 50)).all()
    assert len(set(draws)) > 1
    for i, count in enumerate(draws):
        taken = background[sampling.shuffled(50)[:count]]
        whole = innspect.create_analyzer("deep_shap", model, background=taken).explain(x[i : i + 1])
        np.testing.assert_allclose(found.attributions[i], whole.attributions[0], rtol=1e-4, atol=1e-4)
    assert np.abs(found.delta / found.targets).max() < 1e-4


# ---------------------------------------------------------------------- integrated gradients
@pytest.mark.parametrize("steps", [2, 8, 10])
@pytest.mark.parametrize("quadrature", ["trapezoid", "midpoint"])
def test_the_error_of_a_cubic_is_exact(quadrature, steps):
    model, a = diagonal(3, size=20)
    x = samples(2, 20)
    given = {"tolerance": 1e-9} if quadrature == "midpoint" else {}
    analyzer = innspect.create_analyzer("integrated_gradients", model, quadrature=quadrature, steps=steps, missing=1, **given)
    found = analyzer.explain(x)
    off = np.abs(found.attributions - a * x.astype("float64") ** 3)
    np.testing.assert_allclose(found.details["error"], off, rtol=0.02, atol=2e-6)


@pytest.mark.parametrize("quadrature", ["left", "right"])
def test_the_error_of_one_sided_sums_is_near(quadrature):
    model, a = diagonal(3, size=20)
    x = samples(2, 20)
    found = innspect.create_analyzer("integrated_gradients", model, quadrature=quadrature, missing=1).explain(x)
    np.testing.assert_allclose(found.details["error"], np.abs(found.attributions - a * x**3), rtol=0.05)


def test_several_references_and_what_has_no_error():
    model, _ = diagonal(3, size=20)
    x, references = samples(2, 20), np.zeros((2, 1, 20), "float32")
    references[1] = 0.5
    found = innspect.create_analyzer("integrated_gradients", model, steps=8, reference_inputs=references).explain(x)
    truth = innspect.create_analyzer(
        "integrated_gradients", model, steps=4, reference_inputs=references, quadrature="gausslegendre"
    )
    np.testing.assert_allclose(found.details["error"], np.abs(found.attributions - truth.analyze(x)), rtol=0.02, atol=1e-5)
    for given in ({"steps": 7}, {"quadrature": "midpoint"}, {"quadrature": "gausslegendre"}):
        assert "error" not in innspect.create_analyzer("integrated_gradients", model, **given).explain(x).details


@pytest.mark.parametrize("quadrature", ["trapezoid", "midpoint", "left", "gausslegendre"])
def test_steps_stop(quadrature):
    model, _ = diagonal(3, size=20)
    x = samples(3, 20)
    arguments = {"quadrature": quadrature, "missing": 1, "steps": 200}
    analyzer = innspect.create_analyzer("integrated_gradients", model, tolerance=0.004, **arguments)
    found = analyzer.explain(x)
    expected = {"trapezoid": 16, "midpoint": 8, "left": 200, "gausslegendre": 8}[quadrature]
    assert found.details["steps"].tolist() == [expected] * 3
    plain = innspect.create_analyzer("integrated_gradients", model, **arguments | {"steps": expected}).analyze(x)
    np.testing.assert_allclose(found.attributions, plain, rtol=1e-6)


def test_auto_asks_for_both():
    model, _ = diagonal(3, size=20)
    x = samples(2, 20)
    for tolerance, missing, expected in ((1, 1, 8), (0.0004, 1, 64), (1, 0.0002, 64), (None, 1, 64)):
        analyzer = innspect.create_analyzer("integrated_gradients", model, steps="auto", tolerance=tolerance, missing=missing)
        assert analyzer.explain(x).details["steps"].tolist() == [expected] * 2, (tolerance, missing)


# ---------------------------------------------------------------------- forms, arguments
def test_several_inputs_have_errors_in_their_structure():
    a, b = keras.Input((4,), name="a"), keras.Input((3, 2), name="b")
    h = L.Concatenate()([L.Multiply()([a, a]), L.Flatten()(L.Multiply()([b, b]))])
    model = keras.Model({"a": a, "b": b}, L.Dense(2)(h))
    x = {"a": samples(3, 4), "b": samples(3, 6).reshape(3, 3, 2)}
    zero = {k: np.concatenate([v, v + 1, v + 2]) for k, v in x.items()}
    for method, given in (
        ("smoothgrad", {"num_samples": 40}),
        ("rise", {"num_masks": 40, "grid": 2}),
        ("deep_shap", {"background": zero}),
        ("integrated_gradients", {"steps": 16}),
    ):
        for tolerance in (None, 0.3):
            found = innspect.create_analyzer(method, model, tolerance=tolerance, **given).explain(x)
            shapes = {k: v.shape for k, v in found.attributions.items()}
            assert {k: v.shape for k, v in found.details["error"].items()} == shapes, method
            assert found.relative_error.shape == (3,)


def test_ids_have_errors_too(tmp_path):
    ids = keras.Input((5,), dtype="int32")
    h = L.Flatten()(L.Embedding(7, 3)(ids))
    model = keras.Model(ids, L.Dense(2)(L.Dense(4, activation="tanh")(h)))
    x = np.array([[1, 2, 3, 4, 0], [6, 5, 1, 1, 2]], "int32")
    for method in ("smoothgrad", "integrated_gradients"):
        found = innspect.create_analyzer(method, model, tolerance=0.2).explain(x)
        assert found.details["error"].shape == (2, 5)
    found.save(tmp_path / "found.npz")
    np.testing.assert_array_equal(innspect.Explanation.load(tmp_path / "found.npz").details["error"], found.details["error"])


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad", "rise", "deep_shap", "integrated_gradients"])
def test_hostile_tolerances(method, background):
    model, _ = diagonal(2, size=20)
    given = {"background": background} if method == "deep_shap" else {}
    for wrong in (-0.1, float("nan"), "2 %", True):
        with pytest.raises((ValueError, TypeError), match="`tolerance`"):
            innspect.create_analyzer(method, model, tolerance=wrong, **given)
    made = innspect.create_analyzer(method, model, tolerance=0.1, **given)
    assert not made.one_graph  # it looks at numbers before it goes on
    assert type(made)(model, **made.get_config()).tolerance == 0.1


def test_odd_steps_have_no_half():
    with pytest.raises(ValueError, match="`steps` must be even"):
        innspect.create_analyzer("integrated_gradients", diagonal(2, size=3)[0], steps=9, tolerance=0.1)


# ---------------------------------------------------------------------- what is said
def test_an_error_that_is_not_small_is_said():
    model, _ = diagonal(2, size=16, classes=3)
    x = samples(2, 16)
    coarse, fine = ("smoothgrad", {"num_samples": 4, "noise_scale": 1}), ("smoothgrad", {"noise_scale": 1e-3})
    page = innspect.report(model, x, {"coarse": coarse, "fine": fine, "gradient": "gradient"}).html
    assert re.search(r"<b>coarse</b>: sampling error \d+%( to \d+%)? of the map for (\d+) of \2 maps", page)
    assert "<b>fine</b>: " not in page
    assert "How sure" not in innspect.report(model, x, {"fine": fine, "gradient": "gradient"}).html
    explained = innspect.create_analyzer(coarse[0], model, **coarse[1]).explain(x, neurons=[0, 1])
    assert explained._repr_html_().count("sampling error") == 4
    steps = innspect.create_analyzer("integrated_gradients", diagonal(3, size=16, classes=2)[0], steps=2, missing=1)
    assert steps.explain(x)._repr_html_().count("numerical error 11% of the map") == 2  # 1 / 8 of the truth


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        (0.12, "sampling error 12% of the map"),
        ([0.01, 0.05, np.nan], ""),
        ([0.01, 0.06, 0.2], "sampling error 6% to 20% of the map for 2 of 3 maps"),
    ],
)
def test_error_text(shares, text):
    assert error_text(shares) == text


def test_the_relative_error_of_a_map_that_is_zero():
    zeros = np.zeros((2, 3))
    explanation = innspect.Explanation(zeros, zeros, np.zeros(2), details={"error": np.array([[0, 0, 0], [0, 1, 0.0]])})
    np.testing.assert_array_equal(explanation.relative_error, [0, np.nan])
    assert innspect.Explanation(zeros, zeros, np.zeros(2)).relative_error is None
