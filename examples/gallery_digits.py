"""Families of methods for which a small network of one's own is the point, on digits that it has not seen.

    python examples/gallery_digits.py [FOLDER] [--quick]

Trains three small networks on scikit-learn's digits (convolutions, for patterns that are learned from data; attention over
patches; an LSTM that reads row by row) and writes one PNG a family to FOLDER (default: pictures), those of the documentation.
Needs scikit-learn and matplotlib; takes about half a minute, with --quick, which trains for one pass over the digits only,
half of that. Choose the backend with KERAS_BACKEND. Photographs are in gallery.py.
"""

import argparse
from pathlib import Path

import keras
from keras import layers as L

import innspect
from innspect import study, visualize
from innspect.demo import digits as demo

_parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_parser.add_argument("folder", nargs="?", type=Path, default="pictures")
_parser.add_argument("--quick", action="store_true", help="train for one epoch only: to see that everything runs")
GIVEN = _parser.parse_args()
FOLDER = GIVEN.folder
DIGITS = [0, 2, 3, 4, 7, 8]


# ---------------------------------------------------------------------- networks
@keras.saving.register_keras_serializable("gallery")
class Positions(L.Layer):
    """Adds a learned vector to every position of a sequence."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

    def call(self, x):
        return x + self.table


def transformer():
    """A vision transformer in miniature: 16 patches of 2x2 pixels, one block of attention."""
    inputs = keras.Input((8, 8, 1))
    h = L.Conv2D(32, 2, strides=2, name="patches")(inputs)
    h = Positions(name="positions")(L.Reshape((16, 32))(h))
    n = L.LayerNormalization()(h)
    h = L.Add()([h, L.MultiHeadAttention(4, 8, name="attention")(n, n)])
    n = L.Dense(64, activation="gelu")(L.LayerNormalization()(h))
    h = L.Add()([h, L.Dense(32)(n)])
    h = L.GlobalAveragePooling1D()(L.LayerNormalization()(h))
    return keras.Model(inputs, L.Dense(10, activation="softmax", name="digit")(h), name="transformer")


def recurrent():
    """An LSTM that reads a digit as eight steps of eight pixels."""
    layers = [L.LSTM(64, name="lstm"), L.Dense(10, activation="softmax", name="digit")]
    return keras.Sequential([keras.Input((8, 8)), *layers], name="recurrent")


def trained(model, x, labels, epochs):
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, labels, batch_size=64, epochs=1 if GIVEN.quick else epochs, verbose=0)
    return model


# ---------------------------------------------------------------------- pictures
def explained(model, x, columns, x_train):
    """Maps and palettes by label, for a dict from label to (name, arguments)."""
    analyzers = study.make_analyzers(innspect.open_model(model), columns)
    study.fit(analyzers, study.unfitted(analyzers), x_train)
    maps = {label: analyzer.analyze(x) for label, analyzer in analyzers.items()}
    return maps, {label: visualize.palette_of(analyzer) for label, analyzer in analyzers.items()}


def written(file, model, x, maps, palettes, families=None):
    predictions = model.predict(x, verbose=0)
    captions = [f"{p.argmax()}  {p.max():.0%}" for p in predictions]
    images = x if x.ndim == 4 else x[..., None]
    look = {"palette": palettes, "families": families, "cell": 0.6}
    figure = visualize.grid(maps, images=images, captions=captions, captions_label="prediction", **look)
    figure.savefig(FOLDER / f"{file}.png", dpi=140)
    print(f"written: {FOLDER / file}.png", flush=True)


def draw(file, model, x, columns, x_train=None):
    """One family. Columns: label -> (name, arguments), or family -> such a dict."""
    grouped = all(isinstance(c, dict) for c in columns.values())
    flat = {label: m for group in columns.values() for label, m in group.items()} if grouped else columns
    families = {family: list(group) for family, group in columns.items()} if grouped else None
    written(file, model, x, *explained(model, x, flat, x_train), families)


def plain(*names):
    return {name: (name, {}) for name in names}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(3)
    (x_train, y_train), (x_test, y_test) = demo.load_digits()
    x = demo.one_of_each(x_test, y_test)[0][DIGITS]

    digits = trained(demo.build_model(), x_train, y_train, 15)
    linear = {"pattern_type": "linear"}
    draw(
        "patterns",
        digits,
        x,
        {
            "signal": {"pattern.net, linear": ("pattern.net", linear), "pattern.net": ("pattern.net", {})},
            "attribution": plain("lrp.z")
            | {"pattern.attribution, linear": ("pattern.attribution", linear)}
            | plain("pattern.attribution"),
        },
        x_train,
    )
    attended(trained(transformer(), x_train, y_train, 30), x)
    rows = trained(recurrent(), x_train[..., 0], y_train, 15)
    draw("recurrent", rows, x[..., 0], plain("gradient", "input_t_gradient", "integrated_gradients", "lrp.epsilon"))


def attended(model, x):
    """A transformer, pixel by pixel and patch by patch."""
    maps, _ = explained(
        model, x, plain("gradient", "input_t_gradient", "integrated_gradients", "lrp.cp", "lrp.attention"), None
    )
    patches = {f"{name} ": maps[name].reshape(-1, 4, 2, 4, 2).sum((2, 4)) for name in ("lrp.cp", "lrp.attention")}
    written("transformer", model, x, maps | patches, "red_blue", {"by pixel": list(maps), "by patch": list(patches)})


if __name__ == "__main__":
    main()
