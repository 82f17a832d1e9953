"""State that hid once, each with the wrong number or the leak that it let through."""

import inspect
import re
import stat
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from keras import layers as L
from keras import ops
from law_networks import relu_networks, signed_networks, some_inputs
from models import array, shake

import innspect
from innspect.analyzers.averaging.vectors import moved_embeddings, with_moved_vectors
from innspect.analyzers.base.registry import example_arguments
from innspect.graph import keras_internals
from innspect.graph.capture import interception, registry
from innspect.graph.passes.detach import freeze
from innspect.graph.passes.folding import fold
from innspect.graph.passes.ids import keep_numbers
from innspect.graph.passes.normalization import open_normalizations
from innspect.graph.passes.softmax import put_together

pytestmark = pytest.mark.usefixtures("quick")
drawn = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
METHODS = [name for name in innspect.list_analyzers() if not name.startswith("test.")]


def image_model():
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    h = L.BatchNormalization(name="norm")(h)
    h = L.GlobalAveragePooling2D(name="pool")(h)
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="out")(h)))


X = array(2, 6, 6, 2)


# ---------------------------------------------------------------------- R1: a graph that passes write to
def contents(graph):
    """All that a graph says, by identity."""
    nodes = [
        (id(n), n.path, n.kind, id(n.function), id(n.view), n.operation, n.active_inputs, n.inputs, n.outputs, n.variables)
        for n in graph.nodes
    ]
    return nodes, graph.inputs, graph.outputs, graph.active, dict(graph.paths), dict(graph.producers), dict(graph.consumers)


def _moved_embeddings(graph):
    return with_moved_vectors(graph, moved_embeddings(graph), lambda looked_up, moved: looked_up.vectors + moved)


PASSES = {
    "freeze": freeze,
    "freeze attention": lambda graph: freeze(graph, attention=True),
    "fold": lambda graph: fold(graph, keep=graph.outputs),
    "open normalizations": open_normalizations,
    "put together": put_together,
    "keep numbers": keep_numbers,
    "move embeddings": _moved_embeddings,
}


def attentive():
    ids = keras.Input((4,), dtype="int32")
    h = L.Embedding(7, 4)(ids)
    h = L.LayerNormalization()(L.Add()([h, L.MultiHeadAttention(1, 4)(h, h)]))
    e = ops.exp(L.Dense(3)(L.Flatten()(h)))
    return shake(keras.Model(ids, e / ops.sum(e, axis=-1, keepdims=True)))


@pytest.mark.parametrize("name", PASSES)
@drawn
@given(build=relu_networks(normalized=True))
def test_no_pass_changes_its_graph(name, build):
    for model in (build(), attentive()):
        graph = innspect.open_model(model).graph
        before = contents(graph)
        made, moved = PASSES[name](graph)
        assert contents(graph) == before
        tensors = {t for n in made.nodes for t in n.outputs} | set(made.inputs)
        assert all(t not in tensors for t in moved)
        assert not {t for n in made.nodes for t in n.inputs} - tensors


def test_a_graph_refuses_to_be_written_to():
    graph = innspect.open_model(image_model()).graph
    for thing, attribute in (
        (graph, "nodes"),
        (graph.nodes[0], "kind"),
        (graph.inputs[0], "shape"),
        (graph.nodes[0], "outputs"),
    ):
        with pytest.raises(AttributeError):
            setattr(thing, attribute, None)
    with pytest.raises(TypeError):
        graph.paths["conv"] = ()


@drawn
@given(build=signed_networks())
def test_no_analyzer_changes_the_graph_that_it_shares(build):
    model = build()
    opened, x = innspect.open_model(model), some_inputs(model)
    before = contents(opened.graph)
    for name in ("gradient", "lrp.epsilon", "lrp.attention", "deep_lift", "integrated_gradients"):
        analyzer = innspect.create_analyzer(name, opened, **example_arguments(name, x))
        analyzer.explain(x, 0)
    assert contents(opened.graph) == before


def test_noise_reaches_a_query_that_the_averaged_method_sends_nothing_to():
    """R1: freezing the attention of the inner method had made the query a mask for the noise, too."""
    query, value = keras.Input((3, 4)), keras.Input((5, 4))
    h = L.MultiHeadAttention(2, 3)(query, value)
    model = shake(keras.Model([query, value], L.Dense(2)(L.Flatten()(h))))
    xs = [array(2, 3, 4), array(2, 5, 4, seed=1)]
    smooth = innspect.create_analyzer("smoothgrad", model, of="lrp.cp", num_samples=3, noise_scale=0.3, seed=5)
    ours = smooth.analyze(xs, 0)
    inner = innspect.create_analyzer("lrp.cp", model)
    noise = [[np.random.default_rng([5, k]) for k in range(3)]][0]
    total = [np.zeros_like(x) for x in xs]
    for generator in noise:
        draws = [generator.standard_normal(x.shape[1:], "float32") for x in xs]
        found = inner.analyze([x + 0.3 * d for x, d in zip(xs, draws, strict=True)], 0)
        total = [t + f / 3 for t, f in zip(total, found, strict=True)]
    for a, b in zip(ours, total, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.abs(b).max()))


