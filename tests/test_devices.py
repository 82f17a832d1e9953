"""Several devices, or another than Keras' own: maps and patterns are those of one, weights stay where they are."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect import backend
from innspect.graph.opened.opened_model import OpenedModel

BACKEND = keras.backend.backend()
NETWORK = """
    import keras
    import numpy as np
    from keras import layers as L

    import innspect

    x = np.random.default_rng(0).normal(size=(11, 6)).astype("float32")

    def network(weights=None):
        layers = [L.Dense(8, activation="relu", name="hidden"), L.Dense(4, name="out")]
        model = keras.Sequential([keras.Input((6,)), *layers], name="net")
        if weights is not None:
            model.set_weights(weights)
        return model

    def found(model):
        maps = {name: innspect.create_analyzer(name, model).analyze(x) for name in ("gradient", "lrp.z_plus")}
        return maps | dict(innspect.patterns.fit(model, x, "linear", batch_size=8, verbose=0))

    def check(found, wanted):
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6, err_msg=name)

    model = network()
    wanted = found(model)
"""
JAX = """
    import jax
    from innspect.analyzers.base.request import Batch

    devices, split = keras.distribution.list_devices(), []
    assert len(devices) == 8
    make = Batch.of.__func__

    def watched(cls, *given):
        made = make(cls, *given)
        split.append(made.xs[0].sharding.shard_shape((16, 6)))
        return made

    Batch.of = classmethod(watched)

    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    check(found(network(model.get_weights())), wanted)
    assert set(split) == {(2, 6)}, split  # of 16 rows, two on each device

    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*hidden/kernel"] = (None, "model")
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
    split.clear()
    sharded = network(model.get_weights())
    kernel = sharded.layers[0].kernel
    before = kernel.value.sharding
    check(found(sharded), wanted)
    assert kernel.value.sharding == before and before.shard_shape((6, 8)) == (6, 2), before
    assert set(split) == {(8, 6)}, split
"""
TENSORFLOW = """
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        mirrored = network(model.get_weights())
        check(found(mirrored), wanted)
    check(found(mirrored), wanted)
"""
TWO_DEVICES = """
    import tensorflow as tf

    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
"""


def run(code, **environment):
    parts = "".join(textwrap.dedent(part) for part in code)
    done = subprocess.run([sys.executable, "-c", parts], env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes on JAX")
def test_what_keras_distributes():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run([NETWORK, JAX], XLA_FLAGS=flags)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strategies are TensorFlow's")
def test_a_strategy_of_tensorflow():
    run([TWO_DEVICES, NETWORK, TENSORFLOW])


@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere a computation goes where its inputs are")
@pytest.mark.parametrize("name", ["gradient", "lrp.epsilon", "lrp.alpha_2_beta_1", "grad_cam"])
def test_tensors_are_made_on_the_models_device(name, monkeypatch, tmp_path):
    """The device "meta" computes shapes only, and nothing there can be mixed with what is on the CPU."""
    with keras.device("meta"):
        layers = [L.Conv2D(3, 3, activation="relu"), L.BatchNormalization(), L.GlobalAveragePooling2D(), L.Dense(4)]
        model = keras.Sequential([keras.Input((8, 8, 2)), *layers])
    monkeypatch.setattr(OpenedModel, "verify", lambda self, inputs=None: None)
    monkeypatch.setattr(OpenedModel, "confirm", lambda self, inputs: None)
    devices = []

    def to_numpy(tensor):
        devices.append(tensor.device.type)
        return np.zeros(tuple(tensor.shape), "float32")

    monkeypatch.setattr(backend, "to_numpy", to_numpy)
    analyzer = innspect.create_analyzer(name, model)
    assert len(analyzer.analyze(np.zeros((3, 8, 8, 2)), 1)) == 3
    assert len(analyzer.store(np.zeros((3, 8, 8, 2)), tmp_path / "maps.h5", neuron_selection=1, batch_size=2)) == 3
    assert set(devices) == {"meta"}
    assert keras.ops.zeros(()).device.type == "cpu"
