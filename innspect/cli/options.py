"""What several commands share: options, the values they take, and files that are not overwritten."""

import argparse
import os
import reprlib
import sys

from innspect import files
from innspect.files import target_of
from innspect.spelling import in_words
from innspect.tables import printable

RESIZE = ("crop", "pad", "stretch")  # see `frame_of`
SKIPPED = 3  # the exit code where inputs were skipped

PREPROCESSING = """\
preprocessing, which must be that of training:
  none       pixels as they are, 0 to 255 (the default; right for models that begin with a Rescaling layer)
  unit       0 to 1
  symmetric  -1 to 1
  mean=127,std=128   (pixels - mean) / std; with / for a number a channel: mean=123.7/116.8/103.9
             unit,mean=...,std=... are of pixels from 0 to 1; bgr,mean=... takes blue first, and the numbers in that order
  vgg16, resnet50, mobilenet_v2, ...   the `preprocess_input` of that module of keras.applications
  module:function, or file.py:function   yours: from float32 pixels, 0 to 255, (samples, height, width, channels)
  Where a method needs the bounds of the input (low, high), they follow from these, but for yours.
"""
INPUTS = """\
inputs:
  images: photographs in any format that Pillow reads, turned upright as their EXIF says, on white where transparent;
  folders, with all images below them; globs. What cannot be read is named and skipped, and the exit code is 3;
  arrays, samples first: data.npy, data.npz or data.h5. FILE:NAME chooses one array of a file that holds several;
  an .npz or .h5 whose arrays have the names of the model's inputs feeds a model with several inputs.
"""


def add_force(parser):
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def add_inputs(parser, name, metavar, text, nargs="+"):
    parser.add_argument(name, nargs=nargs, metavar=metavar, help=text)
    told = "what was done to the inputs in training; see below (default: none)"
    parser.add_argument("--preprocess", metavar="WHAT", help=told)
    parser.add_argument(
        "--resize",
        choices=RESIZE,
        default="crop",
        help="how photographs come into the model's input: crop, the largest part in the centre with its proportions; pad, all "
        "of it with black beside; stretch, all of it (default: %(default)s)",
    )
    parser.add_argument("--size", type=size, metavar="HEIGHTxWIDTH", help="of photographs, for a model that takes any size")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="samples at once (default: as many as fit, by their size)"
    )


def add_methods(parser, default=None):
    suited = (
        "up to four that suit the model, such as lrp.epsilon_gamma_flat, grad_cam, deep_lift and guided_grad_cam where it has "
        "images and convolutions"
    )
    parser.add_argument(
        "--method",
        action="append",
        type=method,
        metavar="NAME[:ARG=VALUE,...]",
        help="a name that `innspect methods` lists, with arguments: lrp.gamma:gamma=0.5; may be given several times "
        f"(default: {default or suited})",
    )
    parser.add_argument(
        "--patterns", metavar="FILE", help="for pattern.net and pattern.attribution: from `innspect patterns fit`"
    )


def add_neuron(parser, text, **settings):
    told = f"explain output N, or that which --labels calls NAME, {text}"
    parser.add_argument("--neuron", type=neuron, metavar="N|NAME", help=told, **settings)


def add_labels(parser):
    parser.add_argument("--labels", metavar="FILE", help="the names of the classes: text, one a line, or JSON")


def neuron(text):
    """A number, or a name."""
    return int(text) if text.lstrip("-").isdecimal() else text


def add_contrast(parser):
    parser.add_argument(
        "--contrast",
        type=contrast,
        metavar="WHAT",
        help="explain an output in contrast to others: rest (all others), runner_up (the largest other), or numbers: 3 or 3,5",
    )


