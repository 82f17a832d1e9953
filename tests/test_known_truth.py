"""Known truth: what is planted, which networks are refused, and that methods are scored as METRICS 8 says."""

import functools

import hostile
import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake

import innspect
from innspect import evaluation as E
from innspect.evaluation.planted.distractor import Distractor
from innspect.evaluation.planted.stamps import Stamps
from innspect.evaluation.planted.tasks import Task
from innspect.evaluation.planted.tetrominoes import Tetrominoes

# Of three samples of seed 1: sums of y, of x, of |x|, and of the masks.
DRAWN = {
    "distractor": (-1.876402, -5.91574, 12.52791, 3),
    "linear.white": (1, 18.41504, 133.67896, 24),
    "linear.correlated": (2, 100.31149, 144.47311, 24),
    "multiplicative.white": (0, -21.69318, 155.16805, 24),
    "multiplicative.correlated": (2, 155.79893, 164.97321, 24),
    "translation.white": (0, 23.46812, 80.15758, 12),
    "translation.correlated": (1, -13.95723, 104.51024, 12),
    "xor.white": (2, -2.46995, 119.38853, 24),
    "xor.correlated": (2, -9.91722, 179.66928, 24),
}


class Untrained(Task):
    """A part of a task that is trained by no step, and never refused."""

    def trained(self, seed):
        return self.network(seed)


def untrained(made, *arguments, **more):
    one = type("Untrained", (Untrained, made), {"accuracy": 0.0})(*arguments, **more)
    one.accuracy = 0.0
    return one


class Truth:
    """An analyzer that knows what was planted."""

    name, signed, scale = "truth", True, None

    def get_config(self):
        return {}

    def __init__(self, task, seed, network, judged=64):
        self.known = {}
        for start in range(0, judged, 32):
            planted = task.draw(32, seed, f"held out {start}")
            maps = planted.masks.astype("float32") if planted.truth is None else planted.truth
            self.known |= {x.tobytes(): r for x, r in zip(planted.x, maps, strict=True)}

    def analyze(self, x, neuron_selection=None, **arguments):
        return np.stack([self.known[one.tobytes()] for one in np.asarray(x)])

    explain = analyze


# ---------------------------------------------------------------------- what is drawn
@pytest.mark.parametrize("name", DRAWN)
def test_tasks_are_the_same_on_every_backend(name):
    planted = E.task(name).draw(3, 1)
    found = planted.y.sum(), planted.x.sum(), np.abs(planted.x).sum(), planted.masks.sum()
    assert np.allclose(found, DRAWN[name], rtol=1e-5, atol=1e-4)
    assert planted.x.dtype == "float32"


def test_draws_depend_on_the_seed_and_on_what_they_are_for():
    task = E.task("xor.correlated")
    same, seed, purpose = task.draw(4), task.draw(4, 1), task.draw(4, 0, "training 1")
    assert np.array_equal(same.x, task.draw(4, 0, "held out").x)
    assert not np.allclose(same.x, seed.x)
    assert not np.allclose(same.x, purpose.x)


@pytest.mark.parametrize("background", ["white", "correlated"])
def test_noise_and_shape_have_mean_square_one(background):
    noise = Tetrominoes("linear", background, share=1e-9).draw(4000).x
    assert np.square(noise).mean() == pytest.approx(1, abs=0.1)
    shape = Tetrominoes("linear", background, share=1.0).draw(64).x
    assert np.square(shape).mean() == pytest.approx(1, abs=1e-6)


def test_correlated_noise_is_the_gaussian_filter():
    ndimage = pytest.importorskip("scipy.ndimage")
    white = np.random.default_rng(0).normal(size=(8, 8))
    smooth = Tetrominoes("xor", "correlated")._smooth
    assert np.allclose(smooth @ white @ smooth.T, ndimage.gaussian_filter(white, 3), atol=1e-12)


