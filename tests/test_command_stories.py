"""The command line before Keras is started, with models of one's own, and with pixels that were scaled before."""

import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers as L
from PIL import Image

from innspect import cli
from innspect.analyzers.base import registry
from innspect.cli import arrays
from innspect.cli.known import gathered, known
from innspect.cli.preprocessing import preprocessing

CODE = """
import helper
from keras import layers, ops

class Twice(layers.Layer):
    def __init__(self, factor=2.0, **arguments):
        super().__init__(**arguments)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config() | {"factor": self.factor}

def squared(x):
    return ops.square(x)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with models, of which some have parts of their own, arrays and photographs."""
    folder = tmp_path_factory.mktemp("stories")
    (folder / "own.py").write_text(CODE)
    (folder / "helper.py").write_text("")
    sys.path.insert(0, str(folder))
    made: dict = {"__name__": "__main__"}  # as in a script
    exec(CODE, made)
    sys.path.remove(str(folder))
    random = np.random.default_rng(0)

    def model(*layers):
        return keras.Sequential([keras.Input((8, 8, 1)), *layers, L.Flatten(), L.Dense(3)])

    plain = model(L.Conv2D(2, 3))
    own = model(made["Twice"](3.0), L.Conv2D(2, 3, activation=made["squared"]))
    for name, one in {"plain": plain, "own": own, "lambda": model(L.Lambda(lambda x: x * 2))}.items():
        one.save(folder / f"{name}.keras")
    model(made["Twice"](3.0)).save(folder / "own.h5")
    plain.save_weights(folder / "only.weights.h5")
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").touch()
    (folder / "broken.keras").write_bytes(b"PK")
    x = random.random((4, 8, 8, 1), "float32")
    np.save(folder / "x.npy", x)
    np.savez(folder / "bytes.npz", x=(255 * x).astype("uint8"))
    Image.fromarray(np.zeros((8, 8), "uint8")).save(folder / "p.png")
    (folder / "labels.txt").write_text("a\nb\nc\n")
    (folder / "there.html").touch()
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def run(*words):
        code = cli.main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