# ---------------------------------------------------------------------- R3: the sign of a map
UNSIGNED = {
    "grad_cam": {"relu": False},
    "gradient": {"postprocess": "abs"},
    "smoothgrad": {"postprocess": "square", "num_samples": 2},
    "cam": {"relu": True},
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_whether_a_map_has_a_sign_is_known_of_the_analyzer_and_not_of_its_name(name):
    model = image_model()
    plain = innspect.create_analyzer(name, model, **{k: v for k, v in UNSIGNED[name].items() if k == "num_samples"})
    other = innspect.create_analyzer(name, model, **UNSIGNED[name])
    assert plain.signed is not other.signed
    for analyzer in (plain, other):
        explanation = analyzer.explain(X)
        assert explanation.settings["signed"] is analyzer.signed
        assert explanation.settings["scale"] == analyzer.scale
        palette = innspect.visualize.palette_of(explanation.settings)
        assert palette == innspect.visualize.palette_of(analyzer) == ("red_blue" if analyzer.signed else "heat")


def test_negative_pixels_of_a_class_activation_map_are_blue():
    """R3: they were white in notebooks and reports, since "grad_cam" was known for maps without a sign."""
    model = image_model()
    explanation = innspect.create_analyzer("grad_cam", model, relu=False).explain(X, 0)
    assert (explanation.attributions < 0).any()
    from innspect.reports.pictures import level_of, shades_of
    from innspect.visualize import colours, heatmap
    from innspect.visualize.forms import forms_of, picture_shades
    from innspect.visualize.png import png

    (form,) = forms_of(explanation.attributions, of=explanation.settings)
    drawn_as = [colours(shades_of(level_of(picture_shades(form))))]
    drawn_as.append(heatmap(explanation.attributions, of=explanation.settings))
    for image in drawn_as:
        strongest = explanation.attributions < 0.5 * explanation.attributions.min()
        blue = image[strongest].astype(int)
        assert (blue[:, 2] > blue[:, 0]).all()
    import base64

    page = explanation._repr_html_()
    assert base64.b64encode(png(drawn_as[1][0], indexed=True)).decode() in page


# ---------------------------------------------------------------------- R4: the rights of what is written
def test_files_get_the_rights_that_any_new_file_has(tmp_path):
    model = image_model()
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    expected = stat.S_IMODE(plain.stat().st_mode)
    analyzer = innspect.create_analyzer("gradient", model)
    patterns = innspect.patterns.fit(model, X)
    written = {
        "a.innspect": analyzer.save,
        "a.npz": analyzer.save_npz,
        "e.npz": analyzer.explain(X).save,
        "p.h5": patterns.save,
        "r.html": innspect.report(model, X, ["gradient"], top=1).save,
    }
    for name, write in written.items():
        write(str(tmp_path / name))
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == expected, name
        (tmp_path / name).chmod(0o640)
        write(str(tmp_path / name))  # what is replaced keeps its own
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640, name
    assert {path.name for path in tmp_path.iterdir()} == {"plain", *written}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    from innspect.files import replacing

    (tmp_path / "f").write_text("old")
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "f") as partial:
        Path(partial).write_text(str(tmp_path.read_bytes()))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


# ---------------------------------------------------------------------- R5: a program that is written to while it runs
def attributes(thing, seen):
    """All that an object and what it holds say, by identity, so far as it is innspect's."""
    if id(thing) in seen or not type(thing).__module__.startswith("innspect"):
        return id(thing)
    seen.add(id(thing))
    own = {f: getattr(thing, f) for f in getattr(thing, "__slots__", ())} | getattr(thing, "__dict__", {})
    return type(thing), {k: structure(v, seen) for k, v in own.items()}


def structure(value, seen):
    if isinstance(value, list | tuple | set | frozenset):
        return type(value), len(value), [structure(v, seen) for v in value]
    if isinstance(value, dict):
        return [(id(k), structure(v, seen)) for k, v in value.items()]
    return value if isinstance(value, str | int | float | bool | type(None)) else attributes(value, seen)


