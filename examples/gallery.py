"""One picture for every family of methods, on digits that the networks have not seen: those of the documentation.

    python examples/gallery.py [FOLDER] [--quick]

Trains four small networks on scikit-learn's digits (convolutions; convolutions with global average pooling, for class
activation maps; attention over patches; an LSTM that reads row by row) and writes one PNG a family to FOLDER
(default: pictures). Needs scikit-learn and matplotlib; takes about a minute, with --quick, which trains for one pass over
the digits only, half of that. Choose the backend with KERAS_BACKEND.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers as L

import innspect
from innspect import demo, study, visualize

_parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_parser.add_argument("folder", nargs="?", type=Path, default="pictures")
_parser.add_argument("--quick", action="store_true", help="train for one epoch only: to see that everything runs")
GIVEN = _parser.parse_args()
FOLDER = GIVEN.folder
DIGITS = [0, 2, 3, 4, 7, 8]
BOX = {"low": 0.0, "high": 1.0}  # pixels are between 0 and 1


# ---------------------------------------------------------------------- networks
def pooled():
    """Convolutions, global average pooling, one dense layer: what CAM needs."""
    layers = [L.Conv2D(n, 3, padding="same", activation="relu", name=f"conv{i + 1}") for i, n in enumerate((24, 32, 48))]
    head = [L.GlobalAveragePooling2D(name="average"), L.Dense(10, activation="softmax", name="digit")]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, *head], name="pooled")


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
    mean = x_train.mean(0)

    digits = trained(demo.build_model(), x_train, y_train, 15)
    draw(
        "gradient",
        digits,
        x,
        plain("gradient")
        | {"gradient, squared": ("gradient", {"postprocess": "square"})}
        | plain("saliency", "input_t_gradient"),
    )
    paths = {
        "from black": ("integrated_gradients", {}),
        "from the mean digit": ("integrated_gradients", {"reference_inputs": mean}),
    }
    draw(
        "averaged",
        digits,
        x,
        {
            "one gradient": plain("gradient"),
            "integrated_gradients": paths,
            "over noise": plain("smoothgrad", "smoothgrad.squared", "vargrad"),
        },
    )
    signals, _ = explained(
        digits, x, plain("gradient", "deconvnet", "guided_backprop") | {"PatternNet": ("pattern.net", {})}, x_train
    )
    as_signal = {f"{label} ": visualize.signal(m) for label, m in signals.items()}
    groups = {"grey is zero": list(as_signal), "the same as heat maps": list(signals)}
    written("signal", digits, x, as_signal | signals, "red_blue", groups)
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
    draw(
        "lrp",
        digits,
        x,
        {
            "one rule for all layers": plain("lrp.z")
            | {"lrp.epsilon, 0.1": ("lrp.epsilon", {"epsilon": 0.1})}
            | plain("lrp.gamma", "lrp.alpha_2_beta_1", "lrp.z_plus", "lrp.w_square", "lrp.flat"),
            "a rule by layer": plain("lrp.sequential_preset_a", "lrp.epsilon_plus_flat")
            | {"lrp.epsilon_gamma_box": ("lrp.epsilon_gamma_box", BOX)},
        },
    )
    draw(
        "taylor",
        digits,
        x,
        {
            "simple_taylor": {
                "origin": ("simple_taylor", {}),
                "newton": ("simple_taylor", {"root": "newton", "damping": 0.5}),
            },
            "deep": plain("deep_taylor") | {"deep_taylor.bounded": ("deep_taylor.bounded", BOX)},
        },
    )
    draw(
        "deep_lift",
        digits,
        x,
        {
            "from black": {"rescale": ("deep_lift", {}), "reveal_cancel": ("deep_lift", {"rule": "reveal_cancel"})},
            "from digits": {
                "mean digit": ("deep_lift", {"reference_inputs": mean}),
                "deep_shap, 32 digits": ("deep_shap", {"background": x_train[:32]}),
            },
        },
    )
    hidden(digits, x)
    several(digits, x_test, y_test)

    maps = trained(pooled(), x_train, y_train, 25)
    draw(
        "cam",
        maps,
        x,
        {
            "gradient of a layer": plain("cam", "grad_cam", "grad_cam_plus_plus", "layer_cam", "xgrad_cam", "hires_cam"),
            "channel by channel": plain("score_cam", "ablation_cam"),
            "path": plain("rsi_grad_cam"),
            "with a signal": plain("guided_grad_cam"),
        },
    )
    tokens = trained(transformer(), x_train, y_train, 30)
    attended(tokens, x)
    rows = trained(recurrent(), x_train[..., 0], y_train, 15)
    draw("recurrent", rows, x[..., 0], plain("gradient", "input_t_gradient", "integrated_gradients", "lrp.epsilon"))


def hidden(model, x):
    """Perturbation. What RISE gives is a mean probability, high everywhere: it is drawn above its lowest value."""
    certain = {"window 2": ("occlusion", {"window": 2, "stride": 1})}
    logit = {f"window {w} ": ("occlusion", {"window": w, "stride": 1, "head": "logit"}) for w in (1, 2, 3)}
    masks = {f"grid {g}": ("rise", {"grid": g, "num_masks": 1000}) for g in (4, 7)}
    maps, _ = explained(model, x, certain | logit | masks, None)
    maps |= {label: maps[label] - maps[label].min(axis=(1, 2), keepdims=True) for label in masks}
    groups = {"probability": list(certain), "occlusion of the logit": list(logit), "rise": list(masks)}
    written("perturbation", model, x, maps, dict.fromkeys(masks, "heat"), groups)


def attended(model, x):
    """A transformer, pixel by pixel and patch by patch."""
    maps, _ = explained(
        model, x, plain("gradient", "input_t_gradient", "integrated_gradients", "lrp.cp", "lrp.attention"), None
    )
    patches = {f"{name} ": maps[name].reshape(-1, 4, 2, 4, 2).sum((2, 4)) for name in ("lrp.cp", "lrp.attention")}
    written("transformer", model, x, maps | patches, "red_blue", {"by pixel": list(maps), "by patch": list(patches)})


def several(model, x_test, y_test):
    """One image, several questions."""
    x = np.concatenate([x_test[y_test == digit][:1] for digit in (4, 7, 9)])
    analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1)
    maps = {f"why {digit}?": analyzer.analyze(x, digit) for digit in (4, 7, 9)}
    maps["why 4 and not 9?"] = analyzer.analyze(x, lambda y: y[:, 4] - y[:, 9])
    written("targets", model, x, maps, "red_blue")


if __name__ == "__main__":
    main()
