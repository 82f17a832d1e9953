"""Analyzers that are made, used and dropped leave nothing behind."""

import gc
import os
import weakref

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.base.registry import example_arguments
from innspect.inputs.batches import Inputs


@pytest.fixture(scope="module", autouse=True)
def what_was_there_before_is_not_searched():
    """The garbage collector looks at what these tests make, and not at all of a framework each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def network():
    x = keras.Input((6, 6, 1))
    return keras.Model(x, L.Dense(3)(L.Flatten()(L.Conv2D(2, 3, activation="relu")(x))))


DATA = np.ones((2, 6, 6, 1), "float32")


@pytest.mark.sweep(keep=["lrp.attention"], on="jax")
@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon", "lrp.attention", "deep_lift"])
def test_a_dropped_analyzer_is_gone_with_its_graph_and_so_is_its_model(method):
    model = network()
    analyzer = innspect.create_analyzer(method, model)
    analyzer.explain(DATA, 1)
    gone = [weakref.ref(t) for t in (analyzer, analyzer.opened, analyzer.opened.graph)]
    del analyzer
    gc.collect()
    assert not any(r() for r in gone)
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory of the process as Linux tells it")
def test_no_growth_over_a_hundred_analyzers():
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(3)(x))

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    sizes = []
    for number in range(101):
        if number % 25 == 0:
            sizes.append(resident())
        innspect.create_analyzer("lrp.epsilon", model).analyze(np.ones((2, 4)), 1)
    assert sizes[-1] - sizes[1] < 2.5, sizes  # MiB over 75 of them; the first warm up


EVERY = [name for name in innspect.list_analyzers() if not name.startswith(("lrp.", "test."))]


@pytest.mark.usefixtures("quick")
@pytest.mark.sweep(keep=["gradient", "smoothgrad"], on="jax")
@pytest.mark.parametrize("method", EVERY)
def test_what_an_analyzer_compiles_holds_on_to_no_inputs(method):
    x = keras.Input((6, 6, 1))
    h = L.GlobalAveragePooling2D()(L.Conv2D(2, 3, activation="relu")(x))
    model = keras.Model(x, L.Dense(3, bias_initializer="ones")(h))
    analyzer = innspect.create_analyzer(method, model, **example_arguments(method, DATA))
    if analyzer.learned:
        analyzer.fit(DATA)
    gc.collect()
    before = {id(each) for each in gc.get_objects() if type(each) is Inputs}
    analyzer.explain(DATA, neurons=[0, np.ones((2, 3), "float32")])
    if hasattr(analyzer, "conservation"):
        analyzer.conservation(DATA, 0)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Inputs and id(each) not in before]
