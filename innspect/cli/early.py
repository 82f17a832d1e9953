"""What a command can tell before Keras is started, which takes seconds: whatever needs no model."""

import os

from innspect.cli import known, options
from innspect.cli.models import check_model
from innspect.files import readable
from innspect.labels import number_of, read


def check(given, paths=(), methods=True):
    """Raise for what is wrong with the words of a command.

    Args:
        given: The parsed arguments.
        paths: The inputs.
        methods: Whether there must be a label for each method.

    Raises:
        OSError: A file is not there.
        KeyError: There is no such method, metric or task.
        ValueError, TypeError: An argument does not fit.
    """
    from innspect.cli.arrays import is_array  # which need NumPy, as a command's help does not
    from innspect.cli.inputs import are_arrays, expand
    from innspect.cli.preprocessing import check_words

    if given.model is not None:
        check_model(given)
    if paths:
        are_arrays(expand(paths))
        check_words(given.preprocess or "none")
    if methods:
        check_methods(given)
    check_metrics(given)
    check_neurons(given)
    for option in ("masks", "truth"):
        path = getattr(given, option, None)
        if path is not None and not is_array(path):
            raise ValueError(f"--{option} must be a file .npy, .npz or .h5. Received: {path!r}")
        if path is not None:
            expand([path])


def check_methods(given):
    """Raise for methods that there are not, that lack their patterns, or that are named twice."""
    named = given.method or []
    if not given.code:  # which may register methods of its own
        known.check("methods", named)
    if getattr(given, "patterns", None) is not None:
        readable(given.patterns)
    elif hasattr(given, "patterns"):
        for name, arguments in named:
            options.with_patterns(name, arguments, None)
    names = [options.label_of(*each) for each in named]
    if len(set(names)) < len(names):
        raise ValueError(f"--method must name each method once. Received: {', '.join(names)}")


def check_metrics(given):
    """Raise for metrics and tasks that there are not."""
    if not given.code:
        for kind in ("metric", "task"):
            known.check(f"{kind}s", getattr(given, kind, None) or [])


def check_neurons(given):
    """Raise for labels that cannot be read, and neurons that they do not know."""
    labels = read(getattr(given, "labels", None))
    neurons = getattr(given, "neuron", None)
    for neuron in neurons if isinstance(neurons, list) else [neurons]:
        if neuron is not None:
            number_of(neuron, labels)


def check_out(given, path):
    """Raise where a file cannot be written, or is there."""
    if path is not None:
        options.refuse_existing([path], given.force)
        options.check_file(os.fspath(path))