# ---------------------------------------------------------------------- before Keras
EXPLAIN = ["explain", "plain.keras", "x.npy"]
MISTAKES = {
    "no input": (["explain", "plain.keras", "no.npy"], "There is no file 'no.npy'"),
    "no model": (["explain", "no.keras", "x.npy"], "There is no file 'no.keras'"),
    "no method": ([*EXPLAIN, "--method", "gradien"], "Unknown analyzer: 'gradien'. Did you mean 'gradient'"),
    "no argument": ([*EXPLAIN, "--method", "lrp.gamma:gama=1"], "'lrp.gamma' takes no argument 'gama'. Did you mean 'gamma'"),
    "one twice": ([*EXPLAIN, "--method", "lrp.z", "--method", "lrp.z"], "--method must name each method once"),
    "no patterns": ([*EXPLAIN, "--method", "pattern.net"], "'pattern.net' needs patterns"),
    "no file of patterns": ([*EXPLAIN, "--patterns", "no.h5"], "There is no file 'no.h5'"),
    "no labels": ([*EXPLAIN, "--labels", "no.txt"], "There is no file 'no.txt'"),
    "no such label": ([*EXPLAIN, "--labels", "labels.txt", "--neuron", "zebra"], "No label is 'zebra'"),
    "a name without labels": ([*EXPLAIN, "--neuron", "zebra"], "A neuron is found by name only where there are `labels`"),
    "no preprocessing": ([*EXPLAIN, "--preprocess", "vgg"], "There is no preprocessing 'vgg'. Did you mean 'vgg16'"),
    "no numbers": ([*EXPLAIN, "--preprocess", "mean=a"], "--preprocess must be mean as numbers"),
    "no function": ([*EXPLAIN, "--preprocess", "no.py:f"], "There is no file 'no.py'"),
    "no code": ([*EXPLAIN, "--code", "no.py"], "There is no file 'no.py'"),
    "code of another kind": ([*EXPLAIN, "--code", "labels.txt"], "--code must be a file of Python"),
    "a folder that is a file": ([*EXPLAIN, "--out", "labels.txt"], "'labels.txt' cannot be a folder"),
    "mixed": (["explain", "plain.keras", "x.npy", "p.png"], "Inputs must be images or arrays, not both"),
    "swapped": (["explain", "x.npy", "plain.keras"], "'x.npy' is no saved Keras model, but a file of another kind: give MODEL"),
    "swapped photograph": (["explain", "p.png", "plain.keras"], "'p.png' is no saved Keras model"),
    "saved model": (["compare", "saved", "x.npy"], "'saved' is no saved Keras model, but a SavedModel"),
    "a folder": (["compare", ".", "x.npy"], "'.' is no saved Keras model, but a folder"),
    "weights": (["compare", "only.weights.h5", "x.npy"], "a file of weights alone, without the layers: in the program"),
    "broken": (["compare", "broken.keras", "x.npy"], "'broken.keras' is no saved Keras model that can be read"),
    "lambda": (["compare", "lambda.keras", "x.npy"], "If you trust it, give --trust"),
    "compare there": (["compare", "plain.keras", "x.npy", "--out", "labels.txt"], "'labels.txt' cannot be a folder"),
    "evaluate there": (["evaluate", "plain.keras", "x.npy", "--out", "there.html"], "'there.html' exists; give --force"),
    "no metric": (["evaluate", "plain.keras", "x.npy", "--metric", "srgg"], "Unknown metric: 'srgg'. Did you mean 'srg'"),
    "no argument of it": (["evaluate", "plain.keras", "x.npy", "--metric", "srg:stepz=3"], "Did you mean 'steps'"),
    "no masks": (["evaluate", "plain.keras", "x.npy", "--masks", "no.npy"], "There is no file 'no.npy'"),
    "masks of another kind": (["evaluate", "plain.keras", "x.npy", "--masks", "p.png"], "--masks must be a file .npy"),
    "no folder": (["evaluate", "plain.keras", "x.npy", "--resume", "no/r.npz"], "there is no folder"),
    "no time": (["choose", "plain.keras", "x.npy", "--time", "5 moons"], "`time` must be a time above 0"),
    "choose there": (["choose", "plain.keras", "x.npy", "--save", "there.html"], "'there.html' exists; give --force"),
    "no folder to choose": (["choose", "plain.keras", "x.npy", "--resume", "no/r.npz"], "there is no folder"),
    "no task": (["benchmark", "--task", "xorr"], "Unknown task: 'xorr'. Did you mean 'xor'"),
    "no argument of a task": (["benchmark", "--task", "xor:sizes=3"], "Did you mean 'size'"),
    "no data": (["benchmark", "plain.keras"], "DATA must be given with MODEL"),
    "no method to benchmark": (["benchmark", "--method", "LRP-z"], "Did you mean 'lrp.z'"),
    "nowhere to fit": (["patterns", "fit", "plain.keras", "x.npy"], "Give --out FILE for the patterns"),
    "fit there": (["patterns", "fit", "plain.keras", "x.npy", "--out", "there.html"], "'there.html' exists; give --force"),
    "fit nothing": (["patterns", "fit", "plain.keras", "no.npy", "--out", "p.h5"], "There is no file 'no.npy'"),
    "merge nothing": (["patterns", "merge", "no.h5", "--out", "p.h5"], "There is no file 'no.h5'"),
    "show nothing": (["patterns", "show", "no.h5"], "There is no file 'no.h5'"),
    "demo there": (["demo", "--out", "demo"], "'demo/labels.txt' exists; give --force"),
    "methods of nothing": (["methods", "--", "-"], "NAME must have letters"),
}
_ALONE = """
    import json, sys
    for name in ("keras", "tensorflow", "jax", "torch"):
        sys.modules[name] = None  # importing it is an error
    from innspect import cli
    import contextlib, io
    told = {}
    for label, words in json.load(sys.stdin).items():
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            told[label] = [cli.main(words), err.getvalue()]
    print(json.dumps(told))
"""