def test_the_shapes_are_where_the_truth_says():
    for kind, count in (("linear", 8), ("multiplicative", 8), ("translation", 4), ("xor", 8)):
        task = Tetrominoes(kind, "white", share=1.0)
        planted = task.draw(64)
        assert (planted.masks.sum(axis=(1, 2)) == count).all()
        if kind != "multiplicative":
            assert not planted.x[..., 0][~planted.masks].any()
        assert planted.distractors is None
    xor = Tetrominoes("xor", "white", share=1.0).draw(64)
    product = xor.x[:, 1, 1, 0] * xor.x[:, 4, 5, 0]  # T's and L's first corners
    assert np.array_equal(product < 0, xor.y == 1)
    large = Tetrominoes("linear", "correlated", size=16).draw(2)
    assert large.masks.sum() == 2 * 8 * 4
    assert np.array_equal(large.distractors, ~large.masks)


# ---------------------------------------------------------------------- how methods are scored
@pytest.mark.parametrize(
    "task",
    [untrained(Distractor), untrained(Tetrominoes, "linear", "correlated"), untrained(Tetrominoes, "translation", "white")],
    ids=lambda task: task.name,
)
def test_the_truth_scores_one_and_random_maps_score_chance(task):
    chance = {}
    for seed in range(6):
        truth = {"truth": functools.partial(Truth, task, seed)}
        found = E.benchmark([task], truth, [seed], samples=24, judged=64)
        for label, of in found.results.items():
            score = label.rpartition("/")[2]
            best = 0 if score == "suppressor_share" else 1
            assert of["truth"].values == pytest.approx(best, abs=1e-6), label
            chance.setdefault(score, []).append(of["random"].values[0])
    assert ("sign_accuracy" in chance) == (task.name == "distractor")
    assert ("emd" in chance) == (task.name != "distractor")
    assert ("suppressor_share" in chance) == (task.name != "translation.white")
    share = task.draw(1).masks.mean()
    for score in ("relevance_mass", "relevance_rank"):
        values = np.array(chance[score])
        assert abs(values.mean() - share) < 3 * max(values.std(ddof=1), 0.01) / np.sqrt(len(values)) + 0.01


def test_a_value_is_the_mean_over_the_samples_of_a_network():
    task = untrained(Tetrominoes, "linear", "white")
    both, one = (E.benchmark([task], ["gradient"], seeds, samples=4, judged=32) for seeds in ([3, 5], [5]))
    label = "linear.white/relevance_mass"
    assert both.values[label]["gradient"].shape == (2,)
    assert both.values[label]["gradient"][1] == pytest.approx(one.values[label]["gradient"][0], abs=1e-6)
    assert np.isnan(one.interval(label, "gradient")).all()
    assert np.isfinite(both.interval(label, "gradient")).all()
    network = task.network(5)
    planted = task.held_out(network, 5, 4, 32).planted
    gradient = innspect.create_analyzer("gradient", network)
    alone = E.relevance_mass(network, planted.x, gradient, planted.y, masks=planted.masks, sign="abs", seed=5)
    assert alone.mean == pytest.approx(one.mean(label, "gradient"), abs=1e-6)


class Short(Tetrominoes):
    """What no network learns in a step."""

    def __init__(self):
        super().__init__("xor", "white")
        self.steps = 1


def test_a_network_that_did_not_learn_is_refused_and_never_scored():
    found = E.benchmark([Short()], ["gradient"], 2, judged=64)
    assert found.results == {}
    assert [one["refused"] for one in found.networks["xor.white"]] == [True, True]
    assert found.tasks == ["xor.white"]
    assert "refused, never scored, below 80%" in str(found)
    with pytest.raises(ValueError, match="all were refused"):
        found.plot()


def test_what_was_found_is_kept(tmp_path):
    found = E.benchmark([untrained(Distractor), Short()], {"g": "gradient", "cam": "grad_cam"}, 2, samples=4, judged=32)
    assert set(found.failed["distractor/relevance_mass"]) == {"cam"}
    assert "cam failed on distractor" in str(found)
    found.save(tmp_path / "found.npz")
    again = E.Benchmark.load(tmp_path / "found.npz")
    assert str(again) == str(found)
    assert again.networks == found.networks
    assert again.table("sign_accuracy").head[1:] == ["distractor"]
    assert "distractor" in again.report().html
    assert [axes.get_title(loc="left") for axes in again.plot().axes] == ["distractor/relevance_mass"]
    with pytest.raises(ValueError, match="`score` must be one of"):
        again.table("srg")


