"""LRP beside zennit: the same VGG16 with random weights on PyTorch, both in this process, in turns.

    python benchmarks/lrp_peers.py [--batch 4] [--repeats 5]

Needs PyTorch and `pip install zennit` (which wants torchvision). Prints times relative to the plain gradient of Keras' network,
by the clock and in processor time, and how many times longer zennit takes. zennit's network has its channels first.
"""

import argparse
import os

os.environ["KERAS_BACKEND"] = "torch"

import common
import keras
import numpy as np
import torch
from torch import nn
from zennit import rules
from zennit.attribution import Gradient
from zennit.composites import LayerMapComposite
from zennit.types import Convolution, Linear

import innspect

BLOCKS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
RULES = {
    "lrp.epsilon": rules.Epsilon(),
    "lrp.z_plus": rules.ZPlus(),
    "lrp.gamma": rules.Gamma(),
    "lrp.alpha_2_beta_1": rules.AlphaBeta(2, 1),
}


def vgg16():
    """VGG16 in PyTorch's own layers."""
    layers, channels = [], 3
    for block in BLOCKS:
        for wide in block:
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
            channels = wide
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *dense).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    theirs, data = vgg16(), torch.randn(given.batch, 3, 224, 224)
    target = torch.eye(1000)[[0] * given.batch]
    ours = keras.applications.VGG16(weights=None, classifier_activation=None)
    x = np.random.default_rng(0).normal(size=(given.batch, 224, 224, 3)).astype("float32")

    def zennit(rule):
        composite = rule and LayerMapComposite([(Convolution, rule), (Linear, rule)])
        with Gradient(theirs, composite) as attributor:
            return attributor(data.clone().requires_grad_(), target)[1].detach().numpy()

    runs = {"zennit gradient": lambda: zennit(None)}
    for name, rule in RULES.items():
        analyzer = innspect.create_analyzer(name, ours)
        runs[f"innspect {name}"] = lambda analyzer=analyzer: analyzer.analyze(x, 0)
        runs[f"zennit {name}"] = lambda rule=rule: zennit(rule)
    gradient = common.plain_gradient(ours)
    base, found = common.ratios(lambda: gradient(x), runs, given.repeats)
    print(f"VGG16, batch {given.batch}: a plain gradient takes {base:.2f} s; in gradients, by the clock and in processor time")
    for name, (wall, cpu) in found.items():
        print(f"  {name:28}{wall:6.2f}{cpu:6.2f}")
    for name in RULES:
        wall, cpu = (a / b for a, b in zip(found[f"zennit {name}"], found[f"innspect {name}"], strict=True))
        print(f"{name}: zennit takes {wall:.1f} times as long ({cpu:.1f} in processor time)")


if __name__ == "__main__":
    main()
