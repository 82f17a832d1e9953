"""Samples a second with default arguments, beside the bare gradient loop of the backend in the same process.

    KERAS_BACKEND=tensorflow python benchmarks/throughput.py
    KERAS_BACKEND=jax python benchmarks/throughput.py --only small --count 2000
    KERAS_BACKEND=torch python benchmarks/throughput.py --only table --count 100000

The loop takes batches of the size that innspect chooses, and of some others; all run in turn, and of each the fastest of some
runs counts. "stream" is a tf.data dataset on TensorFlow, a DataLoader on PyTorch, a generator of arrays on JAX.
"""

import argparse
import os
import time

import keras
import numpy as np
from common import plain_gradient
from keras import layers as L

import innspect
from innspect.inputs.batches import Inputs

SIZES = (32, 128, 512)  # of the loop, besides innspect's own


def table():
    body = [L.Dense(64, activation="relu"), L.Dense(32, activation="relu"), L.Dense(3)]
    return keras.Sequential([keras.Input((20,)), *body])


def small():
    def convolution(channels):
        return L.Conv2D(channels, 3, padding="same", activation="relu")

    body = [convolution(32), L.MaxPooling2D(), convolution(64), L.MaxPooling2D(), convolution(64)]
    return keras.Sequential([keras.Input((32, 32, 3)), *body, L.GlobalAveragePooling2D(), L.Dense(10)])


def large(name):
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(224, 224, 3), classifier_activation=None)


def stream(x, size):
    """A function that makes a stream of batches, as users of the backend have it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return lambda: tf.data.Dataset.from_tensor_slices(x).batch(size).prefetch(2)
    if backend == "torch":
        import torch

        return lambda: torch.utils.data.DataLoader(torch.from_numpy(x), batch_size=size)
    return lambda: (x[start : start + size] for start in range(0, len(x), size))


def slices(x, size):
    return lambda: (x[start : start + size] for start in range(0, len(x), size))


def looped(gradient, batches):
    """The bare loop over what `batches` makes."""
    as_array = keras.ops.convert_to_numpy
    return lambda: np.concatenate([gradient(b if isinstance(b, np.ndarray) else as_array(b)) for b in batches()])


def measured(runs, repeats):
    """Dict from name to the fewest seconds of some runs, on the clock and of the processors, taken in turn."""
    least = {}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start, started = time.perf_counter(), time.process_time()
            run()
            spent = time.perf_counter() - start, time.process_time() - started
            if turn:  # the first one compiles
                least[name] = np.minimum(spent, least.get(name, np.inf))
    return least


def compare(label, model, x, args):
    opened, gradient = innspect.open_model(model), plain_gradient(model)
    size = Inputs(x[:1], opened).checked_size(None)
    sizes = sorted({size, *(s for s in SIZES if s * 4 < len(x) and s <= 4 * size)})
    runs = {f"loop, {s} at once": looped(gradient, slices(x, s)) for s in sizes}
    whole = stream(x, size)
    runs[f"loop, stream of {size}"] = looped(gradient, whole)
    for method in args.methods:
        analyzer = innspect.create_analyzer(method, opened)
        runs[method] = lambda a=analyzer: a.analyze(x)
        runs[f"{method}, stream"] = lambda a=analyzer: a.analyze(whole())
        runs[f"{method}, 32 at once"] = lambda a=analyzer: a.analyze(x, batch_size=32)
    found = measured(runs, args.repeats)
    base = found[f"loop, {size} at once"]
    print(f"\n{label}: {len(x)} samples, {keras.backend.backend()}, {size} at once")
    print(f"{'':32}{'samples/s':>12}{'to the loop':>12}{'CPU':>8}")
    for name, spent in found.items():
        against = found[f"loop, stream of {size}"] if name.endswith("stream") else base
        print(f"{name:32}{len(x) / spent[0]:12,.0f}{against[0] / spent[0]:12.2f}{against[1] / spent[1]:8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=["table", "small", "large"], default=["small", "large"])
    parser.add_argument("--count", type=int, help="samples (default: 100,000 rows, 10,000 small images, 500 large ones)")
    parser.add_argument("--model", default="MobileNetV2", help="of keras.applications, for the large images")
    parser.add_argument("--methods", nargs="*", default=["gradient", "lrp.epsilon"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    known = {
        "table": (table, (20,), 100_000),
        "small": (small, (32, 32, 3), 10_000),
        "large": (lambda: large(args.model), (224, 224, 3), 500),
    }
    for name in args.only:
        make, shape, count = known[name]
        x = np.random.default_rng(0).normal(size=(args.count or count, *shape)).astype("float32")
        compare(name, make(), x, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
