"""Every import, class, function and argument of iNNvestigate 2.1.2: it is here, or docs/migrating.md says what to do instead.

The table of names was read from that version's sources; names that begin with an underscore are left out.
"""

import importlib
import inspect
import json
import re
import warnings
from pathlib import Path

import pytest

import innspect
from innspect.analyzers.base.registry import accepted_of
from innspect.layers import Rule
from innspect.migration.classes import meaning_of

HERE = Path(__file__).parent
MODULES = json.loads((HERE / "references" / "names_of_innvestigate.json").read_text())["modules"]
PAGE = (HERE.parent / "docs" / "migrating.md").read_text(encoding="utf-8")
TOLD = {
    word for code in re.findall(r"`([^`]+)`", re.sub("```.*?```", "", PAGE, flags=re.S)) for word in re.findall(r"[\w.]+", code)
}


def told(*names):
    """Whether the page names one of these, or the module that they end with."""
    return any(name and name in TOLD for name in names)


def module_of(path):
    try:
        return importlib.import_module("innspect" + (f".{path}" if path else ""))
    except ModuleNotFoundError:
        return None


def members(path, part):
    return [(path, name, given) for name, given in MODULES[path].get(part, {}).items()]


def every(part):
    return [pytest.param(*case, id=f"{case[0]}.{case[1]}") for path in MODULES for case in members(path, part)]


def has(module, name):
    return module is not None and hasattr(module, name)


@pytest.mark.parametrize("path", [path for path in MODULES if path])
def test_imports(path):
    assert module_of(path) is not None or told(f"innvestigate.{path}", path)


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in MODULES for name in MODULES[path].get("names", [])])
def test_names(path, name):
    assert has(module_of(path), name) or told(name)


def takes(thing, argument):
    parameters = inspect.signature(thing).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@pytest.mark.parametrize(("path", "name", "arguments"), every("functions"))
def test_functions(path, name, arguments):
    module = module_of(path)
    if not has(module, name):
        assert told(name, f"{path}.{name}")
        return
    missing = [a for a in arguments if not takes(getattr(module, name), a)]
    assert all(told(a) for a in missing), missing


@pytest.mark.parametrize(("path", "name", "described"), every("classes"))
def test_classes(path, name, described):
    module = module_of(path)
    if not has(module, name):
        assert told(name, f"{path}.{name}")
        return
    cls = getattr(module, name)
    missing = [a for a in described["arguments"] if not _takes(cls, a)]
    missing += [f"{m}({a})" for m, names in described["methods"].items() for a in names if not _method_takes(cls, m, a)]
    missing += [m for m in described["methods"] if not hasattr(cls, m)]
    assert all(told(re.findall(r"\w+", m)[-1]) for m in missing), missing


def _takes(cls, argument):
    if issubclass(cls, Rule):
        return _rule_takes(cls, argument)
    meaning = meaning_of(cls)
    if meaning is None or meaning.method is None:
        return takes(cls, argument)
    if argument in ("model", "subanalyzer"):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is ignored
        try:
            accepted_of(meaning.method, {argument: None})
        except TypeError:
            return argument in meaning.fixed
    return True


def _rule_takes(cls, argument):
    """Whether a subclass may hand this on to the rule, as proxies in scripts do; a layer and a state come first."""
    bounds = {"low": -1, "high": 1} if "Bounded" in cls.__name__ else {}
    values = {"alpha": 2, "beta": 1} if "X" not in cls.__name__ else {"alpha": (1, 0), "beta": (0, 0)}
    given = {} if argument == "layer" else {argument: {**values, **bounds, "epsilon": 0.1}.get(argument, True)}

    class Proxy(cls):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **given, **kwargs)

    return Proxy(None, None, **{k: v for k, v in bounds.items() if k != argument})


def _method_takes(cls, method, argument):
    """Whether a method takes an argument; one that is missing is looked for by its own name."""
    return not hasattr(cls, method) or takes(getattr(cls, method), argument)


@pytest.mark.parametrize(
    "path", ["analyzer", "analyzer.relevance_based.relevance_analyzer", "analyzer.gradient_based", "utils"]
)
def test_star_imports(path):
    here = {}
    exec(f"from innspect.{path} import *", here)
    wanted = set(MODULES[path].get("classes", {})) | set(MODULES[path].get("functions", {}))
    assert wanted - {"guided_backprop_reverse_relu_layer"} <= here.keys() | TOLD


def test_methods_of_innvestigate_are_here():
    names = importlib.import_module("innspect.analyzer").analyzers
    assert set(names) <= set(innspect.list_analyzers())
    assert {"lrp.epsilon", "pattern.net", "deep_lift.wrapper", "smoothgrad"} <= set(names)
