"""Reference samples: known ones, in any order of shards, resumed, from any data, and what is refused."""

import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect import concepts


def identity_net(channels=5, size=6):
    """Two convolutions that hand every channel on, and a sum."""
    x = keras.Input((size, size, channels))
    y = L.Conv2D(channels, 3, padding="same", use_bias=False, name="first")(x)
    y = L.Conv2D(channels, 3, padding="same", use_bias=False, name="second")(y)
    y = L.GlobalAveragePooling2D()(y)
    model = keras.Model(x, L.Dense(channels, use_bias=False, name="out")(y))
    kernel = np.zeros((3, 3, channels, channels), "float32")
    kernel[1, 1] = np.eye(channels)
    model.set_weights([kernel, kernel, np.eye(channels, dtype="float32")])
    return model


def one_hot_images(channels=5, size=6):
    """Image i is i + 1 in channel i % channels at the position (i % size, i // size), and 0 elsewhere."""
    images = np.zeros((3 * channels, size, size, channels), "float32")
    for i in range(len(images)):
        images[i, i % size, i // size, i % channels] = i + 1
    return images


def small_net():
    keras.utils.set_random_seed(3)
    x = keras.Input((10, 10, 2), name="input")
    y = L.Conv2D(4, 3, activation="relu", name="conv")(x)
    y = L.MaxPooling2D(name="pool")(y)
    y = L.Conv2D(6, 2, activation="relu", name="high")(y)
    y = L.Dense(7, name="dense")(L.Flatten(name="flat")(y))
    return keras.Model(x, L.Dense(3, activation="softmax", name="out")(y), name="small")


def data(count=40, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 10, 10, 2)).astype("float32")


def arrays_of(gallery):
    return {
        f"{path}/{name}": value
        for path, each in gallery.items()
        for name, value in (
            ("samples", each.samples),
            ("values", each.values),
            ("positions", each.positions),
            ("mean", each.mean),
            ("count", each.classes.count),
            ("class means", each.classes.mean),
            ("class samples", each.classes.samples),
            ("class values", each.classes.values),
            *((f"crop {c} {i}", crop) for c in range(each.channels) for i, crop in enumerate(each.crops(c))),
        )
    }


