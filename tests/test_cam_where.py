"""Where maps are: the layer that is meant, its calls, inputs without channels; and clear refusals."""

import functools

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import close, flattened, pooled

import innspect

pytestmark = pytest.mark.usefixtures("quick")


# ---------------------------------------------------------------------- several calls
@functools.cache
def siamese():
    """A backbone on two of three inputs, its analyzers by the input that its call reads, and inputs."""
    backbone = keras.Sequential([keras.Input((6, 6, 2)), L.Conv2D(3, 3, activation="relu", name="conv")], name="backbone")
    a, b, c = keras.Input((6, 6, 2)), keras.Input((6, 6, 2)), keras.Input((4,))
    h = L.Concatenate()([L.Flatten()(backbone(a)), L.Flatten()(backbone(b)), L.Dense(2)(c)])
    model = models.shake(keras.Model([a, b, c], L.Dense(2)(h)))
    calls = [innspect.create_analyzer("grad_cam", model, layer=f"backbone/conv[{i}]", relu=False) for i in (0, 1)]
    x = [models.array(2, 6, 6, 2), models.array(2, 6, 6, 2, seed=1), models.array(2, 4)]
    return model, sorted(calls, key=lambda call: call.place().inputs), x


def test_a_layer_called_twice_must_be_told_apart():
    model, *_ = siamese()
    with pytest.raises(ValueError, match=r"called 2 times.*'backbone/conv\[1\]' reads input [01]"):
        innspect.create_analyzer("grad_cam", model, layer="backbone/conv")


def test_a_call_has_the_map_of_the_input_that_it_reads():
    _, (first, second), x = siamese()
    moved = [x[0], x[1] + 1, x[2]]
    assert (first.place().inputs, second.place().inputs) == ((0,), (1,))
    close(first.analyze(moved, 0), first.analyze(x, 0))
    assert np.abs(second.analyze(moved, 0) - second.analyze(x, 0)).max() > 0.01


def test_guided_grad_cam_looks_through_the_map_of_a_call_at_its_input():
    model, (_, second), x = siamese()
    guided = innspect.create_analyzer("guided_grad_cam", model, layer=second.layer).analyze(x, 0)
    plain = innspect.create_analyzer("guided_backprop", model).analyze(x, 0)
    lens = innspect.create_analyzer("grad_cam", model, layer=second.layer).analyze(x, 0)
    close(guided[1], plain[1] * lens[..., None])
    close(guided[0], plain[0])


# ---------------------------------------------------------------------- the default layer
def default(model):
    return innspect.create_analyzer("grad_cam", model).place().path


def test_the_default_layer_has_the_image_s_axes_though_in_tokens():
    x = keras.Input((12, 12, 3))
    h = L.Reshape((100, 4), name="tokens")(L.Conv2D(4, 3, name="patches")(x))
    h = L.MultiHeadAttention(2, 2, name="attention")(h, h)
    assert default(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h)))) == "tokens"


def test_one_position_is_no_map():
    x = keras.Input((12, 12, 3))
    h = L.GlobalAveragePooling2D(keepdims=True)(L.Conv2D(4, 3, name="patches")(x))
    assert default(keras.Model(x, L.Dense(2)(L.Flatten()(L.Dropout(0.5)(h))))) == "patches"


def test_the_sum_of_a_residual_block_is_the_layer_though_it_is_no_layer():
    """As in ConvNeXt: the last layer is one branch of the block only."""
    x = keras.Input((12, 12, 3))
    h = L.Conv2D(4, 3, name="stem")(x)
    h = h + L.Conv2D(4, 3, padding="same", name="branch")(h)
    model = models.shake(keras.Model(x, L.Dense(2)(L.LayerNormalization()(L.GlobalAveragePooling2D()(h)))))
    path, image = default(model), models.array(2, 12, 12, 3)
    assert path not in {layer.name for layer in model.layers if isinstance(layer, L.Layer)}
    close(*(innspect.create_analyzer("grad_cam", model, layer=layer).analyze(image, 1) for layer in (None, path)))


