"""Why these pixels: a network that finds shapes in pictures, with two outputs, a mask of classes and an edge.

    python examples/segmentation.py

The pictures are made here: a disc and a square on noise. Explains two classes of the mask where they are seen. Writes
segmentation.png and segmentation.html; needs matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from keras import layers as L

import innspect

SIDE, NAMES = 32, ("ground", "disc", "square")


def draw(samples, random):
    """Pictures (samples, height, width, 1), classes of the pixels (samples, height, width), and edges of the same shape."""
    y, x = np.indices((SIDE, SIDE))
    disc, square = random.integers(7, SIDE - 7, (2, samples, 2, 1, 1))
    mask = np.where(np.maximum(abs(y - square[:, 0]), abs(x - square[:, 1])) <= 5, 2, 0)
    mask = np.where((y - disc[:, 0]) ** 2 + (x - disc[:, 1]) ** 2 <= 36, 1, mask)
    edge = (mask != np.roll(mask, 1, 1)) | (mask != np.roll(mask, 1, 2))
    return (random.normal(0, 0.3, mask.shape) + (mask > 0))[..., None].astype("float32"), mask, edge.astype(int)


# 1. Two heads on the same features.
x, mask, edge = draw(600, np.random.default_rng(0))
x_test, mask_test, _ = draw(3, np.random.default_rng(1))
keras.utils.set_random_seed(0)
picture = keras.Input((SIDE, SIDE, 1), name="picture")
seen = L.Conv2D(12, 5, padding="same", activation="relu", name="seen")(picture)
shape = L.Conv2D(24, 5, dilation_rate=2, padding="same", activation="relu", name="shape")(seen)
outputs = {
    "mask": L.Conv2D(3, 3, padding="same", activation="softmax", name="mask")(shape),
    "edge": L.Conv2D(2, 3, padding="same", activation="softmax", name="edge")(shape),
}
model = keras.Model(picture, outputs, name="shapes")
model.compile(keras.optimizers.Adam(3e-3), dict.fromkeys(outputs, "categorical_crossentropy"))
model.fit(x, {"mask": np.eye(3)[mask], "edge": np.eye(2)[edge]}, epochs=12, batch_size=32, verbose=0)
found = model.predict(x_test, verbose=0)["mask"].argmax(-1)
print(f"pixels of the right class: {(found == mask_test).mean():.1%}")

# 2. What speaks for "square" where the network sees one: a weight for every element of the output; then the same for "disc".
analyzer = innspect.create_analyzer("lrp.epsilon_plus", model)
columns = {"predicted mask": found / 2}
for name in ("square", "disc"):
    weights = (np.arange(3) == NAMES.index(name)) * (found == NAMES.index(name))[..., None]
    columns[f"lrp of {name}"] = analyzer.explain(x_test, weights.astype("float32"), output="mask")

# 3. The page of the mask: the sum over all positions, class by class.
innspect.visualize.grid(columns, images=x_test, cell=1.5).savefig("segmentation.png", dpi=110)
asked = {"neurons": ["square", "disc"], "labels": NAMES, "output": "mask"}
innspect.report(model, x_test, ["lrp.epsilon_plus", "grad_cam"], path="segmentation.html", **asked)
print("written: segmentation.png, segmentation.html")
