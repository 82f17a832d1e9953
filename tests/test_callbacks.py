"""`ExplanationImages`: pictures appear while a model trains, and training does not notice."""

import io
import struct

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array
from PIL import Image

from innspect.callbacks import ExplanationImages
from innspect.visualize.tensorboard import ImageWriter

X, Y = array(40, 8, 8, 1), np.arange(40) % 3
SMOOTH = ("smoothgrad", {"num_samples": 2})
METHODS = ["saliency", ("lrp.epsilon", {"epsilon": 0.1}), "pattern.net", SMOOTH, "grad_cam", ("saliency", {"head": "output"})]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[i * 16 : i * 16 + 16], Y[i * 16 : i * 16 + 16]


def dataset():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(40, seed=1).batch(16)


FEEDS = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 16},
    "tf.data": lambda: {"x": dataset(), "shuffle": False},
    "PyDataset": lambda: {"x": Batches()},
}


def trained(feed, callbacks, epochs=3):
    """A training with everything that can be disturbed: dropout, batch normalization, shuffling, a regularizer."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(3, 3, activation="relu", activity_regularizer="l2", name="conv"),
            L.BatchNormalization(),
            L.Flatten(),
            L.Dropout(0.5),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(**FEEDS[feed](), epochs=epochs, verbose=0, callbacks=callbacks)
    return model, history.history["loss"]


def events(folder):
    """(step, tag, PNG) of every picture in the event file, read with checks of our own."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event, content = content[12 : 12 + length], content[16 + length :]
        start = event.find(b"\x89PNG")
        if start >= 0:
            tag = b"explanations" if b"explanations" in event[:start] else b""
            found.append((event[10], tag, event[start:]))  # after wall_time: the key of the step, then the step
    return found


@pytest.mark.parametrize("feed", FEEDS)
def test_pictures_are_drawn_and_training_is_equal_to_the_bit(feed, tmp_path):
    plain, losses = trained(feed, [])
    methods = METHODS if feed == "arrays" else METHODS[:2]
    callback = ExplanationImages(X[:2], methods, every=2, log_dir=tmp_path / "deep" / "log", fit_data=X)
    watched, watched_losses = trained(feed, [callback])
    assert losses == watched_losses
    for a, b in zip(plain.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    pictures = sorted((tmp_path / "deep" / "log").glob("*.png"))
    assert [p.name for p in pictures] == ["epoch_0002.png", "epoch_0003.png"]  # the last epoch is always there
    assert pictures[0].read_bytes() != pictures[1].read_bytes()
    logged = events(tmp_path / "deep" / "log")
    assert [(step, tag) for step, tag, _ in logged] == [(2, b"explanations"), (3, b"explanations")]
    assert [png for *_, png in logged] == [p.read_bytes() for p in pictures]


def test_the_figure_shows_the_model_as_it_is_now(tmp_path):
    shown = {}

    class Watched(ExplanationImages):
        def _figure(self, analyzers=None):
            shown[self._epoch] = super()._figure(analyzers)
            return shown[self._epoch]

    model, _ = trained("arrays", [Watched(X[:2], [*METHODS[:2], *METHODS[4:]], 3, tmp_path, ground="dark")])
    figure = shown[3]
    words = [t.get_text().replace("\n", "") for t in figure.axes[0].texts]  # without breaks of lines
    p = keras.ops.convert_to_numpy(model(X[:2]))
    for word in [
        "saliency",
        "lrp.epsilon(epsilon=0.1)",
        "saliency(head=output)",
        "epoch 3",
    ]:
        assert word in words
    for row in p:  # beside the logit
        assert any(word.startswith(f"class {row.argmax()} {row.max():.1%}logit") for word in words)
    cells = [np.asarray(i.get_array()) for i in figure.axes[0].get_images()]
    import innspect

    now = innspect.visualize.heatmap(innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1).analyze(X[:2]), ground="dark")
    assert np.abs(cells[4].astype(int) - now[0]).max() <= 2  # after 2 inputs and 2 saliency maps
    now = innspect.visualize.heatmap(innspect.create_analyzer("saliency", model).explain(X[:2]), ground="dark")
    assert np.abs(cells[2].astype(int) - now[0]).max() <= 2


def test_the_caption_names_what_is_explained(tmp_path):
    shown = []

    class Watched(ExplanationImages):
        def _figure(self, analyzers=None):
            shown.append(super()._figure(analyzers))
            return shown[-1]

    model, _ = trained(
        "arrays", [Watched(X[:2], "gradient", 3, tmp_path, neuron_selection="fox", labels=["owl", "fox", "elk"])]
    )
    words = [t.get_text() for t in shown[-1].axes[0].texts]
    for row in keras.ops.convert_to_numpy(model(X[:2])):
        (caption,) = {word for word in words if word.startswith(f"fox {row[1]:.1%}\nlogit")}
        assert ("predicted" in caption) == (row.argmax() != 1)


def branch(shape):
    """An input and vectors made from it."""
    given = keras.Input(shape)
    return given, L.Flatten()(given)


