"""What a network looks at while it learns: pictures after epochs, and patterns beside its checkpoints.

    python examples/training.py

Trains a small network on scikit-learn's handwritten digits in noise, beside which a spot tells the class: a shortcut. After the
first epoch the maps are on the strokes, at the end on the spot; the accuracy only shows that all is well. Writes
training/epoch_0001.png and so on, which TensorBoard shows, too, training/02.patterns.h5 and so on, and training.png, the first
and the last picture. Needs scikit-learn, matplotlib and Pillow. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits

import innspect

# 1. Digits, and a bright spot in the first row whose column is the class, as a scanner's mark may be.
digits, labels = load_digits(n_class=8, return_X_y=True)
x = (digits.reshape(-1, 8, 8, 1) / 16).astype("float32")
x += np.random.default_rng(0).normal(0, 0.4, x.shape)
x = np.pad(x, [(0, 0), (2, 0), (0, 0), (0, 0)])  # two empty rows above
x[np.arange(len(x)), 0, labels] = 1.0

keras.utils.set_random_seed(1)
body = [
    layers.Conv2D(12, 3, padding="same", activation="relu"),
    layers.MaxPooling2D(2),
    layers.Conv2D(16, 3, padding="same", activation="relu"),
    layers.Flatten(),
    layers.Dense(8, activation="softmax"),
]
model = keras.Sequential([keras.Input(x.shape[1:]), *body])
model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])

# 2. What does not fit the model, or cannot be written, is told when training begins, and not after hours.
names = ["zero", "one", "two", "three", "four", "five", "six", "seven"]
shown = x[[np.flatnonzero(labels == digit)[0] for digit in (0, 3, 4, 7)]]
watch = innspect.callbacks.ExplanationImages(
    shown, ["gradient", "lrp.epsilon_plus:epsilon=0.01", "deep_lift"], log_dir="training", labels=names
)
keep = innspect.callbacks.PatternCheckpoint("training/{epoch:02d}.patterns.h5", x, every=2)
history = model.fit(x, labels, validation_split=0.2, epochs=6, verbose=0, callbacks=[watch, keep])
print("accuracy on other digits:", " ".join(f"{value:.2f}" for value in history.history["val_accuracy"]))

# 3. Without the spot it knows less than it seemed: the maps said so.
without = x.copy()
without[:, 0] = 0
print(f"without the spot: {model.evaluate(without, labels, verbose=0)[1]:.2f}")

first, last = (Image.open(f"training/epoch_{epoch:04d}.png").convert("RGB") for epoch in (1, len(history.epoch)))
both = Image.new("RGB", (first.width + last.width, max(first.height, last.height)), "white")
both.paste(first)
both.paste(last, (first.width, 0))
both.save("training.png")
print("written: training.png")
