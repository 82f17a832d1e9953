"""Which output of a model with several is explained."""

import sys

from innspect.cli import options
from innspect.tables import printable


def add(parser):
    """The option `--output`."""
    told = "which output of a model with several is explained, by number or name (default: the first)"
    parser.add_argument("--output", type=options.neuron, metavar="N|NAME", help=told)


def check(given, model):
    """Raise where the model has no such output; where none was chosen take the first, and say so if there are several.

    Raises:
        ValueError, KeyError: The message lists the outputs.
    """
    from innspect.inputs.predictor import black_box

    chosen, given.output = given.output, 0 if given.output is None else given.output
    black_box(model).number(given.output)
    names = getattr(model, "output_names", None) or []
    if len(names) > 1 and chosen is None:
        text = f"of {len(names)} outputs, {', '.join(names)}, the first is explained; --output chooses another"
        print(f"innspect: {printable(text)}", file=sys.stderr)
