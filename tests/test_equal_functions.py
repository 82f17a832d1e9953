"""Equal functions, equal maps: a network that is written down otherwise is explained as before, or refused by name."""

import os

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from rewritings import Drawn, Others, first

import innspect
from innspect.analyzers.base.registry import example_arguments

pytestmark = [
    pytest.mark.usefixtures("double", "quick"),
    pytest.mark.filterwarnings("ignore:.deep_taylor", "ignore:.*outside the bounds"),
]

MANY = int(os.environ.get("INNSPECT_REWRITINGS", "30"))  # how many networks are drawn
# Not those that look at feature maps, which another form may have in another layer; nor the baselines.
WITHOUT = {"input", "random", "cam", "score_cam", "ablation_cam", "rise", "pattern.net", "pattern.attribution"}
EVERY = innspect.list_analyzers() if keras.backend.backend() == "torch" else [*ONE_OF_EACH, "lrp.z_plus", "lrp.epsilon"]
METHODS = [name for name in EVERY if name not in WITHOUT and "cam" not in name and not name.startswith("test.")]
SAMPLING = {"smoothgrad": 4, "smoothgrad.squared": 4, "vargrad": 4}


def explained(name, model, x):
    """The explanation, or the error that refuses the model."""
    more = {"num_samples": SAMPLING[name], "seed": 0} if name in SAMPLING else {}
    try:
        return innspect.create_analyzer(name, model, **{**example_arguments(name, x), **more}).explain(x, 1)
    except innspect.NotAnalyzeableModelError as error:
        return error


def differing(name, plain, other, x):
    """What differs between the explanations of two models, in words; empty where nothing does."""
    wanted, found = explained(name, plain, x), explained(name, other, x)
    if isinstance(wanted, Exception):
        return "" if isinstance(found, Exception) else f"{name}: only the plain one is refused: {wanted}"
    if isinstance(found, Exception):
        return ""
    for what in ("targets", "attributions"):
        a, b = getattr(found, what), getattr(wanted, what)
        apart, largest = np.abs(a - b).max(), np.abs(b).max()
        if not apart <= 1e-5 * max(largest, 1e-9):
            return f"{name}: the {what} are off by {apart:.2g}, where the largest is {largest:.2g}"
    return ""


@pytest.mark.sweep(keep=["0", "4", "11"], on="jax tensorflow")
@pytest.mark.parametrize("seed", range(MANY))
def test_another_way_to_write_a_network_changes_no_map(seed):
    drawn, others = Drawn(seed), Others(seed)
    plain, other = drawn.model(first), drawn.model(others)
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(m(drawn.x)) for m in (other, plain)), rtol=1e-6)
    plain, other = map(innspect.open_model, (plain, other))
    found = [text for text in (differing(name, plain, other, drawn.x) for name in METHODS) if text]
    assert not found, f"{drawn.family}, {drawn.prepared}, {drawn.activation}; {others}"
