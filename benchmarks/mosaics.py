"""Whether maps of a class lie on its photograph, on mosaics of four, with and without `contrast`.

    KERAS_BACKEND=torch python benchmarks/mosaics.py --mosaics 12

EfficientNet-Lite0 at 448 pixels sees four of the photographs that ship (extra `demo`), 224 pixels each. Every one of them is
explained, by the class that it has alone; the contrast are the classes of the other three. Prints the share of the positive
relevance that lies on the right photograph, 0.25 by chance: the mean and its standard error over the mosaics, and how many
shares the contrast raised. Takes about three minutes on two cores.
"""

import argparse

import numpy as np

import innspect

METHODS = [
    "lrp.epsilon_plus_flat",
    "lrp.epsilon_gamma_flat",
    "grad_cam",
    "guided_grad_cam",
    "deep_lift",
    "lrp.epsilon",
    "gradient",
]
SIZE = 224
CELLS = [(slice(r, r + SIZE), slice(c, c + SIZE)) for r in (0, SIZE) for c in (0, SIZE)]


def classes(names):
    """What each photograph shows, as the network says of it alone."""
    network = innspect.zoo.load("efficientnet_lite0", classifier_activation=None)
    pixels = np.stack([innspect.zoo.photograph(name, SIZE) for name in names])
    logits = network.model.predict(network.preprocess(pixels), verbose=0)
    return dict(zip(names, logits.argmax(axis=1).tolist(), strict=True)), network.labels


def draw(names, shown, count, seed=0):
    """So many lists of four photographs of four classes, all different."""
    random, drawn = np.random.default_rng(seed), []
    while len(drawn) < count:
        four = random.permutation(names)[:4].tolist()
        if len({shown[name] for name in four}) == 4 and four not in drawn:
            drawn.append(four)
    return drawn


def mosaic(four):
    """One picture of four, uint8 (448, 448, 3), in the order of `CELLS`."""
    a, b, c, d = (innspect.zoo.photograph(name, SIZE) for name in four)
    return np.concatenate([np.concatenate([a, b], axis=1), np.concatenate([c, d], axis=1)])


def share(attribution, cell):
    """The share of the positive relevance (448, 448[, 3]) that lies in a cell."""
    positive = np.maximum(attribution, 0)
    return positive[CELLS[cell]].sum() / max(positive.sum(), np.finfo("float32").tiny)


def measure(analyzer, x, targets):
    """Shares (4,) on one mosaic `x` (1, 448, 448, 3) without contrast, and with the other three classes as such."""
    plain = analyzer.analyze(x, neurons=targets)[:, 0]
    others = [[t for t in targets if t != target] for target in targets]
    against = [analyzer.analyze(x, t, contrast=o)[0] for t, o in zip(targets, others, strict=True)]
    return [[share(m, cell) for cell, m in enumerate(maps)] for maps in (plain, against)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mosaics", type=int, default=12, help="how many")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="names of methods")
    given = parser.parse_args()
    names = innspect.zoo.list_photographs()
    shown, labels = classes(names)
    for name, number in shown.items():
        print(f"{name:10s} {number:4d} {labels[number] if labels else ''}")
    network = innspect.zoo.load("efficientnet_lite0", size=2 * SIZE)
    opened, drawn = innspect.open_model(network.model), draw(names, shown, given.mosaics)
    print(f"\n{'method':24s} {'plain':>13s} {'contrast':>13s} raised")
    for name in given.methods:
        analyzer = innspect.create_analyzer(name, opened)
        found = np.array(
            [measure(analyzer, network.preprocess(mosaic(four)[None]), [shown[n] for n in four]) for four in drawn]
        )  # (mosaics, 2, 4)
        means = found.mean(axis=2)
        spread = means.std(axis=0, ddof=1) / len(drawn) ** 0.5 if len(drawn) > 1 else np.zeros(2)
        values = "   ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(means.mean(axis=0), spread, strict=True))
        print(f"{name:24s} {values}   {(found[:, 1] > found[:, 0]).sum()} of {found[:, 0].size}", flush=True)


if __name__ == "__main__":
    main()