def check_same(first, second, rtol=0.0):
    mine, theirs = arrays_of(first), arrays_of(second)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        if rtol and value.dtype.kind == "f":
            np.testing.assert_allclose(value, theirs[name], rtol=rtol, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def analyzer():
    return innspect.create_analyzer("lrp.epsilon", small_net())


@pytest.mark.parametrize("by", ["relevance", "activation"])
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_known_samples_are_found(by, reduce):
    images, channels, size = one_hot_images(), 5, 6
    analyzer = innspect.create_analyzer("lrp.z", identity_net())
    gallery = concepts.collect(analyzer, images, at=["first", "second"], by=by, top=4, reduce=reduce)
    for path in ("first", "second"):
        found = gallery[path]
        for c in range(channels):
            known = [i for i in reversed(range(len(images))) if i % channels == c]
            assert found.samples[c, :3].tolist() == known
            assert found.positions[c, :3].tolist() == [[i % size, i // size] for i in known]
            scale = 1 if by == "activation" else 1 / size**2  # the average pooling
            np.testing.assert_allclose(found.values[c, :3], [scale * (i + 1) for i in known], rtol=1e-4)
            # Of the others all are 0, and the smaller id is first.
            assert found.samples[c, 3] == min(i for i in range(len(images)) if i % channels != c)
            assert found.values[c, 3] == 0
        assert found.classes.count.tolist() == [3] * channels  # each has the largest output in its own channel
        means = found.classes.mean
        assert (means[~np.eye(channels, dtype=bool)] == 0).all()
        assert (np.diag(means) > 0).all()
    # What a unit sees is its field about the position: 3 x 3, and 5 x 5, cut at the border.
    row, column = gallery["first"].positions[2, 0]
    crop, sample = gallery["first"].crops(2)[0], images[gallery["first"].samples[2, 0]]
    part = sample[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    assert crop.shape == part.shape
    assert np.abs(crop - part).max() <= part.max() / 255
    assert gallery["second"].crops(2)[0].shape[0] == min(row + 3, size) - max(row - 2, 0)


@pytest.mark.parametrize("by", ["relevance", "activation"])
def test_shards_in_any_order_are_the_whole(analyzer, tmp_path, by):
    x, y = data(), np.arange(40) % 3
    at = {"at": ["conv", "high", "dense"], "by": by, "top": 5, "by_class": 3, "crops": 2}
    whole = concepts.collect(analyzer, x, target=y, **at, batch_size=8)
    shards = []
    for start, stop in ((0, 16), (16, 24), (24, 40)):
        file = tmp_path / f"{start}.h5"
        concepts.collect(analyzer, x[start:stop], target=y[start:stop], first_id=start, path=file, batch_size=8, **at)
        shards.append(file)
    a, b, c = map(concepts.load, shards)
    for merged in (a.merge(b).merge(c), c.merge(a).merge(b), b.merge(c.merge(a)), concepts.merge(reversed(shards))):
        check_same(whole, merged)
        assert merged.samples == 40
        assert merged.seen == [(0, 40)]
    with pytest.raises(ValueError, match=r"samples 16 to 23 would be counted twice.*first_id"):
        a.merge(b).merge(b)
    assert arrays_of(a)["high/count"].tolist() == [6, 5, 5]  # an operand stays what it is


def test_values_are_sums_and_maxima_of_the_signal(analyzer):
    x, y = data(12), np.arange(12) % 3
    signals = analyzer.explain(x, y, at=["high"]).signals["high"].astype("float64")
    flat = signals.reshape(12, -1, 6)
    for reduce, values in (("sum", flat.sum(1)), ("max", flat.max(1))):
        for normalize in (False, True):
            v = values / (np.abs(values).sum(1, keepdims=True) + 1e-10) if normalize else values
            found = concepts.collect(analyzer, x, at="high", target=y, top=12, reduce=reduce, normalize=normalize)["high"]
            np.testing.assert_array_equal(found.samples, np.argsort(-v, axis=0, kind="stable").T)
            np.testing.assert_allclose(found.values, -np.sort(-v, axis=0).T, rtol=1e-4, atol=1e-6)
            row, column = np.moveaxis(found.positions, -1, 0)
            there = signals[found.samples, row, column, np.arange(6)[:, None]]  # where it is as large as anywhere
            np.testing.assert_allclose(there, flat.max(1)[found.samples, np.arange(6)[:, None]], rtol=1e-4, atol=1e-6)
            by_class = np.stack([v[y == c].mean(0) for c in range(3)])
            np.testing.assert_allclose(found.classes.mean, by_class, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["smoothgrad", "deep_lift", "gradient", "pattern.attribution"])
def test_any_method_that_sends_a_signal(name):
    model, x = small_net(), data(6)
    analyzer = innspect.create_analyzer(name, model)
    analyzer = analyzer.fit(x) if name.startswith("pattern") else analyzer
    signals = analyzer.explain(x, 1, at=["high"]).signals["high"]
    found = concepts.collect(analyzer, x, at="high", target=1, top=6)["high"]
    expected = signals.sum((1, 2))
    np.testing.assert_allclose(found.values, -np.sort(-expected, axis=0).T, rtol=1e-3, atol=1e-5)


def test_data_and_labels_of_every_kind(analyzer):
    x, y = data(20), np.arange(20) % 3
    told = {"at": "high", "top": 3}
    whole = concepts.collect(analyzer, x, target=y, **told, batch_size=5)

    class Batches(keras.utils.PyDataset):
        num_batches = 4

        def __len__(self):
            return 4

        def __getitem__(self, i):
            return x[5 * i : 5 * i + 5], y[5 * i : 5 * i + 5]

    one_hot = np.eye(3)[y]
    generator = ((x[i : i + 5], one_hot[i : i + 5]) for i in range(0, 20, 5))
    for stream in (Batches(), generator):
        check_same(whole, concepts.collect(analyzer, stream, **told), rtol=1e-5)
    without = (x[i : i + 5] for i in range(0, 20, 5))
    check_same(whole, concepts.collect(analyzer, without, target=y, **told), rtol=1e-5)
    largest = concepts.collect(analyzer, x, **told)
    check_same(largest, concepts.collect(analyzer, Batches(), target="predicted", **told), rtol=1e-5)
    predicted = analyzer.explain(x).outputs.argmax(1)
    assert largest["high"].classes.count.tolist() == np.bincount(predicted, minlength=3).tolist()
    unknown = concepts.collect(analyzer, x, target=lambda z: z[:, 0] - z[:, 1], **told)["high"]
    assert unknown.classes.count.shape == (0,) if unknown.number == 0 else False
    endless = (x[:5] for _ in iter(int, 1))
    assert concepts.collect(analyzer, endless, **told, steps=3).samples == 15


def test_bytes_are_shown_as_they_were_and_large_crops_reduced():
    x = keras.Input((90, 80, 3))
    model = keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(3, 70, padding="same", name="wide")(x))))
    images = np.random.default_rng(0).integers(0, 256, (3, 90, 80, 3)).astype("uint8")
    found = concepts.collect(innspect.create_analyzer("gradient", model), images, at="wide", by="activation", crops=1)["wide"]
    crop = found.crops(0)[0]
    assert max(crop.shape[:2]) <= 64
    assert crop.dtype == np.float32
    assert max(crop.shape[:2]) >= 17
    assert abs(crop.mean() - images[found.samples[0, 0]].mean()) < 6


def test_memory_does_not_grow_with_the_stream(analyzer, tmp_path):
    sizes = []
    for count in (5, 40):
        x = data(10)
        gallery = concepts.collect(analyzer, (x for _ in range(count)), at="conv", top=3, by_class=2, crops=1)
        gallery.save(tmp_path / "gallery.h5")
        sizes.append(os.path.getsize(tmp_path / "gallery.h5"))
        assert gallery["conv"].samples.shape == (4, 3)
        assert gallery.samples == 10 * count
    assert sizes[1] <= sizes[0] * 1.05


def test_a_file_holds_everything(analyzer, tmp_path):
    gallery = concepts.collect(analyzer, data(9), at=["conv", "dense"], top=4, path=tmp_path / "gallery.h5")
    found = concepts.load(tmp_path / "gallery.h5", analyzer.model)
    check_same(gallery, found)
    assert found.settings == gallery.settings
    assert found.settings["method"] == "lrp.epsilon"
    assert found.samples == 9
    assert found["conv"].samples[0, -1] >= 0
    few = concepts.collect(analyzer, data(2), at="conv", top=4)["conv"]
    assert few.samples[:, 2:].tolist() == [[-1, -1]] * 4
    assert np.isnan(few.values[:, 2:]).all()
    assert len(few.crops(1)) == 2


RUN = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import innspect
from test_concepts import data, small_net
x = data(60)
def batches():
    for number in range(10):
        if number == {dies}:
            os.kill(os.getpid(), signal.SIGKILL)
        yield x[6 * number : 6 * number + 6]
analyzer = innspect.create_analyzer("lrp.epsilon", small_net())
innspect.concepts.collect(analyzer, batches(), ["conv", "high"], top=4, path={path!r}, every=3)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a signal that cannot be caught")
def test_a_run_that_was_killed_goes_on_to_the_bit(tmp_path):
    def run(path, dies):
        code = textwrap.dedent(RUN).format(tests=os.path.dirname(__file__), path=str(path), dies=dies)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).returncode

    killed = tmp_path / "killed.h5"
    assert run(killed, 8) == -signal.SIGKILL
    assert concepts.load(killed).samples == 36  # six batches were written
    x, model = data(60), small_net()
    analyzer = innspect.create_analyzer("lrp.epsilon", model)

    def batches():
        return (x[i : i + 6] for i in range(0, 60, 6))

    resumed = concepts.collect(analyzer, batches(), ["conv", "high"], top=4, path=killed, every=3)
    whole = concepts.collect(analyzer, batches(), ["conv", "high"], top=4, path=tmp_path / "whole.h5", every=3)
    check_same(resumed, whole)
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    again = concepts.collect(analyzer, batches(), ["conv", "high"], top=4, path=killed)  # there is nothing left to do
    check_same(again, whole)