def with_words():
    """An image and words, of which a later layer makes a sequence."""
    image, words = keras.Input((6, 6, 2)), keras.Input((5,), dtype="int32")
    seen = L.Flatten()(L.Conv2D(3, 3, activation="relu", name="seen")(image))
    told = L.Flatten()(
        L.LSTM(3, return_sequences=True, name="told")(L.LSTM(3, return_sequences=True)(L.Embedding(9, 3)(words)))
    )
    model = models.shake(keras.Model([words, image], L.Dense(2)(L.Concatenate()([seen, told]))))
    return model, [models.ids(2, 5, below=9), models.array(2, 6, 6, 2)]


@pytest.mark.parametrize("method", ["score_cam", "rsi_grad_cam"])
def test_the_default_layer_depends_on_what_the_method_can_move(method):
    model, x = with_words()
    analyzer = innspect.create_analyzer(method, model)
    assert analyzer.place().path == "seen"
    assert analyzer.analyze(x, 1).shape == (2, 6, 6)


def test_a_map_of_words_is_no_mask_of_them():
    model, x = with_words()
    with pytest.raises(innspect.NotAnalyzeableModelError, match="'told' depends on are ids or masks"):
        innspect.create_analyzer("score_cam", model, layer="told").analyze(x, 1)


class Bare(keras.Model):
    """Without layers."""

    def __init__(self):
        super().__init__()
        self.kernel = self.add_weight(shape=(3, 3, 3, 4), initializer="ones")

    def call(self, x):
        return ops.mean(ops.relu(ops.conv(x, self.kernel)), axis=(1, 2))


def test_operations_have_maps_where_there_are_no_layers():
    bare = Bare()
    bare(np.zeros((1, 12, 12, 3), "float32"))
    assert innspect.create_analyzer("grad_cam", bare).analyze(np.ones((2, 12, 12, 3), "float32"), 0).shape == (2, 12, 12)


def test_the_gradient_runs_only_down_to_the_layer():
    model, _ = flattened()
    analyzer = innspect.create_analyzer("grad_cam", model)
    program = analyzer.make_pass(0).program
    assert [n.path for n in program.stem.steps] == ["early", "early/re_lu", "pool/max_pool", "late", "late/re_lu"]
    assert not {n.path for s in program.steps for n in s.nodes} & {n.path for n in program.stem.steps}


# ---------------------------------------------------------------------- inputs without channels
def test_guided_grad_cam_of_grey_images_has_their_shape():
    grey = keras.Input((6, 6))
    model = models.shake(keras.Model(grey, L.Dense(2)(L.Flatten()(L.Conv2D(3, 3)(L.Reshape((6, 6, 1))(grey))))))
    x = models.array(2, 6, 6)
    lens = innspect.create_analyzer("grad_cam", model).analyze(x, 0)
    signal = innspect.create_analyzer("guided_backprop", model).analyze(x, 0)
    close(innspect.create_analyzer("guided_grad_cam", model).analyze(x, 0), lens * signal)


@pytest.mark.parametrize("method", ["cam", "grad_cam", "guided_grad_cam", "ablation_cam"])
def test_words_have_a_map(method):
    words = keras.Input((7,), dtype="int32")
    h = L.Conv1D(4, 3, activation="relu")(L.Embedding(9, 5)(words))
    model = models.shake(keras.Model(words, L.Dense(2)(L.GlobalAveragePooling1D()(h))))
    assert innspect.create_analyzer(method, model).analyze(models.ids(3, 7, below=9)).shape == (3, 7)


def from_vectors():
    flat = keras.Input((36,))
    h = L.Conv2D(3, 3, name="conv")(L.Reshape((6, 6, 1))(flat))
    return models.shake(keras.Model(flat, L.Dense(2)(L.Flatten()(h))))


def test_vectors_have_nothing_that_a_map_could_be_resized_to():
    with pytest.raises(innspect.NotAnalyzeableModelError, match="upsample=False"):
        innspect.create_analyzer("grad_cam", from_vectors()).analyze(models.array(2, 36))


