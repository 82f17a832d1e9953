"""`innspect explain`: maps of files, as pictures, arrays or a report."""

import argparse
import json
import os
import shlex
import sys

from innspect.cli import cluster, early, models, options, outputs, stores
from innspect.cli.index import content
from innspect.files import write
from innspect.labels import name_of, number_of, read
from innspect.progress import Progress, estimates
from innspect.tables import printable

_ON_PAGE = 448  # pixels a side of the photographs in a page
_DESCRIPTION = "Explain what a model says of images or arrays, and write one map for each input, method and class."
_WRITES = """\
what is written to --out:
  png    INPUT.METHOD.png, with .topK or .neuronN where several are explained: positive red, negative blue; over the
         photograph in its own size, pale where the network did not look; of arrays images alone, zero white, slices of
         volumes, and with matplotlib curves of series, bars of tables and tokens, else strips of colours;
         and INPUT.all.png, a photograph with all its maps and their names (needs matplotlib)
  npz    METHOD.npz: attributions (neurons, samples, ...), targets, neurons, outputs, names; of methods that draw or take
         steps relative_error (neurons, samples), their error as a share of the map
  html   explanations.html: everything in one page that needs no network
  and explanations.json: predictions, what was explained, where in the photograph, what was skipped, and the settings
"""
_EXAMPLES = """\
examples:
  innspect explain vgg16.keras cat.jpg --preprocess vgg16 --method lrp.epsilon --method grad_cam --top 3
  innspect explain model.keras 'photos/**/*.jpg' --preprocess mean=127,std=128 --format html --labels classes.txt
  innspect explain model.keras data.npz:x_test --limit 16 --method lrp.gamma:gamma=0.5 --format npz
  innspect explain vgg16.keras photos --preprocess vgg16 --method lrp.epsilon_plus_flat --store maps.h5 --resume
"""


