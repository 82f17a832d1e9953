"""Students that learn where their teachers look."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect import backend
from innspect.backend.compiling import read_only
from innspect.training import Distilled

CLASSES = 3
LABELS = np.arange(8) % CLASSES


def network(width=3, *more, activation="relu", head="softmax", size=7, dtype=None, units=CLASSES):
    layers = [
        L.Conv2D(width, 3, activation=activation, name="first", dtype=dtype),
        L.Conv2D(width + 1, 3, activation=activation, name="second", dtype=dtype),
        *more,
        L.Flatten(dtype=dtype),
        L.Dense(units, activation=head, name="out", dtype=dtype),
    ]
    return shake(keras.Sequential([keras.Input((size, size, 1), dtype="float64" if dtype == "float64" else None), *layers]))


def compiled(model, loss="sparse_categorical_crossentropy", optimizer=None, **arguments):
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss, **arguments)
    return model


def term(distilled, x, y, sample_weight=None):
    """What the teacher adds to the loss."""

    def run(x):
        with read_only():
            y_pred = distilled(x)
            whole = distilled.compute_loss(x, y, y_pred, sample_weight)
            return whole - keras.Model.compute_loss(distilled, x, y, y_pred, sample_weight)

    return float(backend.to_numpy(backend.once(run, ops.convert_to_tensor(x))))


def numbers(model):
    return [np.array(w) for w in model.get_weights()]


def same(ours, theirs):
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


METHODS = [
    "grad_cam_plus_plus",
    "grad_cam",
    "grad_cam.counterfactual",
    "layer_cam",
    "hires_cam",
    "xgrad_cam",
    "gradient",
    "input_t_gradient",
    "saliency",
]


@pytest.mark.sweep(keep=["grad_cam_plus_plus"], on="jax")
@pytest.mark.parametrize("method", METHODS)
def test_the_term_is_made_of_the_maps_that_analyze_shows(method):
    """Also with layers that are otherwise while they train."""
    student = network(3, L.BatchNormalization(), L.Dropout(0.5))
    teacher = network(4, size=7)
    x = array(8, 7, 7, 1)
    layered = method not in METHODS[-3:]
    more = {"layer": "second", "upsample": False, "relu": True} if layered else {}
    maps = [innspect.create_analyzer(method, m, **more).analyze(x, LABELS) for m in (student, teacher)]
    wanted = np.square(maps[0] - maps[1]).sum(axis=tuple(range(1, maps[0].ndim)))
    layers = {"layer": "second", "teacher_layer": "second"} if layered else {}
    distilled = compiled(Distilled(student, teacher, alpha=0.5, method=method, **layers))
    found = distance_of(distilled, x, LABELS)
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=2e-4, atol=1e-6)
    assert wanted.max() > 1e-3
    np.testing.assert_allclose(term(distilled, x, LABELS), 0.5 * wanted.mean(), rtol=1e-3, atol=1e-6)


def distance_of(distilled, x, y):
    def seed(explained):
        return ops.one_hot(y, explained.shape[-1], dtype=explained.dtype)

    return distilled._distance(x, distilled._taught(x, seed)[0], seed)


@pytest.mark.host
def test_the_students_map_is_resized_to_the_teachers():
    student, teacher = network(3), network(2)
    x = array(8, 7, 7, 1)
    small = innspect.create_analyzer("grad_cam_plus_plus", student, layer="second", upsample=False).analyze(x, LABELS)
    large = innspect.create_analyzer("grad_cam_plus_plus", teacher, layer="first", upsample=False).analyze(x, LABELS)
    moved = ops.convert_to_numpy(ops.image.resize(small[..., None], (5, 5), interpolation="bilinear"))[..., 0]
    distilled = compiled(Distilled(student, teacher, layer="second", teacher_layer="first", alpha=1))
    np.testing.assert_allclose(term(distilled, x, LABELS), np.square(moved - large).sum((1, 2)).mean(), rtol=1e-3, atol=1e-6)


def gradients(distilled, x, y):
    """Of the teacher's term, with respect to the student's weights."""
    variables = distilled.student.trainable_variables

    def loss(*values):
        with read_only(variables, values):
            y_pred = distilled(x)
            return [distilled.compute_loss(x, y, y_pred) - keras.Model.compute_loss(distilled, x, y, y_pred)]

    def run(*values):
        (value,), back = backend.vjp(loss, list(values))
        return back([ops.ones_like(value)])

    return [backend.to_numpy(g) for g in backend.once(run, *(ops.convert_to_tensor(v.value) for v in variables))]


@pytest.mark.sweep(keep=["knowledge"], on="jax")
@pytest.mark.parametrize("base", [None, "knowledge"])
def test_identical_networks_have_nothing_to_learn(base):
    model = network(3, L.Dropout(0.0))
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    x = array(8, 7, 7, 1)
    distilled = compiled(Distilled(model, model if base else twin, alpha=1, base=base))  # a teacher may be its own student
    assert abs(term(distilled, x, LABELS)) <= 1e-6
    assert all(np.abs(g).max() <= 1e-6 for g in gradients(distilled, x, LABELS))


@pytest.mark.usefixtures("double")
@pytest.mark.sweep(keep=["grad_cam_plus_plus"], on="jax")
@pytest.mark.parametrize("method", ["grad_cam_plus_plus", "gradient"])
def test_the_gradient_is_that_of_finite_differences(method):
    student, teacher = (network(w, activation=a, dtype="float64") for w, a in ((2, "softplus"), (3, "relu")))
    x, y = array(4, 7, 7, 1).astype("float64"), LABELS[:4]
    distilled = Distilled(student, teacher, method=method)
    learnt, variables = distilled._learnt, student.trainable_variables
    assert learnt.float64

    def distance(*values):
        with read_only(variables, values):
            return [ops.sum(distance_of(distilled, x, y))]

    def slopes(*values):
        (whole,), back = backend.vjp(distance, list(values))
        return back([ops.ones_like(whole)])

    now = [np.array(backend.to_numpy(v.value)) for v in variables]
    found = [backend.to_numpy(g) for g in backend.once(slopes, *map(ops.convert_to_tensor, now))]
    value = backend.compile(lambda *values: distance(*values)[0])
    random, step = np.random.default_rng(0), 1e-5
    for i, slope in enumerate(found):
        way = random.normal(size=slope.shape)
        ends = [[w + sign * step * way if i == j else w for j, w in enumerate(now)] for sign in (1, -1)]
        up, down = (float(backend.to_numpy(value(*map(ops.convert_to_tensor, end)))) for end in ends)
        np.testing.assert_allclose((slope * way).sum(), (up - down) / (2 * step), rtol=1e-5, atol=1e-7)
    assert max(np.abs(s).max() for s in found) > 1e-3


def test_alpha_0_is_plain_training_to_the_bit():
    x, ends, teacher = array(16, 7, 7, 1), [], network(4)
    for wrap in (lambda m: m, lambda m: Distilled(m, teacher, alpha=0)):
        keras.utils.set_random_seed(3)
        model = network(3, L.Dropout(0.3, seed=1))
        wrapped = compiled(wrap(model), optimizer=keras.optimizers.Adam(0.01))
        wrapped.fit(x, np.arange(16) % 3, epochs=2, batch_size=8, verbose=0)
        ends.append(numbers(model))
    same(*ends)


def test_it_trains_with_all_that_fit_has(tmp_path):
    x, y = array(16, 7, 7, 1), np.arange(16) % 3
    student, teacher = network(3), network(4)
    taught, before = numbers(teacher), numbers(student)
    distilled = Distilled(student, teacher, alpha=2, base="knowledge", temperature=2)
    distilled.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    kept = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss", save_best_only=True)
    history = distilled.fit(
        x, y, epochs=12, batch_size=8, verbose=0, validation_data=(x, y), validation_batch_size=16, callbacks=[kept]
    ).history
    terms = {"loss", "task_loss", "map_loss", "knowledge_loss", "accuracy"}
    assert set(history) == terms | {f"val_{name}" for name in terms}
    for name in ("", "val_"):
        parts = [np.array(history[f"{name}{part}"]) for part in ("task_loss", "map_loss", "knowledge_loss")]
        np.testing.assert_allclose(history[f"{name}loss"], parts[0] + 2 * parts[1] + parts[2], rtol=1e-4)
    assert history["val_map_loss"][-1] < 0.9 * history["val_map_loss"][0]
    same(numbers(teacher), taught)
    assert all(v.trainable for v in teacher.trainable_variables)
    assert any((a != b).any() for a, b in zip(numbers(student), before, strict=True))
    assert len(distilled.trainable_variables) == len(student.trainable_variables)
    again = keras.saving.load_model(tmp_path / "best.keras")
    assert type(again) is keras.Sequential
    student.save(tmp_path / "student.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "student.keras").predict(x, verbose=0), student.predict(x, verbose=0)
    )
    assert set(distilled.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)) == terms


@pytest.mark.host
def test_the_teacher_is_what_it_was():
    """And training it meanwhile, or training it as its own student, changes nothing of what it teaches."""
    model = network(3)
    distilled = compiled(Distilled(model, model, alpha=1))
    x = array(8, 7, 7, 1)
    model.set_weights([w * 1.2 for w in model.get_weights()])
    first = term(distilled, x, LABELS)
    assert first > 1e-4
    assert distilled.teacher is model


@pytest.mark.host
@pytest.mark.parametrize("kind", ["sparse", "column", "one_hot"])
def test_labels_in_every_form(kind):
    labels = {"sparse": LABELS, "column": LABELS[:, None], "one_hot": np.eye(3, dtype="float32")[LABELS]}[kind]
    student, teacher, x = network(3), network(4), array(8, 7, 7, 1)
    loss = "categorical_crossentropy" if kind == "one_hot" else "sparse_categorical_crossentropy"
    distilled = compiled(Distilled(student, teacher, alpha=1), loss)
    wanted = term(compiled(Distilled(student, teacher, alpha=1)), x, LABELS)
    np.testing.assert_allclose(term(distilled, x, labels), wanted, rtol=1e-5)
    weights = np.array([1, 0, 0, 0, 0, 0, 0, 0], "float32")
    alone = term(distilled, x[:1], labels[:1]) / 8
    np.testing.assert_allclose(term(distilled, x, labels, weights), alone, rtol=1e-4)


@pytest.mark.host
def test_one_unit_speaks_for_both_classes():
    student, teacher = (network(w, head="sigmoid", units=1) for w in (3, 4))
    x, y = array(8, 7, 7, 1), np.arange(8) % 2
    maps = []
    for model in (student, teacher):
        yes, no = (
            innspect.create_analyzer(name, model, layer="second", upsample=False).analyze(x)
            for name in ("grad_cam", "grad_cam.counterfactual")
        )
        maps.append(np.where(y[:, None, None] == 1, yes, no))
    distilled = compiled(Distilled(student, teacher, alpha=1, method="grad_cam"), "binary_crossentropy")
    wanted = np.square(maps[0] - maps[1]).sum((1, 2)).mean()
    np.testing.assert_allclose(term(distilled, x, y), wanted, rtol=1e-3)
    knowing = compiled(Distilled(student, teacher, alpha=0, base="knowledge", temperature=1), "binary_crossentropy")
    p, q = (ops.convert_to_numpy(m(x))[:, 0].astype("float64") for m in (teacher, student))
    wanted = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    np.testing.assert_allclose(term(knowing, x, y), wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.host
@pytest.mark.parametrize("head", ["softmax", None])
def test_knowledge_is_hintons(head):
    student, teacher, x = network(3, head=head), network(4), array(8, 7, 7, 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=head is None)
    distilled = compiled(Distilled(student, teacher, alpha=0, base="knowledge", temperature=3), loss)
    logits = [ops.convert_to_numpy(innspect.model_wo_softmax(m)(x) if h else m(x)) for m, h in ((student, head), (teacher, 1))]
    q, p = (np.exp(z / 3) / np.exp(z / 3).sum(-1, keepdims=True) for z in logits)
    np.testing.assert_allclose(term(distilled, x, LABELS), 9 * (p * np.log(p / q)).sum(-1).mean(), rtol=1e-3)


@pytest.mark.host
def test_mixed_precision():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        student = network(3)
    finally:
        keras.config.set_dtype_policy(before)
    teacher = network(4)
    x = array(8, 7, 7, 1)
    distilled = compiled(Distilled(student, teacher, alpha=0.1))
    history = distilled.fit(x, LABELS, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["map_loss"][0] > 0


@pytest.mark.host
def test_cam_and_frames():
    def pooled(width):
        layers = [L.Conv1D(width, 3, activation="relu", name="conv"), L.GlobalAveragePooling1D(), L.Dense(3)]
        return shake(keras.Sequential([keras.Input((9, 2)), *layers]))

    x, models = array(8, 9, 2), [pooled(3), pooled(4)]
    maps = [innspect.create_analyzer("cam", m, upsample=False, relu=True).analyze(x, LABELS) for m in models]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distilled = compiled(Distilled(*models, alpha=1, method="cam"), loss)
    np.testing.assert_allclose(term(distilled, x, LABELS), np.square(maps[0] - maps[1]).sum(1).mean(), rtol=1e-3)
    inner = keras.Sequential([keras.Input((5, 2)), L.Conv1D(3, 2, activation="relu", name="conv")])
    film = shake(keras.Sequential([keras.Input((4, 5, 2)), L.TimeDistributed(inner, name="each"), L.Flatten(), L.Dense(3)]))
    other = keras.models.clone_model(film)
    x = array(8, 4, 5, 2)
    maps = [innspect.create_analyzer("grad_cam", m, upsample=False).analyze(x, LABELS) for m in (film, other)]
    assert maps[0].shape == (8, 4, 4)
    distilled = compiled(Distilled(film, other, alpha=1, method="grad_cam"), loss)
    np.testing.assert_allclose(
        term(distilled, x, LABELS), np.square(maps[0] - maps[1]).sum((1, 2)).mean(), rtol=1e-3, atol=1e-6
    )


def flat():
    return shake(keras.Sequential([keras.Input((7, 7, 1)), L.Flatten(), L.Dense(4, name="hidden"), L.Dense(3)]))


def several():
    x = keras.Input((7, 7, 1))
    h = L.Flatten()(L.Conv2D(2, 3)(x))
    return keras.Model(x, [L.Dense(3)(h), L.Dense(3)(h)])


def series():
    layers = [L.Reshape((49, 1)), L.Conv1D(2, 3, name="series"), L.Flatten(), L.Dense(3)]
    return shake(keras.Sequential([keras.Input((7, 7, 1)), *layers]))


@pytest.mark.parametrize(
    ("teacher", "arguments", "told"),
    [
        (flat, {}, "spatial axes"),
        (network, {"layer": "out"}, "spatial axes.*'out'"),
        (network, {"layer": "secnd"}, "second"),
        (network, {"teacher_layer": "third"}, "no layer|No layer|path"),
        (series, {"teacher_layer": "series"}, "'series'.*as many axes.*received"),
        (several, {}, "`teacher` must have one output"),
        (lambda: network(units=4), {}, "as many classes.*3 and 4"),
        (network, {"method": "score_cam"}, "`method` must be.*score_cam"),
        (network, {"method": "rsi_grad_cam"}, "`method` must be.*rsi_grad_cam"),
        (network, {"method": "guided_grad_cam"}, "`method` must be.*guided_grad_cam"),
        (network, {"method": "lrp.epsilon"}, "`method` must be.*lrp.epsilon"),
        (network, {"method": "grad_cam_plus"}, "grad_cam_plus_plus"),
        (network, {"method": "gradient", "layer": "second"}, "`layer` must be None"),
        (network, {"alpha": -1}, "`alpha`.*-1"),
        (network, {"alpha": float("nan")}, "`alpha`"),
        (network, {"base": "hinton"}, "`base`.*knowledge"),
        (network, {"temperature": 0}, "`temperature`"),
        (lambda: lambda x: x, {}, "model"),
    ],
)
@pytest.mark.once
def test_what_does_not_fit_is_told(teacher, arguments, told):
    with pytest.raises((ValueError, KeyError, TypeError), match=f"(?is){told}"):
        Distilled(network(), teacher(), **arguments)


@pytest.mark.host
def test_labels_that_are_none_are_told():
    distilled = compiled(Distilled(network(), network(4)), lambda y, y_pred: ops.mean(y_pred, axis=-1))
    x = array(8, 7, 7, 1)
    with pytest.raises(ValueError, match=r"`y` must be labels.*\(8, 2\)"):
        distilled.compute_loss(x, np.zeros((8, 2)), distilled(x))


class Once(L.Layer):
    """Its gradient has no derivative."""

    def call(self, x):
        return {"tensorflow": self._tensorflow, "jax": self._jax, "torch": self._torch}[keras.backend.backend()](x)

    def _tensorflow(self, x):
        import tensorflow as tf

        return tf.nn.local_response_normalization(x)

    def _jax(self, x):
        import jax

        @jax.custom_vjp
        def double(x):
            return 2 * x

        def back(_, g):
            return (jax.pure_callback(lambda g: 2 * np.asarray(g), jax.ShapeDtypeStruct(g.shape, g.dtype), g),)

        double.defvjp(lambda x: (2 * x, None), back)
        return double(x)

    def _torch(self, x):
        import torch

        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return 2 * x

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g):
                return 2 * g

        return Double.apply(x)


def test_a_layer_without_a_second_derivative_is_named():
    """Where the map is trained through it, and only there."""
    layers = [L.Conv2D(3, 3, name="first"), Once(name="once"), L.Conv2D(2, 3, activation="softplus", name="second")]
    student = shake(keras.Sequential([keras.Input((7, 7, 1)), *layers, L.Flatten(), L.Dense(3, activation="softmax")]))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"(?s)^'once.*no derivative there"):
        Distilled(student, network(), layer="first", teacher_layer="first")
    Distilled(student, network(), layer="second", teacher_layer="second")
    Distilled(student, network(), layer="first", teacher_layer="first", alpha=0)


@pytest.mark.host
def test_pooling_between_the_map_and_the_output():
    """Compiled as `fit` compiles it: pooling, padding and a shared way in."""
    x = keras.Input((8, 8, 1), name="image")
    h = L.Conv2D(3, 3, padding="same", activation="relu", name="conv")(x)
    a, b = L.MaxPooling2D(2)(h), L.AveragePooling2D(2)(h)
    y = L.Dense(3, activation="softmax")(L.Flatten()(L.concatenate([a, L.BatchNormalization()(b)])))
    student, teacher = shake(keras.Model(x, y)), network(2, size=8)
    distilled = compiled(Distilled(student, teacher, layer="conv", alpha=1), optimizer=keras.optimizers.SGD(0.02))
    losses = distilled.fit(array(8, 8, 8, 1), LABELS, epochs=4, verbose=0).history["map_loss"]
    assert losses[-1] < losses[0]
