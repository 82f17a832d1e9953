"""The command line. Importing it starts no framework: `innspect --help` answers at once.

A subcommand is a function that adds its parser and sets `run`, a function of the parsed arguments.
"""

import argparse
import contextlib
import importlib.util
import os
import sys
import traceback

from innspect import __version__
from innspect.errors import PlainKeyError

_BACKENDS = ("tensorflow", "jax", "torch")

_DESCRIPTION = (
    "innspect explains Keras 3 models layer by layer: which parts of an input speak for an output, and which against it."
)

_EPILOG = """\
in Python, with a model of your own:
  import innspect
  analyzer = innspect.create_analyzer("lrp.epsilon", model)   # any name that `innspect methods` lists
  attribution = analyzer.analyze(x)                           # NumPy in, NumPy out, samples first

environment:
  KERAS_BACKEND   tensorflow (the default of Keras), jax or torch
"""


def main(arguments=None):
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if given.run is None:
        parser.print_help()
        return 2
    try:
        _start_keras(given.debug)
        given.run(given)
    except KeyboardInterrupt:
        print("innspect: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if given.debug:
            traceback.print_exc()
        else:
            print(f"innspect: {_in_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def make_parser():
    parser = argparse.ArgumentParser(
        "innspect", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"innspect {__version__}")
    parser.set_defaults(run=None, debug=False)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_demo, _add_methods):
        add(commands, common)
    return parser


def _add_demo(commands, common):
    text = (
        "Train a small network on scikit-learn's handwritten digits, explain ten digits it has not seen with every family "
        "of methods, and write the picture and the model. Takes well under two minutes."
    )
    parser = commands.add_parser("demo", parents=[common], help="see a dozen methods explain a small network", description=text)
    parser.add_argument("--out", default="innspect-demo", metavar="DIR", help="where to write (default: %(default)s)")
    parser.set_defaults(run=_demo)


def _demo(given):
    from innspect.demo import run

    run(given.out)


def _add_methods(commands, common):
    text = "List the names that innspect.create_analyzer knows."
    parser = commands.add_parser("methods", parents=[common], help="list the methods", description=text)
    parser.set_defaults(run=_methods)


def _methods(given):
    from innspect import list_analyzers

    print("\n".join(list_analyzers()))


def _start_keras(debug):
    """Import Keras with a backend that is installed, without the frameworks' greetings."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # PyTorch's threads would else wait busily, many times slower on busy cores
    installed = [name for name in _BACKENDS if importlib.util.find_spec(name)]
    if not installed:
        raise ImportError(f"Keras needs a backend, and none of {', '.join(_BACKENDS)} is installed: pip install tensorflow")
    if len(installed) == 1:
        os.environ.setdefault("KERAS_BACKEND", installed[0])
    with contextlib.nullcontext() if debug else _silent_stderr():
        import keras  # noqa: F401


@contextlib.contextmanager
def _silent_stderr():
    """Nothing that is written to stderr is seen, from C++ neither: TensorFlow logs there before its log level counts."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _in_one_line(error):
    """What went wrong, with the kind of error where the message alone would not say it."""
    message = " ".join(str(error).split())
    if isinstance(error, OSError | ImportError | ValueError | PlainKeyError | TypeError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
