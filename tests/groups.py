"""Which tests run on which backend, and which are picked by a word.

Marks say it where a test is written:

`sweep`  on some backends, those of on= ("jax torch" unless told), only the ids that keep= lists (with * perhaps). Where the
         code is shared, on="jax tensorflow": whole on PyTorch, which compiles nothing.
`once`   knows no backend: on TensorFlow only.
`slow`   takes long: on TensorFlow only.
`host`   knows nothing of what is compiled: not on JAX.

Of a test with many cases JAX runs every second one, and TensorFlow the others. Whole files are listed here. What is left out
is not collected.
"""

import fnmatch
import os

import pytest

FILES = {
    # Of no backend: files, text, pictures, arguments, the command line.
    "once": "architecture choose_decision cli cli_hostile command_stories demo evaluation_imputation evaluation_localisation "
    "known_truth_command labels migration_names migration_scripts photographs preprocessing report rule_choice sheet "
    "synthesis_command tools utils visualize visualize_colours visualize_grids visualize_hostile visualize_notebooks "
    "visualize_panels visualize_scales",
    # Of the host: files, arguments, resuming, callbacks. One backend that compiles and one that does not are enough. Networks
    # that are trained, too: on JAX the tests draw weights from NumPy's global state, whatever seed an initializer has.
    "host": "bad_input callbacks choose concepts configuration data default_methods evaluate evaluation_agreement "
    "evaluation_core explain files habits known_truth missing_values nothing_hides opened patterns_callback patterns_files "
    "patterns_fit patterns_laws ray rule_table spelling steps stories support synthesis_arguments testing without_rule zoo",
    # What a stranger runs: a part of everything, from the engine to the README.
    "smoke": "architecture backend cam cli data deep_lift demo engine explain heads layers path patterns_fit perturbation "
    "references rule_table rules selection several_inputs visualize",
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
    left_out = {"tensorflow": (), "jax": ("once", "slow", "host"), "torch": ("once", "slow")}[backend]
    if any(item.get_closest_marker(name) for name in left_out):
        return False
    sweep = item.get_closest_marker("sweep")
    if sweep is None or backend not in sweep.kwargs.get("on", "jax torch").split():
        return True
    return any(fnmatch.fnmatchcase(parameters(item), name) for name in sweep.kwargs.get("keep", []))


def every_second(items, backend):
    """What is left where backends that compile each small network share out the cases of a test with many.

    JAX runs one, TensorFlow the next. PyTorch, which compiles nothing, runs all, and so does who is alone with a test.
    `keep` of a sweep says which cases run. With INNSPECT_ALL=1 all do.
    """
    if backend not in ("jax", "tensorflow") or os.environ.get("INNSPECT_ALL"):
        return items
    tests = {}
    for item in items:
        tests.setdefault((item.path, item.originalname), []).append(item)
    left_out = set()
    for cases in tests.values():
        shared = runs(cases[0], "jax") and runs(cases[0], "tensorflow") and not cases[0].get_closest_marker("sweep")
        if len(cases) >= MANY and shared:
            left_out.update(map(id, cases[1::2] if backend == "jax" else cases[::2]))
    return [item for item in items if id(item) not in left_out]


def unknown_names(items):
    """The names of `keep` that are no ids, which would leave a case out unnoticed, with a case of the test for each."""
    tests = {}
    for item in items:
        tests.setdefault((item.path, item.originalname), []).append(item)
    for first, *others in tests.values():
        sweep, ids = first.get_closest_marker("sweep"), [parameters(item) for item in (first, *others)]
        yield from ((first, name) for name in (sweep.kwargs.get("keep", []) if sweep else []) if not fnmatch.filter(ids, name))
