"""The lines that compute a report's maps again."""

from collections.abc import Mapping
from typing import Any

from innspect.study import Study
from innspect.tables import printable


def recipe(explained: Study, notes: Mapping[str, str] | None = None) -> str:
    """Python that makes each method's maps again, as `maps`, a dict by label.

    What it cannot know, such as the inputs, it takes from names that its first lines list. Of a model that was explained from
    Python these are `model` and `x`; `notes` may have the model's file, and the command.

    Args:
        explained: What was computed.
        notes: "command" and "model" are told.
    """
    notes = notes or {}
    settings = {label: method.settings for label, method in explained.methods.items()}
    needs = {k: v for each in settings.values() for k, v in each.get("needs", {}).items()}
    lines = [f"# {printable(notes['command'])}"] if "command" in notes else []
    lines.append("# x: the inputs as the model takes them, after any preprocessing")
    lines += ["# model: the model that was explained"] if "model" not in notes else []
    lines += [f"# {name}: {printable(told)}, as it was given" for name, told in needs.items()]
    lines += ["import innspect", "import keras", "import numpy as np", ""]
    if "model" in notes:
        lines.append(f"model = keras.saving.load_model({notes['model']!r}, compile=False)")
    asked = ""
    if explained.neurons is not None:
        lines.append(f"neurons = np.array({explained.neurons.tolist()})  # of each input, a row for each class")
        asked = ", neurons=list(neurons)"
    lines.append("maps = {}")
    for label, each in settings.items():
        given = asked + "".join(f", {name}={each[name]!r}" for name in ("output", "contrast") if each.get(name))
        lines.append(f"maps[{printable(label)!r}] = {_made(each)}.analyze(x{given})")
    return "\n".join(lines)


def _made(settings: Mapping[str, Any]) -> str:
    """The line that makes the analyzer."""
    arguments = "".join(f", {k}={v!r}" for k, v in settings.get("arguments", {}).items())
    return settings.get("call") or f'innspect.create_analyzer("{settings.get("method")}", model{arguments})'
