"""The support table of the documentation is true: no method stops explaining a network that it explains there."""

import json
from pathlib import Path

import pytest
import zoo
from support import page, run

import innspect
from innspect.analyzers.base.registry import _ANALYZERS
from innspect.testing import support

DOCS = Path(__file__).parent.parent / "docs"
STORED = json.loads((DOCS / "support.json").read_text(encoding="utf-8"))
METHODS = innspect.list_analyzers()


def check(name, methods):
    """No cell of the stored table is worse now. A method may be new, and a cell better than when the table was made."""
    stored = STORED[name]
    now = run(name, [m for m in methods if m in stored])
    worse = {method: reason for method, reason in now.items() if reason and not stored[method]}
    assert not worse


def share(names, name):
    """Some of the methods for each of the names, so that together every method is met."""
    names = list(names)
    return METHODS[names.index(name) :: len(names)]


@pytest.mark.parametrize("name", list(zoo.SMALL))
def test_small_networks(quick, name):
    check(name, share(zoo.SMALL, name))


@pytest.mark.once
@pytest.mark.parametrize(("number", "name"), list(enumerate(zoo.SMALL)))
def test_small_networks_under_more_methods(eager, number, name):
    check(name, METHODS[number % 4 :: 4])


@pytest.mark.once
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small"])  # test_applications meets the others
def test_applications(eager, name):
    if name in STORED:
        check(name, share(zoo.APPLICATIONS, name))


def test_the_page_shows_the_data():
    assert (DOCS / "support.md").read_text(encoding="utf-8") == page(STORED)
    assert set(STORED) >= set(zoo.SMALL)


def test_what_is_no_reason():
    """An error that innspect did not mean, and maps that tell nothing, are faults and no cells."""

    class Broken(innspect.Analyzer):
        def explain(self, x, *_, **__):
            raise IndexError("out of range")

    class Silent(_ANALYZERS["gradient"][0]):
        def finish(self, signal, x):
            return signal * 0

    class Unfit(innspect.Analyzer):
        def explain(self, x, *_, **__):
            raise innspect.NotAnalyzeableModelError("'unfit' needs a cat. Give it one.")

    model, x = zoo.small("MLP")
    try:
        for cls in (Broken, Silent, Unfit):
            innspect.register_analyzer(cls.__name__.lower())(cls)
        assert support(model, x, ["unfit"]) == {"unfit": "needs a cat"}
        with pytest.raises(AssertionError, match=r"'broken' fails on the model.*IndexError: out of range"):
            support(model, x, ["broken"])
        with pytest.raises(AssertionError, match=r"'silent' on the model .* all zero"):
            support(model, x, ["silent"])
    finally:
        for name in ("broken", "silent", "unfit"):
            _ANALYZERS.pop(name, None)
