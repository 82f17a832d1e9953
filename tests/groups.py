"""Which tests run on which backend, and which are picked by a word.

Marks say it where a test is written:

`sweep`  on some backends, those of on= ("jax torch" unless told), only the ids that keep= lists (with * perhaps). Where the
         code is shared, on="jax tensorflow": whole on PyTorch, which compiles nothing.
`once`   knows no backend: on PyTorch only, which compiles nothing; on TensorFlow what is in `smoke` too, which a stranger runs.
`slow`   takes long: on TensorFlow only.
`host`   knows nothing of what is compiled: not on JAX.

PyTorch runs every test and case. The backends that compile each small network share them out, see `share`. Whole files are
listed here. What is left out is not collected.
"""

import fnmatch
import os

import pytest

FILES = {
    # Of no backend: files, text, pictures, arguments, the command line.
    "once": "architecture choose_decision cli cli_hostile command_stories demo evaluation_imputation evaluation_localisation "
    "known_truth_command labels migration_names migration_scripts nests photographs preprocessing report rule_choice "
    "sheet synthesis_command tools utils visualize visualize_colours visualize_grids visualize_hostile visualize_notebooks "
    "visualize_panels visualize_scales",
    # Of the host: files, arguments, resuming, callbacks. One backend that compiles and one that does not are enough. Networks
    # that are trained, too: on JAX the tests draw weights from NumPy's global state, whatever seed an initializer has.
    "host": "bad_input callbacks choose concepts configuration data default_methods evaluate evaluation_agreement "
    "evaluation_core explain files habits known_truth missing_values nothing_hides opened patterns_callback patterns_files "
    "patterns_fit patterns_laws ray rule_table spelling steps stories support synthesis_arguments testing without_rule zoo",
    # What a stranger runs: a part of everything, from the engine to the README.
    "smoke": "architecture backend cam cli data deep_lift demo engine explain heads layers path patterns_fit perturbation "
    "references rule_table rules selection several_inputs visualize",
    # Whose tests are of this very backend, or of the engine: never shared out.
    "apart": "as_predict backend backend_jax custom_gradients devices engine export patterns_fit state synthesis threads "
    "training",
    # What the oldest Keras must hold.
    "oldest": "engine keras_internals layers recurrent",
}
# A method of each kind of program: what differs between the others of its kind knows no backend.
ONE_OF_EACH = (
    "deep_lift deep_taylor grad_cam gradient guided_grad_cam integrated_gradients lrp.attention occlusion pattern.net "
    "rsi_grad_cam score_cam simple_taylor"
).split()

MANY = 4  # cases of a test

GROUPS = {name: {f"test_{file}" for file in files.split()} for name, files in FILES.items()}


def parameters(item):
    """The id of a test's parameters."""
    return item.callspec.id if hasattr(item, "callspec") else ""


def mark(items):
    """Give tests the marks of the groups that their file is in; what takes long is in none."""
    for item in items:
        for name, files in GROUPS.items():
            if item.path.stem in files and not (name in ("smoke", "oldest") and item.get_closest_marker("slow")):
                item.add_marker(getattr(pytest.mark, name))


def runs(item, backend):
    """Whether a test runs on a backend."""
    left_out = {"tensorflow": (), "jax": ("slow", "host"), "torch": ("slow",)}[backend]
    if any(item.get_closest_marker(name) for name in left_out):
        return False
    if item.get_closest_marker("once"):
        return backend == ("tensorflow" if item.get_closest_marker("smoke") else "torch")
    sweep = item.get_closest_marker("sweep")
    if sweep is None or backend not in sweep.kwargs.get("on", "jax torch").split():
        return True
    return any(fnmatch.fnmatchcase(parameters(item), name) for name in sweep.kwargs.get("keep", []))


def share(items, backend):
    """What is left where backends that compile each small network share out what both run, and PyTorch as well.

    Of a test with many cases JAX runs one and TensorFlow the next; of the others in a file JAX runs one test and TensorFlow
    the next. Whole are files that are `apart`, what takes long, what has a condition of its own, and what `keep` of a sweep
    lists. With INNSPECT_ALL=1 everything runs.
    """
    if backend not in ("jax", "tensorflow") or os.environ.get("INNSPECT_ALL"):
        return items
    first, left_out = 0 if backend == "jax" else 1, set()
    for cases, number in _tests(items):
        own = any(cases[0].get_closest_marker(name) for name in ("slow", "once", "skipif", "apart"))
        sweep = cases[0].get_closest_marker("sweep")
        if own or (sweep is not None and backend in sweep.kwargs.get("on", "jax torch").split()):
            continue
        if len(cases) >= MANY:
            left_out.update(map(id, cases[1 - first :: 2]))
        elif sweep is None and number % 2 != first:
            left_out.update(map(id, cases))
    return [item for item in items if id(item) not in left_out]


def _tests(items):
    """(cases, number in its file) of every test."""
    files = {}
    for item in items:
        files.setdefault(item.path, {}).setdefault(item.originalname, []).append(item)
    for tests in files.values():
        yield from ((cases, number) for number, cases in enumerate(tests.values()))


def unknown_names(items):
    """The names of `keep` that are no ids, which would leave a case out unnoticed, with a case of the test for each."""
    for (first, *others), _ in _tests(items):
        sweep, ids = first.get_closest_marker("sweep"), [parameters(item) for item in (first, *others)]
        yield from ((first, name) for name in (sweep.kwargs.get("keep", []) if sweep else []) if not fnmatch.filter(ids, name))
