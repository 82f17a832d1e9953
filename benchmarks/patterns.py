"""Cost of fitting patterns relative to training the same model on the same data, in the same process.

    KERAS_BACKEND=tensorflow python benchmarks/patterns.py --models mlp VGG16 --memory

Time: one `innspect.patterns.fit` over the data beside one epoch of `model.fit` (Adam), in turn, the fastest of some runs
after one that compiles. Memory (Linux): the peak of a process that does one of the two, less what the process holds
before, and for the fit less the float64 sums that it is to keep (goal 1.3 besides these).
"""

import argparse
import functools
import gc
import multiprocessing
import os
import time

import keras
import numpy as np
from keras import layers as L

import innspect

# what is fitted, and the time that is the goal relative to an epoch of training
FITS = {
    "linear": ("linear", 1.2),
    "relu": ("relu", 1.2),
    "linear, a+ and a-": (["linear", "relu", "relu.negative"], 1.5),
}


def build(name, size):
    """A model and the shape of one input."""
    keras.utils.set_random_seed(0)
    if name == "mlp":
        layers = [L.Dense(1024, activation="relu"), L.Dense(1024, activation="relu"), L.Dense(10, activation="softmax")]
        return keras.Sequential([keras.Input((784,)), *layers]), (784,)
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(size, size, 3), classes=1000), (size, size, 3)


def prepared(name, size, batch, batches):
    model, shape = build(name, size)
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(0, 1, (batch * batches, *shape)).astype("float32")
    return model, x, np.zeros(len(x), "int32")


def train(model, x, labels, batch):
    model.fit(x, labels, batch_size=batch, epochs=1, verbose=0)


def stream(x, batch):
    """So that the batches of fit and training are the same, and no time goes into checking one large array."""
    return (x[i : i + batch] for i in range(0, len(x), batch))


class Fit:
    """Fits that share what was compiled, as the batches of one long fit do."""

    def __init__(self, model, pattern_type):
        self.statistics = innspect.patterns.PatternStatistics(model, pattern_type)

    def __call__(self, x, batch):
        for part in stream(x, batch):
            self.statistics.update(part)
        self.statistics.flush()


def print_times(name, args):
    model, x, labels = prepared(name, args.size, args.batch_of(name), args.batches_of(name))
    batch = args.batch_of(name)
    runs = {"train": lambda: train(model, x, labels, batch)}
    for label in args.fits:
        pattern_type, _ = FITS[label]
        runs[label] = functools.partial(Fit(model, pattern_type), x, batch)
    times = {label: [] for label in runs}
    for repeat in range(args.repeats + 1):
        for label, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if repeat:
                times[label].append((time.perf_counter() - wall, time.process_time() - cpu))
    best = {label: np.min(seconds, axis=0) for label, seconds in times.items()}
    print(f"\n{name}, {len(x)} samples in batches of {batch}: an epoch of training takes {best['train'][0]:.2f} s")
    print(f"{'patterns':20} {'wall ratio':>10} {'CPU ratio':>10} {'goal':>6}")
    for label in args.fits:
        wall, cpu = best[label] / best["train"]
        print(f"{label:20} {wall:10.2f} {cpu:10.2f} {FITS[label][1]:6.2f}", flush=True)


# ------------------------------------------------------------------ memory, in processes of their own
def resident(field):
    """Memory of this process in GiB: "VmRSS" is what it holds, "VmHWM" the most it has held. Linux only."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 2**20


def forget_peak():
    """From here on the peak is that of what follows."""
    with open("/proc/self/clear_refs", "w") as switch:
        switch.write("5")


def _measure(pipe, name, size, batch, what):
    """Send the peak of two steps or batches beyond what was held before, and how much of it the float64 sums are."""
    model, x, labels = prepared(name, size, batch, 2)
    model.optimizer.build(model.trainable_variables)  # the state of training is not counted, nor is that of the fit
    model(x[:1])  # so that the framework's own memory is not counted
    gc.collect()
    forget_peak()
    before, kept = resident("VmRSS"), 0
    if what == "train":
        train(model, x, labels, batch)
    else:
        fit = Fit(model, FITS[what][0])
        fit(x, batch)
        for layer in fit.statistics.layers.values():
            kept += sum(s.nbytes for s in layer.moments.sums.values())
    pipe.send((resident("VmHWM") - before, kept / 2**30))


def print_memory(name, args):
    context, found = multiprocessing.get_context("spawn"), {}
    for what in ["train", *args.fits]:
        ours, theirs = context.Pipe()
        process = context.Process(target=_measure, args=(theirs, name, args.size, args.batch_of(name), what))
        process.start()
        theirs.close()  # so that `recv` ends if the process dies
        found[what] = ours.recv()
        process.join()
    base, _ = found.pop("train")
    print(f"\n{name}, batch {args.batch_of(name)}: training takes {base:.2f} GiB beside the model, its data and Adam's state")
    print(f"{'patterns':20} {'GiB':>7} {'of it float64 sums':>19} {'ratio besides these':>20} {'goal':>6}")
    for what, (more, kept) in found.items():
        print(f"{what:20} {more:7.2f} {kept:19.2f} {(more - kept) / base:20.2f} {1.3:6.2f}", flush=True)


class Arguments(argparse.Namespace):
    def batch_of(self, name):
        return 256 if name == "mlp" else self.batch

    def batches_of(self, name):
        return 40 if name == "mlp" else self.batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp", "VGG16"], help="mlp, or names of keras.applications")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fits", nargs="+", choices=list(FITS), default=list(FITS))
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    args = parser.parse_args(namespace=Arguments())
    print(f"{keras.backend.backend()}, {os.cpu_count()} cores")
    for name in args.models:
        (print_memory if args.memory else print_times)(name, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
