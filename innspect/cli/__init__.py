"""The command line. Importing it starts no framework: `innspect --help` answers at once.

A command is a module with `add(commands, common)`, which adds its parser and sets `run`, a function of the parsed
arguments; frameworks are imported inside `run`. What is wrong and needs none is told before, by its `check`.
"""

import argparse
import os
import sys
import traceback

from innspect._version import __version__
from innspect.cli import benchmark, choose, compare, concepts, demo, evaluate, explain, methods, patterns, synthesize
from innspect.cli.starting import start_keras
from innspect.errors import PlainKeyError
from innspect.tables import printable

_DESCRIPTION = (
    "innspect explains Keras 3 models layer by layer: which parts of an input speak for an output, and which against it."
)

_EPILOG = """\
examples:
  innspect demo                                           see what a network looks at in photographs
  innspect explain model.keras cat.jpg --preprocess vgg16 --method lrp.epsilon --method grad_cam --top 3
  innspect explain model.keras photos/ --preprocess mean=127,std=128 --labels names.txt --format html --out report
  innspect compare model.keras data.npz --method gradient --method lrp.epsilon:epsilon=0.1
  innspect evaluate model.keras data.npz --method gradient --method grad_cam --format html --out scores.html
  innspect choose model.keras photos/ --preprocess mean=127,std=128 --time 10min
  innspect concepts model.keras photos/ --at conv5 --html  what its channels look for
  innspect benchmark --task xor --seeds 3                 which methods find what was planted
  innspect patterns fit model.keras train.npy --out model.patterns.h5
  innspect synthesize model.keras --target espresso --labels names.txt --preprocess mean=127,std=128
  innspect COMMAND --help                                 everything about a command

in Python, with a model of your own:
  import innspect
  analyzer = innspect.create_analyzer("lrp.epsilon", model)   # any name that `innspect methods` lists
  attribution = analyzer.analyze(x)                           # NumPy in, NumPy out, samples first

environment:
  KERAS_BACKEND   tensorflow (the default of Keras), jax or torch

exit codes:
  0 done, 1 failed, 2 wrong usage, 3 done but for images that could not be read, 130 interrupted
"""


def main(arguments=None):
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 inputs skipped, 130 interrupted."""
    parser = make_parser()
    words = sys.argv[1:] if arguments is None else arguments
    given = parser.parse_args(words, argparse.Namespace(words=words))
    if given.run is None:
        given.parser.print_help()
        return 2
    try:
        given.check(given)
        start_keras(given.debug)
        return given.run(given) or 0
    except KeyboardInterrupt:
        print("innspect: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if given.debug:
            print(printable(traceback.format_exc(), kept="\n"), file=sys.stderr)
        else:
            print(f"innspect: {printable(_in_one_line(error))}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Words that are not understood are told as they are, but steer no terminal."""

    def exit(self, status=0, message=None):
        super().exit(status, message and printable(message, kept="\n"))


def make_parser():
    parser = _Parser("innspect", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"innspect {__version__}")
    parser.set_defaults(run=None, check=lambda given: None, debug=False, parser=parser)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (demo, methods, explain, compare, evaluate, choose, concepts, benchmark, patterns, synthesize):
        command.add(commands, common)
    return parser


def _in_one_line(error):
    """What went wrong, with the kind of error where the message alone would not say it."""
    message = " ".join(str(error).split())
    if isinstance(error, OSError | ImportError | ValueError | PlainKeyError | TypeError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
