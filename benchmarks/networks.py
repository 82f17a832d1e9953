"""Cost of LRP on a vision transformer and on an LSTM, how long analyzers take to build, and whether they leave memory behind.

    KERAS_BACKEND=tensorflow python benchmarks/networks.py

Ratios are to the plain gradient of the same model in the same process (see `cost.py`). With --memory instead: the
memory of the process while 200 analyzers are made, used and dropped, one after the other.
"""

import argparse
import gc
import os
import time

import keras
import numpy as np
from common import plain_gradient, ratios
from keras import layers as L
from keras import ops

import innspect


class Tokens(L.Layer):
    """A learned class token in front, and learned positions."""

    def build(self, shape):
        self.first = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="first")
        self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), initializer="random_normal", name="places")
        self.built = True

    def call(self, x):
        first = ops.broadcast_to(ops.convert_to_tensor(self.first), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([first, x], axis=1) + self.places


def vit(blocks=12, width=192, heads=3):
    """65 tokens: 8 x 8 patches of an image of 32 pixels, and the class token."""
    x = keras.Input((32, 32, 3))
    h = Tokens()(L.Reshape((64, width))(L.Conv2D(width, 4, strides=4)(x)))
    for _ in range(blocks):
        n = L.LayerNormalization(epsilon=1e-6)(h)
        h = L.Add()([h, L.MultiHeadAttention(heads, width // heads)(n, n)])
        m = L.Dense(4 * width, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(h))
        h = L.Add()([h, L.Dense(width)(m)])
    return keras.Model(x, L.Dense(10)(L.LayerNormalization(epsilon=1e-6)(h)[:, 0])), (32, 32, 3)


def lstm(steps=100, features=32, units=128):
    x = keras.Input((steps, features))
    return keras.Model(x, L.Dense(10)(L.LSTM(units)(L.LSTM(units, return_sequences=True)(x)))), (steps, features)


# name of the network: how it is made, and for each method its goal
NETWORKS = {
    "ViT": (vit, {"gradient": 1.1, "lrp.attention": 1.3, "lrp.cp": 1.3, "lrp.epsilon": None}),
    "LSTM": (lstm, {"gradient": 1.1, "lrp.epsilon": 2.0}),
}
# name of the network: how it is made, and the seconds that an analyzer may take to be built
BUILDS = {
    "ViT": (lambda: vit()[0], 2.0),
    "InceptionResNetV2": (lambda: keras.applications.InceptionResNetV2(weights=None, classifier_activation=None), 5.0),
}


def print_costs(name, batch, repeats):
    make, methods = NETWORKS[name]
    model, shape = make()
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")
    gradient = plain_gradient(model)
    analyzers = {method: innspect.create_analyzer(method, model) for method in methods}
    runs = {method: lambda a=a: a.analyze(x, batch_size=batch) for method, a in analyzers.items()}
    seconds, table = ratios(lambda: gradient(x), runs, repeats)
    print(f"\n{name}, batch {batch}, {keras.backend.backend()}: the plain gradient takes {seconds:.3f} s")
    print(f"{'method':20}{'wall':>8}{'CPU':>8}{'goal':>8}")
    for method, goal in methods.items():
        wall, cpu = table[method]
        missed = goal is not None and min(wall, cpu) > goal
        print(f"{method:20}{wall:8.2f}{cpu:8.2f}{'-' if goal is None else goal:>8}{'  over the goal' if missed else ''}")


def print_builds(name):
    make, goal = BUILDS[name]
    small = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    innspect.create_analyzer("gradient", small)  # what the process does the first time, such as starting a compiler
    model = make()
    for method in ("gradient", "lrp.epsilon", "lrp.attention"):
        start, started = time.perf_counter(), time.process_time()
        innspect.create_analyzer(method, model)
        wall, cpu = time.perf_counter() - start, time.process_time() - started
        missed = "" if min(wall, cpu) <= goal else "  over the goal"
        print(f"{name}: {method} is built in {wall:.2f} s (CPU {cpu:.2f}), goal {goal}{missed}", flush=True)


def resident():
    """MiB of memory that this process holds (Linux)."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def print_memory(count=200):
    x = keras.Input((8, 8, 1))
    h = L.Flatten()(L.Conv2D(4, 3, activation="relu")(x))
    model = keras.Model(x, L.Dense(3)(L.Dense(8, activation="relu")(h)))
    data = np.ones((4, 8, 8, 1), "float32")
    for name in ("gradient", "lrp.epsilon", "lrp.attention"):
        print(f"\n{name}: MiB after so many analyzers made and dropped")
        for number in range(count + 1):
            if number % 50 == 0:
                print(f"{number:6}{resident():10.1f}", flush=True)
            innspect.create_analyzer(name, model).analyze(data, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[*NETWORKS, "InceptionResNetV2"])
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    if args.memory:
        return print_memory()
    for name in (n for n in BUILDS if n in args.only):
        print_builds(name)
    for name in (n for n in NETWORKS if n in args.only):
        print_costs(name, args.batch, args.repeats)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