def test_what_was_begun_otherwise_is_refused(analyzer, tmp_path):
    x, path = data(12), tmp_path / "gallery.h5"
    told = {"at": ["conv"], "top": 3, "path": path, "batch_size": 4}
    concepts.collect(analyzer, x, **told)
    for more, words in (
        ({"top": 4}, "same `top`.*3"),
        ({"by": "activation"}, "same `(method|by)`"),
        ({"at": ["high"]}, "same `at`"),
        ({"target": 1}, "same `target`"),
        ({"batch_size": 6}, "another `batch_size`"),
        ({"first_id": 7}, "another `first_id`"),
    ):
        with pytest.raises(ValueError, match=words):
            concepts.collect(analyzer, x, **told | more)
    with pytest.raises(ValueError, match="another first batch of data"):
        concepts.collect(analyzer, x + 1, **told)
    with pytest.raises(ValueError, match="same `arguments`"):
        concepts.collect(innspect.create_analyzer("lrp.epsilon", analyzer.model, epsilon=0.1), x, **told)
    other = small_net()
    other.get_layer("high").set_weights([w + 1 for w in other.get_layer("high").get_weights()])
    with pytest.raises(ValueError, match="first layer that differs is 'high'"):
        concepts.collect(innspect.create_analyzer("lrp.epsilon", other), x, **told)
    with pytest.raises(ValueError, match=r"another model.*'high'"):
        concepts.load(path, other)
    anew = concepts.collect(analyzer, x + 1, **told, resume=False)
    assert anew.samples == 12
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(innspect.UnreadableFileError):
        concepts.load(path)


