"""`innspect compare`: methods side by side, with numbers."""

import argparse
import os

from innspect.cli import early, models, options, outputs
from innspect.files import write
from innspect.labels import number_of, read
from innspect.progress import Progress, estimates
from innspect.tables import Table, printable

_DESCRIPTION = "Explain the same inputs with several methods, and compare them in numbers."
_DRAWN = 12  # samples
_COLUMNS = """\
columns:
  ms/sample    time to explain one sample, without building and compiling
  error        |explained value - sum of the map| / |explained value|, mean over the samples, for methods with a law
               of conservation or completeness; - for the others
  positive     share of the map that is positive, by magnitude
  agreement    Spearman's rank correlation of two methods' maps (channels summed), mean over the samples: 1 the same
               order, 0 none, -1 the opposite
With --out, the numbers go to comparison.csv, and the maps side by side to comparison.png (needs matplotlib).
"""


def add(commands, common):
    parser = commands.add_parser(
        "compare",
        parents=[common],
        help="methods side by side, with numbers",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _COLUMNS]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    options.add_inputs(parser, "data", "DATA", "images, folders, globs, or arrays; see below")
    options.add_methods(parser)
    options.add_neuron(parser, "for every input (default: the largest of each)")
    options.add_contrast(parser)
    outputs.add(parser)
    options.add_labels(parser)
    parser.add_argument("--out", metavar="DIR", help="also write the numbers and the maps")
    options.add_force(parser)
    parser.set_defaults(run=_run, check=_check)


def _files(given):
    return [os.path.join(given.out, name) for name in ("comparison.csv", "comparison.png")] if given.out else []


def _check(given):
    options.refuse_existing(_files(given), given.force)
    options.check_folder(given.out or ".")
    early.check(given, given.data)


def _run(given):
    from innspect import study
    from innspect.graph.opened.opened_model import opened_if_possible

    files = _files(given)
    labels = read(given.labels)
    neuron = None if given.neuron is None else number_of(given.neuron, labels)
    model = models.load_model(given)
    opened = opened_if_possible(model)  # once, for all that follows
    outputs.check(given, opened)
    source = options.read_inputs(given, given.data, model)
    chosen = options.chosen_methods(given, opened)
    names = [options.label_of(name, arguments) for name, arguments in chosen]
    given_bounds = options.with_bounds(chosen, source)
    analyzers = study.make_analyzers(opened, dict(zip(names, given_bounds, strict=True)))
    source.settle()
    x = source[:]
    predicted = study.predict(model, source.batches(study.at_once(opened, x, given.batch_size)), given.output)
    labels = read(labels, study.classes(predicted))
    neurons = study.most_likely(predicted, 1) if neuron is None else study.same_for_all([neuron], len(predicted))
    asked = {"batch_size": given.batch_size, "output": given.output} | (
        {} if given.contrast is None else {"contrast": given.contrast}
    )
    size = study.at_once(opened, x, given.batch_size, neurons)
    _warm_up(analyzers, source[:size], None if neurons is None else list(neurons[:, :size]), asked)
    batches = -(-len(source) // size)
    with Progress("Comparing", len(analyzers) * batches) as progress, estimates(progress.tell):
        result = study.explain(analyzers, x, predicted, neurons, **asked, progress=progress)
    rows, table = numbers(result)
    print()
    _print(rows, table, len(source))
    if given.out:
        os.makedirs(given.out, exist_ok=True)
        write(files[0], _csv(rows, table))
        written = [files[0]]
        if _draw(result, source, labels, files[1]):
            written.append(files[1])
        print(f"\nwritten to {printable(', '.join(written))}")
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _warm_up(analyzers, first, neurons, asked):
    """Compile for the first batch, so that compiling is not timed."""
    for analyzer in analyzers.values():
        analyzer.explain(first, **asked, neurons=neurons)


def numbers(result):
    """(label, milliseconds, error or None, positive share) of each method, and the table of agreement."""
    import numpy as np

    from innspect.evaluation.agreement import agreement, comparable

    rows, maps = [], {}
    first = {label: next(iter(m.attributions.values()))[0] for label, m in result.methods.items()}
    shape = min((a.shape for a in first.values()), key=len)
    if len({len(a.shape) for a in first.values()}) == 1 and len(shape) == 4:  # all with channels
        shape = shape[:-1]
    for label, method in result.methods.items():
        error = None
        if method.delta is not None:
            targets = np.maximum(np.abs(method.targets), np.finfo("float32").tiny)
            error = float(np.mean(np.abs(method.delta) / targets))
        whole = np.concatenate([a[0].reshape(len(a[0]), -1) for a in method.attributions.values()], axis=1)
        magnitude = np.abs(whole).sum()
        positive = float(np.maximum(whole, 0).sum() / magnitude) if magnitude else float("nan")
        rows.append((label, 1000 * method.seconds, error, positive))
        maps[label] = comparable(first[label], shape)
    return rows, agreement(maps)


def _print(rows, table, samples):
    shown = [
        [
            f"{i + 1}",
            label,
            f"{ms:.3g}",
            "-" if error is None else f"{error:.1e}",
            "-" if positive != positive else f"{positive:.0%}",
        ]
        + ["-" if value != value else f"{value:.2f}" for value in table[i]]
        for i, (label, ms, error, positive) in enumerate(rows)
    ]
    head = [
        "",
        "method",
        "ms/sample",
        "error",
        "positive",
        *[f"agreement {i + 1}" if i == 0 else f"{i + 1}" for i in range(len(rows))],
    ]
    print(Table(head, shown, f"means over {samples} sample{'s' * (samples > 1)}"))


def _csv(rows, table):
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["method", "ms_per_sample", "error", "positive", *[f"agreement with {row[0]}" for row in rows]])
    for row, line in zip(rows, table, strict=True):
        writer.writerow([row[0], row[1], "" if row[2] is None else row[2], row[3], *["" if v != v else v for v in line]])
    return buffer.getvalue()


def _draw(result, source, labels, path):
    """The maps of the first samples as a grid, where they are pictures and matplotlib is there to draw them."""
    import importlib.util
    import io

    from innspect.nests import by_input
    from innspect.reports.pictures import input_pictures
    from innspect.visualize import grid

    maps = {label: next(iter(m.attributions.values()))[0][:_DRAWN] for label, m in result.methods.items()}
    kinds = [next(iter(by_input(m.settings.get("kinds") or "image").values())) for m in result.methods.values()]
    images_only = all(a.ndim in (3, 4) for a in maps.values()) and set(kinds) == {"image"}
    if not importlib.util.find_spec("matplotlib") or not images_only:
        return False
    images = input_pictures(source.pixels(slice(_DRAWN)))
    captions = [printable(name) for name in source.names[:_DRAWN]]
    if result.neurons is not None and labels is not None:
        captions = [f"{name}\n{printable(labels.short(n))}" for name, n in zip(captions, result.neurons[0], strict=False)]
    of = {label: method.settings for label, method in result.methods.items()}
    figure = grid(maps, images=images, of=of, captions=captions, cell=1.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write(path, buffer.getvalue())
    return True
