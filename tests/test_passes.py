"""The pass that methods, and what is built on them, send values and signals through."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect import backend
from innspect.analyzers.base.request import Request
from innspect.inputs.batches import Inputs
from innspect.inputs.targets import resolve

pytestmark = pytest.mark.usefixtures("quick")


def network():
    x = keras.Input((4,))
    h = L.Dense(5, activation="tanh", name="hidden")(x)
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="out")(h)))


def test_a_pass_gives_values_and_signals_at_inputs_and_layers():
    model, data = network(), array(4, 4)
    analyzer = innspect.create_analyzer("gradient", model)
    inputs = Inputs(data, analyzer.opened)
    targets = tuple(resolve(n, None, (3,), len(data)) for n in (0, 2))
    request = Request(inputs, targets, several=True, at=("hidden",))
    ((batch, _),) = request.batches()
    found = analyzer.way(request).explain(batch)
    found = keras.tree.map_structure(backend.to_numpy, found)
    (w1, b1), (w2, b2) = (map(ops.convert_to_numpy, layer.weights) for layer in (model.get_layer("hidden"), model.layers[-1]))
    hidden = np.tanh(data @ w1 + b1)
    logits = hidden @ w2 + b2
    np.testing.assert_allclose(found["targets"], logits[:, [0, 2]].T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["outputs"], ops.convert_to_numpy(model(data)), rtol=1e-5)
    at_hidden = np.stack([np.tile(w2[:, n], (4, 1)) for n in (0, 2)])
    np.testing.assert_allclose(found["signals"]["hidden"], at_hidden, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["inputs"][0], at_hidden * (1 - hidden**2) @ w1.T, rtol=1e-4, atol=1e-6)


def test_a_request_is_written_by_nobody():
    """What methods fix for all batches they return; they had written it on the inputs."""
    model, data = network(), array(3, 4)
    for name, arguments in (("integrated_gradients", {"steps": 2}), ("deep_lift", {}), ("smoothgrad", {"num_samples": 2})):
        analyzer = innspect.create_analyzer(name, model, **arguments)
        inputs = Inputs(data, analyzer.opened)
        before = dict(vars(inputs))
        request = Request(inputs, (resolve(1, None, (3,), len(data)),))
        context = analyzer.begin(request)
        assert context is not None
        assert vars(inputs) == before
        with pytest.raises(AttributeError):
            request.context = context