def test_values_that_are_not_finite_count_nowhere(analyzer):
    x = data(6)
    x[2, 0, 0] = np.inf
    with pytest.warns(UserWarning, match="not finite"):
        found = concepts.collect(analyzer, x, at="conv", by="activation", top=6)["conv"]
    assert 2 not in found.samples
    assert (found.samples[:, 5] == -1).all()
    assert found.left_out == 1
    assert np.isfinite(found.mean).all()


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"at": ["hihg"]}, KeyError, "`at` must name.*'hihg'.*'high'"),
        ({"at": []}, ValueError, "`at` must name at least one layer"),
        ({"at": 99}, ValueError, "`at` must be between"),
        ({"by": "size"}, ValueError, "`by` must be"),
        ({"reduce": "mean"}, ValueError, "`reduce` must be"),
        ({"top": 0}, ValueError, "`top` must be"),
        ({"crops": -1}, ValueError, "`crops` must be"),
        ({"first_id": -3}, ValueError, "`first_id` must be"),
        ({"every": 0}, ValueError, "`every` must be"),
        ({"target": 3}, ValueError, "between 0 and 2"),
        ({"target": np.arange(3)}, ValueError, "`target` must hold an integer for each sample"),
        ({"data": np.zeros((3, 4), "float32")}, ValueError, "`data` has the wrong shape"),
        ({"data": np.zeros((0, 10, 10, 2), "float32")}, ValueError, "`data` must hold at least one sample"),
        ({"data": iter(())}, ValueError, "`data` must hold at least one sample"),
        ({"data": iter([(np.zeros((2, 10, 10, 2), "float32"), np.full((2, 5), 0.3))])}, ValueError, "labels of the data"),
    ],
)
def test_bad_arguments_are_named(analyzer, given, kind, words):
    arguments = {"data": data(2), "at": ["conv"], **given}
    with pytest.raises(kind, match=words):
        concepts.collect(analyzer, arguments.pop("data"), **arguments)


def test_a_layer_behind_the_output_or_without_a_signal(analyzer):
    x = keras.Input((4,))
    shared = L.Dense(4, name="shared")
    hidden = shared(shared(x))
    model = keras.Model(x, [L.Dense(2, name="a")(hidden), L.Dense(2, name="b")(hidden)])
    gradient = innspect.create_analyzer("gradient", model)
    points = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    with pytest.raises(ValueError, match="called 2 times"):
        concepts.collect(gradient, points, at="shared")
    assert concepts.collect(gradient, points, at="shared[1]", target=0)["shared[1]"].samples.shape == (4, 16)
    with pytest.raises(ValueError, match=r"depends on.*'b'"):
        concepts.collect(gradient, points, at="b", target=0)
    with pytest.raises(ValueError, match="sends no signal"):
        concepts.collect(innspect.create_analyzer("occlusion", small_net()), data(2), at="conv")
    with pytest.raises(TypeError, match="`analyzer` must be"):
        concepts.collect(small_net(), data(2), at="conv")


def test_frames_within_time_distributed():
    x = keras.Input((3, 6, 6, 2))
    y = L.TimeDistributed(L.Conv2D(4, 3, name="inner"), name="frames")(x)
    model = keras.Model(x, L.Dense(2)(L.Flatten()(y)))
    clips = np.random.default_rng(0).normal(size=(5, 3, 6, 6, 2)).astype("float32")
    found = concepts.collect(innspect.create_analyzer("gradient", model), clips, at="frames", by="activation", top=2)["frames"]
    z = keras.ops.convert_to_numpy(keras.Model(x, y)(clips))
    best = z.sum((1, 2, 3)).argmax(0)
    np.testing.assert_array_equal(found.samples[:, 0], best)
    places = np.stack(np.unravel_index(z.reshape(5, -1, 4).argmax(1), z.shape[1:-1]), -1)
    np.testing.assert_array_equal(found.positions[:, 0], places[best, np.arange(4)])


