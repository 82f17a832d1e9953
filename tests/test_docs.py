"""The Python in the documentation runs as it stands, and so do the examples."""

import ast
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, of_photographs, shake

import innspect
from innspect import zoo
from innspect.analyzers.base.registry import _ANALYZERS
from innspect.evaluation import registry

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md"))]
# Run on every backend. The others say nothing of backends that their methods' own tests do not: once is enough.
EVERYWHERE = {"README.md", "docs/index.md", "docs/migrating.md", "docs/patterns.md"}
# The longest first.
EXAMPLES = sorted((p.stem for p in ROOT.glob("examples/*.py")), key=lambda name: name not in ("gallery", "patterns_digits"))
SMALL = {
    "concepts": ["--small"],
    "distillation": ["--small"],
    "evaluate": ["--small"],
    "gallery": ["--small"],
    "gallery_digits": ["--quick"],
    "known_truth": ["--small"],
    "synthesis": ["--quick"],
    "synthesis_digits": ["--quick"],
}  # what else to say, so that an example is soon done
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def classifier():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(4, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(5, activation="softmax"),
        ]
    )
    return shake(model)


def with_python():
    """The pages that hold code, run once where that is enough."""
    pages = [page for page in PAGES if _BLOCK.search(text(page))]
    return [pytest.param(page, marks=() if page in EVERYWHERE else pytest.mark.once) for page in pages]


@pytest.mark.sweep(keep=["docs/extending.md"], on="jax")
@pytest.mark.filterwarnings("ignore:.*lambda")
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("page", with_python())
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    known, metrics = set(innspect.list_analyzers()), set(innspect.list_metrics())
    monkeypatch.chdir(tmp_path)
    if page in EVERYWHERE:  # the others may take their time
        monkeypatch.setattr(zoo, "load", of_photographs)
    names = {
        "__name__": page,
        "innspect": innspect,
        "model": classifier(),
        "x": array(4, 8, 8, 3),
        "x_new": array(4, 8, 8, 3, seed=1),
    }
    for block in _BLOCK.findall(text(page)):
        exec(compile(block, page, "exec"), names)
    if "attribution" in names:
        assert np.isfinite(names["attribution"]).all()
    for name in set(innspect.list_analyzers()) - known:
        del _ANALYZERS[name]
    for name in set(innspect.list_metrics()) - metrics:
        del registry.metrics()[name]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", text(page)):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_every_page_of_the_site_can_be_found():
    shown = text("mkdocs.yml")
    for page in PAGES[1:]:
        assert page.removeprefix("docs/") in shown, page


def test_every_method_is_on_a_page_of_its_family():
    pages = " ".join(text(page) for page in PAGES if page.startswith("docs/methods/"))
    mentioned = set(re.findall(r"`([a-z_0-9.]+)`", pages))
    aliases = {"gradient.baseline", "deep_lift.wrapper", "lrp.z_plus_fast", "input"}
    for name in innspect.list_analyzers():
        family = name.removesuffix("_IB") if name.endswith("_IB") else name
        prefixed = family.startswith(("lrp.sequential_preset", "lrp.epsilon_", "lrp.alpha_"))
        assert family in mentioned | aliases or prefixed, f"{name} is on no page of docs/methods"


def test_pictures_of_the_pages_are_small():
    for picture in [p for p in ROOT.glob("docs/**/*") if p.suffix in (".png", ".jpg")]:
        assert picture.stat().st_size <= 400_000, picture


def test_every_picture_is_shown_and_drawn_by_an_example():
    pages = " ".join(map(text, PAGES))
    examples = " ".join(p.read_text(encoding="utf-8") for p in ROOT.glob("examples/*.py"))
    for picture in [p for p in ROOT.glob("docs/**/*") if p.suffix in (".png", ".jpg")]:
        assert f"{picture.name})" in pages, picture
        assert picture.stem in examples, picture


def test_editors_see_the_names_that_the_package_offers():
    """What is imported for type checkers only is what `innspect` gives when it is asked."""
    (block,) = [n for n in ast.parse(text("innspect/__init__.py")).body if isinstance(n, ast.If)]
    shown = {alias.name: statement.module for statement in block.body for alias in statement.names}
    assert shown == innspect._PUBLIC


@pytest.fixture
def one_epoch(monkeypatch):
    """Networks are trained for one epoch, since how well they are trained does not show in a test."""
    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **kwargs: fit(self, *args, **kwargs | {"epochs": 1}))


# A program with all its imports, and on PyTorch, which compiles nothing of dozens of methods that are used once.
_BY_ITSELF = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.mark.once
@pytest.mark.usefixtures("one_epoch")
@pytest.mark.filterwarnings("default")  # as in a program
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example, tmp_path, monkeypatch, capfd):
    command = [str(ROOT / "examples" / f"{example}.py"), *SMALL.get(example, [])]
    if example.startswith("ray"):
        pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    if example == "gallery":
        known = {"KERAS_BACKEND": "torch"} if importlib.util.find_spec("torch") else {}
        env = {**os.environ, "PYTHONPATH": str(ROOT), **known}
        result = subprocess.run([sys.executable, "-c", _BY_ITSELF, *command], capture_output=True, text=True, env=env)
        assert result.returncode == 0, result.stderr
        said = result.stdout
    else:
        if example in ("evaluate", "superpixels"):  # which need no network that knows photographs
            monkeypatch.setattr(zoo, "load", of_photographs)
        monkeypatch.setattr(sys, "argv", command)
        runpy.run_path(command[0], run_name="__main__")
        said = capfd.readouterr().out  # of child processes, too
    promised = re.findall(r"[\w/]+\.(?:png|jpg|html)", said)
    assert promised
    for name in promised:
        assert (tmp_path / name).stat().st_size > 1000, name
