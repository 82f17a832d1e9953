"""Which measurements speak for a diagnosis: a table of features, with a model that scales them itself.

    python examples/table.py

Trains a small network on scikit-learn's breast cancer data and explains three patients it has not seen against the mean
patient. Writes table.png; needs scikit-learn and matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

import innspect

data = load_breast_cancer()
order = np.random.default_rng(0).permutation(len(data.target))
x, labels = data.data[order].astype("float32"), data.target[order]
train, test = slice(0, 430), slice(430, None)

# 1. The model is given the measurements as they are: their scaling is part of it.
keras.utils.set_random_seed(0)
scale = keras.layers.Normalization(name="scale")
scale.adapt(x[train])
layers = [scale, keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2, activation="softmax", name="diagnosis")]
model = keras.Sequential([keras.Input((30,)), *layers], name="tumours")
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[train], labels[train], epochs=15, verbose=0)
print(f"accuracy on patients it has not seen: {model.evaluate(x[test], labels[test], verbose=0)[1]:.3f}")

# 2. A table has no black: "nothing to see" is the mean patient, and the map says what makes the difference to it.
analyzer = innspect.create_analyzer("deep_lift", model, reference_inputs=x[train].mean(0))
probabilities = model.predict(x[test], verbose=0)[:, 0]
doubtful, malignant, benign = np.abs(probabilities - 0.5).argmin(), probabilities.argmax(), probabilities.argmin()
patients = x[test][[malignant, benign, doubtful]]
explanation = analyzer.explain(patients, 0)  # the output for "malignant"
print("sum of each row", explanation.attributions.sum(1), "misses the difference of the logits by", explanation.delta)

# 3. Red speaks for malignant, blue against it.
captions = [f"malignant: {p:.1%}  (is {data.target_names[c]})" for p, c in zip(
    probabilities[[malignant, benign, doubtful]], labels[test][[malignant, benign, doubtful]], strict=True
)]  # fmt: skip
figure = innspect.visualize.table(
    explanation.attributions, names=data.feature_names, values=patients, captions=captions, most=7
)
figure.savefig("table.png", dpi=140)
print("written: table.png")
