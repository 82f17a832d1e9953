"""Several methods on the same inputs and neurons, with all that a report or a comparison says about them."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers import create_analyzer
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.assembly import some
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.relevance.conservation import ConservationTable
from innspect.checks import Integer
from innspect.graph.opened.opened_model import OpenedModel, opened_if_possible
from innspect.inputs import sizes
from innspect.inputs.batches import Inputs, batches_of, is_stream, of_a_stream
from innspect.inputs.contrast import Contrast
from innspect.inputs.predictor import black_box
from innspect.labels import Labels
from innspect.nests import by_input, joined
from innspect.progress import Progress, Quiet
from innspect.spelling import methods_by_label, pair
from innspect.tables import printable
from innspect.types import Array, Nest
from innspect.visualize.uncertainty import error_text


@dataclass
class Method:
    """What one method found.

    Attributes:
        attributions: Dict from the name of an input ("" where there is one) to (neurons, samples, ...).
        targets: The explained values, (neurons, samples).
        delta: What is missing from the method's law, (neurons, samples), or None.
        error: The error of sampling, or of the steps of a path, as a share of each map, (neurons, samples), or None.
        seconds: For each sample and neuron, without building and compiling.
        settings: As in `Explanation`.
        conservation: A `ConservationTable` for the first neuron, or None.
    """

    attributions: dict[str, Array]
    targets: Array
    delta: Array | None
    seconds: float
    settings: dict[str, Any]
    conservation: ConservationTable | None = None
    error: Array | None = None


@dataclass
class Study:
    """Inputs, predictions, and what every method says of them.

    Attributes:
        x: The inputs, an array, a list or a dict of arrays, samples first.
        outputs: The model's, (samples, ...).
        neurons: What is explained, integers (neurons, samples); None where it is the largest output element.
        methods: Dict from label to `Method`.
    """

    x: Nest
    outputs: Array
    neurons: Array | None
    methods: dict[str, Method] = field(default_factory=dict)


def named(methods: Any) -> dict[str, Any]:
    """Dict from label to what is asked for: a pair of a name and its arguments, or an analyzer.

    Args:
        methods: Names, names with arguments ("lrp.gamma:gamma=0.5"), pairs and analyzers, one of them or a list; or a dict
            from label to one of these; see `innspect.spelling`.

    Raises:
        ValueError: There is no method, or one label occurs twice.
    """
    return methods_by_label(methods)


def make_analyzers(model: keras.Layer | OpenedModel, methods: Any) -> dict[str, Analyzer]:
    """Dict from label to analyzer.

    Args:
        model: The Keras model, or its opened form.
        methods: As for `named`.

    Raises:
        ValueError: There is no method, or one label occurs twice.
    """
    return {label: make(model, chosen) for label, chosen in named(methods).items()}


def make(model: keras.Layer | OpenedModel, chosen: Any) -> Analyzer:
    """The analyzer of a name, of a pair of a name and its arguments, or itself."""
    if isinstance(chosen, Analyzer) or hasattr(chosen, "explain"):
        return chosen
    name, arguments = pair(chosen, "methods")
    return create_analyzer(name, model, **arguments)


def fit(analyzers: dict[str, Analyzer], labels: list[str], data: Any, **arguments: Any) -> None:
    """Fit some analyzers to data; `arguments` go to their `fit`."""
    check_fit_data(labels, data)
    for label in labels:
        analyzers[label].fit(data, **arguments)


def check_fit_data(labels: list[str], data: Any) -> None:
    """Raise where methods must be fitted, and there is no data.

    Raises:
        ValueError: The message names the methods.
    """
    if labels and data is None:
        raise ValueError(f"`fit_data` must be given for the methods that are fitted: {labels}. Received: None")


def unfitted(analyzers: dict[str, Analyzer]) -> list[str]:
    """The labels of those that must learn from data before they can explain."""
    return [label for label, a in analyzers.items() if any(getattr(a, name) is None for name in getattr(a, "learned", ()))]


def samples(model: keras.Layer | OpenedModel, x: Any) -> Nest:
    """Inputs in any form that `analyze` takes as NumPy arrays, samples first, in their structure; of a stream all batches."""
    predictor = black_box(model)
    if not is_stream(x):
        return predictor.inputs(x).x
    with of_a_stream():
        return joined(some(predictor.inputs(batch).x for batch in batches_of(x)))


def predict(model: keras.Layer | OpenedModel, batches: Iterable[Nest], output: int | str = 0) -> Array:
    """The model's output for all batches, a NumPy array; the model's state stays as it was."""
    opened = opened_if_possible(model)
    return np.concatenate([_predict(opened, x, output) for x in batches])


def _predict(model: Any, x: Nest, output: int | str) -> Array:
    if isinstance(model, OpenedModel):
        return model.outputs([ops.convert_to_tensor(a) for a in Inputs(x, model).arrays])[model.number(output)]
    predictor = black_box(model)
    inputs = predictor.inputs(x)
    y, _ = predictor.evaluator(predictor.number(output), inputs)([ops.convert_to_tensor(a) for a in inputs.arrays])
    return backend.to_numpy(y)


def at_once(model: Any, x: Nest, batch_size: int | None = None, neurons: Array | None = None) -> int:
    """How many samples are explained at once, each for some neurons; where nobody says, of batches with little padding.

    Args:
        model: A Keras model, an opened one, or a function.
        x: Inputs, samples first.
        batch_size: The argument of that name; None: as many as fit.
        neurons: (neurons, samples), or None.
    """
    if batch_size is not None:
        return int(batch_size)
    predictor, leaves = black_box(model), keras.tree.flatten(x)
    one = predictor.inputs(keras.tree.map_structure(lambda a: a[:1], x))
    most = one.checked_size(None, 1 if neurons is None else len(neurons))
    return sizes.of_little_padding(len(leaves[0]), most, one.elements)


def most_likely(outputs: Array, top: int) -> Array | None:
    """The largest outputs of each sample, the largest first: (neurons, samples); None where there is one neuron.

    Where outputs have positions, as a segmentation's, those of the largest mean over them, since a class is explained as its
    sum over positions; a single class is explained so, too.
    """
    if outputs.ndim < 2 or (outputs.ndim == 2 and outputs.shape[1] < 2):
        return None
    means = outputs.reshape(len(outputs), -1, outputs.shape[-1]).mean(axis=1)
    return np.argsort(-means, axis=1, kind="stable")[:, :top].T.astype("int32")


def classes(outputs: Array) -> int:
    """How many neurons outputs, samples first, have along their last axis."""
    return outputs.shape[-1] if outputs.ndim > 1 else 1


def labels_of(analyzers: dict[str, Analyzer]) -> Labels | None:
    """The labels of the first analyzer that knows some."""
    known = (getattr(analyzer, "labels", None) for analyzer in analyzers.values())
    return next((labels for labels in known if labels is not None), None)


def same_for_all(neurons: Sequence[Any], samples: int) -> Array:
    """The same neurons for every sample: (neurons, samples)."""
    return np.repeat(np.array(neurons, "int32")[:, None], samples, axis=1)


def explain(
    analyzers: dict[str, Analyzer],
    x: Nest,
    outputs: Array,
    neurons: Array | None = None,
    *,
    batch_size: int | None = None,
    output: int | str = 0,
    books: bool = False,
    progress: Progress | Quiet | None = None,
    contrast: Contrast = None,
) -> Study:
    """Run every analyzer.

    Args:
        analyzers: From `make_analyzers`.
        x: Inputs, samples first.
        outputs: The model's, (samples, ...).
        neurons: (neurons, samples), or None for the largest output element.
        batch_size: Samples at once; None: see `at_once`.
        output: Number or name of the output.
        books: Whether the methods that can also account for the relevance of every layer.
        progress: Gets `advance` for every method and batch.
        contrast: As for `analyze`.

    Returns:
        A `Study`.
    """
    result, progress = Study(x, outputs, neurons), progress or Quiet()
    Integer(1, or_none=True).check("batch_size", batch_size)
    asked = {"batch_size": batch_size, "output": output} | ({} if contrast is None else {"contrast": contrast})
    for label, analyzer in analyzers.items():
        progress.say(printable(label))
        result.methods[label] = _run(analyzer, x, len(outputs), neurons, asked, progress)
        if books and hasattr(analyzer, "conservation"):
            first = None if neurons is None else neurons[0]
            result.methods[label].conservation = analyzer.conservation(x, first, **asked)
    return result


def _run(
    analyzer: Analyzer,
    x: Nest,
    samples: int,
    neurons: Array | None,
    asked: dict[str, Any],
    progress: Progress | Quiet,
) -> Method:
    parts, spent = [], []
    size = at_once(getattr(analyzer, "opened", None) or analyzer.model, x, asked["batch_size"], neurons)
    for start in range(0, samples, size):
        rows = slice(start, start + size)
        batch = keras.tree.map_structure(lambda a, r=rows: a[r], x)
        selection: dict[str, Any] = {} if neurons is None else {"neurons": list(neurons[:, rows])}
        began = time.perf_counter()
        parts.append(replace(analyzer.explain(batch, **asked, **selection), x=None))  # the study has the inputs
        spent.append((time.perf_counter() - began) / (len(parts[-1].outputs) * (1 if neurons is None else len(neurons))))
        progress.advance()
    whole = Explanation.join(parts)

    settings = {k: v for k, v in whole.settings.items() if k != "labels"}  # a report's own stand with its predictions

    asked_of = {} if asked.get("contrast") is None else {"contrast": asked["contrast"]}
    error = whole.relative_error

    def by_neuron(array: Array) -> Array:
        return array[None] if neurons is None else array

    return Method(
        attributions={name: by_neuron(a) for name, a in by_input(whole.attributions).items()},
        targets=by_neuron(whole.targets),
        delta=None if whole.delta is None else by_neuron(whole.delta),
        error=None if error is None else by_neuron(error),
        seconds=min(spent),
        settings=settings | asked_of | {"neuron_selection": None if neurons is None else neurons.tolist()},
    )


def uncertain(study: Study) -> dict[str, str]:
    """Dict from label to what is said of the error of a method's maps, where that is not small."""
    said = {
        label: error_text(method.error, "numerical" if "steps" in method.settings["arguments"] else "sampling")
        for label, method in study.methods.items()
        if method.error is not None
    }
    return {label: text for label, text in said.items() if text}
