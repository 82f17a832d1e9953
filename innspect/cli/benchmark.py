"""`innspect benchmark`: methods where it is known what is right."""

import argparse
import csv
import io
import json
import os
import sys

from innspect.cli import early, models, options
from innspect.cli.starting import start_keras
from innspect.files import write
from innspect.progress import Progress
from innspect.tables import printable

_DESCRIPTION = "Score methods where it is known what is right: networks are trained, here, to use what was planted."
_EPILOG = """\
tasks:
  `innspect benchmark --list` names all. Without --task all of them; "xor" is "xor.white" and "xor.correlated"; "stamps" needs a
  model and samples of your own, MODEL and DATA; a copy is trained. Arguments follow the name: --task xor.white:size=16
  A network below 80 % (tetrominoes) or 95 % (stamps, distractor) on held-out samples is refused: what it uses is not known.
formats:
  text   the table           json   accuracies, means, intervals, and the value of every network
  csv    a line for each task, score, method and network     html   one page: intervals and the table
Ctrl-C shows what was done.

examples:
  innspect benchmark                                       all tasks, five networks each, methods of every family: ten minutes
  innspect benchmark --task xor --method lrp.epsilon --method pattern.attribution --seeds 3
  innspect benchmark model.keras photos/ --preprocess mean=127,std=128 --task stamps --seeds 2
"""
FORMATS = ("text", "json", "csv", "html")


def add(commands, common):
    parser = commands.add_parser(
        "benchmark",
        parents=[common],
        help="which explanation finds what was planted",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _EPILOG]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action=_List, nargs=0, help="name all tasks, and end")
    models.add_model(parser, nargs="?")
    options.add_inputs(parser, "data", "DATA", "for the task stamps: images, folders, globs, or arrays; see below", nargs="*")
    told = "a name that --list shows, with arguments: xor.white:size=16; may be given several times (default: all)"
    parser.add_argument("--task", action="append", type=options.method, metavar="NAME[:ARG=VALUE,...]", help=told)
    told = "a name that `innspect methods` lists, with arguments; may be given several times (default: some of every family)"
    parser.add_argument("--method", action="append", type=options.method, metavar="NAME[:ARG=VALUE,...]", help=told)
    told = "networks of each task (default: %(default)s); one has no interval"
    parser.add_argument("--seeds", type=options.positive, default=5, metavar="N", help=told)
    told = "samples that are explained of each network (default: %(default)s)"
    parser.add_argument("--samples", type=options.positive, default=32, metavar="N", help=told)
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write; without it to the terminal, but for html (benchmark.html)"
    )
    options.add_force(parser)
    parser.set_defaults(run=_run, check=_check)


class _List(argparse.Action):
    def __call__(self, parser, given, values, option_string=None):
        start_keras(False)
        from innspect.evaluation import list_tasks
        from innspect.evaluation.planted.stamps import Stamps
        from innspect.evaluation.planted.tasks import find
        from innspect.tables import Table

        asks = {name: Stamps.asks if name == "stamps" else find(name)().asks for name in list_tasks()}
        print(Table(["task", "what it asks"], [[name, asked] for name, asked in asks.items()]))
        parser.exit()


def _check(given):
    early.check_out(given, _out(given))
    if given.model is not None and not given.data:
        raise ValueError("DATA must be given with MODEL, for the task 'stamps'. Received: none")
    early.check(given, given.data)


def _out(given):
    return given.out or ("benchmark.html" if given.format == "html" else None)


def _run(given):
    from innspect.evaluation.planted.run import Benchmarking

    out = _out(given)
    methods = given.method and {options.label_of(name, arguments): (name, arguments) for name, arguments in given.method}
    model = source = x = None
    if given.model is not None:
        model = models.load_model(given)
        source = options.read_inputs(given, given.data, model)
        source.settle()
        x = source[:]
    how = {"model": model, "x": x, "samples": given.samples, "batch_size": given.batch_size}
    benchmark = Benchmarking(given.task, methods, given.seeds, **how)
    try:
        if out is None and given.format != "text":
            benchmark.run()
        else:
            with Progress("Benchmark", benchmark.cells) as progress:
                benchmark.run(progress)
    except KeyboardInterrupt:
        if not any(benchmark.result().networks.values()):
            raise
        print("\ninnspect: interrupted; this is what was done:", file=sys.stderr)
        _write(given.format, benchmark.result(), out)
        return 130
    _write(given.format, benchmark.result(), out)
    if source is None:
        return 0
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _write(form, found, out):
    """The scores in the format that was asked for, to a file or the terminal."""
    if form == "html":
        found.report(out, title="Which explanation finds what was planted?")
    else:
        text = _json(found) if form == "json" else _csv(found) if form == "csv" else str(found)
        if out is None:
            print(text if form != "text" else f"\n{text}")
        else:
            write(out, text + "\n")
    if out is not None:
        print(f"\n{found}\n\nwritten to {printable(os.fspath(out))}")


def _json(found):
    values = {
        label: {method: [None if v != v else float(v) for v in result.values] for method, result in of.items()}
        for label, of in found.results.items()
    }
    content = {"networks": found.networks, "scores": found.summary(), "values": values, "failed": found.failed}
    return json.dumps(content | {"settings": found.settings}, indent=1, default=repr)


def _csv(found):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["task", "score", "method", "seed", "accuracy", "value"])
    for label, method, number, value in found.rows():
        task, _, score = label.rpartition("/")
        network = [one for one in found.networks[task] if not one["refused"]][number]
        writer.writerow([task, score, method, network["seed"], network["accuracy"], "" if value != value else value])
    return buffer.getvalue().rstrip("\n")
