"""What `cost.py` measures on a CPU, on a GPU: methods relative to the plain gradient, memory, patterns, and numbers.

    KERAS_BACKEND=jax python benchmarks/gpu.py
    KERAS_BACKEND=torch python benchmarks/gpu.py --zennit
    KERAS_BACKEND=jax python benchmarks/gpu.py --toy          small networks, on any device, in a minute

Prints tables in Markdown for the documentation, with the card's name. For VGG16, ResNet50 and a ViT of base size, with random
weights, in float32 and under the policy mixed_bfloat16: seconds of the plain gradient, and the ratio of each method to it,
from the fastest of some runs, taken in turn, each of which waits for the device. Inputs are on the host and maps come back to
it, for both. Peak memory is the device's own count, where the backend has one. Conformance holds the maps of small networks
against those of the same network in float64 on the CPU. A part that is not begun by --seconds is left out, and told.
"""

import argparse
import contextlib
import functools
import gc
import os
import time

import keras
import numpy as np
from common import plain_gradient
from keras import layers as L

import innspect

METHODS = {  # name: the goal
    "lrp.epsilon": 1.1,
    "lrp.z_plus": 1.6,
    "lrp.gamma": 1.6,
    "lrp.alpha_2_beta_1": 2.25,
}
OF_TRANSFORMERS = {"input_t_gradient": 1.1, "lrp.attention": 1.1}
BACKEND = keras.backend.backend()
POLICIES = ("float32", "mixed_bfloat16")


# ------------------------------------------------------------------ networks
class Positions(L.Layer):
    """Adds a weight to each token, and a class token before them."""

    def build(self, shape):
        self.first = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="first")
        self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), initializer="random_normal", name="places")

    def call(self, x):
        first = keras.ops.repeat(keras.ops.cast(self.first, x.dtype), keras.ops.shape(x)[0], axis=0)
        return keras.ops.concatenate([first, x], axis=1) + keras.ops.cast(self.places, x.dtype)


