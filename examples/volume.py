"""Where in a volume the answer is: a small body hidden in noise, found by a network of 3-D convolutions.

    python examples/volume.py

The volumes are made here, as a scanner might: noise with a ball, a rod, or nothing in it, so it is known where to look. Writes
volume.png and volume.html; needs matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from keras import layers as L

import innspect

SIDE, NAMES = 12, ("nothing", "ball", "rod")


def draw(samples, random):
    """Volumes (samples, depth, height, width, 1), classes (samples,), and where the body is, as a mask."""
    x, labels = random.normal(0, 0.4, (samples, SIDE, SIDE, SIDE)), random.integers(0, 3, samples)
    at, z = random.integers(3, SIDE - 3, (samples, 3, 1, 1, 1)), np.indices((SIDE, SIDE, SIDE))
    distance = np.abs(z[None] - at)
    ball, rod = (distance**2).sum(1) <= 5, (distance[:, 0] <= 3) & (distance[:, 1:].max(1) < 1)
    where = np.where((labels == 1)[:, None, None, None], ball, rod & (labels == 2)[:, None, None, None])
    return (x + 1.5 * where)[..., None].astype("float32"), labels, where


# 1. A network that does not know where to look.
random = np.random.default_rng(0)
x, labels, _ = draw(900, random)
x_test, labels_test, where = draw(200, random)
keras.utils.set_random_seed(0)
layers = [
    L.Conv3D(8, 3, activation="relu", name="conv1"),
    L.Conv3D(12, 3, activation="relu", name="conv2"),
    L.GlobalMaxPooling3D(name="anywhere"),
    L.Dense(3, activation="softmax", name="body"),
]
model = keras.Sequential([keras.Input((SIDE, SIDE, SIDE, 1)), *layers], name="scanner")
model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, labels, epochs=6, batch_size=32, verbose=0)
print(f"accuracy on volumes it has not seen: {model.evaluate(x_test, labels_test, verbose=0)[1]:.3f}")

# 2. One volume of each body: how much of what speaks for it lies within? By chance it would be one or two percent.
shown = [int(np.flatnonzero(labels_test == c)[0]) for c in (1, 2)]
analyzer = innspect.create_analyzer("lrp.epsilon_plus", model)
explanation = analyzer.explain(x_test[shown], labels=NAMES)
positive = np.maximum(explanation.attributions[..., 0], 0)
print(f"{(positive * where[shown]).sum() / positive.sum():.0%} of the positive relevance is in the body")

# 3. Six slices of each, and the page with all of them.
see = innspect.visualize
slices = {name: see.slices(a, most=6) for name, a in (("map", explanation), ("where", where[shown].astype("float32")))}
columns = {"lrp.epsilon_plus": slices["map"], "where it is": slices["where"]}
see.grid(columns, images=see.slices(explanation.x, most=6), cell=1.6).savefig("volume.png", dpi=110)
innspect.report(model, x_test[shown], ["lrp.epsilon_plus", "grad_cam"], labels=NAMES, path="volume.html")
print("written: volume.png, volume.html")