INPUTS = {
    "vectors": [(6,)],
    "series": [(9, 2)],
    "images": [(4, 4, 5)],
    "volumes": [(3, 4, 4, 1)],
    "two": [(6,), (4, 4, 1)],
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_every_kind_are_drawn(name, tmp_path):
    x = [array(8, *shape) for shape in INPUTS[name]]
    inputs, flat = zip(*map(branch, INPUTS[name]), strict=True)
    joined = L.Concatenate()(list(flat)) if len(flat) > 1 else flat[0]
    model = keras.Model(list(inputs), L.Dense(1)(joined))
    model.compile("sgd", "mse")
    callback = ExplanationImages(x, ["gradient", "saliency"], log_dir=tmp_path, samples=3)
    model.fit(x, np.ones((8, 1)), verbose=0, callbacks=[callback])
    with Image.open(tmp_path / "epoch_0001.png") as picture:
        assert picture.height > 100


@pytest.mark.parametrize("data", [X, Batches(), lambda: dataset(), [X]], ids=["array", "PyDataset", "tf.data", "list"])
def test_the_first_samples_are_taken_at_once(data):
    callback = ExplanationImages(data() if callable(data) else data, "gradient", samples=20)
    assert callback.x.shape == (20, 8, 8, 1)
    if not callable(data):  # that one is shuffled
        assert np.array_equal(callback.x, X[:20])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "`every` must be a positive integer. Received: 0"),
        ({"samples": 0}, "`samples` must be a positive integer. Received: 0"),
        ({"methods": []}, "`methods` must hold at least one"),
        ({"methods": [("gradient", 3)]}, r"`methods` must hold names, or pairs.*Received: \('gradient', 3\)"),
        ({"methods": ["gradient", "gradient"]}, "`methods` must differ"),
        ({"methods": [print]}, "`methods` must hold names, pairs"),
        ({"data": [X, X[:3]]}, "as many of each input"),
        ({"data": np.float32(1)}, "`data` must hold samples first"),
        ({"data": X[:0]}, "`data` must hold at least one sample"),
    ],
)
def test_bad_arguments_are_named_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExplanationImages(**{"data": X, "methods": ["gradient"], **arguments})


def test_what_does_not_fit_the_model_is_raised_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"`fit_data` must be given.*\['pattern.net'\]"):
        trained("arrays", [ExplanationImages(X[:2], "pattern.net", log_dir=tmp_path)])
    with pytest.raises(KeyError, match="Unknown analyzer"):
        ExplanationImages(X[:2], "gradiant", log_dir=tmp_path)
    with pytest.raises(ValueError, match="`data` has the wrong shape"):
        trained("arrays", [ExplanationImages(X[:2], ["gradient", "pattern.net"], log_dir=tmp_path, fit_data=X[:, :4])])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file"):
        trained("arrays", [ExplanationImages(X[:2], "gradient", log_dir=tmp_path / "file")])


@pytest.mark.parametrize("bad", range(3))
def test_whichever_method_fails_fails_before_training(bad, tmp_path):
    methods = [("grad_cam", {"layer": "conv"})] * 3
    methods[bad] = ("grad_cam", {"layer": "out"})  # which has no positions: known only when it explains
    labelled = {f"{i}": method for i, method in enumerate(methods)}
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)

    with pytest.raises(ValueError, match="'out'"):
        trained("arrays", [ExplanationImages(X[:2], labelled, log_dir=tmp_path), Seen()])
    assert not seen


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="read with TensorFlow's own reader")
def test_event_files_are_what_tensorflow_reads(tmp_path):
    import tensorflow as tf

    writer, file = ImageWriter(tmp_path), io.BytesIO()
    Image.fromarray(np.zeros((5, 300, 4), "uint8")).save(file, format="png")
    writer.add("a picture", file.getvalue(), 300)
    first, second = tf.compat.v1.train.summary_iterator(writer.path)  # checks the checksums
    assert first.file_version == "brain.Event:2"
    assert second.step == 300
    assert second.wall_time >= first.wall_time > 1.6e9
    (value,) = second.summary.value
    assert value.tag == "a picture"
    image = value.image
    assert (image.height, image.width, image.colorspace) == (5, 300, 4)
    assert image.encoded_image_string == file.getvalue()


def test_one_of_several_outputs_is_drawn(tmp_path):
    x = keras.Input((8, 8, 1))
    h = L.Conv2D(3, 3, padding="same", activation="relu")(x)
    outputs = {"mask": L.Conv2D(4, 1, activation="softmax")(h), "count": L.Dense(2)(L.Flatten()(h))}
    model = keras.Model(x, outputs)
    model.compile("sgd", dict.fromkeys(outputs, "mse"))
    shown = []

    class Watched(ExplanationImages):
        def _figure(self, analyzers=None):
            shown.append(super()._figure(analyzers))
            return shown[-1]

    asked = {"output": "mask", "neuron_selection": "sky", "labels": ["road", "sky", "tree", "car"]}
    y = {"mask": np.ones((40, 8, 8, 4), "float32") / 4, "count": np.ones((40, 2), "float32")}
    model.fit(X, y, verbose=0, callbacks=[Watched(X[:2], "gradient", 1, tmp_path, **asked)])
    words = [t.get_text() for t in shown[-1].axes[0].texts]
    means = keras.ops.convert_to_numpy(model(X[:2])["mask"]).mean((1, 2))[:, 1]
    for mean in means:
        assert any(word.startswith(f"sky {mean:.1%} on average") for word in words)
    with pytest.raises(KeyError, match="`output` must be one of the model's outputs"):
        model.fit(X, y, verbose=0, callbacks=[ExplanationImages(X[:2], "gradient", 1, tmp_path, output="msk")])
