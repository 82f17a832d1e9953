"""Arrows between rooms point down, and go round in no circle: read from the imports, also those inside functions."""

import ast
from collections import defaultdict
from pathlib import Path

import groups
import pytest

import innspect

PACKAGE = Path(innspect.__file__).parent

# What a room may import: rooms of the floors above its own in this list. Rooms of one floor do not know each other.
FLOORS = [
    {"types"},
    {"_version", "errors", "checks", "nests", "files", "tables", "progress", "loading"},
    {"storing"},
    {"labels", "spelling"},
    {"backend"},
    {"graph"},
    {"layers"},
    {"inputs"},
    {"visualize"},
    {"patterns", "zoo"},
    {"analyzers"},
    {"study", "stores"},
    {"evaluation", "synthesis"},
    {"concepts"},
    {"ray", "reports", "callbacks", "testing", "migration", "training"},
    {"demo"},
    {"cli", "analyzer", "tools", "utils"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Short ways up: an import inside a function, and why. (from, to)
EXCEPTIONS = {
    (
        "innspect.visualize.palettes",
        "innspect.analyzers.base.registry",
    ): "palette and scale by the name of a method",
    ("innspect.analyzers.base.storing", "innspect.stores.labels"): "analyzer.store()",
    ("innspect.analyzers.base.storing", "innspect.stores.store"): "what analyzer.store() returns",
    ("innspect.analyzers.base.storing", "innspect.stores.writing"): "analyzer.store()",
    ("innspect.evaluation.scores", "innspect.reports.scores"): "scores.report()",
    ("innspect.evaluation.choosing.choice", "innspect.reports.choices"): "choice.report()",
    ("innspect.concepts.gallery", "innspect.reports.references"): "gallery.html()",
    ("innspect.evaluation.people.sheet", "innspect.reports.sheets"): "sheet()",
    ("innspect.evaluation.people.sheet", "innspect.reports.document"): "what sheet() returns",
}


def _module(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in PACKAGE.rglob("*.py")}


def _imported(module):
    """The modules of the package that a module imports anywhere, but for type checkers."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in unseen:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in unseen:
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and node.args:
            yield getattr(node.args[0], "value", "")  # a name that is written down


ARROWS = {
    (module, other)
    for module in MODULES
    if module != "innspect"  # which hands on what is public
    for other in _imported(module)
    if other in MODULES and other != module and (module, other) not in EXCEPTIONS
}


def _room(module):
    return module.split(".")[1] if "." in module else ""


def _folder(module):
    """A module's folder; a file beside folders stands for itself."""
    path = MODULES[module]
    folder = path.parent.relative_to(PACKAGE).as_posix()
    beside = path.name != "__init__.py" and any(p.is_dir() and (p / "__init__.py").exists() for p in path.parent.iterdir())
    return f"{folder}/{path.name}" if beside else folder


def _circles(arrows):
    """The groups that can be reached from each other."""
    reached = defaultdict(set)
    for start in {a for a, _ in arrows}:
        waiting = [start]
        while waiting:
            here = waiting.pop()
            for a, b in arrows:
                if a == here and b not in reached[start]:
                    reached[start].add(b)
                    waiting.append(b)
    return {frozenset(b for b in reached[a] if a in reached[b]) for a in list(reached) if a in reached[a]}


def test_arrows_point_down():
    assert not {_room(m) for m in MODULES} - {""} - set(FLOOR)
    up = [f"{a} -> {b}" for a, b in sorted(ARROWS) if _room(a) != _room(b) and FLOOR.get(_room(b), 99) >= FLOOR[_room(a)]]
    assert up == []


@pytest.mark.parametrize("of", [str, _folder, _room], ids=["files", "folders", "rooms"])
def test_no_circles(of):
    assert _circles({(of(a), of(b)) for a, b in ARROWS if of(a) != of(b)}) == set()


def test_exceptions_are_used():
    """And stand inside a function, so that importing a module never goes up."""
    for module, other in EXCEPTIONS:
        assert other in set(_imported(module))
        top = [n for n in ast.parse(MODULES[module].read_text(encoding="utf-8")).body if isinstance(n, ast.ImportFrom)]
        assert other not in {n.module for n in top}


def test_a_circle_would_be_found():
    assert _circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == {frozenset("abc")}


def test_no_file_is_long():
    lengths = {p.relative_to(PACKAGE).as_posix(): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES.values()}
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def test_only_the_backends_import_a_framework():
    frameworks = {"tensorflow", "jax", "torch"}
    found = set()
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if frameworks & {name.split(".")[0] for name in names}:
                found.add(_room(module))
            assert not any(name.startswith("keras.src") for name in names), module
    assert found == {"backend"}


def test_groups_of_tests_name_files_that_exist():
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert {name: listed - files for name, listed in groups.GROUPS.items() if listed - files} == {}
