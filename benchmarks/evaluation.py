"""What an evaluation costs beside the passes that it must make: srg, insertion, deletion, average_drop and collage.

    python benchmarks/evaluation.py [--samples 8] [--methods 10] [--steps 32] [--repeats 3]

The photograph network and photographs (needs the extras demo and evaluation). The passes are timed alone, in turns with the
evaluation, in the same process: forward passes of full batches through the same compiled function, and explanations by the same
analyzers. Prints the evaluation's time over theirs, by the processors' time where other work shares them (--processor).
"""

import argparse
import time

import keras
import numpy as np

import innspect
from innspect import zoo
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.mosaic import unfit

METHODS = (
    "gradient input_t_gradient saliency guided_backprop lrp.epsilon lrp.epsilon_plus_flat lrp.epsilon_gamma_flat deep_lift "
    "grad_cam hires_cam"
).split()


class Counter:
    """Counts the model's passes."""

    def __init__(self):
        self.forward = 0

    def advance(self, steps=1):
        self.forward += steps

    def say(self, note):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--methods", type=int, default=10)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processor", action="store_true", help="count the processors' time, not the clock's")
    given = parser.parse_args()
    clock = time.process_time if given.processor else time.perf_counter
    network = zoo.load("efficientnet_lite0")
    names = zoo.photographs.list_photographs()[: given.samples]
    x = network.preprocess(np.stack([zoo.photographs.photograph(name, 224) for name in names]))
    methods, steps = METHODS[: given.methods], {"steps": given.steps}
    metrics = {"srg": ("srg", steps), "insertion": ("insertion", steps), "deletion": ("deletion", steps)}
    metrics["average_drop"] = "average_drop"
    opened = innspect.open_model(network.model)
    methods = {name: innspect.create_analyzer(name, opened) for name in methods}  # which compile in the first turn
    for label, arguments in (("collage", {}), ("collage at p >= 0.2", {"confidence": 0.2})):
        if unfit(Evaluation(opened, x, methods, metrics, known={}).trial, **arguments) is None:
            metrics[label] = ("collage", arguments)
            break
    evaluating, passing = [], []
    for repeat in range(given.repeats + 1):
        evaluation = Evaluation(opened, x, methods, metrics, known={}, examples=0)
        counter = evaluation.trial.progress = Counter()
        began = clock()
        evaluation.run()
        evaluating.append(clock() - began)
        explained = len(x) * len(methods)  # of the clean samples; a mosaic adds four for each method
        mosaics = next(
            (
                len(r.values)
                for of in (evaluation.scores.results.get(m, {}) for m in metrics if "coll" in m)
                for r in of.values()
            ),
            0,
        )
        explained += 4 * mosaics * len(methods)
        forward = counter.forward - explained - len(x) - 4 * mosaics  # the row "random" explains nothing
        passing.append(passes(evaluation, forward, mosaics, clock))
        print(
            f"{repeat or 'first'}: {evaluating[-1]:.1f} s for {forward} forward passes and {explained} explanations; "
            f"these alone {passing[-1]:.1f} s; ratio {evaluating[-1] / passing[-1]:.2f}",
            flush=True,
        )
    print(f"{keras.backend.backend()}: fastest over fastest {min(evaluating[1:]) / min(passing[1:]):.2f}")


def passes(evaluation, forward, mosaics, clock):
    """Seconds of so many forward passes in full batches, and of the explanations."""
    trial = evaluation.trial
    trial.progress = Counter()
    rows = np.arange(32) % trial.samples
    batch = [a[rows] for a in trial.arrays]
    trial.run("output", batch)  # compiled before
    for analyzer in evaluation._methods.values():
        analyzer.analyze(trial.inputs.x)
    began = clock()
    for _ in range(max(1, round(forward / 32))):
        trial.run("output", batch)
    for analyzer in evaluation._methods.values():
        for _ in range(1 + (4 * mosaics + trial.samples - 1) // trial.samples):
            analyzer.analyze(trial.inputs.x)
    return clock() - began


if __name__ == "__main__":
    main()
