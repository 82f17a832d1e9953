"""From pixels to what a network was trained with, as the command line names it, and the bounds that follow."""

import contextlib
import importlib
import math
import os
import runpy
import sys

import numpy as np

from innspect.cli.images import layout_of
from innspect.cli.known import known
from innspect.errors import suggest
from innspect.files import readable

_RANGES = {"none": lambda x: x, "unit": lambda x: x / 255.0, "symmetric": lambda x: x / 127.5 - 1.0}
_NUMBERS = {"mean": 0.0, "std": 1.0}
_WIDEST = 300  # what networks are trained with spans 256 at most, but for means of channels that differ
_FORM = "such as mean=127,std=128 or unit,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"


class Preprocessing:
    """A function from arrays to arrays of the same shape, as a model takes them, samples first.

    Args:
        function: The function.
        channelwise: Whether each of its numbers depends on one number of a pixel, rising or falling.
        of_pixels: Whether it is for pixels from 0 to 255 and nothing else.
        divisor: What it divides by at least.
    """

    def __init__(self, function, channelwise=True, of_pixels=False, divisor=1.0):
        self._function, self._channelwise = function, channelwise
        self.of_pixels, self.divisor = of_pixels, divisor

    def __call__(self, x):
        return self._function(x)

    def bounds(self, shape):
        """What black and white become, (low, high): numbers, or lists with one a channel; None where that is not known.

        Args:
            shape: The model's input, with the samples.
        """
        if not self._channelwise:
            return None
        first, channels, _ = layout_of(shape)
        one = (1, 1, 1) if len(shape) == 3 else (1, channels, 1, 1) if first else (1, 1, 1, channels)
        ends = np.stack([np.asarray(self(np.full(one, value, "float32")), "float32")[0] for value in (0, 255)])
        bounds = [bound if first else bound.reshape(-1) for bound in (ends.min(0), ends.max(0))]
        return tuple(float(b.flat[0]) if (b == b.flat[0]).all() else b.tolist() for b in bounds)


def check_spread(prepare, text, shape):
    """Raise where pixels of 0 to 255 are stretched: such numbers are for pixels from 0 to 1.

    Raises:
        ValueError: The message has the remedy.
    """
    low, high = prepare.bounds(shape) or (0, 0)
    lowest, highest = np.min(low), np.max(high)
    if highest - lowest > _WIDEST:
        remedy = f"if they are for pixels from 0 to 1, begin with unit: unit,{text}"
        raise _wrong(
            f"numbers for pixels from 0 to 255; {remedy}", f"{text}, which makes {lowest:.3g} to {highest:.4g} of them"
        )


def preprocessing(text, shape=(None, None, None, 3)):
    """What `--preprocess` says.

    Args:
        text: A name; numbers, "mean=127,std=128", after a range perhaps; or a function of the user's, "module:function".
        shape: The model's input, with the samples: (None, height, width, channels), or with the channels first.

    Raises:
        ValueError: There is none of that name, or the numbers do not fit.
    """
    if ":" in text:
        return Preprocessing(_of_the_user(text), channelwise=False)
    if _is_numbers(text):
        ranges, _, numbers = _words(text)
        function, divisor = _of_numbers(text, shape), min(numbers.get("std", [1.0]))
        return Preprocessing(function, of_pixels=ranges != "none", divisor=divisor)
    check_words(text)
    import keras

    prepare = getattr(keras.applications, text).preprocess_input
    layout = "channels_first" if len(shape) == 4 and _channel_axis(shape) == 1 else "channels_last"
    return Preprocessing(lambda x: prepare(np.array(x, "float32"), data_format=layout), of_pixels=True)


def check_words(text):
    """Raise for what no model and no framework is needed to know.

    Raises:
        ValueError: There is no preprocessing of that name, or its numbers are none.
        OSError: There is no such file.
    """
    if ":" in text:
        if text.rpartition(":")[0].endswith(".py"):
            readable(text.rpartition(":")[0])
    elif _is_numbers(text):
        _words(text)
    elif text not in known()["preprocessing"]:
        near = suggest(text, [*_RANGES, *known()["preprocessing"]])
        raise ValueError(f"There is no preprocessing {text!r}. {near} Numbers are given {_FORM}, a function as module:function")


