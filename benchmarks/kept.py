"""What relevance methods keep of the logit on a batch-normalised network, and what their maps depend on.

    KERAS_BACKEND=torch python benchmarks/kept.py

EfficientNet-Lite0 on the photographs that ship (extra `demo`). Prints for every method the share of the logit that reaches the
map, the mean and the range, where the rest went, and the two layers that take most; then how alike maps are of two classes
of one photograph, and of two photographs (correlation). The figures of docs/modern_networks.md.
"""

import numpy as np

import innspect
from innspect.analyzers.relevance.losses import percent

METHODS = [
    "lrp.epsilon_gamma_flat", "lrp.epsilon_plus_flat", "lrp.gamma", "lrp.alpha_1_beta_0", "lrp.alpha_2_beta_1", "lrp.epsilon",
    "lrp.z_plus", "deep_taylor", "lrp.flat",
]  # fmt: skip
ALIKE = ["lrp.epsilon_gamma_flat", "grad_cam", "lrp.epsilon", "gradient", "guided_backprop", "deconvnet", "lrp.z_plus"]
CLASSES = [282, 985]  # tiger cat, daisy
HEAD = f"{'method':24s} {'kept':>8s} {'from':>8s} {'to':>8s} {'biases':>8s} {'dropped':>8s}"


def share_out(opened, x):
    print(HEAD)
    for name in METHODS:
        books = innspect.create_analyzer(name, opened).conservation(x, batch_size=4)
        summary, ratio = books.summary(layers=2), books.kept / books.explained
        told = " ".join(f"{percent(v):>8s}" for v in (summary.kept, ratio.min(), ratio.max(), summary.bias, summary.dropped))
        losing = ", ".join(f"{loss.layer} {percent(loss.share)}" for loss in summary.layers)
        print(f"{name:24s} {told}   {losing}", flush=True)


def liken(opened, x):
    print(f"\n{'correlation of maps':24s} classes photographs")
    for name in ALIKE:
        maps = innspect.create_analyzer(name, opened).analyze(x, neurons=CLASSES, batch_size=4)
        found = np.corrcoef(maps.reshape(2 * len(x), -1))
        classes = np.diag(found[: len(x), len(x) :]).mean()
        photographs = found[: len(x), : len(x)][np.triu_indices(len(x), 1)].mean()
        print(f"{name:24s} {classes:7.3f} {photographs:11.3f}", flush=True)


def main():
    network = innspect.zoo.load("efficientnet_lite0")
    pixels = np.stack([innspect.zoo.photograph(name, 224) for name in innspect.zoo.list_photographs()])
    opened, x = innspect.open_model(network.model), network.preprocess(pixels)
    share_out(opened, x)
    liken(opened, x)


if __name__ == "__main__":
    main()
