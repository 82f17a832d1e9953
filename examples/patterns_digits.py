"""PatternNet and PatternAttribution from training to picture, the patterns kept in a file.

    python examples/patterns_digits.py

Trains a small network on scikit-learn's digits, learns its patterns, saves both, and explains in a new process from the
files alone: what the four signal estimators of Kindermans et al. 2017 make of the same digits. Writes
patterns_digits.png and patterns_quality.png; needs scikit-learn and matplotlib. Choose the backend with KERAS_BACKEND.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers as L
from sklearn.datasets import load_digits

import innspect


def digits():
    """Images (samples, 8, 8, 1) between 0 and 1 and their labels, in a fixed random order."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return (data.images[order, ..., None] / 16).astype("float32"), data.target[order]


def train_and_fit(folder):
    """Train, learn the patterns on the training images, and keep both as files."""
    x, labels = digits()
    keras.utils.set_random_seed(1)
    layers = [
        L.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
        L.Conv2D(32, 3, activation="relu", name="conv2"),
        L.MaxPooling2D(name="pool"),
        L.Flatten(name="flatten"),
        L.Dense(64, activation="relu", name="hidden"),
        L.Dropout(0.3, name="dropout"),
        L.Dense(10, activation="softmax", name="digit"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers], name="digits")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:1300], labels[:1300], epochs=15, batch_size=32, verbose=0)
    print(f"accuracy on digits it has not seen: {model.evaluate(x[1300:], labels[1300:], verbose=0)[1]:.3f}")
    patterns = innspect.patterns.fit(model, x[:1300], ["auto", "linear", "relu", "relu.negative"])
    patterns.summary()
    patterns.save(folder / "digits.patterns.h5")
    model.save(folder / "digits.keras")


def explain(folder):
    """From the files alone: compare the estimators."""
    x, labels = digits()
    model = keras.models.load_model(folder / "digits.keras")
    patterns = innspect.patterns.load(folder / "digits.patterns.h5", model)
    shown = x[1300:][np.concatenate([np.flatnonzero(labels[1300:] == c)[:1] for c in range(10)])]
    weights = {path: model.get_layer(path).get_weights()[0] for path in patterns}
    filters = {path: w / np.square(w).sum(axis=tuple(range(w.ndim - 1))) for path, w in weights.items()}

    def analyzed(name, given):
        return innspect.create_analyzer(name, model, patterns=given).analyze(shown)

    signal = {
        "S_w (filter)": analyzed("pattern.net", filters),
        "S_a (linear)": analyzed("pattern.net", patterns.select("linear")),
        "PatternNet": analyzed("pattern.net", patterns),
    }
    attribution = {
        "S_x (LRP-0)": innspect.create_analyzer("lrp.z", model).analyze(shown),
        "S_w": analyzed("pattern.attribution", filters),
        "S_a": analyzed("pattern.attribution", patterns.select("linear")),
        "PatternAttribution": analyzed("pattern.attribution", patterns),
    }
    predictions = [str(c) for c in model.predict(shown, verbose=0).argmax(-1)]
    figure = innspect.visualize.grid(
        signal | attribution,
        images=shown,
        captions=predictions,
        captions_label="prediction",
        families={"signal": list(signal), "attribution": list(attribution)},
    )
    figure.savefig("patterns_digits.png", dpi=160)
    quality = innspect.patterns.quality(model, None, x[:1300], x[1300:], patches=30_000)
    quality.summary()
    quality.plot("patterns_quality.png")
    print("written: patterns_digits.png, patterns_quality.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        explain(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as work:
            train_and_fit(Path(work))
            subprocess.run([sys.executable, __file__, work], check=True)