# ---------------------------------------------------------------------- stamps
def pictures(samples=8, shape=(16, 16, 3), seed=0):
    return np.random.default_rng(seed).random((samples, *shape)).astype("float32")


def small(head, shape=(16, 16, 3)):
    dims = len(shape) - 1
    convolution, pooling = getattr(L, f"Conv{dims}D"), getattr(L, f"GlobalMaxPooling{dims}D")
    inputs = keras.Input(shape)
    y = L.BatchNormalization()(convolution(8, 3, activation="relu")(inputs))
    return shake(keras.Model(inputs, head(y, pooling())))


HEADS = {
    "softmax": lambda y, pool: L.Dense(5, activation="softmax")(pool(y)),
    "sigmoids": lambda y, pool: L.Dense(3, activation="sigmoid")(pool(y)),
    "logits": lambda y, pool: L.Dense(3)(pool(y)),
    "one unit": lambda y, pool: L.Dense(1, activation="sigmoid")(pool(y)),
    "positions": lambda y, pool: L.Conv2D(3, 1, activation="softmax")(y),
    "two outputs": lambda y, pool: [L.Dense(2)(pool(y)), L.Dense(1)(L.Flatten()(y))],
}


@pytest.mark.parametrize("head", HEADS)
def test_any_head_learns_stamps(head):
    task = Stamps(small(HEADS[head]), pictures())
    network, planted = task.network(0), task.draw(4, 0, "training 1")
    network.train_on_batch(planted.x, planted.y)
    assert task.right(network, planted).shape == (4,)


