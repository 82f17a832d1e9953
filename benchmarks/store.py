"""What a store costs beside a stream whose maps are dropped, and how large it is.

    KERAS_BACKEND=tensorflow python benchmarks/store.py
    KERAS_BACKEND=tensorflow python benchmarks/store.py --small 2000 --large 16 --repeat 2

Small images, 28 x 28, through a small network, and large ones, 224 x 224 x 3, through MobileNet, weights drawn; lrp.epsilon.
The ways are taken in turn; told are the medians of the clock and of the processor's time, relative to the stream.
"""

import argparse
import os
import tempfile
import time

import keras
import numpy as np
from keras import layers as L

import innspect

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--small", type=int, default=10_000, help="small images")
parser.add_argument("--large", type=int, default=50, help="large images")
parser.add_argument("--repeat", type=int, default=3)
given = parser.parse_args()


def small():
    layers = [
        L.Conv2D(16, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(32, 3, activation="relu"),
        L.Flatten(),
        L.Dense(10),
    ]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers])


def large():
    return keras.applications.MobileNet(weights=None, classifier_activation=None)


def timed(work):
    """Seconds by the clock, and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


WAYS = {
    "float32": {},
    "float32, not compressed": {"compression": None},
    "float16": {"dtype": "float16"},
    "float16, not compressed": {"dtype": "float16", "compression": None},
}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "maps.h5")
    for make, count, batch in ((small, given.small, 256), (large, given.large, 10)):
        keras.utils.set_random_seed(0)
        model = make()
        x = np.random.default_rng(0).normal(size=(count, *model.input_shape[1:])).astype("float32")
        analyzer = innspect.create_analyzer("lrp.epsilon", model)
        analyzer.analyze(x[: 2 * batch], batch_size=batch)  # compiles

        def stream(x=x, batch=batch, analyzer=analyzer):
            for _ in analyzer.stream((x[i : i + batch] for i in range(0, len(x), batch)), batch_size=batch):
                pass

        taken = {"stream": []} | {way: [] for way in WAYS}
        sizes = {}
        for _ in range(given.repeat):
            taken["stream"].append(timed(stream))
            for way, settings in WAYS.items():
                store = lambda s=settings, x=x, b=batch, a=analyzer: a.store(x, path, resume=False, batch_size=b, **s)  # noqa: E731
                taken[way].append(timed(store))
                sizes[way] = os.path.getsize(path)
        base = np.median(taken["stream"], axis=0)
        print(f"{count} images {model.input_shape[1:]}, stream: {base[0]:.2f} s, processor {base[1]:.2f} s")
        for way in WAYS:
            clock, cpu = np.median(taken[way], axis=0)
            raw = x.nbytes
            print(
                f"  {way:26} clock {clock / base[0]:.2f}, processor {cpu / base[1]:.2f}, {sizes[way] / raw:.2f} of the raw size"
            )
