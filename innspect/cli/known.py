"""The names that the registries know, kept in a file so that a wrong one is told before Keras is started.

`python -m innspect.cli.known` writes the file anew; a test compares it with the registries.
"""

import functools
import json
import os
import sys

from innspect.errors import PlainKeyError, suggest

_FILE = os.path.join(os.path.dirname(__file__), "known.json")
_UNKNOWN = {"methods": "Unknown analyzer", "metrics": "Unknown metric", "tasks": "Unknown task"}
_REGISTRIES = {
    "methods": ("innspect.analyzers.base.registry", "list_analyzers"),
    "metrics": ("innspect.evaluation.registry", "list_metrics"),
    "tasks": ("innspect.evaluation.planted.tasks", "list_tasks"),
}


@functools.cache
def known():
    """Dict with "methods", "metrics" and "tasks", each from a name to its arguments, None where any may be one; and
    "preprocessing", the modules of keras.applications.
    """
    with open(_FILE, encoding="utf-8") as file:
        return json.load(file)


def check(kind, pairs):
    """Raise for a name, or an argument, that there is not.

    Args:
        kind: "methods", "metrics" or "tasks".
        pairs: (name, arguments) of each.

    Raises:
        KeyError: There is no such name; near matches are offered.
        TypeError: It takes no such argument.
    """
    names = known()[kind]
    for name, arguments in pairs:
        if name not in names and name in _registered(kind):
            continue
        if name not in names:
            raise PlainKeyError(f"{_UNKNOWN[kind]}: {name!r}. {suggest(name, names)}")
        taken = names[name]
        for argument in arguments if taken is not None else ():
            if argument not in taken:
                raise TypeError(f"{name!r} takes no argument {argument!r}. {suggest(argument, taken)}")


def _registered(kind):
    """The names that a program has registered which calls the command line; none where it has not begun to."""
    module, listing = _REGISTRIES[kind]
    return getattr(sys.modules[module], listing)() if module in sys.modules else ()


def gathered():
    """The same content, read from the registries."""
    import inspect

    import keras

    from innspect.analyzers import list_analyzers
    from innspect.analyzers.base.registry import accepted_arguments, find
    from innspect.evaluation.planted import run, tetrominoes  # noqa: F401  (which registers all tasks)
    from innspect.evaluation.planted.tasks import find as task
    from innspect.evaluation.planted.tasks import list_tasks
    from innspect.evaluation.registry import metrics

    def of_method(name):
        return None if hasattr(find(name)[0], "more_arguments") else sorted(accepted_arguments(name))

    def of_task(name):
        return sorted(inspect.signature(task(name)).parameters)

    tasks = {name: of_task(name) for name in list_tasks()}
    tasks |= {kind: tasks[f"{kind}.{tetrominoes.BACKGROUNDS[0]}"] for kind in tetrominoes.KINDS}
    modules = vars(keras.applications).items()
    return {
        "methods": {name: of_method(name) for name in list_analyzers()},
        "metrics": {name: sorted(metric.defaults) for name, metric in sorted(metrics().items())},
        "tasks": tasks,
        "preprocessing": sorted(name for name, module in modules if hasattr(module, "preprocess_input")),
    }


def _write():
    lines = [
        f" {json.dumps(kind)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in of.items()) + "\n }"
        if isinstance(of, dict)
        else f" {json.dumps(kind)}: {json.dumps(of)}"
        for kind, of in gathered().items()
    ]
    with open(_FILE, "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    _write()
