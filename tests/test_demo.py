"""The command line and what `innspect demo` promises, as a user runs them."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from models import of_photographs
from PIL import Image

import innspect
from innspect import cli, labels, zoo
from innspect.demo import digits, photographs

ROOT = pathlib.Path(__file__).parent.parent


def _innspect(*arguments, cwd=None, **kwargs):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "innspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, **kwargs)


# ---------------------------------------------------------------------- the command line
@pytest.mark.parametrize("command", ["", "explain", "compare", "patterns fit", "methods"])
def test_help_starts_nothing(command):
    script = (
        "import sys; from innspect.cli import main\n"
        f"try: main({[*command.split(), '--help']})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('LOADED', *{'keras', 'numpy', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "LOADED"
    assert f"usage: innspect {command}".strip() in result.stdout


def test_help_is_the_manual(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for word in ("demo", "methods", "explain", "compare", "patterns", "create_analyzer", "KERAS_BACKEND", "exit codes"):
        assert word in shown


def test_the_version_is_the_packages():
    assert _innspect("--version").stdout.strip() == f"innspect {innspect.__version__}"


def test_methods_lists_every_name():
    result = _innspect("methods", "--names")
    assert result.stdout.split() == innspect.list_analyzers()
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", [[], ["no_such_command"], ["demo", "--no-such-option"]])
def test_wrong_usage_has_exit_code_2(arguments):
    result = _innspect(*arguments)
    assert result.returncode == 2
    assert "usage: innspect" in result.stdout + result.stderr


def test_errors_are_one_line_and_debug_shows_the_traceback(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = ["demo", "--out", str(tmp_path / "file" / "folder")]
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("innspect: ")
    assert len(error.splitlines()) == 1
    assert str(tmp_path / "file") in error
    assert cli.main([*arguments, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("`x` is wrong.\nReceived: 3"), "`x` is wrong. Received: 3"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_every_error_says_something(monkeypatch, capsys, error, line):
    def fails(folder):
        raise error

    monkeypatch.setattr(photographs, "run", fails)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == f"innspect: {line}\n"


def test_interruption_is_no_error(monkeypatch, capsys):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(photographs, "run", interrupted)
    assert cli.main(["demo", "--debug"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_without_a_backend_the_remedy_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["methods"]) == 1
    assert "pip install tensorflow" in capsys.readouterr().err


# ---------------------------------------------------------------------- the demo
@pytest.fixture
def small_network(monkeypatch):
    network = of_photographs()
    monkeypatch.setattr(zoo, "load", lambda name: network)
    return network


@pytest.mark.usefixtures("eager")
def test_the_demo_draws_photographs_and_leaves_what_it_used(small_network, tmp_path, capsys):
    import keras

    written = photographs.run(str(tmp_path / "d"))
    shown = capsys.readouterr().out
    for word in ("--preprocess mean=127,std=128", "create_analyzer", "innspect demo --digits", written["picture"]):
        assert word in shown
    assert {p.name for p in (tmp_path / "d").iterdir()} == set(photographs.FILES)
    with Image.open(written["picture"]) as picture:
        assert min(picture.size) > 900
    assert labels.read(written["labels"], 1000) == small_network.labels
    model = keras.saving.load_model(written["model"])
    whole = {p.stem: np.asarray(Image.open(p)) for p in pathlib.Path(written["photographs"]).iterdir()}
    assert {name: image.shape for name, image in whole.items()} == {n: zoo.photograph(n).shape for n in photographs.SHOWN}
    y = model.predict(small_network.preprocess(photographs.look(photographs.SHOWN, 224)), verbose=0)
    assert list(written["classes"].values()) == [f"class {n}" for n in y.argmax(-1)]


@pytest.mark.usefixtures("eager")
def test_the_picture_is_legible_and_its_methods_differ(small_network):
    pixels = photographs.look(photographs.SHOWN, 224)
    found, families = photographs.explain(small_network, pixels)
    assert set(innspect.default_methods(small_network.model)) < set(found.methods)
    assert len(found.methods) <= 8
    figure = photographs.draw(small_network, pixels, found, families)
    (axes,) = figure.axes
    texts = {t.get_text().replace("\n", " "): t for t in axes.texts}
    assert {f"class {int(y.argmax())} {y.max():.0%}" for y in found.outputs} <= set(texts)
    assert {"input", *found.methods} <= {word.replace(" ", "") for word in texts}
    shown = 900 / figure.get_figwidth() / 72  # pixels a point, in the README
    assert min(t.get_fontsize() for t in texts.values()) * shown > 11
    assert not any(t.get_rotation() for t in texts.values())
    assert all(image.get_array().shape[0] == 224 for image in axes.images[:-1])


@pytest.mark.parametrize("demo", [photographs, digits])
def test_what_is_not_installed_is_named_before_any_work(demo, monkeypatch, tmp_path):
    monkeypatch.setattr(photographs, "find_spec", lambda name: None if name == "sklearn" else importlib.util.find_spec(name))
    with pytest.raises(ImportError, match=r"needs scikit-learn: pip install 'innspect\[demo\]'"):
        demo.run(str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()


def test_what_the_demo_needs_is_in_its_extra():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(photographs._NEEDED.values()) == set(setup["options.extras_require"]["demo"].split())


def test_one_digit_of_each_class_is_held_out():
    (x_train, _), (x_test, y_test) = digits.load_digits()
    x, classes = digits.one_of_each(x_test, y_test)
    assert classes.tolist() == list(range(10))
    assert x.min() == 0
    assert x.max() == 1
    known = {image.tobytes() for image in x_train}
    assert not any(image.tobytes() in known for image in x)


def test_the_table_of_methods_is_drawn_as_far_as_it_is_known(monkeypatch, capsys):
    table = ["gradient", "no_such_method", ("lrp.epsilon", {"epsilon": 0.1}), ("never", {})]
    monkeypatch.setattr(digits, "METHODS", table)
    (x_train, _), (x_test, y_test) = digits.load_digits()
    x, classes = digits.one_of_each(x_test, y_test)
    model = digits.build_model()
    attributions, families = digits.explain(model, x, x_train)
    assert families == {"gradient": ["gradient"], "relevance propagation": ["lrp.epsilon"]}
    assert [a.shape for a in attributions.values()] == [x.shape] * 2
    assert "Explaining: 2 of 2" in capsys.readouterr().out
    probabilities = np.eye(10)
    probabilities[3] = probabilities[5]
    texts = [t.get_text() for t in digits.draw(x, classes, probabilities, attributions, families).axes[0].texts]
    assert "5  100.0% (is 3)" in texts
    assert "4  100.0%" in texts


def test_the_table_holds_a_dozen_methods_that_exist():
    names = [method if isinstance(method, str) else method[0] for method in digits.METHODS]
    assert len(set(names)) == len(names)
    assert len(set(names) & set(innspect.list_analyzers())) >= 12


@pytest.mark.once
def test_the_demo_of_digits_keeps_its_promises(tmp_path):
    import keras

    result = _innspect("demo", "--digits", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    accuracy = float(re.search(r"Test accuracy: ([\d.]+)%", result.stdout)[1])
    assert accuracy > 95
    with Image.open(tmp_path / "innspect-demo" / "digits.png") as picture:
        assert min(picture.size) > 800
    model = keras.saving.load_model(tmp_path / "innspect-demo" / "digits.keras")
    _, (x, classes) = digits.load_digits()
    assert float((model.predict(x, verbose=0).argmax(-1) == classes).mean()) == pytest.approx(accuracy / 100, abs=1e-3)
    for line in (
        "innspect-demo/digits.png",
        "innspect-demo/digits.keras",
        "innspect.create_analyzer",
        "innspect methods",
    ):
        assert line in result.stdout


# ---------------------------------------------------------------------- the README
README = (ROOT / "README.md").read_text()


def test_the_readme_names_methods_that_exist():
    rows = [line for line in README.splitlines() if line.startswith("| ") and "`" in line]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 10
    assert not set(names) - set(innspect.list_analyzers())


def test_the_readme_runs(tmp_path, monkeypatch):
    import keras

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "load", of_photographs)
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(4)])
    given = {"model": model, "x": np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, given)
    assert given["image"].shape == (6, 6, 3)
    assert np.allclose(given["analyzer"].explain(given["x"]).delta, 0, atol=1e-5)
