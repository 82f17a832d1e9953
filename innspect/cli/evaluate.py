"""`innspect evaluate`: which explanation can be believed, measured on the user's own network."""

import argparse
import json
import os
import sys

from innspect.cli import cluster, early, models, options, outputs
from innspect.cli.starting import start_keras
from innspect.files import write
from innspect.labels import number_of, read
from innspect.progress import Progress, estimates
from innspect.tables import printable

_DESCRIPTION = "Measure which explanations of a model can be believed: methods by metrics, with 95 % intervals."
_EPILOG = """\
metrics:
  `innspect evaluate --list` names all, with what is better. The default: srg and insertion (hiding what a map calls relevant
  must change the answer), mprt.efficient (random weights must change the map), and collage where the images show four classes
  that the model is sure of. The row "random" are maps of noise: what is no better than these says nothing.
  Arguments follow the name: --metric srg:steps=16,hide=0.0 --metric "aopc:hide=noise"
formats:
  text   the table          json   means, intervals, and the value of every sample
  csv    a line for each metric, method and sample     html   one page: intervals, curves, maps with their scores
--resume FILE.npz keeps every finished result: what was interrupted goes on where it was, and `innspect.evaluation.Scores.load`
reads it. Ctrl-C shows what was done.

examples:
  innspect evaluate model.keras photos/ --preprocess mean=127,std=128 --method lrp.epsilon_gamma_flat --method grad_cam
  innspect evaluate model.keras data.npz:x_test --limit 32 --masks data.npz:masks --metric pointing_game --metric relevance_mass
"""
FORMATS = ("text", "json", "csv", "html")


def add(commands, common):
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="which explanation can be believed",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _EPILOG]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action=_List, nargs=0, help="name all metrics, and end")
    models.add_model(parser)
    options.add_inputs(parser, "data", "DATA", "images, folders, globs, or arrays; see below")
    options.add_methods(parser)
    told = "a name that --list shows, with arguments: srg:steps=16; may be given several times"
    parser.add_argument("--metric", action="append", type=options.method, metavar="NAME[:ARG=VALUE,...]", help=told)
    options.add_neuron(parser, "for every input (default: the largest of each)")
    outputs.add(parser)
    options.add_labels(parser)
    parser.add_argument(
        "--masks", metavar="FILE", help="where the thing is: booleans (samples, *positions) in FILE or FILE:NAME"
    )
    parser.add_argument(
        "--truth", metavar="FILE", help="the true class of each input, integers (samples,), for metrics that ask"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", help="where to write; without it to the terminal, but for html (scores.html)")
    parser.add_argument("--resume", metavar="FILE.npz", help="keep what is done in this file, and go on from it")
    cluster.add(parser)
    options.add_force(parser)
    parser.set_defaults(run=_run, check=_check)


class _List(argparse.Action):
    def __call__(self, parser, given, values, option_string=None):
        start_keras(False)
        print(metrics_table())
        parser.exit()


def metrics_table():
    """All metrics by family: what is better, and what each asks."""
    from innspect.evaluation.registry import list_metrics, metrics
    from innspect.tables import Table

    better = {True: "higher", False: "lower", None: "-"}
    known = metrics()
    rows = [
        [known[name].family, name, better[known[name].higher_is_better], known[name].asks]
        for name in sorted(list_metrics(), key=lambda name: (known[name].family, name))
    ]
    return Table(["family", "metric", "better", "what it asks"], rows, left=4)


def _check(given):
    cluster.check(given, "resume", "masks", "truth")
    early.check_out(given, _out(given))
    if given.resume is not None:
        options.check_file(given.resume)
    early.check(given, given.data)


def _out(given):
    return given.out or ("scores.html" if given.format == "html" else None)


def _run(given):
    from innspect import study
    from innspect.cli.arrays import one_array
    from innspect.evaluation.evaluate import Evaluation
    from innspect.graph.opened.opened_model import opened_if_possible

    out = _out(given)
    labels = read(given.labels)
    neuron = None if given.neuron is None else number_of(given.neuron, labels)
    known: dict = {}
    for name, path in (("masks", given.masks), ("labels", given.truth)):
        known |= {} if path is None else {name: one_array(path, given.limit)}
    model = models.load_model(given)
    opened = opened_if_possible(model)  # once, for all that follows
    outputs.check(given, opened)
    source = options.read_inputs(given, given.data, model)
    chosen = options.chosen_methods(given, opened)
    names = [options.label_of(name, arguments) for name, arguments in chosen]
    methods = dict(zip(names, options.with_bounds(chosen, source), strict=True))
    asked = given.metric and {options.label_of(name, arguments): (name, arguments) for name, arguments in given.metric}
    source.settle()
    if given.ray is not None:
        from innspect import ray

        with cluster.shared_out(given, source, opened) as (dataset, how):
            shared = {"targets": neuron, "seed": given.seed, "output": given.output, "batch_size": given.batch_size}
            scores = ray.evaluate(dataset, opened, methods, asked or None, **shared, **how)
        _write(given, scores, source, out)
        options.say_what_pixels_were(given, source, model)
        return options.exit_code(source)
    targets = None if neuron is None else study.same_for_all([neuron], len(source))[0]
    how = {"known": known, "resume": given.resume, "seed": given.seed, "batch_size": given.batch_size}
    how["output"] = given.output
    evaluation = Evaluation(opened, source[:], methods, asked or None, targets=targets, **how)
    quiet = out is None and given.format != "text"
    try:
        if quiet:
            evaluation.run()
        else:
            with Progress("Evaluating", evaluation.cells) as progress, estimates(progress.tell):
                evaluation.run(progress)
    except KeyboardInterrupt:
        if not evaluation.scores.results:
            raise
        print("\ninnspect: interrupted; this is what was done:", file=sys.stderr)
        _write(given, evaluation.scores, source, out)
        return 130
    _write(given, evaluation.scores, source, out)
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _write(given, scores, source, out):
    """The scores in the format that was asked for, to a file or the terminal."""
    if given.format == "html":
        from innspect.reports.pictures import input_pictures

        count = scores.examples.get("count", 0)
        images = None if source.arrays or not count else input_pictures(source.pixels(slice(count)))
        scores.report(out, names=source.names[:count], images=images)
    else:
        text = {"text": _text, "json": _json, "csv": _csv}[given.format](scores, source)
        if out is None:
            print(text if given.format != "text" else f"\n{text}")
        else:
            write(out, text + "\n")
    if out is not None:
        print(f"\n{scores}\n\nwritten to {printable(os.fspath(out))}")


def _text(scores, source):
    return str(scores)


def _json(scores, source):
    values = {
        metric: {method: [None if v != v else float(v) for v in result.values] for method, result in of.items()}
        for metric, of in scores.results.items()
    }
    content = {"samples": source.names, "scores": scores.summary(), "values": values}
    content |= {"failed": scores.failed, "left_out": scores.left_out}
    content["settings"] = {k: v for k, v in scores.settings.items() if k != "keys"}
    return json.dumps(content, indent=1, default=repr)


def _csv(scores, source):
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["metric", "method", "sample", "name", "value"])
    for metric, method, sample, value in scores.rows():
        named = len(scores.results[metric][method].values) == len(source.names)
        writer.writerow([metric, method, sample, source.names[sample] if named else "", "" if value != value else value])
    return buffer.getvalue().rstrip("\n")