def add(commands, common):
    parser = commands.add_parser(
        "explain",
        parents=[common],
        help="explain images or arrays with a model of yours",
        description=_DESCRIPTION,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _WRITES + stores.HELP, _EXAMPLES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    options.add_inputs(parser, "inputs", "INPUT", "images, folders, globs, or arrays; see below")
    options.add_methods(parser)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--top", type=options.positive, metavar="K", help="explain the K largest outputs (default: 1)")
    options.add_neuron(chosen, "may be given several times", action="append")
    options.add_contrast(parser)
    outputs.add(parser)
    options.add_labels(parser)
    parser.add_argument(
        "--format", action="append", choices=("png", "npz", "html"), help="may be given several times (default: png)"
    )
    parser.add_argument("--out", default="explanations", metavar="DIR", help="where to write (default: %(default)s)")
    options.add_force(parser)
    stores.add(parser)
    cluster.add(parser)
    parser.set_defaults(run=_run, check=_check)


def _check(given):
    from innspect.cli.inputs import are_arrays, expand, names_of_images

    stores.check(given)
    cluster.check(given, "store")
    early.check(given, given.inputs)
    if given.store is not None:
        return
    options.check_folder(given.out)
    paths = expand(given.inputs)
    arrays = are_arrays(paths)
    names = [] if arrays else names_of_images(paths, given.limit)
    methods = [options.label_of(*each) for each in given.method or []]
    options.refuse_existing(_planned(given, names, arrays, methods), given.force)


def _run(given):
    from innspect import study
    from innspect.graph.opened.opened_model import opened_if_possible

    given.top = given.top or 1
    labels = read(given.labels)
    given.neuron = [number_of(n, labels) for n in given.neuron or ()]
    model = models.load_model(given)
    opened = opened_if_possible(model)  # once, for all that follows
    outputs.check(given, opened)
    source = options.read_inputs(given, given.inputs, model)
    chosen = options.chosen_methods(given, opened)
    names = [options.label_of(name, arguments) for name, arguments in chosen]
    formats = _formats(given)
    given_bounds = options.with_bounds(chosen, source)
    analyzers = study.make_analyzers(opened, dict(zip(names, given_bounds, strict=True)))
    if given.store is not None:
        return stores.fill(given, source, analyzers, labels)

    options.refuse_existing(_planned(given, source.names, source.arrays, names), given.force)
    source.settle()
    x = source[:]
    predicted = study.predict(model, source.batches(study.at_once(opened, x, given.batch_size)), given.output)
    labels = read(labels, study.classes(predicted))
    neurons = _neurons(given, predicted)
    size = study.at_once(opened, x, given.batch_size, neurons) if given.ray is None else len(source)
    steps = -(-len(source) // size) * len(analyzers)
    with (
        cluster.shared(given, analyzers) as sharing,
        Progress("Explaining", steps) as progress,
        estimates(progress.tell),
    ):
        settings = {
            "batch_size": given.batch_size if given.ray is None else size,
            "books": "html" in formats,
            "progress": progress,
            "contrast": given.contrast,
            "output": given.output,
        }
        result = study.explain(sharing, x, predicted, neurons, **settings)
    os.makedirs(given.out, exist_ok=True)
    index = json.dumps(content(given, source, result, labels), indent=1, default=repr)
    write(os.path.join(given.out, "explanations.json"), index)
    for kind in formats:
        {"png": _pictures, "npz": _arrays, "html": _page}[kind](given, source, result, labels)
    written = os.path.join(given.out, "explanations.html") if formats == ["html"] else given.out
    count = f"{len(source)} input{'s' * (len(source) > 1)}, {len(names)} method{'s' * (len(names) > 1)}"
    count += f", {len(source.skipped)} skipped" if source.skipped else ""
    print(f"{count}: written to {printable(written)}")
    _print_predictions(source.names, result, labels)
    for label, text in study.uncertain(result).items():
        print(printable(f"  {label}: {text}"))
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _neurons(given, outputs):
    from innspect.study import most_likely, same_for_all

    if not given.neuron:
        found = most_likely(outputs, given.top)
        if found is None and given.top > 1:
            raise ValueError(f"--top {given.top} needs a model with several outputs. Received: an output {outputs.shape[1:]}")
        return found
    return same_for_all(given.neuron, len(outputs))


# ------------------------------------------------------------------ what is written
def _suffixes(given):
    """What is added to the name of a map, for every neuron that is explained."""
    if given.neuron:
        return [f".neuron{n}" for n in given.neuron]
    return [f".top{k + 1}" for k in range(given.top)] if (given.top or 1) > 1 else [""]


def _formats(given):
    return list(dict.fromkeys(given.format or ["png"]))


def _planned(given, names, arrays, methods):
    """The files that will be written, of the inputs and methods that are known."""
    files, formats = ["explanations.json"], _formats(given)
    if "png" in formats:
        files += [f"{name}.{method}{suffix}.png" for name in names for method in methods for suffix in _suffixes(given)]
        files += [] if arrays else [f"{name}.all.png" for name in names]
    if "npz" in formats:
        files += [f"{method}.npz" for method in methods]
    if "html" in formats:
        files.append("explanations.html")
    return [os.path.join(given.out, file) for file in files]


def _pictures(given, source, result, labels):
    """A picture for each input, method and class: of photographs overlays, and a sheet with all of them and their names."""
    if source.arrays:
        _pictures_of_arrays(given, source, result)
        return
    from innspect.cli import pictures, sheets

    of_inputs: list[tuple] = []
    refused: list[tuple] = []
    for label, method in result.methods.items():
        (attributions,) = method.attributions.values()
        (of_inputs if pictures.drawable(attributions[0]) else refused).append((label, method, attributions))
    for label, _, attributions in refused:
        print(
            printable(f"innspect: no picture of {label!r}, whose maps have the shape {attributions.shape[2:]}"), file=sys.stderr
        )
    for i, sample in enumerate(source.names):
        layers = {label: pictures.layers(maps[:, i], method.settings) for label, method, maps in of_inputs}
        frame, whole = source.frame(i), pictures.enlarged(source.photograph(i, pictures.LONGEST))
        for label, (added, left) in layers.items():
            for k, suffix in zip(range(len(added)), _suffixes(given), strict=False):
                picture = pictures.laid_over(whole, added[k], left[k], frame)
                write(os.path.join(given.out, f"{sample}.{label}{suffix}.png"), pictures.png_of(picture))
        if sheets.available() and layers:
            small = pictures.enlarged(source.photograph(i, sheets.LONGEST))
            drawn = sheets.sheet(sample, small, frame, layers, _captions(result, i, labels))
            write(os.path.join(given.out, f"{sample}.all.png"), drawn)


def _pictures_of_arrays(given, source, result):
    from innspect.cli import maps
    from innspect.nests import by_input
    from innspect.visualize.forms import forms_of

    for label, method in result.methods.items():
        kinds, x = method.settings.get("kinds"), by_input(result.x)
        for k, suffix in zip(range(len(method.targets)), _suffixes(given), strict=False):
            of_inputs = {name: a[k] for name, a in method.attributions.items()}
            known = {"kinds": None if kinds is None else by_input(kinds), "x": x if set(x) == set(of_inputs) else None}
            for form in forms_of(of_inputs, **known, of=method.settings):
                inner = f".{form.name}" if form.name else ""
                for i, sample in enumerate(source.names):
                    drawn = maps.picture(form, i, f"{sample}: {label}", method.settings)
                    write(os.path.join(given.out, f"{sample}.{label}{suffix}{inner}.png"), drawn)


def _captions(result, i, labels):
    """What each explained neuron of an input is called, and its output."""
    from innspect.visualize.captions import output_told

    if result.neurons is None:
        return ["the largest output"]
    called = (lambda n: f"output {n}") if labels is None else labels.short
    return [f"{printable(called(n))}, {output_told(result.outputs[i], n, _explains(result))}" for n in result.neurons[:, i]]


def _explains(result):
    """The word "logit" where a method found a softmax or a sigmoid, else None."""
    return next((m.settings["explains"] for m in result.methods.values() if m.settings.get("explains") == "logit"), None)


def _arrays(given, source, result, labels):
    import io

    import numpy as np

    for label, method in result.methods.items():
        named = {f"attributions{f'/{k}' if k else ''}": v for k, v in method.attributions.items()}
        extra = {} if result.neurons is None else {"neurons": result.neurons}
        extra |= {} if method.delta is None else {"delta": method.delta}
        extra |= {} if method.error is None else {"relative_error": method.error}
        buffer = io.BytesIO()
        np.savez(buffer, **named, targets=method.targets, outputs=result.outputs, names=np.array(source.names), **extra)
        write(os.path.join(given.out, f"{label}.npz"), buffer.getvalue())


def _page(given, source, result, labels):
    from innspect.reports.page import page

    notes = {"command": shlex.join(["innspect", *given.words]), "model": given.model}
    title = f"What {os.path.basename(given.model)} looks at"
    shown = {} if source.arrays else _placed(source)
    shown["sources"] = source.files
    write(os.path.join(given.out, "explanations.html"), page(result, source.names, labels, title, notes, **shown))


def _placed(source):
    """The whole photographs for a page, and a function that puts a map of the i-th where it belongs in it."""
    from innspect.cli.pictures import enlarged
    from innspect.reports.pictures import SMALL, ZERO

    photographs = [enlarged(source.photograph(i, _ON_PAGE)) for i in range(len(source))]

    def place(i, picture):
        frame, (width, height) = source.frame(i), photographs[i].shape[1::-1]
        finer = picture.shape[1] / (width * (frame.right - frame.left))  # the map than the photograph: the page enlarges it
        scale = 1 if max(picture.shape[:2]) < SMALL else min(1, finer)
        return frame.place(picture, (round(width * scale), round(height * scale)), ZERO)

    return {"images": photographs, "place": place}


def _print_predictions(inputs, result, labels):
    from innspect.visualize.captions import output_of

    if result.neurons is None:
        return
    for i, name in enumerate(inputs[:20]):
        shown = [f"{name_of(n, labels)} ({output_of(result.outputs[i], n):.3g})" for n in result.neurons[:, i]]
        print(printable(f"  {name}: {', '.join(shown)}"))
    if len(inputs) > 20:
        print(f"  ... and {len(inputs) - 20} more")