def vit(size, classes, patch=16, width=768, depth=12, heads=12):
    """A vision transformer (Dosovitskiy et al. 2021) of base size, from layers of Keras."""
    inputs = keras.Input((size, size, 3))
    y = L.Conv2D(width, patch, strides=patch)(inputs)
    y = Positions()(L.Reshape((-1, width))(y))
    for _ in range(depth):
        normal = L.LayerNormalization(epsilon=1e-6)(y)
        y = L.Add()([y, L.MultiHeadAttention(heads, width // heads)(normal, normal)])
        inner = L.Dense(4 * width, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(y))
        y = L.Add()([y, L.Dense(width)(inner)])
    first = L.LayerNormalization(epsilon=1e-6)(y)[:, 0]
    return keras.Model(inputs, L.Dense(classes, dtype="float32")(first), name="vit")


def application(name, size, classes):
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(size, size, 3), classes=classes, classifier_activation=None)


def small(size, classes, residual=False):
    inputs = keras.Input((size, size, 3))
    y = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    z = L.Conv2D(8, 3, padding="same", use_bias=False)(y)
    y = L.ReLU()(L.Add()([y, L.BatchNormalization()(z)])) if residual else L.MaxPooling2D()(L.ReLU()(z))
    return keras.Model(inputs, L.Dense(classes)(L.GlobalAveragePooling2D()(y)))


NETWORKS = {
    "VGG16": (functools.partial(application, "VGG16"), METHODS),
    "ResNet50": (functools.partial(application, "ResNet50"), METHODS),
    "ViT-B/16": (vit, OF_TRANSFORMERS),
}
TOYS = {
    "plain": (small, METHODS),
    "residual": (functools.partial(small, residual=True), METHODS),
    "ViT": (functools.partial(vit, patch=4, width=16, depth=1, heads=2), OF_TRANSFORMERS),
}


def built(make, policy, size, classes):
    """A network under a dtype policy; the same random weights for each."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        return make(size, classes)
    finally:
        keras.config.set_dtype_policy(before)


# ------------------------------------------------------------------ the device
def device():
    """The name of what is measured on, and whether it is a GPU."""
    if BACKEND == "torch":
        import torch

        there = torch.cuda.is_available()
        return (torch.cuda.get_device_name() if there else "CPU"), there
    if BACKEND == "jax":
        import jax

        first = jax.devices()[0]
        return first.device_kind, first.platform == "gpu"
    import tensorflow as tf

    there = tf.config.list_physical_devices("GPU")
    return (tf.config.experimental.get_device_details(there[0])["device_name"] if there else "CPU"), bool(there)


def wait():
    """Until the device has done all that it was asked."""
    if BACKEND == "torch" and device()[1]:
        import torch

        torch.cuda.synchronize()
    elif BACKEND == "jax":
        import jax

        jax.block_until_ready(jax.numpy.zeros(()) + 0)


def peak(run):
    """GiB of the device's memory that a run takes at most; None where that is not counted apart for it."""
    if BACKEND != "torch" or not device()[1]:
        return None  # JAX counts from the start of the process: see `most`
    import torch

    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    run()
    wait()
    return torch.cuda.max_memory_allocated() / 2**30


def most():
    """GiB of the device's memory that this process has taken at most; None where that is not counted."""
    if BACKEND == "torch" and device()[1]:
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    if BACKEND == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", float("nan")) / 2**30
    return None


def fastest(runs, repeats):
    """Seconds of each run, the least of some taken in turn, after one that compiles."""
    for run in runs.values():
        run()
    times = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            wait()
            began = time.perf_counter()
            run()
            wait()
            times[name].append(time.perf_counter() - began)
    return {name: min(of) for name, of in times.items()}


def gradient_of(model):
    """The plain gradient, from host to host, on the device of the backend."""
    if BACKEND != "torch":
        return plain_gradient(model)
    import torch

    def gradient(x):
        x = keras.ops.convert_to_tensor(x).requires_grad_()
        y = model(x, training=False).max(dim=-1).values.sum()
        return torch.autograd.grad(y, x)[0].cpu().numpy()

    return gradient


# ------------------------------------------------------------------ the tables
def row(*cells):
    print(
        "| " + " | ".join("" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True
    )


def head(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def costs(args, networks):
    head("network", "policy", "method", "seconds", "ratio", "goal", "peak GiB")
    for name, (make, methods) in networks.items():
        for policy in POLICIES:
            if late(args, f"{name}, {policy}"):
                continue
            model = built(make, policy, args.size, args.classes)
            x = np.random.default_rng(0).normal(size=(args.batch, args.size, args.size, 3)).astype("float32")
            gradient = gradient_of(model)
            runs = {"plain gradient": lambda g=gradient, x=x: g(x)}
            for method in methods:
                analyzer = innspect.create_analyzer(method, model)
                runs[method] = lambda a=analyzer, x=x: a.analyze(x, batch_size=args.batch)
            seconds = fastest(runs, args.repeats)
            for method, run in runs.items():
                row(
                    name,
                    policy,
                    method,
                    seconds[method],
                    seconds[method] / seconds["plain gradient"],
                    methods.get(method),
                    peak(run),
                )
            del model, gradient, runs
            gc.collect()
    total = most()
    print(f"\nthe most of the device's memory so far: {'not counted' if total is None else f'{total:.2f} GiB'}")


def patterns(args, networks):
    """A fit beside a training step of the same data."""
    name, (make, _) = next(iter(networks.items()))
    if late(args, "patterns"):
        return
    model = built(make, "float32", args.size, args.classes)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(2 * args.batch, args.size, args.size, 3)).astype("float32")
    labels = np.zeros(len(x), "int32")
    runs = {"a training epoch": lambda: model.fit(x, labels, batch_size=args.batch, verbose=0)}
    for types in ("linear", "relu"):
        statistics = innspect.patterns.PatternStatistics(model, types)
        runs[f"fit, {types}"] = functools.partial(fitted, statistics, x, args.batch)
    seconds = fastest(runs, args.repeats)
    head(f"{name}, {len(x)} samples", "seconds", "ratio", "goal")
    for what, taken in seconds.items():
        row(what, taken, taken / seconds["a training epoch"], None if "training" in what else 1.2)


def fitted(statistics, x, batch):
    for start in range(0, len(x), batch):
        statistics.update(x[start : start + batch])
    statistics.flush()


def conformance(args):
    """The largest difference from float64 on the CPU, as a share of the largest value."""
    if late(args, "conformance"):
        return
    head("small network", "method", "difference from float64 on the CPU")
    x = np.random.default_rng(1).normal(size=(4, 16, 16, 3)).astype("float32")
    for name, (make, methods) in TOYS.items():
        model = built(make, "float32", 16, 5)
        with on_cpu():
            double = built(make, "float64", 16, 5)
            double.set_weights([w.astype("float64") for w in model.get_weights()])
        for method in ("gradient", *methods):
            found = innspect.create_analyzer(method, model).analyze(x)
            with on_cpu():
                wanted = innspect.create_analyzer(method, double).analyze(x.astype("float64"))
            row(name, method, float(np.abs(found - wanted).max() / np.abs(wanted).max()))


def on_cpu():
    if BACKEND == "jax":
        import jax

        stack = contextlib.ExitStack()
        stack.enter_context(jax.enable_x64(True))
        stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        return stack
    return keras.device("cpu:0" if BACKEND == "tensorflow" else "cpu")


def zennit(args):
    """Zennit's composites on torchvision's VGG16, and its plain gradient; see `innspect`'s own above."""
    if BACKEND != "torch" or late(args, "zennit"):
        return
    try:
        import torch
        from torchvision.models import vgg16
        from zennit.attribution import Gradient
        from zennit.composites import LayerMapComposite
        from zennit.rules import AlphaBeta, Epsilon, Gamma, ZPlus
        from zennit.types import Convolution, Linear
    except ImportError as error:
        print(f"\nzennit is not measured: {error}")
        return
    where = "cuda" if device()[1] else "cpu"
    model = vgg16(weights=None).eval().to(where)
    x = torch.randn(args.batch, 3, args.size, args.size)
    target = torch.eye(1000, device=where)[[0] * args.batch]

    def attributed(rule):
        with Gradient(model, rule and LayerMapComposite([(Convolution, rule), (Linear, rule)])) as attributor:
            _, found = attributor(x.to(where).requires_grad_(), target)
        return found.cpu().numpy()

    rules = {"lrp.epsilon": Epsilon(), "lrp.z_plus": ZPlus(), "lrp.gamma": Gamma(), "lrp.alpha_2_beta_1": AlphaBeta(2, 1)}
    runs = {"plain gradient": lambda: attributed(None)}
    runs |= {f"zennit: {name}": functools.partial(attributed, rule) for name, rule in rules.items()}
    seconds = fastest(runs, args.repeats)
    head("VGG16 of torchvision", "seconds", "ratio")
    for name, taken in seconds.items():
        row(name, taken, taken / seconds["plain gradient"])


def late(args, what):
    """Whether there is no time left to begin something."""
    if time.perf_counter() - args.began < args.seconds:
        return False
    print(f"left out for want of time: {what}", flush=True)
    return True


def main(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small networks")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[*NETWORKS, *TOYS], help="these networks")
    parser.add_argument("--seconds", type=float, default=270, help="after these nothing new is begun")
    parser.add_argument("--zennit", action="store_true", help="also zennit, on torch")
    args = parser.parse_args(given)
    args.began, args.classes = time.perf_counter(), 1000
    if args.toy:
        args.batch, args.size, args.repeats, args.classes = 2, 16, min(args.repeats, 2), 5
    networks = {k: v for k, v in (TOYS if args.toy else NETWORKS).items() if not args.only or k in args.only}
    name, is_gpu = device()
    print(f"{name}{'' if is_gpu else ' (no GPU)'}, {BACKEND}, Keras {keras.__version__}, batch {args.batch}, {args.size} px")
    if not is_gpu and not args.toy:
        raise SystemExit("There is no GPU that this backend sees: give --toy, or measure a CPU by benchmarks/cost.py")
    costs(args, networks)
    patterns(args, networks)
    conformance(args)
    if args.zennit:
        zennit(args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
