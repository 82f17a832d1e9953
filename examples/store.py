"""Maps of a whole data set in one file: a run that is interrupted and goes on, and what the maps have in common.

    python examples/store.py

Trains a small network on scikit-learn's 8 x 8 digits and stores the maps of all 1,797 of them. Writes digits.h5, which virelay
opens, and store.png, the mean map of each class; needs scikit-learn and matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import innspect

digits = load_digits()
x, y = (digits.images[..., None] / 16).astype("float32"), digits.target
keras.utils.set_random_seed(0)
layers = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
model.fit(x, y, epochs=8, batch_size=64, verbose=0)

# 1. A run that takes so many batches and ends; it might have been killed. The same call goes on where it was.
analyzer = innspect.create_analyzer("lrp.epsilon", model)
asked = {"labels": y, "batch_size": 128, "dtype": "float16"}
begun = analyzer.store(x, "digits.h5", y, steps=4, **asked)
print("begun:", begun)
store = analyzer.store(x, "digits.h5", y, **asked)
print("ended:", store)

# 2. The maps are read as they are needed, some at a time.
sums, counts = np.zeros((10, 8, 8, 1)), np.bincount(store.labels, minlength=10)
with store:
    for number, explanation in enumerate(store.batches(256)):
        maps = explanation.attributions.astype("float64")
        np.add.at(sums, store.labels[number * 256 : number * 256 + len(maps)], maps)

figure, axes = plt.subplots(1, 10, figsize=(10, 1.3))
for digit, axis in enumerate(axes):
    mean = sums[digit, ..., 0] / counts[digit]
    axis.imshow(mean, cmap="seismic", vmin=-np.abs(mean).max(), vmax=np.abs(mean).max())
    axis.set_title(str(digit))
    axis.axis("off")
figure.savefig("store.png", dpi=120)
print("written: store.png")