class Own(keras.Model):
    """A model that is no graph of layers."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.convolution, self.pooling, self.head = L.Conv2D(4, 3), L.GlobalMaxPooling2D(), L.Dense(1)

    def build(self, shape):
        self.convolution.build(shape)
        self.head.build((None, 4))
        self.built = True

    def call(self, x):
        return self.head(self.pooling(self.convolution(x)))


def test_a_subclass_learns_stamps():
    model = Own()
    model.build((None, 16, 16, 3))
    task = Stamps(model, pictures())
    with pytest.raises(ValueError, match="`model` must be one that Keras can copy"):
        task.network(0)  # it knows nothing of the class
    with keras.saving.custom_object_scope({"Own": Own}):
        network = task.network(0)
    planted = task.draw(4, 0, "training 1")
    network.train_on_batch(planted.x, planted.y)
    assert task.right(network, planted).shape == (4,)


@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 12, 1), (24, 2), (8, 8, 8, 1)], ids=str)
@pytest.mark.parametrize("low", [0, -1, 5])
def test_a_stamp_holds_neither_the_reference_nor_the_fill(shape, low):
    x = pictures(8, shape) * 2 + low
    task = Stamps(small(HEADS["softmax"], shape), x)
    planted, spread = task.draw(40), x.max() - x.min()
    inside = np.repeat(planted.masks[..., None], shape[-1], axis=-1)
    mean = planted.x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True)
    assert (np.abs(planted.x[inside]) > 0.04 * spread).all()
    assert (np.abs(planted.x - mean)[inside] > 0.04 * spread).all()
    assert planted.x.min() >= x.min() - 1e-6
    assert planted.x.max() <= x.max() + 1e-6
    counts = [np.unique((planted.x > mean)[i][inside[i]]).size for i in range(40)]
    assert max(counts) == 2  # a stamp has two values
    assert not np.array_equal(task._patches[0], task._patches[1])
    assert task._patches[0].sum() == task._patches[1].sum()  # so that their mean tells nothing


def test_held_out_samples_are_not_those_of_training():
    x = np.arange(8, dtype="float32")[:, None, None, None] + pictures(8) / 100
    task = Stamps(small(HEADS["softmax"]), x)
    seen, held = ({round(float(np.median(s))) for s in task.draw(60, 0, p).x} for p in ("training 1", "held out 0"))
    assert not seen & held


def test_the_users_model_and_samples_stay_as_they_are():
    model, x = small(HEADS["softmax"]), pictures()
    model.layers[1].trainable = False
    weights, given = [w.copy() for w in model.get_weights()], x.copy()
    flags, config = [layer.trainable for layer in model.layers], model.to_json()
    found = E.benchmark([("stamps", {"steps": 4})], ["gradient"], 1, model=model, x=x, samples=4, judged=32)
    assert list(found.networks) == ["stamps"]
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert [layer.trainable for layer in model.layers] == flags
    assert model.to_json() == config
    assert not model.compiled
    assert np.array_equal(x, given)


@pytest.mark.once
def test_stamps_are_learned_and_found():
    x = pictures(40, (12, 12, 1))
    found = E.benchmark(["stamps"], ["integrated_gradients"], 1, model=small(HEADS["softmax"], (12, 12, 1)), x=x, samples=8)
    (network,) = found.networks["stamps"]
    assert not network["refused"], network
    label = "stamps/relevance_mass"
    assert found.mean(label, "integrated_gradients") > 2 * found.mean(label, "random")


# ---------------------------------------------------------------------- what cannot be
def test_names_that_are_unknown_end_before_anything_is_trained():
    with pytest.raises(KeyError, match=r"Unknown task: 'xorr'.*'xor"):
        E.benchmark(["xorr"])
    with pytest.raises(KeyError, match="gradiant"):
        E.benchmark(["xor"], ["gradiant"])
    with pytest.raises(ValueError, match=r"`model`.*'stamps'"):
        E.benchmark(["stamps"])
    with pytest.raises(ValueError, match="`tasks` must differ"):
        E.benchmark(["xor", "xor.white"])
    with pytest.raises(ValueError, match="`model` and `x` are for the task 'stamps'"):
        E.benchmark(["xor"], model=small(HEADS["softmax"]), x=pictures())
    with pytest.raises(ValueError, match="`size` must be a multiple of 8"):
        E.task("xor.white", size=12)
    assert "stamps" in E.list_tasks()


@pytest.mark.parametrize("name", ["tasks", "methods", "seeds", "samples", "judged", "batch_size"])
def test_hostile_arguments(name):
    for what, value in hostile.HOSTILE.items():
        if value is None or (name == "seeds" and what == "2**70"):
            continue
        told = hostile.swallows(name, lambda v=value: E.benchmark(**{"tasks": ["distractor"], "seeds": 1} | {name: v}))
        assert told is None or "Unknown task" in told, (what, told)


def test_models_on_which_nothing_can_be_planted():
    table = keras.Sequential([keras.Input((8,)), L.Dense(2)])
    with pytest.raises(ValueError, match="positions have neighbours"):
        Stamps(table, np.ones((8, 8), "float32"))
    ids = keras.Sequential([keras.Input((6,), dtype="int32"), L.Embedding(5, 3), L.GlobalAveragePooling1D(), L.Dense(2)])
    with pytest.raises(ValueError, match="positions have neighbours"):
        Stamps(ids, np.ones((8, 6), "int32"))
    with pytest.raises(ValueError, match="at least 4 samples"):
        Stamps(small(HEADS["softmax"]), pictures(3))
    with pytest.raises(ValueError, match="different values"):
        Stamps(small(HEADS["softmax"]), np.ones((4, 16, 16, 3), "float32"))
    with pytest.raises(ValueError, match="at most a fourth"):
        Stamps(small(HEADS["softmax"]), pictures(), size=12)
    first, second = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    both = keras.Model([first, second], L.Dense(2)(L.Flatten()(L.Add()([first, second]))))
    with pytest.raises(ValueError, match="one input"):
        Stamps(both, [pictures(), pictures()])


@pytest.mark.once
def test_the_benchmark_in_small():
    methods = ["gradient", "input_t_gradient", "pattern.attribution", "lrp.epsilon", "occlusion"]
    found = E.benchmark(["distractor", "linear.white"], methods, 2, samples=16)
    assert not found.refused
    mass, signs = "distractor/relevance_mass", "distractor/sign_accuracy"
    assert found.mean(mass, "pattern.attribution") > 0.95  # the distractor fools the others
    assert found.mean(signs, "pattern.attribution") == 1
    assert found.mean(mass, "gradient") == pytest.approx(0.5, abs=0.01)
    assert found.mean(mass, "lrp.epsilon") < 0.75
    for method in methods:
        assert found.mean("linear.white/relevance_mass", method) > found.mean("linear.white/relevance_mass", "random")
