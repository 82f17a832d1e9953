"""`innspect synthesize`: what would a model like to see."""

import argparse
import json
import os
import shlex
from typing import Any

from innspect.cli import early, models, options
from innspect.files import replacing, write
from innspect.labels import number_of, read

_DESCRIPTION = (
    "Make images that neurons, classes or units of a saved Keras model respond to most, by gradient ascent. Writes a picture "
    "of all of them, and a JSON file beside it with all that is needed to do it again."
)
_EPILOG = """\
targets:
  --target N or NAME    a neuron of the output; by name with --labels
  --unit LAYER:CHANNEL  a unit of a layer; LAYER:CHANNEL:max and :mean in place of the sum over its positions
  both may be given several times: an image for each.

starts:
  fourier  waves in place of pixels, long ones first, colours that go together (the default for images)
  maco     phases alone; magnitudes are those of the photographs of --data, or fall as nature's
  zeros    pixels, from the zero image: Simonyan's class models; add --regularizer l2=0.01
  noise    pixels, from noise

examples:
  innspect synthesize model.keras --target espresso --labels names.txt --preprocess mean=127,std=128
  innspect synthesize model.keras --unit block5_conv3:12:mean --start maco --data photos/ --preprocess vgg16
  innspect synthesize digits.keras --target 3 --start zeros --regularizer l2=0.1 --objective log_probability
"""
_IMAGES = ("jitter", "scale", "rotation", "jitter")  # of "fourier", unless told


def add(commands, common):
    parser = commands.add_parser(
        "synthesize",
        parents=[common],
        help="what a model would like to see",
        description=_DESCRIPTION,
        epilog="\n".join([_EPILOG, options.PREPROCESSING]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    told = "maximize output N, or that which --labels calls NAME; may be given several times"
    parser.add_argument("--target", action="append", default=[], type=options.neuron, metavar="N|NAME", help=told)
    told = "maximize a channel of a layer, its sum, max or mean over positions; may be given several times"
    parser.add_argument("--unit", action="append", default=[], type=_unit, metavar="LAYER:CHANNEL[:REDUCE]", help=told)
    options.add_labels(parser)
    parser.add_argument(
        "--start", choices=("fourier", "maco", "zeros", "noise"), help="see below (default: fourier for images)"
    )
    parser.add_argument("--steps", type=options.positive, default=256, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--objective", default="logit", metavar="NAME", help="logit, log_probability (default: %(default)s)")
    told = "a penalty, such as l2=0.01, total_variation=1e-4; may be given several times"
    parser.add_argument("--regularizer", action="append", default=[], type=_strength, metavar="NAME=STRENGTH", help=told)
    told = "such as jitter, scale, rotation, crop:count=8, noise; may be given several times; none for none at all "
    told += "(default with fourier: jitter, scale, rotation, jitter; with maco: crop:count=4, noise)"
    parser.add_argument("--transformation", action="append", type=options.method, metavar="NAME[:ARG=VALUE,...]", help=told)
    parser.add_argument("--data", nargs="+", metavar="DATA", help="photographs or arrays whose spectrum and colours are taken")
    told = "what was done to the inputs in training; see below (default: none). The bounds of the image follow from it"
    parser.add_argument("--preprocess", metavar="WHAT", help=told)
    parser.add_argument("--size", type=options.size, metavar="HEIGHTxWIDTH", help="of images, for a model that takes any size")
    parser.add_argument(
        "--seed", type=options.natural, default=0, metavar="N", help="of all that is drawn (default: %(default)s)"
    )
    told = "the picture; the JSON file beside it has the same name (default: %(default)s)"
    parser.add_argument("--out", default="synthesis.png", metavar="FILE.png", help=told)
    parser.add_argument("--save", metavar="FILE.npz", help="keep the images themselves, and everything else, in this file")
    options.add_force(parser)
    parser.set_defaults(run=_run)


def _unit(text):
    """(layer, channel, reduce) of "block/conv:12:max"."""
    parts = text.split(":")
    reduce = parts.pop() if len(parts) > 2 and parts[-1] in ("sum", "max", "mean") else "sum"
    if len(parts) < 2 or not parts[-1].isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be LAYER:CHANNEL, or LAYER:CHANNEL:sum, :max or :mean")
    return ":".join(parts[:-1]), int(parts[-1]), reduce


def _strength(text):
    name, equals, value = text.partition("=")
    try:
        return name, float(value if equals else "x")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a name and a number, such as l2=0.01") from None


def _run(given):
    stem, ending = os.path.splitext(given.out)
    if ending.lower() != ".png":
        raise ValueError(f"--out must be the name of a picture, FILE.png. Received: {given.out!r}")
    written = [given.out, f"{stem}.json", *([given.save] if given.save else [])]
    options.refuse_existing(written, given.force)
    for path in written:
        options.check_file(path)
    if not given.target and not given.unit:
        raise ValueError("Give what is to be seen: --target or --unit. Received: neither")
    early.check(given, given.data or (), methods=False)
    labels = read(given.labels)
    numbers: list[Any] = [number_of(t, labels) for t in given.target]

    from innspect.cli.inputs import Source
    from innspect.cli.preprocessing import preprocessing
    from innspect.graph.opened.opened_model import open_model
    from innspect.inputs.units import unit
    from innspect.synthesis.synthesize import synthesize

    targets = [*numbers, *(unit(layer, channel, reduce=reduce) for layer, channel, reduce in given.unit)]
    opened = open_model(models.load_model(given))
    shape = tuple(opened.specs[0].shape)
    images = len(shape) == 4 and len(opened.specs) == 1
    start = given.start or ("fourier" if images else "zeros")
    arguments = {"start": start, "steps": given.steps, "objective": given.objective, "seed": given.seed, "labels": labels}
    arguments |= {"regularizers": dict(given.regularizer) or None, "transformations": _transformations(given, start, images)}
    if given.size:
        arguments["size"] = given.size
    bounds = preprocessing(given.preprocess or "none", shape).bounds(shape) if images else None
    if bounds is not None:
        arguments |= dict(zip(("low", "high"), map(_along(shape), bounds), strict=True))
    if given.data:
        source = Source(given.data, opened, given.preprocess or "none", None, size=given.size, told=print)
        source.settle()
        arguments["data"] = source[:]
    found = synthesize(opened, targets, **arguments, verbose=1)
    figure = found.show()
    with replacing(given.out) as partial:
        figure.savefig(partial, dpi=160)
    command = {"command": shlex.join(["innspect", *given.words]), "command_line": given.words}
    write(f"{stem}.json", json.dumps(command | json.loads(found.to_json()), indent=1) + "\n")
    if given.save:
        found.save(given.save)
    print(found)
    print(f"\nwritten to {', '.join(map(options.printable, written))}")
    if images and given.preprocess is None and not options.scales_pixels(opened.model):
        print("The image is within 0 to 255. If the model was trained on others, say so with --preprocess.")


def _along(shape):
    """A bound, which may be one number a channel, along the channels of a sample."""
    import numpy as np

    first = shape[-1] not in (1, 3) and shape[1] in (1, 3)

    def along(bound):
        array = np.asarray(bound, "float32")
        return array.reshape(-1, 1, 1) if first and array.ndim else array

    return along


def _transformations(given, start, images):
    if given.transformation is None:
        chosen = {"fourier": list(_IMAGES), "maco": [("crop", {"count": 4}), "noise"]}
        return chosen.get(start) if images else None
    if [name for name, _ in given.transformation] == ["none"]:
        return None
    return given.transformation
