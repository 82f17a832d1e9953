"""What an explanation tells of itself: the settings to compute it again, which neurons it is of, and what it is shown with."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect import labels as names_of_neurons
from innspect._version import __version__
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.assembly import plain
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.request import Request
from innspect.graph.opened.kinds import input_kinds
from innspect.inputs.contrast import Contrasted
from innspect.inputs.targets import Selection
from innspect.types import Array, Nest

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer

_WRITTEN = 12  # elements of an array that a recipe writes down


def settings_of(analyzer: "Analyzer", asked: Asked) -> dict[str, Any]:
    """What is needed to compute the same again, as JSON can hold it.

    "call" is the line that makes the analyzer; what it cannot write down, such as a table, it calls by the argument's name, and
    "needs" is a dict from such a name to what that was.
    """
    model, arguments = analyzer.model, {k: v for k, v in analyzer.arguments().items() if k != "labels"}
    call, needs = _call(analyzer.name, arguments)
    beside = {"contrast": asked.contrast, "through": asked.through}
    return (
        {k: plain(v) for k, v in beside.items() if v is not None}
        | {
            "method": analyzer.name,
            "arguments": {k: plain(v) for k, v in arguments.items()},
            "call": call,
            "needs": needs,
            "signed": analyzer.signed,
            "scale": analyzer.scale,
            "model": getattr(model, "name", None) or getattr(model, "__name__", type(model).__name__),
            "neuron_selection": plain(analyzer.numbered(asked.neuron)),
            "output": asked.output,
            "innspect": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        }
        | analyzer.chosen(asked.output)
        | ({} if analyzer.labels is None else {"labels": list(analyzer.labels)})
    )


def _call(method: str, arguments: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The line that makes an analyzer, and what it needs beside `model`."""
    parts, needs = [f'"{method}"', "model"], {}
    for name, value in arguments.items():
        text = _written(value)
        if text is None:
            needs[name] = _shape_told(value)
        parts.append(f"{name}={name if text is None else text}")
    return f"innspect.create_analyzer({', '.join(parts)})", needs


def _written(value: Any) -> str | None:
    """A value as Python reads it, `np` being NumPy; None for what is too large, or no literal."""
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or type(value) in (str, int, float, bool):
        return repr(value)
    if isinstance(value, np.ndarray):
        held = value.size <= _WRITTEN and value.dtype.kind in "fiub" and np.isfinite(value).all()
        return f'np.array({value.tolist()}, "{value.dtype}")' if held else None
    if type(value) is dict:
        pairs = {_written(k): _written(v) for k, v in value.items()}
        return None if None in (*pairs, *pairs.values()) else "{" + ", ".join(f"{k}: {v}" for k, v in pairs.items()) + "}"
    if type(value) in (list, tuple):
        parts = [_written(v) for v in value]
        if any(part is None for part in parts):
            return None
        inner = ", ".join(map(str, parts))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(parts) == 1)})"
    return None


def _shape_told(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


# ------------------------------------------------------------------ what it is of
def neurons_of(selection: Selection, outputs: Array) -> Array:
    """The number of each sample's neuron along the output's last axis, (samples,); -1 where there is no single one.

    Args:
        selection: What was explained.
        outputs: The model's output, (samples, ...).
    """
    count = len(outputs)
    classes = outputs.shape[-1] if outputs.ndim > 1 else 1
    kind, values = selection.kind, selection.values
    if isinstance(selection, Contrasted):
        kind, values = selection.neuron.kind, np.asarray(selection.values)[:, : selection.width]
        values = values if kind == "place" else values[:, 0]
    if kind == "max":
        flat = np.nan_to_num(outputs.reshape(count, -1), nan=-np.inf)
        largest = flat.argmax(-1) if flat.size else np.zeros(count, int)
        tied = (flat == flat.max(-1, keepdims=True, initial=-np.inf)).sum(-1) > 1  # a saturated head: the logits decided
        found = np.where(tied, -1, largest % classes)
        given = None if values is None else np.asarray(values)
        return (found if given is None else np.where(given < 0, found, given % classes)).astype("int32")
    if values is None or kind not in ("index", "element", "place"):
        return np.full(count, -1, "int32")
    values = np.asarray(values)
    return (values[:, -1] if kind == "place" else values % classes if kind == "element" else values).astype("int32")


def told(explanation: Explanation, analyzer: "Analyzer", request: Request, x: Any) -> Explanation:
    """The explanation with its inputs, the neurons that it is of, and what its pictures follow."""
    inputs = request.inputs
    facts = facts_of(analyzer, request, x)
    if not inputs.samples:
        return replace(explanation, settings=explanation.settings | facts)
    kept: Nest = inputs.pack([np.array(a) for a in inputs.given])  # whatever becomes of the user's own
    neurons = neurons_asked(request, explanation.outputs)
    return replace(explanation, x=kept, neurons=neurons, settings=explanation.settings | facts)


def facts_of(analyzer: "Analyzer", request: Request, x: Any) -> dict[str, Any]:
    """What pictures of maps follow."""
    inputs, kinds = request.inputs, input_kinds(analyzer.opened)
    facts: dict[str, Any] = {"explains": analyzer.explained_kind(request.output)}
    if kinds is not None:
        facts["kinds"] = inputs.pack(kinds)  # type: ignore[arg-type]  # words in place of arrays
    if hasattr(x, "columns") and len(inputs.arrays) == 1:
        facts["features"] = [str(name) for name in x.columns]
    return facts


def neurons_asked(request: Request, outputs: Array) -> Array:
    """`neurons_of` for all targets of a request: (samples,), or (neurons, samples) where there are several."""
    found = [neurons_of(target, outputs) for target in request.targets]
    return np.stack(found) if request.several else found[0]


def labelled(explanation: Explanation, labels: Any) -> Explanation:
    """The explanation with the names of its output's neurons, in a form that `innspect.labels.read` takes."""
    if labels is None:
        return explanation
    outputs = explanation.outputs
    names = names_of_neurons.read(labels, outputs.shape[-1] if outputs.ndim > 1 else (1 if len(outputs) else None))
    return replace(explanation, settings=explanation.settings | {"labels": list(names or ())})
