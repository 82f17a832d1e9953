"""Laws of synthesis: closed forms, spectra, independence of what is beside, the same image on every backend."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import backend, synthesis
from innspect.synthesis import running
from innspect.synthesis.spectra import hartley, hartley_array

DRAW = np.random.default_rng(0)
KERNEL, CODE, STRENGTH = DRAW.normal(size=(12, 3)), DRAW.normal(size=(5, 12)) / 3, 0.3
OPTIMUM = KERNEL[:, 1] / (2 * STRENGTH)
# What these two targets look like after 8 steps, on each backend: one corner, rounded.
SEEN = {"pixels": [-0.19239, 0.14425], "fourier": [0.53710, 0.53775]}


def linear(kernel):
    model = keras.Sequential([keras.Input((len(kernel),)), L.Dense(kernel.shape[1], use_bias=False)])
    model.set_weights([kernel])
    return model


@pytest.fixture(scope="module")
def images():
    """A network of small pictures, with weights that are the same on every backend."""
    model = keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            L.Conv2D(4, 3, activation="tanh", name="low"),
            L.Conv2D(5, 3, activation="relu", name="high"),
            L.GlobalAveragePooling2D(),
            L.Dense(4, activation="softmax", name="classes"),
        ]
    )
    draw = np.random.default_rng(5)
    model.set_weights([draw.normal(size=v.shape) / 3 for v in model.get_weights()])
    return model


def close(a, b, limit):
    assert np.abs(np.asarray(a, "float64") - b).max() / max(np.abs(b).max(), 1e-30) < limit


@pytest.mark.sweep(keep=["code"], on="jax tensorflow")
@pytest.mark.parametrize(
    ("more", "part", "expected"),
    [
        ({}, "images", OPTIMUM),
        ({"mean": np.arange(12) / 6}, "images", np.arange(12) / 6 + OPTIMUM),
        ({"generator": linear(CODE)}, "codes", CODE @ OPTIMUM),
    ],
    ids=["class model", "mean", "code"],
)
def test_a_linear_logit_with_l2_has_a_closed_form(more, part, expected):
    found = innspect.synthesize(linear(KERNEL), 1, steps=200, step_size=0.3, regularizers={"l2": STRENGTH}, **more)
    close(getattr(found, part)[0], expected, 1e-4)
    assert found.curve.shape == (1, 201)
    assert np.isclose(found.curve[0, -1], found.curve.max(), rtol=1e-4)


@pytest.mark.sweep(on="jax tensorflow")
def test_a_gaussian_expert_pulls_to_its_mean():
    """w.x + log N(x; m, C) is largest at m + C w."""
    data = array(300, 12) * np.linspace(0.6, 1.2, 12) + 0.3 * array(300, 1, seed=3)
    expert = synthesis.Gaussian.fit(data, floor=1e-9)
    covariance = np.cov(data.astype("float64").T)
    found = innspect.synthesize(linear(KERNEL), 1, steps=200, step_size=0.3, density=expert).images[0]
    close(found, data.mean(0) + covariance @ KERNEL[:, 1], 2e-3)


def test_the_hartley_transform_is_that_of_numpy():
    x = array(2, 6, 5, 7, 3)
    h = hartley(keras.ops.convert_to_tensor(x), 3)
    close(backend.to_numpy(h), hartley_array(x) / 210, 1e-5)
    close(hartley_array(backend.to_numpy(h)), x, 1e-5)  # its own inverse


def test_with_maco_the_spectrum_is_that_of_the_data(images):
    data = array(6, 9, 8, 3)
    found = innspect.synthesize(images, [1, 2], start="maco", data=data, steps=4, transformations=[("crop", {"count": 2})])
    spectrum = np.abs(np.fft.fft2(data.astype("float64"), axes=(1, 2))).mean(0)
    for image in found.images:
        close(np.abs(np.fft.fft2(image.astype("float64"), axes=(0, 1))), spectrum, 1e-5)
    assert found.transparency.shape == (2, 9, 8)
    assert (found.transparency >= 0).all()
    assert found.transparency.max() > 0
    assert found.notes == []


@pytest.mark.sweep(on="jax tensorflow")
def test_maco_without_data_says_so(images):
    found = innspect.synthesize(images, 1, start="maco", steps=1)
    assert "1/f" in found.notes[0]
    assert "0 and 1" in found.notes[1]
    close(found.images.mean(), 0.5, 1e-3)


TARGETS = [1, innspect.unit("high", 3, reduce="mean"), innspect.unit("low", 2, position=(1, 4)) - 0.5 * synthesis.neuron(2)]
MOVING = ["jitter", "scale", "rotation", "blur", ("noise", {"deviation": 0.01})]


@pytest.mark.sweep(keep=["fourier"], on="jax tensorflow")
@pytest.mark.parametrize("start", ["zeros", "fourier"])
def test_an_image_does_not_depend_on_those_beside_it(images, start):
    asked = {"start": start, "steps": 6, "transformations": MOVING, "regularizers": {"total_variation": 1e-4, "blur": 0.5}}
    together = innspect.synthesize(images, TARGETS, **asked)
    alone = innspect.synthesize(images, TARGETS[2], **asked)
    close(alone.images[0], together.images[2], 3e-4)
    again = innspect.synthesize(images, TARGETS[2], **asked)
    assert (again.images == alone.images).all()
    other = innspect.synthesize(images, TARGETS[2], **asked, seed=1)
    assert np.abs(other.images - alone.images).max() > 1e-3


@pytest.mark.sweep(on="jax tensorflow")
def test_batches_and_seeds(images):
    asked = {"start": "noise", "steps": 2, "transformations": ["jitter"]}
    whole = innspect.synthesize(images, [0, 1, 2], **asked, seed=[3, 4, 5])
    parts = innspect.synthesize(images, [0, 1, 2], **asked, seed=[3, 4, 5], batch_size=2)
    close(parts.images, whole.images, 1e-5)
    assert parts.curve.shape == (3, 3)
    same = innspect.synthesize(images, 1, **asked, seed=[4, 5])
    close(same.images[0], whole.images[1], 1e-5)
    assert np.abs(same.images[1] - same.images[0]).max() > 0.01


@pytest.mark.parametrize("start", ["zeros", "fourier"])
def test_the_same_image_on_every_backend(images, start):
    found = innspect.synthesize(images, [1, 2], start=start, steps=8, transformations=["jitter", "rotation"])
    close(found.images[:, 4, 4, 0], np.array(SEEN["pixels" if start == "zeros" else start]), 1e-3)


def test_many_steps_of_one_program_are_those_of_many(images, monkeypatch):
    asked = {"steps": 7, "transformations": ["jitter"], "objective": "log_probability"}
    one_by_one = innspect.synthesize(images, [0, 3], **asked)
    monkeypatch.setattr(backend, "accelerated", lambda: True)
    monkeypatch.setattr(running, "_CHUNK", 3)
    together = innspect.synthesize(images, [0, 3], **asked)
    close(together.images, one_by_one.images, 1e-4)
    close(together.curve, one_by_one.curve, 1e-4)


def test_values_are_those_of_the_model(images):
    found = innspect.synthesize(images, ["cat", (2,), "all"][:2], labels=["a", "cat", "b", "c"], steps=3)
    assert found.names == ["cat", "output (2,)"]
    logits = innspect.model_wo_softmax(images).predict(found.images, verbose=0)
    close(found.values, logits[[0, 1], [1, 2]], 1e-5)
    sure = innspect.synthesize(images, "all", objective="log_probability", steps=2)
    close(sure.values, np.log(images.predict(sure.images, verbose=0)).diagonal(), 1e-3)


def test_units_are_those_of_the_layer(images):
    asked = [innspect.unit("high", 3), innspect.unit("high", 3, (1, 2)), innspect.unit("high", 3, reduce="max")]
    asked += [2 * asked[0] - asked[1], innspect.unit("classes", 1)]
    found = innspect.synthesize(images, asked, start=array(9, 8, 3), steps=1)
    seen = keras.Model(images.inputs, [images.get_layer("high").output, images.outputs[0]]).predict(found.images, verbose=0)
    channel = seen[0][..., 3]
    expected = [channel[0].sum(), channel[1, 1, 2], channel[2].max(), 2 * channel[3].sum() - channel[3, 1, 2], seen[1][4, 1]]
    close(found.values, np.array(expected), 1e-5)
    assert found.names[3] == "2 high 3 - high 3 at 1, 2"


@pytest.mark.sweep(on="jax tensorflow")
def test_accentuation_stays_near_the_image(images):
    start = array(9, 8, 3)
    asked = {"start": start, "steps": 20, "space": "fourier", "low": -4, "high": 4}
    free = innspect.synthesize(images, 1, **asked)
    held = innspect.synthesize(images, 1, **asked, regularizers={"features": {"strength": 10.0, "layer": "low"}})
    unmoved = innspect.synthesize(images, 1, **asked | {"steps": 1, "step_size": 1e-9})
    close(unmoved.images[0], start, 1e-3)
    assert np.abs(held.images[0] - start).mean() < np.abs(free.images[0] - start).mean() / 2


@pytest.mark.sweep(on="jax tensorflow")
def test_codes_stay_in_their_range(images):
    generator = keras.Sequential([keras.Input((6,)), L.Dense(216, activation="sigmoid"), L.Reshape((9, 8, 3))])
    shake(generator)
    codes = np.abs(array(50, 6))
    within = synthesis.code_range(codes)
    found = innspect.synthesize(images, 2, generator=generator, **{**synthesis.NGUYEN, "steps": 5}, **within)
    assert (found.codes >= 0).all()
    assert (found.codes <= within["high"] + 1e-6).all()
    close(generator.predict(found.codes, verbose=0), found.images, 1e-5)


@pytest.mark.sweep(on="jax tensorflow")
def test_series_volumes_and_gray_images():
    for shape, layer in (((20, 2), L.Conv1D), ((6, 5, 4, 1), L.Conv3D)):
        model = shake(keras.Sequential([keras.Input(shape), layer(3, 3, name="conv"), L.Flatten(), L.Dense(2)]))
        found = innspect.synthesize(
            model, innspect.unit("conv", 1), start="fourier", steps=3, transformations=["jitter", "scale"]
        )
        assert found.images.shape == (1, *shape)
        assert found.curve[0, -1] > found.curve[0, 0]
    layers = [keras.Input((8, 7)), L.Reshape((8, 7, 1)), L.Conv2D(3, 3), L.Flatten(), L.Dense(2)]
    found = innspect.synthesize(shake(keras.Sequential(layers)), 1, start="maco", steps=2)
    assert found.images.shape == (1, 8, 7)
    assert found.pictures().shape == (1, 8, 7, 3)


def test_channels_may_come_first():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no such convolutions on a CPU")
    kernel = array(3, 3, 3, 4)
    inner = {"first": (3, 9, 8), "last": (9, 8, 3)}
    found = {}
    for where, shape in inner.items():
        conv = L.Conv2D(4, 3, activation="tanh", data_format=f"channels_{where}", name="conv")
        model = keras.Sequential([keras.Input(shape), conv])
        model.set_weights([kernel, np.zeros(4)])
        unit = innspect.unit("conv", 2, (1, 3))
        found[where] = innspect.synthesize(model, unit, start="fourier", steps=3, transformations=["jitter"]).images
    close(np.moveaxis(found["first"], 1, -1), found["last"], 1e-4)


def test_ids_are_synthesized_as_vectors():
    ids = keras.Input((5,), dtype="int32")
    vectors = L.Embedding(7, 3, name="embedding")(ids)
    model = shake(keras.Model(ids, L.Dense(2)(L.Flatten()(L.Conv1D(4, 2, activation="tanh")(vectors)))))
    table = model.get_layer("embedding").get_weights()[0]
    found = innspect.synthesize(model, 1, steps=5)
    assert found.images.shape == (1, 5, 3)
    distances = ((found.images[0][:, None] - table) ** 2).sum(-1)
    (tokens,) = found.tokens.values()
    assert (tokens[0] == distances.argmin(-1)).all()
    start = np.array([[1, 2, 3, 4, 6]])
    unmoved = innspect.synthesize(model, 1, start=start, steps=1, step_size=1e-9)
    assert (next(iter(unmoved.tokens.values())) == start).all()


def test_several_inputs_and_those_that_stay():
    pixels, more, lengths = (
        keras.Input((6, 6, 1), name="a"),
        keras.Input((4,), name="b"),
        keras.Input((1,), dtype="int32", name="n"),
    )
    mask = keras.ops.cast(keras.ops.less(np.arange(4, dtype="int32"), lengths), "float32")
    merged = L.Concatenate()([L.Flatten()(pixels), L.Multiply()([more, mask])])
    two = shake(keras.Model([pixels, more], L.Dense(2)(L.Concatenate()([L.Flatten()(pixels), more]))))
    found = innspect.synthesize(two, 1, steps=3, regularizers={"l2": 0.1})
    assert [a.shape for a in found.images] == [(1, 6, 6, 1), (1, 4)]
    three = shake(keras.Model([pixels, more, lengths], L.Dense(2)(merged)))
    with pytest.raises(ValueError, match=r"these cannot be synthesized: \['n'\]"):
        innspect.synthesize(three, 1, steps=1)
    start = [np.zeros((1, 6, 6, 1)), np.zeros((1, 4)), np.array([[2]])]
    found = innspect.synthesize(three, 1, start=start, steps=3)
    assert found.images[2] == 2
    assert (found.images[1][0, 2:] == 0).all()
    assert (found.images[1][0, :2] != 0).all()


def test_the_model_stays_as_it_is(images):
    before = images.get_weights()
    innspect.synthesize(images, 1, steps=2)
    assert all((a == b).all() for a, b in zip(before, images.get_weights(), strict=True))
