"""`innspect concepts`: what the channels of a layer look for, as a file and a page."""

import argparse
import os

from innspect.cli import cluster, early, known, models, options
from innspect.tables import printable

_DESCRIPTION = "Find for each channel of a layer the inputs in which it matters most, where in them, and for which classes."
_WRITES = """\
what is written to --out:
  concepts.h5     for each channel the best inputs, positions, values, crops, and statistics by class; read it with
                  `innspect.concepts.load`. With --resume a run that was interrupted goes on from it
  concepts.html   with --html: a row for each channel, with what it sees of its best inputs; one page that needs no network

examples:
  innspect concepts model.keras photos/ --preprocess mean=127,std=128 --at block10_project_bn --html --labels names.txt
  innspect concepts model.keras data.npz:x_test --at conv3 --at dense1 --by activation --reduce max
"""
_METHOD = "lrp.epsilon_plus_flat"


def add(commands, common):
    parser = commands.add_parser(
        "concepts",
        parents=[common],
        help="what the channels of a layer look for",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _WRITES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    options.add_inputs(parser, "inputs", "INPUT", "images, folders, globs, or arrays; see below")
    parser.add_argument(
        "--at", action="append", required=True, metavar="LAYER", help="the path of a layer; may be given several times"
    )
    parser.add_argument(
        "--by",
        choices=("relevance", "activation"),
        default="relevance",
        help="what makes a channel matter: its relevance for what is explained, or its activation (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        type=options.method,
        default=(_METHOD, {}),
        metavar="NAME[:ARG=VALUE,...]",
        help=f"whose relevance, a name that `innspect methods` lists (default: {_METHOD})",
    )
    parser.add_argument("--top", type=options.positive, default=16, metavar="K", help="inputs of each channel (default: 16)")
    parser.add_argument("--reduce", choices=("sum", "max"), default="sum", help="over positions (default: %(default)s)")
    parser.add_argument("--share", action="store_true", help="values as shares of the layer's")
    options.add_neuron(parser, "for every input (default: the largest output)")
    options.add_labels(parser)
    parser.add_argument("--html", action="store_true", help="make a page, too")
    parser.add_argument(
        "--channel", action="append", type=int, metavar="N", help="show this channel on the page; may be given several times"
    )
    parser.add_argument("--out", default="concepts", metavar="DIR", help="where to write (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where DIR/concepts.h5 ends")
    cluster.add(parser)
    options.add_force(parser)
    parser.set_defaults(run=_run)


def _run(given):
    early.check(given, given.inputs, methods=False)
    cluster.check(given, "resume")
    if not given.code:  # which may register methods of its own
        known.check("methods", [given.method])
    options.check_folder(given.out)
    file, page = (os.path.join(given.out, f"concepts.{ending}") for ending in ("h5", "html"))
    options.refuse_existing([*([] if given.resume else [file]), *([page] if given.html else [])], given.force or given.resume)

    from innspect import concepts
    from innspect.analyzers.base.registry import create_analyzer
    from innspect.cli.patterns import Batches
    from innspect.inputs.sizes import USUAL
    from innspect.labels import number_of, read

    labels = read(given.labels)
    target = None if given.neuron is None else number_of(given.neuron, labels)
    model = models.load_model(given)
    source = options.read_inputs(given, given.inputs, model)
    ((name, arguments),) = options.with_bounds([given.method], source)
    analyzer = create_analyzer(name, model, **arguments)
    os.makedirs(given.out, exist_ok=True)
    asked = {"by": given.by, "top": given.top, "target": target, "reduce": given.reduce, "normalize": given.share}
    asked |= {"batch_size": given.batch_size, "path": file}
    if given.ray is not None:
        from innspect import ray

        with cluster.shared_out(given, source, analyzer.opened) as (dataset, how):
            gallery = ray.collect(dataset, analyzer.opened, given.at, analyzer, ids=cluster.NUMBER, **asked, **how)
    else:
        data = source[:] if source.arrays else Batches(source, given.batch_size or USUAL)
        gallery = concepts.collect(analyzer, data, given.at, resume=given.resume, verbose=1, **asked)
    if given.html:
        skipped = {path for path, _ in source.skipped}
        names = (
            source.names if source.arrays else [n for n, p in zip(source.names, source.paths, strict=True) if p not in skipped]
        )
        gallery.html(page, channels=given.channel, labels=labels, names=names, title=_title(given))
    _print_best(gallery)
    print(f"{gallery.samples} input{'s' * (gallery.samples > 1)}: written to {printable(given.out)}")
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _title(given):
    return f"What the channels of {os.path.basename(given.model)} look for"


def _print_best(gallery):
    """The channels of each layer with the largest means."""
    import numpy as np

    for path, found in gallery.items():
        order = np.argsort(-np.nan_to_num(found.mean), kind="stable")[:5]
        shown = ", ".join(f"{c} ({found.mean[c]:.3g})" for c in order)
        print(printable(f"  {path}: {found.channels} channels, most by mean: {shown}"))