def test_vectors_have_a_map_of_the_layers_size():
    analyzer = innspect.create_analyzer("grad_cam", from_vectors(), upsample=False)
    assert analyzer.analyze(models.array(2, 36)).shape == (2, 4, 4)


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("grad_cam", {"layer": "lat"}, KeyError, "Did you mean 'late'"),
        ("grad_cam", {"layer": "out"}, ValueError, "spatial axes"),
        ("grad_cam", {"layer": 3.5}, TypeError, "path of a layer"),
        ("grad_cam", {"layer": 30}, ValueError, "number of a layer in `model.layers`"),
        ("grad_cam", {"layer": "late[2]"}, ValueError, "calls of 'late'"),
        ("grad_cam", {"resize": "nearest"}, ValueError, "align_corners"),
        ("cam", {}, innspect.NotAnalyzeableModelError, r"'dense.*/tanh' .* is not affine"),
        ("guided_grad_cam", {"upsample": False}, ValueError, "upsample=True"),
        ("guided_grad_cam", {"of": "gradient"}, ValueError, "deconvnet"),
        ("rsi_grad_cam", {"selection": "some"}, ValueError, "relu_grad"),
        ("rsi_grad_cam", {"steps": 0}, ValueError, "positive integer"),
    ],
)
def test_bad_arguments_are_named(method, arguments, error, message):
    model, _ = flattened()
    with pytest.raises(error, match=message):
        innspect.create_analyzer(method, model, **arguments)


def test_a_path_of_other_shapes_than_the_inputs_is_refused():
    model, x = flattened()
    with pytest.raises(ValueError, match="`path` must hold"):
        innspect.create_analyzer("rsi_grad_cam", model, path=x[..., :1]).analyze(x)


def test_a_path_from_several_references_is_refused():
    model, x = flattened()
    with pytest.raises(ValueError, match="walks from one reference"):
        innspect.create_analyzer("rsi_grad_cam", model, reference_inputs=[0, 1]).analyze(x)


def test_score_cam_has_no_signals():
    model, x = flattened()
    with pytest.raises(ValueError, match="no signal"):
        innspect.create_analyzer("score_cam", model).explain(x, at=["late"])


@pytest.mark.parametrize(
    ("method", "shape", "layers", "message"),
    [
        (
            "cam",
            (8, 8, 2),
            lambda: [L.Conv2D(3, 3, name="late"), L.Flatten(name="flat"), L.Dense(2)],
            "'flat/reshape' reads the positions of 'late'",
        ),
        (
            "cam",
            (8, 8, 2),
            lambda: [L.Conv2D(3, 3), L.GlobalAveragePooling2D(), L.ReLU(name="gate"), L.Dense(2)],
            r"'gate.*not affine",
        ),
        (
            "cam",
            (3, 3, 1),
            lambda: [L.Conv2D(2, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(2)],
            r"single position, \(None, 1, 1, 2\): give larger inputs",
        ),
        (
            "cam",
            (8, 8, 2),
            lambda: [L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(3, 1, activation="relu", name="mixed"), L.Flatten()],
            "'mixed/re_lu' .* is not affine",
        ),
        ("grad_cam", (4,), lambda: [L.Dense(2)], "spatial axes"),
    ],
    ids=["flattened", "gated", "one position", "mixed behind pooling", "no position"],
)
def test_networks_without_such_a_map_say_why(method, shape, layers, message):
    with pytest.raises(innspect.NotAnalyzeableModelError, match=message):
        innspect.create_analyzer(method, keras.Sequential([keras.Input(shape), *layers()]))


def test_cam_is_of_the_layer_that_global_pooling_reads():
    model, _ = pooled()
    with pytest.raises(ValueError, match="global pooling reads, 'late'"):
        innspect.create_analyzer("cam", model, layer="early")


def test_a_layer_inside_a_model_has_its_path_suggested():
    backbone = keras.Sequential([L.Conv2D(2, 3, name="conv5")], name="backbone")
    with pytest.raises(KeyError, match="Did you mean 'backbone/conv5'"):
        innspect.create_analyzer("grad_cam", keras.Sequential([keras.Input((9, 10, 2)), backbone, L.Flatten()]), layer="conv5")


def test_a_path_where_the_layer_depends_on_ids_only_is_refused():
    """The other input moves, but the layer does not see it."""
    inputs = {"ids": keras.Input((4,), dtype="int32", name="ids"), "numbers": keras.Input((2,), name="numbers")}
    h = L.Concatenate()([L.Flatten()(L.Embedding(9, 3, name="embedding")(inputs["ids"])), inputs["numbers"]])
    analyzer = innspect.create_analyzer("rsi_grad_cam", keras.Model(inputs, L.Dense(2)(h)), steps=2)
    with pytest.raises(ValueError, match="no straight path between ids or masks, which are all that the layer 'embedding'"):
        analyzer.analyze({"ids": models.ids(3, 4, below=9), "numbers": models.array(3, 2)})
