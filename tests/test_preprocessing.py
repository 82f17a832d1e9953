"""What `--preprocess` says, as functions and bounds."""

import sys

import keras
import numpy as np
import pytest

from innspect.cli.preprocessing import check_spread, preprocessing

X = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
LAST, FIRST, GREY = (None, 4, 5, 3), (None, 3, 4, 5), (None, 4, 5)
CAFFE = np.array([103.939, 116.779, 123.68], "float32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean=127,std=128", (X - 127) / 128),
        ("std=128", X / 128),
        ("mean=10/20/30", X - [10, 20, 30]),
        (
            "unit,mean=0.485/0.456/0.406,std=0.229/0.224/0.225",
            (X / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        ),
        ("std=2, mean=1,unit", (X / 255 - 1) / 2),
        ("bgr,mean=103.939/116.779/123.68", X[..., ::-1] - CAFFE),
        ("bgr", X[..., ::-1]),
    ],
)
def test_numbers(text, expected):
    np.testing.assert_allclose(preprocessing(text, LAST)(X), expected, rtol=1e-5, atol=1e-5)
    first = preprocessing(text, FIRST)(np.moveaxis(X, -1, 1))
    np.testing.assert_allclose(first, np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-5)
    low, high = preprocessing(text, LAST).bounds(LAST)
    assert (preprocessing(text, LAST)(X) >= low).all()
    assert (preprocessing(text, LAST)(X) <= high).all()


def test_numbers_in_channels_as_a_module_of_keras_has_them():
    numbers, module = preprocessing("bgr,mean=103.939/116.779/123.68", LAST), preprocessing("vgg16", LAST)
    np.testing.assert_allclose(numbers(X), module(X), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(numbers.bounds(LAST), module.bounds(LAST), rtol=1e-6)
    first = preprocessing("vgg16", FIRST)(np.moveaxis(X, -1, 1))
    np.testing.assert_allclose(first, np.moveaxis(module(X), -1, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "shape", "low", "high"),
    [
        ("none", LAST, 0.0, 255.0),
        ("unit", FIRST, 0.0, 1.0),
        ("symmetric", GREY, -1.0, 1.0),
        ("mean=127,std=128", LAST, -127 / 128, 1.0),
        ("mean=1/2/3", LAST, [-1.0, -2.0, -3.0], [254.0, 253.0, 252.0]),
        ("mean=1/2/3", FIRST, [[[-1.0]], [[-2.0]], [[-3.0]]], [[[254.0]], [[253.0]], [[252.0]]]),
        ("mobilenet_v2", LAST, -1.0, 1.0),
    ],
)
def test_bounds_are_black_and_white(text, shape, low, high):
    assert preprocessing(text, shape).bounds(shape) == (low, high)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mean=127,sd=128", "mean and std"),
        ("mean=a", "mean as numbers"),
        ("mean=", "mean as numbers"),
        ("mean=nan", "mean as numbers"),
        ("std=0", "std as positive numbers"),
        ("mean=1,mean=2", "each once"),
        ("mean=1/2", "each of the model's 3 channels"),
        ("unit,symmetric", "one of none, unit, symmetric"),
        ("vgg", "'vgg16'"),
        ("no_such_module:f", "no_such_module"),
        ("math:no_such", "has no function 'no_such'"),
        ("nothing.py:f", "nothing.py"),
    ],
)
def test_what_is_wrong_is_named(text, said):
    with pytest.raises(ValueError, match=r"--preprocess must be .*Received: |There is no preprocessing") as error:
        preprocessing(text, LAST)
    assert said in str(error.value)


def test_numbers_for_other_pixels_are_refused_for_photographs():
    text = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    with pytest.raises(ValueError, match=f"unit,{text}"):
        check_spread(preprocessing(text, LAST), text, LAST)
    for right in (f"unit,{text}", "none", "vgg16", "mean=127,std=1"):
        check_spread(preprocessing(right, LAST), right, LAST)


def test_a_function_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine_to_prepare.py").write_text("def halve(x):\n    x /= 2\n    return x\n\ndef first(x):\n    return x[0]\n")
    monkeypatch.chdir(tmp_path)
    kept, path = X.copy(), list(sys.path)
    for text in ("mine_to_prepare:halve", "mine_to_prepare.py:halve"):
        prepare = preprocessing(text, LAST)
        np.testing.assert_allclose(prepare(X), X / 2)
        assert prepare.bounds(LAST) is None
    np.testing.assert_array_equal(X, kept)
    assert sys.path == path
    with pytest.raises(ValueError, match=r"samples first. Received: float32 of shape \(4, 5, 3\)"):
        preprocessing("mine_to_prepare:first", LAST)(X)
    del sys.modules["mine_to_prepare"]


def test_modules_of_keras_know_their_bounds():
    names = [n for n in dir(keras.applications) if hasattr(getattr(keras.applications, n), "preprocess_input")]
    for name in names:
        prepare = preprocessing(name, LAST)
        low, high = prepare.bounds(LAST)
        assert (prepare(X) >= np.float32(low)).all()
        assert (prepare(X) <= np.float32(high)).all()
