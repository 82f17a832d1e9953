"""Which explanation of photographs can be believed? Five methods by three metrics, with intervals; a figure and a page.

    python examples/evaluate.py [--small]

Needs the extras demo and evaluation. Takes about two minutes; --small looks at three photographs in large steps.
"""

import argparse

import numpy as np

import innspect
from innspect import zoo

METHODS = {
    "lrp.epsilon_gamma_flat": "lrp.epsilon_gamma_flat",
    "grad_cam": "grad_cam",
    "deep_lift": "deep_lift",
    "lrp.epsilon": "lrp.epsilon",
    "gradient": "gradient",
}

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
small = parser.parse_args().small

network = zoo.load("efficientnet_lite0")
names = zoo.photographs.list_photographs()[: 3 if small else None]
photographs = np.stack([zoo.photographs.photograph(name, 224) for name in names])
x = network.preprocess(photographs)

steps = 2 if small else 16
metrics = {"srg": ("srg", {"steps": steps}), "insertion": ("insertion", {"steps": steps}), "mprt.efficient": "mprt.efficient"}
scores = innspect.evaluate(network.model, x, dict(list(METHODS.items())[: 2 if small else None]), metrics, verbose=1)

print(scores)
print("lrp.epsilon_gamma_flat against grad_cam, srg:", scores.difference("srg", "lrp.epsilon_gamma_flat", "grad_cam"))
scores.plot().savefig("evaluation.png", dpi=110)
scores.report("scores.html", names=names[:4], images=photographs[:4])
print("written to evaluation.png and scores.html")