def test_maps_of_reference_samples(analyzer):
    x, y = data(20), np.arange(20) % 3
    told = {"at": "high", "top": 4, "batch_size": 5}
    relevant = concepts.collect(analyzer, x, target=y, **told)
    ids = relevant["high"].samples[2]
    for given, target in ((x, y), (((x[i : i + 5], y[i : i + 5]) for i in range(0, 20, 5)), None)):
        samples, maps = relevant.maps(analyzer, given, "high", 2, target=target)
        np.testing.assert_array_equal(samples, x[ids])
        np.testing.assert_allclose(maps, analyzer.analyze(x[ids], y[ids], through={"high": [2]}), rtol=1e-4, atol=1e-6)
    active = concepts.collect(analyzer, x, by="activation", reduce="max", **told)
    samples, maps = active.maps(analyzer, x, "high", 1, top=2)
    unit = innspect.unit("high", 1, reduce="max")
    np.testing.assert_allclose(maps, analyzer.analyze(samples, unit), rtol=1e-4, atol=1e-6)
    with pytest.raises(KeyError, match="`data` must hold the samples"):
        relevant.maps(analyzer, x[:2], "high", 2, target=y[:2])
    with pytest.raises(ValueError, match="`channel` must be"):
        relevant.maps(analyzer, x, "high", 6)


def test_units_are_targets_and_heads_are_channels(analyzer):
    x = data(8)
    unit = innspect.unit("high", 1, position=(1, 1))
    found = concepts.collect(analyzer, x, "conv", target=unit, top=8)["conv"]
    signals = analyzer.explain(x, unit, at=["conv"]).signals["conv"].sum((1, 2))
    np.testing.assert_allclose(found.values, -np.sort(-signals, axis=0).T, rtol=1e-3, atol=1e-6)
    assert found.classes.count.shape == (0,)
    given = keras.Input((6, 4))
    attended = L.MultiHeadAttention(3, 2, name="attention")(given, given)
    network = keras.Model(given, L.Dense(2)(L.GlobalAveragePooling1D()(attended)))
    points = np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32")
    heads = concepts.collect(innspect.create_analyzer("gradient", network), points, "attention", target=1, top=2)["attention"]
    assert heads.samples.shape == (3, 2)
    assert heads.positions.shape == (3, 2, 1)
    assert heads.crops(0)[0].shape == (6, 4)


def test_a_page_opens_offline_and_shows_what_was_kept(analyzer, tmp_path):
    gallery = concepts.collect(analyzer, data(9), at=["conv", "dense"], top=4, crops=2)
    page = gallery.html(tmp_path / "page.html", labels=["cat", "dog", "<b>"], names=lambda i: f"<i>{i}</i>")
    text = (tmp_path / "page.html").read_text()
    assert page.html == text
    assert 'src="http' not in text
    assert "default-src 'none'" in text
    assert "<i>" not in text
    assert "&lt;i&gt;" in text
    assert any(name in text for name in ("cat", "dog", "&lt;b&gt;"))
    assert text.count('<section class="channel">') == 4 + 7
    assert gallery.html(channels=[1]).html.count("<section") == 2
    concepts.collect(analyzer, data(3), at="conv", top=4, crops=0).html()
    for arguments, kind, words in (
        ({"layers": ["cnov"]}, KeyError, "'conv'"),
        ({"channels": [99]}, ValueError, "`channels` must be between 0 and 3"),
        ({"channels": []}, ValueError, "`channels` must be"),
        ({"top": 0}, ValueError, "`top` must be"),
        ({"names": 3}, ValueError, "`names` must be"),
        ({"labels": ["one"]}, ValueError, "3 names"),
    ):
        with pytest.raises(kind, match=words):
            gallery.html(**arguments)


def test_the_model_stays_as_it_is():
    model = small_net()
    before = model.get_weights()
    concepts.collect(innspect.create_analyzer("lrp.epsilon", model), data(4), at="conv")
    assert all(map(np.array_equal, before, model.get_weights()))
