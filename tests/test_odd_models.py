"""Every model that Keras runs is explained, or refused by innspect itself, for a reason: no backend's error reaches a user."""

import traceback
from pathlib import Path

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from odd_models import MODELS

import innspect
from innspect.analyzers.base.registry import example_arguments

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore")]

OWN = Path(innspect.__file__).parent
FEW = {"rise": {"num_masks": 4}, "smoothgrad": {"num_samples": 2}, "smoothgrad.squared": {"num_samples": 2}}
FEW |= {"vargrad": {"num_samples": 2}, "integrated_gradients": {"steps": 2}, "rsi_grad_cam": {"steps": 2}}
METHODS = [name for name in innspect.list_analyzers() if not name.startswith("test.")]
COMPILED = keras.backend.backend() != "torch"
# Where every program is compiled, one method of each kind, and models that differ there.
CHOSEN = ONE_OF_EACH if COMPILED else METHODS
ODD = ["branches", "scans", "loops", "native_call", "a_gradient_of_its_own", "segments", "masked_words", "two_texts"]

# What no method but those that only call a model can explain; JAX has no way back through a loop of unknown length.
REFUSED = {"a_class_as_output", "a_class_beside_logits", "a_constant", "dropping_in_call", "segments"}
REFUSED |= {"loops"} if keras.backend.backend() == "jax" else set()


def outcome(method, model, x):
    """ "explained", "refused", or what went wrong."""
    try:
        analyzer = innspect.create_analyzer(method, model, **{**example_arguments(method, x), **FEW.get(method, {})})
        if method.startswith("pattern."):
            analyzer.fit(x)
        maps = keras.tree.flatten(analyzer.analyze(x))
    except (ValueError, TypeError, KeyError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if OWN in raised_in.parents and "Arguments received by" not in str(error):
            return "refused"
        return f"{type(error).__name__} in {raised_in.name}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    shapes = [np.shape(leaf) for leaf in keras.tree.flatten(x)]
    if not maps or any(len(m) != shapes[0][0] for m in maps):
        return f"maps of shapes {[m.shape for m in maps]} for inputs of shapes {shapes}"
    return "explained"


@pytest.mark.sweep(keep=ODD, on="jax tensorflow")
@pytest.mark.parametrize("name", MODELS)
def test_every_method_explains_an_odd_model_or_says_why_not(name):
    model, x = MODELS[name]()
    found = {method: outcome(method, model, x) for method in CHOSEN}
    assert not {method: told for method, told in found.items() if told not in ("explained", "refused")}
    if name not in REFUSED:
        assert found["gradient"] == "explained"
