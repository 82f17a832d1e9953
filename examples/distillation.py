"""A small network that learns from a large one: what it says, and where it looks.

    python examples/distillation.py [--small]

A teacher of two convolutions learns scikit-learn's handwritten digits; students half as wide learn from a quarter of them,
without the teacher and with it: its Grad-CAM++ maps (Chattopadhay et al. 2018, sec. 5), weakly and strongly, or its knowledge
of the other classes (Hinton et al. 2015). Prints accuracy and similarity of maps on digits that nobody has seen, over three
seeds, and writes distillation.png. Needs scikit-learn, SciPy and matplotlib. Choose the backend with KERAS_BACKEND. With
--small there is one seed, and half of the ways: to see that everything runs.
"""

import sys

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import innspect

digits, labels = load_digits(return_X_y=True)
x = (digits.reshape(-1, 8, 8, 1) / 16).astype("float32")
x_train, x_test, y_train, y_test = train_test_split(x, labels, test_size=0.25, stratify=labels, random_state=0)
small = "--small" in sys.argv
few = np.arange(len(x_train)) % 4 == 0  # what students learn from


def network(width):
    body = [
        layers.Conv2D(width, 3, padding="same", activation="relu", name="conv1"),
        layers.Conv2D(2 * width, 3, padding="same", activation="relu", name="conv2"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4 * width, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *body])


def trained(model, x, y, epochs):
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return model


def maps(model, x, y):
    return innspect.create_analyzer("grad_cam_plus_plus", model, layer="conv2").analyze(x, y)


keras.utils.set_random_seed(0)
teacher = trained(network(16), x_train, y_train, 20)
print(f"teacher: {teacher.evaluate(x_test, y_test, verbose=0)[1]:.1%} right")
taught = maps(teacher, x_test, y_test)

ways = {
    "alone": {"alpha": 0},
    "maps, 0.001": {"alpha": 0.001},
    "maps, 0.01": {"alpha": 0.01},
    "knowledge": {"alpha": 0, "base": "knowledge"},
}
if small:
    ways = {name: ways[name] for name in ("maps, 0.001", "knowledge")}
shown = {"teacher": taught}
for name, arguments in ways.items():
    right, alike = [], []
    for seed in range(1 if small else 3):
        keras.utils.set_random_seed(seed)
        student = network(8)
        distilled = innspect.training.Distilled(student, teacher, layer="conv2", teacher_layer="conv2", **arguments)
        trained(distilled, x_train[few], y_train[few], 30)
        right.append(distilled.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"])
        found = maps(student, x_test, y_test)
        alike.append(innspect.evaluation.rank_correlation(student, x_test, found, against={"teacher": taught}).mean)
        shown.setdefault(name, found)
    each = " ".join(f"{a:.1%}" for a in right)
    print(f"{name:15} {np.mean(right):.1%} right ({each}), rank correlation of maps {np.mean(alike):.2f}")

rows = [np.flatnonzero(y_test == digit)[0] for digit in (0, 2, 4, 5, 7)]
columns = {name: m[rows] for name, m in shown.items()}
kinds = dict.fromkeys(columns, "grad_cam_plus_plus")
innspect.visualize.grid(columns, images=x_test[rows], of=kinds).savefig("distillation.png", dpi=160)
print("written: distillation.png")