def test_what_needs_no_model_is_told_before_keras_is_started(place):
    (place / "demo").mkdir(exist_ok=True)
    (place / "demo" / "labels.txt").touch()
    asked = json.dumps({label: words for label, (words, _) in MISTAKES.items()})
    command = [sys.executable, "-c", textwrap.dedent(_ALONE)]
    done = subprocess.run(command, input=asked, cwd=place, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for label, (_, expected) in MISTAKES.items():
        code, err = told[label]
        assert code == 1, label
        assert err.startswith("innspect: "), label
        assert expected in err, label
        assert err.count("\n") == 1, label


def test_existing_pictures_are_told_before_keras_is_started(run, monkeypatch, place):
    def never(debug):
        raise AssertionError("Keras was started")

    monkeypatch.setattr(cli, "start_keras", never)
    out = place / "out"
    out.mkdir(exist_ok=True)
    for name in ("p.gradient.png", "gradient.npz", "explanations.json"):
        (out / name).touch()
        words = ["explain", "plain.keras", "p.png", "--method", "gradient", "--out", "out"]
        words += ["--format", "npz" if name.endswith("npz") else "png"]
        code, _, err = run(*words)
        assert code == 1
        assert f"{os.path.join('out', name)}' exists; give --force" in err
        (out / name).unlink()


def test_the_names_that_are_told_early_are_those_of_the_registries():
    here, there = known(), gathered()
    message = "run `python -m innspect.cli.known`, which writes the file anew"
    for kind in ("methods", "metrics", "tasks"):
        assert here[kind] == {name: there[kind].get(name) for name in here[kind]}, message
        assert not {name for name in there[kind] if not name.startswith("tests.")} - set(here[kind]), message
    assert set(there["preprocessing"]) <= set(here["preprocessing"]), message


def test_methods_of_ones_own_code_are_no_unknown_ones(run, place):
    (place / "method.py").write_text(
        "import innspect\nfrom innspect.analyzers.gradient import GradientAnalyzer\n"
        "innspect.register_analyzer('tests.mine')(type('Mine', (GradientAnalyzer,), {'__doc__': 'Mine.'}))\n"
    )
    code, out, err = run(*EXPLAIN, "--method", "tests.mine", "--code", "method.py", "--out", "mine", "--limit", "1")
    registry._ANALYZERS.pop("tests.mine")
    assert (code, "written to mine" in out) == (0, True), err


# ---------------------------------------------------------------------- models of one's own
@pytest.mark.parametrize("model", ["own.keras", "own.h5"])
def test_what_code_defines_is_known_though_nobody_registered_it(run, model):
    code, out, err = run(
        "explain", model, "x.npy", "--method", "gradient", "--code", "own.py", "--out", f"of_{model}", "--force"
    )
    assert code == 0, err
    assert "4 inputs, 1 method" in out


@pytest.mark.parametrize(("model", "names"), [("own.keras", "'Twice', 'squared'"), ("own.h5", "'Twice'")])
def test_what_is_missing_is_named(run, place, model, names):
    code, _, err = run("explain", model, "x.npy", "--out", "missing")
    assert code == 1
    expected = f"{model!r} has layers or functions of its own that are not known here: {names}. Give the file that defines them"
    assert expected in err
    code, _, err = run("explain", model, "x.npy", "--out", "missing", "--code", "helper.py")
    assert f"that are not in helper.py: {names}." in err


def test_code_in_the_file_runs_where_it_is_trusted(run):
    code, out, err = run("explain", "lambda.keras", "x.npy", "--method", "gradient", "--trust", "--out", "trusted", "--force")
    assert code == 0, err
    assert "4 inputs" in out


# ---------------------------------------------------------------------- pixels
NONSENSE = "these maps explain nonsense: give --preprocess"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bytes.npz"], True),
        (["bytes.npz", "--preprocess", "none"], False),
        (["bytes.npz", "--preprocess", "unit"], False),
        (["x.npy"], False),
        (["p.png"], True),
    ],
)
def test_pixels_that_nobody_said_how_to_scale_are_told(run, words, said):
    code, out, err = run("explain", "plain.keras", *words, "--method", "gradient", "--out", "pixels", "--force")
    assert code == 0, err
    assert (NONSENSE in out) == said


@pytest.mark.parametrize("command", ["explain", "compare", "evaluate", "choose", "patterns fit"])
def test_what_was_scaled_before_is_not_scaled_again(run, command):
    code, _, err = run(*command.split(), "plain.keras", "x.npy", "--preprocess", "unit", "--out", "never", "--force")
    assert code == 1
    assert "--preprocess unit is for pixels from 0 to 255, and these arrays were scaled before" in err


UNIT = np.linspace(0, 1, 32, dtype="float32").reshape(2, 4, 4, 1)
RGB = np.repeat(UNIT, 3, -1)


@pytest.mark.parametrize("text", ["unit", "symmetric", "mean=127,std=128", "unit,mean=0.5,std=0.2", "mobilenet_v2", "vgg16"])
def test_every_preprocessing_of_pixels_knows_scaled_numbers(text):
    prepare = preprocessing(text, (None, 4, 4, 3))
    for scaled in (RGB, RGB.astype("float64"), 2 * RGB - 1):
        with pytest.raises(ValueError, match="were scaled before"):
            arrays.check_scale(scaled, prepare, text)
    for pixels in (255 * RGB, (255 * RGB).astype("uint8"), np.zeros_like(RGB), (RGB > 0.5).astype("int32")):
        arrays.check_scale(pixels, prepare, text)


def test_numbers_that_are_no_pixels_may_be_standardised():
    prepare = preprocessing("mean=0.5,std=0.2", (None, 4, 4, 3))
    for x in (RGB, 5 * RGB - 2):
        arrays.check_scale(x, prepare, "mean=0.5,std=0.2")
    arrays.check_scale(1000 * RGB - 500, preprocessing("mean=0,std=300", (None, 4, 4, 3)), "mean=0,std=300")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ((255 * RGB).astype("uint8"), True),
        (np.round(255 * RGB), True),
        (np.arange(8, dtype="uint8").reshape(2, 4), True),
        (RGB, False),
        ((RGB > 0.5).astype("float32"), False),
        (np.arange(8.0).reshape(2, 4), False),
        (np.round(255 * RGB) - 3, False),
        (1000 * RGB, False),
        (np.array([["a"]]), False),
    ],
)
def test_pixels_are_told_from_other_numbers(array, expected):
    assert bool(arrays.are_pixels(array)) is expected