def contrast(text):
    """What `contrast` of `analyze` takes, from "rest", "runner_up", "3" or "3,5"."""
    if text in ("rest", "runner_up"):
        return text
    numbers = [int(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


def size(text):
    """(224, 320) of "224x320", or of "224" (224, 224)."""
    height, _, width = text.partition("x")
    return positive(height), positive(width or height)


size.__name__ = "HEIGHTxWIDTH"  # argparse shows it


def _at_least(least, name):
    def read(text):
        value = int(text)
        if value < least:
            raise ValueError(text)
        return value

    read.__name__ = name  # argparse shows it
    return read


positive = _at_least(1, "positive integer")
natural = _at_least(0, "integer that is not negative")


def method(text):
    """The name and the arguments of "lrp.gamma:gamma=0.5,input_layer_rule=(0,1)"."""
    try:
        return in_words(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{reprlib.repr(text)} must be a name, or a name with arguments such as 'lrp.epsilon:epsilon=0.1,bias=False'"
        ) from None


# ------------------------------------------------------------------ files
def refuse_existing(paths, force, remedy="another --out"):
    """Raise before any work is done, where a file would be overwritten without `force`.

    Raises:
        FileExistsError: The message names the first file.
    """
    there = [] if force else [p for p in paths if os.path.lexists(p)]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise FileExistsError(f"{there[0]!r} exists{more}; give --force to overwrite, or {remedy}")


def check_folder(path):
    """Raise before any work is done, where a folder cannot be written to, or made.

    Raises:
        OSError: The message names what is in the way.
        ValueError: The name is that of a file.
    """
    stem, ending = os.path.splitext(path)
    if ending.lower() in (".csv", ".html", ".npz", ".png") and not os.path.isdir(path):
        said = "--out must name a folder, in which files get names of their own"
        raise ValueError(f"{said}: give --out {stem}. Received: {path!r}")
    files.check_folder(path)


def check_file(path):
    """Raise before any work is done, where a file cannot be written for want of its folder, or for what stands there."""
    target_of(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path!r} cannot be written: there is no folder {folder!r}")
    check_folder(folder)


# ------------------------------------------------------------------ inputs and methods
def read_inputs(given, paths, model):
    """The inputs of the command line, as a `Source`; what is skipped is named on stderr."""
    from innspect.cli.inputs import Source

    def told(text):
        print(f"innspect: skipped: {printable(' '.join(text.split()))}", file=sys.stderr)

    how = {"resize": given.resize, "size": given.size, "told": told}
    return Source(paths, model, given.preprocess or "none", given.limit, **how)


def exit_code(source):
    """0, or 3 where an image was skipped."""
    return SKIPPED if source.skipped else 0


def say_what_pixels_were(given, source, model):
    """A last line where nobody has said how pixels are scaled: with the wrong ones a model still predicts something."""
    if given.preprocess is None and source.are_pixels() and not scales_pixels(model):
        print(
            "\nThe model was given pixels from 0 to 255. If it was trained on others, these maps explain nonsense: give "
            "--preprocess unit (0 to 1), symmetric (-1 to 1), numbers such as mean=127,std=128, or a name such as vgg16. With "
            "--preprocess none this is not said."
        )


def scales_pixels(model):
    """Whether the model, or one within it, has a layer that scales inputs."""
    import keras

    if isinstance(model, keras.layers.Rescaling | keras.layers.Normalization):
        return True
    return any(scales_pixels(layer) for layer in getattr(model, "layers", ()))


def chosen_methods(given, model):
    """(name, arguments) of each method; those that are asked for must fit the model, the default ones may not."""
    from innspect.analyzers.defaults import default_methods

    if given.method:
        return [(name, with_patterns(name, arguments, given.patterns)) for name, arguments in given.method]
    return [(name, {}) for name in default_methods(model, output=getattr(given, "output", 0))]


def with_bounds(chosen, source):
    """The same methods; those that need the bounds of the input get those that follow from the preprocessing."""
    from innspect.analyzers.base.registry import describe

    def needs(name, arguments):
        return describe(name)["needs"] == "low, high" and not {"low", "high"} & set(arguments)

    if not any(needs(*each) for each in chosen) or (bounds := source.bounds()) is None:
        return chosen
    given = dict(zip(("low", "high"), bounds, strict=True))
    return [(name, arguments | given) if needs(name, arguments) else (name, arguments) for name, arguments in chosen]


def with_patterns(name, arguments, patterns):
    if not name.startswith("pattern.") or "patterns" in arguments:
        return arguments
    if patterns is None:
        raise ValueError(f"{name!r} needs patterns: learn them with `innspect patterns fit`, then give --patterns FILE")
    return {**arguments, "patterns": patterns}


def label_of(name, arguments):
    """How a method is called in files and tables."""
    shown = {k: v for k, v in arguments.items() if k != "patterns"}
    return name + "".join(f",{k}={v}" for k, v in shown.items()).replace(" ", "").replace("/", "_")
