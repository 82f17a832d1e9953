"""Explaining a dataset on all processors of a machine, or of a cluster, with Ray Data.

    pip install "innspect[ray]"
    python examples/ray_explain.py

Each worker holds the model and what was compiled for it; maps stream to wherever they are written. On a cluster the same
program runs there: `ray job submit -- python ray_explain.py`. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
import ray
from keras import layers as L

import innspect

# 1. A network, and a dataset. `ray.data.read_parquet`, `read_images` and others read what is larger than memory.
keras.utils.set_random_seed(0)
layers = [L.Conv2D(16, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((16, 16, 1), name="image"), *layers])
images = np.random.default_rng(0).normal(size=(2000, 16, 16, 1)).astype("float32")
dataset = ray.data.from_numpy(np.array_split(images, 8))  # in blocks, which are what workers share

# 2. A map of each image; nothing is computed until the result is read.
maps = innspect.ray.explain(dataset, model, "lrp.epsilon_plus", batch_size=256)
shares = [np.abs(batch["attribution"]).sum(axis=(1, 2, 3)) for batch in maps.iter_batches(batch_size=256)]
print(f"{sum(map(len, shares))} maps, sum of magnitudes {np.concatenate(shares).mean():.4f} on average")

# 3. Patterns of all of it: each worker adds up a part, the parts are merged in a tree.
patterns = innspect.ray.fit_patterns(dataset, model, rows=500)
patterns.summary()