# ------------------------------------------------------------------ numbers
def _is_numbers(text):
    return "=" in text or "," in text or text in (*_RANGES, "bgr")


def _words(text):
    """The range, whether colours are swapped, and the numbers by name, that "unit,bgr,mean=1/2/3,std=4" says."""
    words: list[str] = []
    numbers: dict[str, list[float]] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals and key in _NUMBERS and key not in numbers:
            numbers[key] = _parsed(key, value, text)
        elif not equals and key in (*_RANGES, "bgr") and key not in words:
            words.append(key)
        else:
            raise _wrong(f"{', '.join(_RANGES)}, bgr, mean and std, each once, {_FORM}", text)
    ranges = [word for word in words if word != "bgr"] or ["none"]
    if len(ranges) > 1:
        raise _wrong(f"one of {', '.join(_RANGES)}", text)
    return ranges[0], "bgr" in words, numbers


def _of_numbers(text, shape):
    """The function that "unit,bgr,mean=1/2/3,std=4" describes, in that order whatever the order of the words."""
    ranges, swapped, numbers = _words(text)
    given = [numbers.get(key, [default]) for key, default in _NUMBERS.items()]
    mean, std = (_along_channels(key, values, shape, text) for key, values in zip(_NUMBERS, given, strict=True))
    in_range, axis = _RANGES[ranges], _channel_axis(shape)
    if swapped and shape[axis] != 3:
        raise _wrong("without bgr for a model that takes no colours", text)
    plain = not swapped and not numbers

    def prepare(x):
        if plain:
            return in_range(x)
        x = in_range(np.asarray(x, "float32"))
        return ((np.flip(x, axis) if swapped else x) - mean) / std

    return prepare


def _parsed(key, value, text):
    """The numbers in "127" or "103.9/116.8/123.7"."""
    try:
        numbers = [float(number) for number in value.split("/")]
    except ValueError:
        numbers = [math.nan]
    if not all(math.isfinite(n) and (n > 0 or key == "mean") for n in numbers):
        raise _wrong(f"{key} as {'positive ' * (key == 'std')}numbers, one or one a channel with / between them, {_FORM}", text)
    return numbers


def _along_channels(key, numbers, shape, text):
    """An array that broadcasts over the samples."""
    if len(numbers) == 1:
        return np.float32(numbers[0])
    axis = _channel_axis(shape)
    if shape[axis] != len(numbers) or len(shape) == 3:
        channels = 1 if len(shape) == 3 else shape[axis]
        raise _wrong(f"{key} as one number, or one for each of the model's {channels} channels", text)
    return np.array(numbers, "float32").reshape([-1 if axis % len(shape) == i else 1 for i in range(len(shape))])


def _channel_axis(shape):
    return 1 if len(shape) == 4 and shape[-1] not in (1, 3) and shape[1] in (1, 3) else -1


def _wrong(expected, received):
    return ValueError(f"--preprocess must be {expected}. Received: {received}")


# ------------------------------------------------------------------ functions
def _of_the_user(text):
    """The function that "module:function" names, or "file.py:function"; modules are looked for here, too."""
    module, _, name = text.rpartition(":")
    try:
        with _found_here():
            of = runpy.run_path(module) if module.endswith(".py") else vars(importlib.import_module(module))
    except (ImportError, OSError) as error:
        raise _wrong(f"a function, module:function, whose module can be imported ({error})", text) from error
    function = of.get(name)
    if not callable(function):
        raise _wrong(f"a function, module:function; {module!r} has no function {name!r}", text)

    def prepare(x):
        """Its pixels are a copy, which it may write to."""
        made = np.asarray(function(np.array(x, "float32")))
        if made.dtype.kind not in "fiub" or len(made) != len(x):
            received = f"{made.dtype} of shape {made.shape} for {len(x)} samples"
            raise ValueError(f"The function {text!r} must return an array of numbers, samples first. Received: {received}")
        return made

    return prepare


@contextlib.contextmanager
def _found_here():
    """As `python -m` does it: modules in the working directory can be imported."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)
