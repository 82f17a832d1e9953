"""`innspect demo`."""

import os

from innspect.cli.options import add_force, refuse_existing

OWN = "innspect-demo"


def add(commands, common):
    text = (
        "Train a small network on scikit-learn's handwritten digits, explain ten digits it has not seen with every family "
        "of methods, and write the picture and the model. Takes well under two minutes."
    )
    parser = commands.add_parser("demo", parents=[common], help="see a dozen methods explain a small network", description=text)
    parser.add_argument("--out", metavar="DIR", help=f"where to write (default: {OWN})")
    add_force(parser)
    parser.set_defaults(run=_run)


def _run(given):
    from innspect.demo import run

    folder = given.out or OWN
    if given.out:  # its own folder may be written again
        refuse_existing([os.path.join(folder, name) for name in ("explanations.png", "digits.keras")], given.force)
    run(folder)
