"""What may be handed to `analyze`, how it is cut into batches, and analyzers and models in files."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import ZOO, array, native, shake

import innspect

X = array(7, 8, 8, 2)


@pytest.fixture(scope="module")
def model():
    return ZOO["functional"]()[0]


@pytest.fixture(scope="module")
def analyzer(model):
    return innspect.create_analyzer("lrp.epsilon", model)


@pytest.fixture(scope="module")
def expected(analyzer):
    return analyzer.analyze(X)


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


# ---------------------------------------------------------------------- arrays
def test_arrays_of_any_kind(analyzer, expected):
    for x in (X.astype("float64"), X.tolist(), np.asfortranarray(X), np.ma.asarray(X), ops.convert_to_tensor(X)):
        close(analyzer.analyze(x), expected)
    assert analyzer.analyze(X).dtype == "float32"


def test_integers_and_booleans(analyzer):
    x = np.random.default_rng(0).integers(0, 3, X.shape)
    close(analyzer.analyze(x), analyzer.analyze(x.astype("float32")))
    close(analyzer.analyze(x.astype("uint8")), analyzer.analyze(x.astype("float32")))
    close(analyzer.analyze(x > 1), analyzer.analyze((x > 1).astype("float32")))


def test_a_result_is_the_users_own(analyzer, expected):
    x = X.copy()
    result = analyzer.analyze(x)
    result[:] = 0
    np.testing.assert_array_equal(x, X)
    close(analyzer.analyze(X), expected)


def test_one_input_in_a_list_or_dict(analyzer, expected):
    (listed,) = analyzer.analyze([X])
    close(listed, expected)
    named = analyzer.analyze({"image": X})
    assert list(named) == ["image"]
    close(named["image"], expected)


def test_several_inputs_in_lists_tuples_and_dicts():
    model, (a, b) = ZOO["shared_model"]()
    analyzer = innspect.create_analyzer("gradient", model)
    listed = analyzer.analyze([a, b], 0)
    assert isinstance(listed, list)
    for given in (analyzer.analyze((a, b), 0), list(analyzer.analyze({"b": b, "a": a}, 0)[name] for name in "ab")):
        for ours, theirs in zip(given, listed, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_dicts_keep_their_keys_whatever_their_order():
    model, x = ZOO["subclassed_of_dict"]()
    analyzer = innspect.create_analyzer("gradient", model)
    one, two = analyzer.analyze(x, 0), analyzer.analyze(dict(reversed(x.items())), 0)
    assert one["zebra"].shape == (3, 4)
    assert one["ape"].shape == (3, 5)
    for name in x:
        np.testing.assert_array_equal(one[name], two[name])


# ---------------------------------------------------------------------- batches
@pytest.mark.parametrize("method", ["lrp.epsilon", "gradient"])
@pytest.mark.parametrize("batch_size", [3, 100])
def test_batch_sizes_and_padding_never_show(model, method, batch_size, eager):
    analyzer = innspect.create_analyzer(method, model)
    whole, cut = analyzer.explain(X, batch_size=7), analyzer.explain(X, batch_size=batch_size)
    for name in ("attributions", "outputs", "targets"):
        close(getattr(cut, name), getattr(whole, name))


def test_few_shapes_are_compiled(model, monkeypatch):
    from innspect.layers.program import Program

    sizes, forward = set(), Program.forward
    monkeypatch.setattr(Program, "forward", lambda self, xs: sizes.add(xs[0].shape[0]) or forward(self, xs))
    analyzer = innspect.create_analyzer("gradient", model)
    for samples in (1, 2, 3, 4, 5, 6, 7):
        assert len(analyzer.analyze(X[:samples], batch_size=6)) == samples
    assert sizes == {1, 2, 4, 6}


def test_the_same_call_gives_the_same_bits(analyzer, expected):
    np.testing.assert_array_equal(analyzer.analyze(X), expected)


def test_samples_do_not_influence_each_other(analyzer, expected):
    other = X.copy()
    other[1:] = array(6, 8, 8, 2, seed=9) * 1e3
    close(analyzer.analyze(other)[0], expected[0])


def test_unknown_sizes_are_taken_as_they_come():
    x = keras.Input((None, None, 2))
    h = L.GlobalAveragePooling2D(name="mean")(L.Conv2D(3, 3, activation="relu", name="conv")(x))
    model = shake(keras.Model(x, L.Dense(2, name="out")(h)))
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    for size in (5, 6):
        values = array(2, size, size, 2)
        assert analyzer.analyze(values).shape == values.shape
        assert analyzer.conservation(values).error < 1e-5


# ---------------------------------------------------------------------- streams
class Dataset(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return X[number * 3 : number * 3 + 3], np.zeros(3)


def loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X.copy()), torch.zeros(len(X)))
    return torch.utils.data.DataLoader(data, batch_size=3)


def tf_dataset():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, np.zeros(len(X)))).batch(3)


def unlabelled_tf_dataset():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(X).batch(3)


STREAMS = {
    "generator": lambda: (X[i : i + 3] for i in (0, 3, 6)),
    "labelled generator": lambda: ((X[i : i + 3], None) for i in (0, 3, 6)),
    "PyDataset": Dataset,
    "DataLoader": loader,
    "tf.data": tf_dataset,
    "tf.data without labels": unlabelled_tf_dataset,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_streams(analyzer, expected, kind):
    close(analyzer.analyze(STREAMS[kind]()), expected)
    parts = list(analyzer.stream(STREAMS[kind]()))
    assert [len(part) for part in parts] == [3, 3, 1]
    close(np.concatenate(parts), expected)


def test_streams_with_neurons_and_batch_size(analyzer):
    several = analyzer.analyze(STREAMS["generator"](), neurons=[0, 3], batch_size=2)
    close(several, analyzer.analyze(X, neurons=[0, 3]))


def test_streams_of_several_inputs():
    model, x = ZOO["several_outputs"]()
    analyzer = innspect.create_analyzer("gradient", model)
    streamed = analyzer.analyze({name: a[i : i + 2] for name, a in x.items()} for i in (0, 2))
    for name, whole in analyzer.analyze(x).items():
        close(streamed[name], whole)


def test_a_stream_is_read_one_batch_at_a_time(analyzer):
    read = []

    def batches():
        for i in range(3):
            read.append(i)
            yield X[i : i + 1]

    stream = analyzer.stream(batches())
    next(stream)
    assert read == [0]


def test_progress_is_shown_only_when_asked_for(analyzer, capsys):
    analyzer.analyze(X)
    assert capsys.readouterr().out == ""
    analyzer.analyze(X, verbose=1)
    assert "7/7" in capsys.readouterr().out


# ---------------------------------------------------------------------- analyzers in files
SAVED = {
    "lrp.epsilon": {"epsilon": 0.25, "input_layer_rule": "Flat"},
    "lrp": {"rule": {"default": "Alpha2Beta1", "hidden": "Epsilon"}, "until_layer_idx": 0},
    "deep_taylor.bounded": {"low": np.full((2,), -5.0), "high": 5},
    "gradient": {"postprocess": "abs", "head": "output", "neuron_selection_mode": "all"},
    "random": {"stddev": 2.0, "seed": 3},
}


@pytest.mark.parametrize("method", SAVED)
def test_an_analyzer_is_saved_whole(model, method, tmp_path):
    analyzer = innspect.create_analyzer(method, model, **SAVED[method])
    analyzer.save(tmp_path / "analyzer.innspect")
    loaded = innspect.load_analyzer(tmp_path / "analyzer.innspect")
    assert loaded.name == method
    assert loaded.arguments().keys() == SAVED[method].keys()
    chosen = None if method == "gradient" else np.abs(analyzer.explain(X).outputs).argmax(-1) if method != "random" else None
    np.testing.assert_array_equal(loaded.analyze(X, chosen), analyzer.analyze(X, chosen))
    assert [p.name for p in tmp_path.iterdir()] == ["analyzer.innspect"]


def test_a_rule_instance_is_saved_too(model, tmp_path):
    from innspect.layers import relevance

    analyzer = innspect.create_analyzer("lrp", model, rule=relevance.Gamma(0.5), input_layer_rule=relevance.Flat)
    analyzer.save(tmp_path / "a")
    np.testing.assert_array_equal(innspect.load_analyzer(tmp_path / "a").analyze(X), analyzer.analyze(X))


def test_a_saved_analyzer_has_a_model_of_its_own(analyzer, expected, tmp_path):
    analyzer.save(tmp_path / "a")
    loaded = innspect.load_analyzer(tmp_path / "a")
    shake(loaded.model, seed=8)
    np.testing.assert_array_equal(analyzer.analyze(X), expected)


def test_what_cannot_be_saved_is_told(model, tmp_path):
    from innspect.layers import Rule

    class Own(Rule):
        def __init__(self):
            self.call = lambda: 0

        forward = backward = None

    analyzer = innspect.create_analyzer("lrp", model, rule=Own())
    with pytest.raises(TypeError, match=r"argument 'rule' of the analyzer cannot be saved.*Received"):
        analyzer.save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("no analyzer")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    for name in ("text", "arrays.npz"):
        with pytest.raises(ValueError, match=r"is no saved analyzer.*Received"):
            innspect.load_analyzer(tmp_path / name)


# ---------------------------------------------------------------------- models without softmax
def test_model_wo_softmax_gives_logits_and_shares_weights(model):
    logits = innspect.model_wo_softmax(model)
    z, y = ops.convert_to_numpy(logits(X)), ops.convert_to_numpy(model(X, training=False))
    close(np.exp(z) / np.exp(z).sum(-1, keepdims=True), y)
    other = ZOO["functional"]()[0]
    stripped = innspect.model_wo_softmax(other)
    shake(other, seed=4)
    close(ops.convert_to_numpy(stripped(X)), ops.convert_to_numpy(innspect.model_wo_softmax(other)(X)))


def test_model_wo_softmax_is_explained_like_the_model(model, analyzer, expected):
    close(innspect.create_analyzer("lrp.epsilon", innspect.model_wo_softmax(model)).analyze(X), expected)


def test_model_wo_softmax_of_a_nested_and_a_sequential_model():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, name="dense"), L.Softmax(name="softmax")])
    x = keras.Input((4,))
    model, values = shake(keras.Model(x, inner(x))), array(3, 4)
    dense = inner.get_layer("dense")
    for stripped in (innspect.model_wo_softmax(model), innspect.model_wo_softmax(inner)):
        close(ops.convert_to_numpy(stripped(values)), ops.convert_to_numpy(dense(values)))


def test_model_wo_softmax_needs_a_softmax():
    model, _ = ZOO["sequential_with_input"]()
    with pytest.raises(innspect.NotAnalyzeableModelError, match="ends in no softmax or sigmoid"):
        innspect.model_wo_softmax(model)
    x = keras.Input((4,))
    hidden = shake(keras.Model(x, L.Lambda(lambda t: native("softmax")(2 * t), output_shape=(4,))(x)))
    with pytest.raises(innspect.NotAnalyzeableModelException, match="ends in no softmax or sigmoid"):
        innspect.model_wo_softmax(hidden)
