"""Which methods find what a network was made to use? A distractor, and tetrominoes on noise, with truth; a table and a figure.

    python examples/known_truth.py [--small]

Needs the extras evaluation and visualize. Trains 45 networks, in six to ten minutes; --small trains two for each of two tasks.
"""

import argparse

from innspect import evaluation

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
small = parser.parse_args().small

if small:
    found = evaluation.benchmark(["distractor", "linear.white"], ["gradient", "pattern.attribution"], 2, samples=8)
else:
    found = evaluation.benchmark(verbose=1)

print(found)
for score in found.scores:
    print(f"\n{found.table(score)}")
found.save("known_truth.npz")
found.plot().savefig("known_truth.png", dpi=80)
print("written to known_truth.png")
