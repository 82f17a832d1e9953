"""Whatever is given to what draws, or to a callback: a picture, or an error of innspect's own that names the argument."""

import inspect

import keras
import numpy as np
import pytest
from hostile import HOSTILE, swallows
from keras import layers as L
from models import array, shake

import innspect
from innspect.callbacks import ExplanationImages, PatternCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # an odd value may be warned of
MAPS, IMAGES, ROWS = array(3, 8, 8, 1), np.abs(array(3, 8, 8, 1)), array(3, 8)
FOUND = innspect.create_analyzer(
    "gradient", keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(3, 3, name="c"), L.Flatten(), L.Dense(2)])
).concepts(MAPS, 0, at="c", top=2)
GOOD = {
    "concepts": {"found": FOUND},
    "show": {},
    "slices": {"volumes": array(2, 3, 4, 4)},
    "colours": {"values": MAPS[..., 0]},
    "explanation_html": {},
    "grid": {"maps": {"a": MAPS}, "images": IMAGES},
    "heatmap": {"attribution": MAPS},
    "overlay": {"attribution": MAPS, "images": IMAGES},
    "palette_of": {"of": "gradient"},
    "pictures": {"images": IMAGES},
    "reduce": {"attribution": MAPS},
    "scale_of": {"of": "gradient"},
    "scaled": {"values": MAPS},
    "series": {"values": ROWS, "attribution": ROWS},
    "signal": {"signals": MAPS},
    "table": {"attribution": ROWS},
    "text": {"tokens": ["a", "b"], "attribution": np.ones(2)},
    "to_pil": {},
}
VALUES = [*HOSTILE.values(), 0, 0.5, True, (1,), [1, 2, 3], np.zeros((2, 2)), np.zeros(0), b"", 10**12]


ARGUMENTS = [(n, argument) for n in GOOD for argument in inspect.signature(getattr(innspect.visualize, n)).parameters]


def test_every_function_is_tried():
    assert set(GOOD) == {name for name in innspect.visualize.__all__ if callable(getattr(innspect.visualize, name))}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_hostile_arguments_of_what_draws(name, argument):
    called = "reduce" if argument == "how" else argument
    function = getattr(innspect.visualize, name)
    faults = [swallows(called, lambda v=v: function(**{**GOOD[name], argument: v})) for v in VALUES]
    assert not any(faults), [f for f in faults if f]


# ---------------------------------------------------------------------- callbacks
FEW = [
    *(HOSTILE[name] for name in ("nan", "-1", "1e300", "nonsense", "None", "[]", "dict", "strings", "ragged")),
    0,
    np.zeros((2, 2)),
]


def trained(*callbacks):
    model = shake(keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(3, activation="softmax", name="d")]))
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(IMAGES, np.arange(3), epochs=1, verbose=0, callbacks=list(callbacks))


def outlived(make):
    """Runs a callback; what does not fit is said before the first step of the training."""
    steps = []
    began = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: steps.append(batch))
    try:
        trained(make(), began)
    except Exception:
        assert not steps, "it was said after the training had begun"
        raise


PICTURES = ["data", "methods", "every", "log_dir", "samples", "neuron_selection", "percentile", "palette", "cell", "ground"]


@pytest.mark.parametrize("argument", PICTURES)
def test_hostile_arguments_of_pictures_of_a_training(argument, tmp_path):
    good = {"data": IMAGES, "methods": ["gradient"], "log_dir": tmp_path}
    values = FEW if argument != "log_dir" else [v for v in FEW if not isinstance(v, str)]
    faults = [swallows(argument, lambda v=v: outlived(lambda: ExplanationImages(**{**good, argument: v}))) for v in values]
    assert not any(faults), [f for f in faults if f]


@pytest.mark.parametrize("argument", ["path", "data", "every", "pattern_type", "batch_size", "gate", "steps", "nonsense"])
def test_hostile_arguments_of_patterns_of_a_training(argument, tmp_path):
    good = {"path": tmp_path / "p.h5", "data": IMAGES}
    values = FEW if argument != "path" else [v for v in FEW if not isinstance(v, str)]
    faults = [swallows(argument, lambda v=v: outlived(lambda: PatternCheckpoint(**{**good, argument: v}))) for v in values]
    assert not any(faults), [f for f in faults if f]


def test_a_look_that_nothing_has_is_refused_at_once():
    with pytest.raises(TypeError, match=r"palette.*Received: `palete`"):
        ExplanationImages(IMAGES, "gradient", palete="grey")
