"""Cost of each method relative to the plain gradient of the same model in the same process.

    KERAS_BACKEND=tensorflow python benchmarks/cost.py --batch 4 16

Prints a table of wall and CPU time ratios (each from the fastest of some runs, taken in turn) beside the limit that
counting passes gives and the goal; with --memory also the peak memory of each method, measured in processes of its own.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time

import keras
import numpy as np
from common import plain_gradient, ratios

import innspect

# name, arguments, (limit, goal): forward and input-gradient passes relative to the gradient's two.
METHODS = [
    ("gradient", {}, (1.0, 1.1)),
    ("input_t_gradient", {}, (1.0, 1.1)),
    ("deconvnet", {}, (1.0, 1.1)),
    ("guided_backprop", {}, (1.0, 1.1)),
    ("lrp.z", {}, (1.0, 1.1)),
    ("lrp.epsilon", {}, (1.0, 1.1)),
    ("lrp.z_plus", {}, (1.5, 1.6)),
    ("lrp.gamma", {}, (1.5, 1.6)),
    ("lrp.alpha_1_beta_0", {}, (1.5, 1.6)),
    ("deep_taylor", {}, (1.5, 1.6)),
    ("lrp.alpha_2_beta_1", {}, (2.0, 2.25)),
    ("grad_cam", {}, (0.5, 0.6)),
    ("guided_grad_cam", {}, (1.0, 1.1)),
]
STEPS = 64


def slower(x):
    """Methods of many passes, with limits and goals that depend on the batch: label, name, arguments, (limit, goal)."""
    many = (float(STEPS), 1.02 * STEPS)
    shared = 1 / len(x)
    return [
        (f"{STEPS} integration steps", "integrated_gradients", {"steps": STEPS, "quadrature": "midpoint"}, many),
        (f"{STEPS} noisy samples", "smoothgrad", {"num_samples": STEPS, "seed": 0}, many),
        ("deep_lift, a reference each", "deep_lift", {"reference_inputs": np.zeros_like(x)}, (2.0, 2.1)),
        ("deep_lift, one reference", "deep_lift", {}, (1.0 + shared, 1.1 + shared)),
    ]


def build(name, size):
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(size, size, 3), classes=1000, classifier_activation=None)


def draw(batch, size):
    return np.random.default_rng(0).normal(0, 1, (batch, size, size, 3)).astype("float32")


def print_costs(args, model, batch):
    x, gradient = draw(batch, args.size), plain_gradient(model)
    chosen = [(name, *rest) for name, *rest in METHODS if not args.only or name in args.only]
    if args.slower:
        chosen += [method for method in slower(x) if not args.only or method[1] in args.only]
    settings = {"batch_size": batch}
    if args.neurons:
        limit, settings["neurons"] = (1 + args.neurons) / 2, list(range(args.neurons))
        chosen = [(f"{args.neurons} neurons", "gradient", {}, (limit, 1.1 * limit))]
    runs = {}
    for label, name, arguments, _ in [c if len(c) == 4 else (c[0], *c) for c in chosen]:
        start = time.perf_counter()
        analyzer = innspect.create_analyzer(name, model, **arguments)
        print(f"{label} is built in {time.perf_counter() - start:.2f} s", file=sys.stderr)
        runs[label] = lambda a=analyzer: a.analyze(x, **settings)
    seconds, table = ratios(lambda: gradient(x), runs, args.repeats, in_a_row=STEPS if args.slower else 1)
    print(f"\n{args.model}, {args.size} px, batch {batch}, {keras.backend.backend()}: the plain gradient takes {seconds:.3f} s")
    print(f"{'method':28}{'wall':>8}{'CPU':>8}{'limit':>8}{'goal':>8}")
    for label, *_, (limit, goal) in chosen:
        wall, cpu = table[label]
        print(f"{label:28}{wall:8.2f}{cpu:8.2f}{limit:8.2f}{goal:8.2f}{'' if min(wall, cpu) <= goal else '  over the goal'}")
    sys.stdout.flush()


def _peak(args, name, batch, queue):
    model, x = build(args.model, args.size), draw(batch, args.size)
    model(x[:1], training=False)
    if name is None:
        run = plain_gradient(model)
    else:
        analyzer = innspect.create_analyzer(name, model)
        run = lambda x: analyzer.analyze(x, batch_size=batch)  # noqa: E731
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        run(x)
    queue.put((before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def print_memory(args, batch):
    context = multiprocessing.get_context("spawn")
    print(f"\npeak memory, batch {batch} (MiB, and relative to the plain gradient)")
    base = None
    for name in [None, *(args.only or ["gradient", "lrp.epsilon", "lrp.z_plus", "lrp.alpha_2_beta_1"])]:
        queue = context.Queue()
        process = context.Process(target=_peak, args=(args, name, batch, queue))
        process.start()
        before, peak = queue.get()
        process.join()
        base = base or peak
        alone = f"model alone {before / 1024:.0f}"
        print(f"{name or 'plain gradient':24}{peak / 1024:10.0f}{peak / base:8.2f}   {alone}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="VGG16", help="a network of keras.applications (random weights)")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--slower", action="store_true", help="also integrated gradients, SmoothGrad and DeepLIFT")
    parser.add_argument("--neurons", type=int, default=0, help="instead, time this many neurons at once")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    if args.memory:
        for batch in args.batch:
            print_memory(args, batch)
        return
    model = build(args.model, args.size)
    for batch in args.batch:
        print_costs(args, model, batch)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
