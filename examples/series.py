"""Where in a series the answer is: events hidden in one of three channels, found by a small convolutional network.

    python examples/series.py

The series are made here, so it is known where the event is, and the map can be held against it. Writes series.png; needs
matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from keras import layers as L

import innspect

STEPS, LENGTH, NAMES = 96, 24, ("nothing", "burst", "step up", "ramp down")


def draw(samples, random):
    """Series (samples, steps, 3), classes (samples,), and a mask of the series' shape of where the event is."""
    x, labels = random.normal(0, 0.5, (samples, STEPS, 3)), random.integers(0, len(NAMES), samples)
    starts, t = random.integers(4, STEPS - LENGTH - 4, samples), np.arange(LENGTH)
    shapes = [np.zeros(LENGTH), 2 * np.sin(1.6 * t), np.where(t > LENGTH / 2, 1.5, -1.5), np.linspace(2, -2, LENGTH)]
    where = np.zeros(x.shape, bool)
    for row, (label, start, channel) in enumerate(zip(labels, starts, random.integers(0, 3, samples), strict=True)):
        x[row, start : start + LENGTH, channel] += shapes[label]
        where[row, start : start + LENGTH, channel] = label > 0
    return x.astype("float32"), labels, where


# 1. A network that does not know where to look.
random = np.random.default_rng(0)
x, labels, _ = draw(1500, random)
x_test, labels_test, where = draw(400, random)
keras.utils.set_random_seed(0)
layers = [
    L.Conv1D(16, 9, activation="relu", name="conv1"),
    L.MaxPooling1D(2, name="pool"),
    L.Conv1D(24, 7, activation="relu", name="conv2"),
    L.GlobalMaxPooling1D(name="anywhere"),
    L.Dense(len(NAMES), activation="softmax", name="event"),
]
model = keras.Sequential([keras.Input((STEPS, 3)), *layers], name="events")
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, labels, epochs=12, batch_size=64, verbose=0)
print(f"accuracy on series it has not seen: {model.evaluate(x_test, labels_test, verbose=0)[1]:.3f}")

# 2. How much of what speaks for the event lies where the event is? By chance it would be a twelfth.
events = labels_test > 0
for name in ("gradient", "integrated_gradients", "lrp.epsilon", "lrp.z_plus"):
    maps = innspect.create_analyzer(name, model).analyze(x_test[events], labels_test[events])
    positive = np.maximum(maps, 0)
    print(f"{name:22}{(positive * where[events]).sum() / positive.sum():.0%} of the positive values")

# 3. One series of each class.
shown = [int(np.flatnonzero(labels_test == c)[0]) for c in (1, 2, 3)]
explanation = innspect.create_analyzer("lrp.epsilon", model).explain(x_test[shown], labels=NAMES)
captions = [f"{NAMES[o.argmax()]} {o.max():.0%}" for o in explanation.outputs]
innspect.visualize.series(explanation, names=list("xyz"), captions=captions).savefig("series.png", dpi=110)
print("written: series.png")
