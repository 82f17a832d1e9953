"""Rows a second of `innspect.ray.explain` in steady state: one worker beside `stream`, and two workers beside one.

    KERAS_BACKEND=torch python benchmarks/ray_scaling.py

Goals: one worker at most 10 % slower than `stream` with as many threads; two at least 1.7 times as fast as one. Only what comes
between the first tenth and the last of the rows is timed, so starting and compiling are left out. `stream` runs in a process of
its own with the environment of a worker. Wants an idle core for each worker and one for Ray; it says how busy the machine is.
Needs `pip install "innspect[ray]"`.
"""

import argparse
import os
import subprocess
import sys
import time

import keras
import numpy as np
from keras import layers as L


def network(size):
    keras.utils.set_random_seed(0)
    layers = [
        L.Conv2D(32, 3, activation="relu"),
        L.Conv2D(32, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(10),
    ]
    return keras.Sequential([keras.Input((size, size, 3)), *layers])


def images(args):
    return np.random.default_rng(0).normal(size=(args.rows, args.size, args.size, 3)).astype("float32")


def steady(counts):
    """Rows a second of an iterator of counts, between the first tenth and the last."""
    times, total = [], 0
    for count in counts:
        total += count
        times.append((time.perf_counter(), total))
    kept = [(t, n) for t, n in times if total / 10 <= n <= total * 9 / 10]
    (began, first), (ended, last) = kept[0], kept[-1]
    return (last - first) / (ended - began)


def streamed(args):
    import innspect

    x, analyzer = images(args), innspect.create_analyzer(args.method, network(args.size))
    batches = (x[i : i + args.batch] for i in range(0, len(x), args.batch))
    return steady(len(maps) for maps in analyzer.stream(batches, batch_size=args.batch))


def by_workers(args, count):
    import ray

    import innspect

    parts = [ray.put(part) for part in np.array_split(images(args), max(1, args.rows // args.batch))]
    dataset = ray.data.from_numpy_refs(parts)
    maps = innspect.ray.explain(dataset, network(args.size), args.method, keep=[], batch_size=args.batch, workers=count)
    return steady(len(batch["attribution"]) for batch in maps.iter_batches(batch_size=args.batch, prefetch_batches=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="lrp.epsilon_plus")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--streamed", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.streamed:
        print(streamed(args))
        return
    import ray

    from innspect.ray.cluster import Workers

    print(f"{keras.backend.backend()}, {os.cpu_count()} cores, of which {os.getloadavg()[0]:.1f} were busy before", flush=True)
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    environment = os.environ | Workers().environment()
    found = {"stream": [], "1 worker": [], "2 workers": []}
    for _ in range(args.repeats):  # in turn, so that a busy machine troubles all alike
        alone = subprocess.run(
            [sys.executable, *sys.argv, "--streamed"], env=environment, capture_output=True, text=True, check=True
        )
        found["stream"].append(float(alone.stdout.split()[-1]))
        for count in (1, 2):
            found[f"{count} worker{'s' * (count > 1)}"].append(by_workers(args, count))
    best = {name: max(rates) for name, rates in found.items()}
    print(f"\n{'':12}{'rows/s':>10}")
    for name, rate in best.items():
        print(f"{name:12}{rate:10.0f}")
    print(f"\none worker beside stream: {best['1 worker'] / best['stream']:.2f} (goal 0.90)")
    print(f"two workers beside one:   {best['2 workers'] / best['1 worker']:.2f} (goal 1.70)")


if __name__ == "__main__":
    main()
