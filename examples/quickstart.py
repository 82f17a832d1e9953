"""From a trained model to a picture of what it looks at, and a check whether the picture can be trusted.

    python examples/quickstart.py

Needs scikit-learn and matplotlib, writes quickstart.png, takes some seconds. Choose the backend with KERAS_BACKEND.
"""

import keras
from sklearn.datasets import load_digits

import innspect

# 1. Any Keras 3 model will do. This one learns handwritten digits of 8x8 pixels.
keras.utils.set_random_seed(0)
digits = load_digits()
x, labels = (digits.images[..., None] / 16).astype("float32"), digits.target
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(32, activation="relu", name="hidden"),
        keras.layers.Dense(10, activation="softmax", name="digit"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[8:], labels[8:], epochs=10, verbose=0)

# 2. Explain eight digits: why the predicted class, pixel by pixel.
analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1)
explanation = analyzer.explain(x[:8])
print("attributions", explanation.attributions.shape, "for the classes", explanation.outputs.argmax(-1))

# 3. Why not another class? Ask for its neuron.
as_eight = analyzer.analyze(x[:8], 8)

# 4. Can the map be trusted? The books say where relevance went, layer by layer.
print(analyzer.conservation(x[:8]))

# 5. Side by side.
maps = {
    "gradient": innspect.create_analyzer("gradient", model).analyze(x[:8]),
    "lrp.epsilon": explanation.attributions,
    "lrp.epsilon, why 8": as_eight,
    "lrp.z_plus": innspect.create_analyzer("lrp.z_plus", model).analyze(x[:8]),
}
captions = [
    f"{c}" if c == label else f"{c} (is {label})" for c, label in zip(explanation.outputs.argmax(-1), labels[:8], strict=True)
]
figure = innspect.visualize.grid(maps, images=x[:8], captions=captions, captions_label="prediction")
figure.savefig("quickstart.png", dpi=160)
print("written: quickstart.png")
