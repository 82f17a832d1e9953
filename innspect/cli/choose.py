"""`innspect choose`: which method should I take for this model?"""

import argparse
import json
import sys

from innspect.cli import early, models, options, outputs
from innspect.files import write
from innspect.labels import number_of, read
from innspect.spelling import seconds

_DESCRIPTION = (
    "Choose the method to take for a model: methods are tried within a time, the cheapest first; half of the samples pick, "
    "half report how sure it is."
)
_EPILOG = """\
A method is taken that is better than random maps by every metric, of these the best by mean rank. The default metrics are srg
and insertion (hiding what a map calls relevant must change the answer), and collage where the images show four classes that the
model is sure of. With fewer than 16 inputs nothing confirms the choice; fewer than 8 are too few.

formats:
  text   the answer in plain words, and a table     json   the same, with every sample's value
  csv    a line for each half, metric, method and sample     html   one page: answer, curves, maps of the best and a random one
--save FILE.npz keeps everything; `innspect.evaluation.Choice.load` reads it, and `innspect explain --method` takes the name.

examples:
  innspect choose model.keras photos/ --preprocess mean=127,std=128 --time 10min
  innspect choose model.keras data.npz:x_test --method gradient --method lrp.epsilon --format html --out choice.html
"""
FORMATS = ("text", "json", "csv", "html")


def add(commands, common):
    parser = commands.add_parser(
        "choose",
        parents=[common],
        help="which method to take",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _EPILOG]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    options.add_inputs(parser, "data", "DATA", "images, folders, globs, or arrays; see below")
    parser.add_argument("--time", default="10min", metavar="TIME", help="90s, 10min, 1.5h (default: %(default)s)")
    options.add_methods(parser, "all that the model allows by their names alone")
    told = "a name that `innspect evaluate --list` shows, with arguments: srg:steps=16; may be given several times"
    parser.add_argument("--metric", action="append", type=options.method, metavar="NAME[:ARG=VALUE,...]", help=told)
    options.add_neuron(parser, "for every input (default: the largest of each)")
    outputs.add(parser)
    options.add_labels(parser)
    told = "where something was planted that the model must use: booleans or signed numbers (samples, *positions), "
    told += "in FILE or FILE:NAME"
    parser.add_argument("--truth", metavar="FILE", help=told)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", help="where to write; without it to the terminal, but for html (choice.html)")
    told = "keep what is done in this file, and go on from it: for a choice that was interrupted, or whose time was over"
    parser.add_argument("--resume", metavar="FILE.npz", help=told)
    parser.add_argument("--save", metavar="FILE.npz", help="keep everything in this file")
    options.add_force(parser)
    parser.set_defaults(run=_run, check=_check)


def _check(given):
    seconds(given.time)
    for path in (_out(given), given.save):
        early.check_out(given, path)
    if given.resume is not None:
        options.check_file(given.resume)
    early.check(given, given.data)


def _out(given):
    return given.out or ("choice.html" if given.format == "html" else None)


def _run(given):
    from innspect import study
    from innspect.cli.arrays import one_array
    from innspect.evaluation.choosing.choose import chosen
    from innspect.graph.opened.opened_model import opened_if_possible

    out = _out(given)
    labels = read(given.labels)
    neuron = None if given.neuron is None else number_of(given.neuron, labels)
    truth = None if given.truth is None else one_array(given.truth, given.limit)
    model = models.load_model(given)
    opened = opened_if_possible(model)  # once, for all that follows
    outputs.check(given, opened)
    source = options.read_inputs(given, given.data, model)
    methods = _methods(given, opened, source)
    metrics = {options.label_of(*each): each for each in given.metric} if given.metric else None
    source.settle()
    targets = None if neuron is None else study.same_for_all([neuron], len(source))[0]
    asked = {"truth": truth, "methods": methods, "metrics": metrics, "targets": targets, "background": None, "fit_data": None}
    asked["resume"] = given.resume
    asked |= {"seed": given.seed, "batch_size": given.batch_size, "output": given.output, "channel_axis": "auto", "examples": 3}
    told = (lambda note: print(note, file=sys.stderr, flush=True)) if sys.stderr.isatty() else None
    choice = chosen(opened, source[:], given.time, asked, told)
    if given.save is not None:
        choice.save(given.save)
    _write(given, choice, source, out)
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _methods(given, opened, source):
    """Those that were named; else all, and those that need the bounds of the input where these are known."""
    from innspect.analyzers import list_analyzers
    from innspect.analyzers.base.registry import describe

    if given.method:
        chosen = options.chosen_methods(given, opened)
        names = [options.label_of(name, arguments) for name, arguments in chosen]
        return dict(zip(names, options.with_bounds(chosen, source), strict=True))
    known = {name: describe(name) for name in list_analyzers()}
    bounds = options.with_bounds([(name, {}) for name in known if known[name]["needs"] == "low, high"], source)
    return None if not any(arguments for _, arguments in bounds) else _all_and(bounds, opened, given.output)


def _all_and(more, opened, output):
    from innspect.evaluation.choosing.offers import offers

    found, _ = offers(opened, None, None, output)
    return {name: (name, {}) for name in found} | {name: (name, arguments) for name, arguments in more}


def _write(given, choice, source, out):
    """The choice in the format that was asked for, to a file or the terminal."""
    if given.format == "html":
        from innspect.reports.pictures import input_pictures

        images = None if source.arrays else input_pictures(source.pixels(slice(None)))
        choice.report(out, names=source.names, images=images)
    else:
        text = {"text": _text, "json": _json, "csv": _csv}[given.format](choice)
        if out is None:
            print(text)
        else:
            write(out, text + "\n")
    if out is not None:
        print(f"{choice}\n\nwritten to {options.printable(out)}")


def _text(choice):
    return str(choice)


def _halves(choice):
    return {"pick": choice.pick} | ({} if choice.confirm is None else {"confirm": choice.confirm})


def _json(choice):
    content = {"method": choice.method, "arguments": choice.arguments, "text": choice.text, "used": choice.decision.used}
    content |= {"beside": choice.decision.beside, "ranks": choice.decision.ranks, "left": choice.left, "methods": choice.offers}
    content["scores"] = {
        half: {
            metric: {method: [None if v != v else float(v) for v in result.values] for method, result in of.items()}
            for metric, of in scores.results.items()
        }
        for half, scores in _halves(choice).items()
    }
    return json.dumps(content | {"settings": choice.settings}, indent=1, default=repr)


def _csv(choice):
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["half", "metric", "method", "sample", "value"])
    for half, scores in _halves(choice).items():
        writer.writerows([half, *row[:-1], "" if row[-1] != row[-1] else row[-1]] for row in scores.rows())
    return buffer.getvalue().rstrip("\n")