@pytest.mark.parametrize(
    "name", ["deep_taylor.bounded", "lrp.epsilon_gamma_box", "lrp.epsilon", "lrp.cp", "grad_cam", "deep_lift"]
)
@pytest.mark.filterwarnings("ignore:.deep_taylor", "ignore:.*outside the bounds")
def test_no_attribute_of_a_program_changes_while_it_runs(name):
    """R5: the bounds of the input were left on the program, as a tracer of a compilation long gone."""
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="relu")(L.Rescaling(2.0, offset=-1.0)(x))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(h))))
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    analyzer.analyze(X, 0)
    programs = [way.program for way in analyzer._passes.values()]
    assert programs
    before = [attributes(program, set()) for program in programs]
    analyzer.explain(array(3, 6, 6, 2, seed=4), 1)
    if hasattr(analyzer, "conservation"):
        analyzer.conservation(X, 0)
    assert [attributes(program, set()) for program in programs] == before


def test_bounds_pass_through_what_comes_before_the_first_layer():
    x = keras.Input((4,))
    kernel = L.Dense(3, activation="relu", name="first")
    inner = keras.Input((4,))
    last = L.Dense(2, name="last")
    model = shake(keras.Model(x, last(kernel(L.Rescaling(-2.0, offset=1.0)(x)))))
    bare = keras.Model(inner, last(kernel(inner)))
    data = array(3, 4) / 10
    ours = innspect.create_analyzer("lrp", model, rule="Epsilon", input_layer_rule=(-1, 1)).analyze(data, 0)
    theirs = innspect.create_analyzer("lrp", bare, rule="Epsilon", input_layer_rule=(-1, 3)).analyze(1 - 2 * data, 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- R6: saving without a path
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_saved_without_a_path(name):
    model = image_model()
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    told, state = analyzer.save()
    assert told == name
    assert isinstance(state, bytes)


# ---------------------------------------------------------------------- R7: one patch of Keras, of one thread
def patched():
    classes = keras.Layer, keras.Operation, L.Dense, keras.Sequential
    return [dict(vars(cls)) for cls in classes], [module.shape for module in interception.OPERATIONS]


def test_only_one_file_replaces_anything_of_keras():
    package = Path(innspect.__file__).parent
    assigning = re.compile(r"^\s*(keras\.\w+\.\w+ *(,[^=\n]*)?=[^=]|vars\((keras|module))|setattr\(keras", re.MULTILINE)
    found = [
        p.relative_to(package).as_posix() for p in package.rglob("*.py") if assigning.search(p.read_text(encoding="utf-8"))
    ]
    assert found == ["graph/capture/interception.py"]


def test_a_recording_hears_its_own_thread_only():
    original = patched()
    layer, other = L.Dense(2, name="mine"), L.Dense(2, name="theirs")
    ready, done = threading.Event(), threading.Event()

    def elsewhere():
        ready.wait(10)
        other(array(1, 3))
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    holder = keras.Sequential([keras.Input((3,)), layer])
    with interception.recording() as heard:
        ready.set()
        done.wait(10)
        holder(array(1, 3))
    thread.join()
    assert list(heard) == ["mine", ""]
    assert patched() == original


def test_many_threads_that_open_models_leave_keras_as_it_was():
    """The originals were read outside the lock: a thread could take another's stand-ins for them."""
    original, errors = patched(), []

    def build():
        try:
            for _ in range(4):
                model = keras.Sequential([keras.Input((3,)), L.Dense(4, activation="relu"), L.Dense(2)])
                innspect.create_analyzer("gradient", model)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert patched() == original


def test_an_exception_within_a_recording_restores_keras():
    original = patched()
    with pytest.raises(ZeroDivisionError), interception.recording():
        raise ZeroDivisionError
    assert patched() == original


# ---------------------------------------------------------------------- R8: private names of Keras
def test_a_private_name_that_keras_has_no_more_is_an_error_and_no_match():
    """R8: None was compared with None, so a subclass that computes something else passed for its parent."""
    with pytest.raises(ImportError, match=r"innspect uses Dense\.renamed_op, .* which Keras .* does not have"):
        keras_internals.require(L.Dense, "renamed_op")


class OtherConvolution(L.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, 2 * kernel)


class OtherSum(L.Add):
    def _merge_function(self, inputs):
        return 3 * super()._merge_function(inputs)


class OtherCell(L.LSTMCell):
    def _compute_carry_and_output_fused(self, z, c_tm1):
        c, o = super()._compute_carry_and_output_fused(z, c_tm1)
        return 0.5 * c, o


def test_a_subclass_that_computes_otherwise_is_not_taken_for_its_parent():
    from innspect.graph.views.cells import view_cells

    assert registry.find_lowering(L.Conv2D(2, 2)) is not None
    assert registry.find_lowering(OtherConvolution(2, 2)) is None
    assert registry.find_lowering(OtherSum()) is None
    assert view_cells(L.LSTMCell(2)) is not None
    assert view_cells(OtherCell(2)) is None


def test_no_name_is_compared_with_a_default():
    for module in (registry, inspect.getmodule(__import__("innspect.graph.views.cells", fromlist=["cells"]).view_cells)):
        assert not re.search(r"getattr\([^()]*, None\) is (not )?getattr", inspect.getsource(module))
