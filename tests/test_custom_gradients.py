"""Functions that bring a gradient of their own: gradient methods send theirs back, relevance methods refuse them by name."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import shake
from networks import normal

import innspect

BACKEND = keras.backend.backend()


def with_slope(factor):
    """The identity, which sends back `factor` times a signal: by Keras's decorator, and by the backend's own means."""

    @ops.custom_gradient
    def by_keras(x):
        def gradient(*signals, upstream=None):
            return factor * (signals[0] if upstream is None else upstream)

        return x * 1.0, gradient

    return by_keras, _of_the_backend(factor)


def _of_the_backend(factor):
    if BACKEND == "torch":
        import torch

        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, factor):
                ctx.factor = factor
                return x * 1.0

            @staticmethod
            def backward(ctx, signal):
                return signal * ctx.factor, None

        apply = Scaled.apply  # as users write it, once and before anything is explained
        return lambda x: apply(x, factor)
    if BACKEND == "jax":
        import jax

        function = jax.custom_vjp(lambda x: x * 1.0)
        function.defvjp(lambda x: (x * 1.0, None), lambda _, signal: (factor * signal,))
        return function
    import tensorflow as tf

    return tf.custom_gradient(lambda x: (x * 1.0, lambda signal: factor * signal))


class Inline(keras.Model):
    """A dense layer, a function, and another dense layer."""

    def __init__(self, features, function, last):
        super().__init__()
        self.features, self.function, self.last = features, function, last

    def call(self, x):
        return self.last(self.function(self.features(x)))


def written(features, function, last):
    """The same function within a layer, as an activation, and inline in a subclassed model."""
    x, inline = keras.Input((4,)), Inline(features, function, last)
    inline(x)
    return {
        "layer": keras.Model(x, last(L.Lambda(function, output_shape=(5,))(features(x)))),
        "activation": keras.Model(x, last(L.Activation(function)(features(x)))),
        "inline": inline,
    }


@pytest.fixture
def dense():
    x = keras.Input((4,))
    features, last = L.Dense(5, activation="tanh"), L.Dense(2)
    return features, last, shake(keras.Model(x, last(features(x))))


@pytest.mark.parametrize("method", ["gradient", "input_t_gradient", "integrated_gradients", "smoothgrad"])
def test_the_gradient_is_the_functions_own_wherever_it_stands(dense, method):
    features, last, plain = dense
    x = normal(3, 4)
    wanted = -2 * innspect.create_analyzer(method, plain).analyze(x, 1)
    for function in with_slope(-2.0):
        for model in written(features, function, last).values():
            np.testing.assert_allclose(innspect.create_analyzer(method, model).analyze(x, 1), wanted, rtol=1e-4, atol=1e-6)


def test_relevance_methods_refuse_it_by_name_but_pass_an_activation(dense):
    features, last, plain = dense
    for function in with_slope(3.0):
        models = written(features, function, last)
        for where in ("layer", "inline"):
            with pytest.raises(innspect.NotAnalyzeableModelError, match="custom_gradient"):
                innspect.create_analyzer("lrp.epsilon", models[where])
        found, wanted = (
            innspect.create_analyzer("lrp.epsilon", m).analyze(normal(3, 4), 1) for m in (models["activation"], plain)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_head_behind_it_is_still_seen(dense):
    features, last, plain = dense
    for function in with_slope(-1.0):
        model = Inline(features, function, lambda x: ops.softmax(last(x)))
        model.last_layer = last
        model(normal(1, 4))
        found, wanted = (innspect.create_analyzer("gradient", m).analyze(normal(3, 4), 1) for m in (model, plain))
        np.testing.assert_allclose(found, -wanted, rtol=1e-4, atol=1e-6)


def test_it_reads_live_variables():
    class Scaling(L.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(), initializer="ones", trainable=False)

        def call(self, x):
            @ops.custom_gradient
            def scaled(x):
                factor = ops.convert_to_tensor(self.factor)

                def gradient(*signals, upstream=None, variables=None):
                    return factor * (signals[0] if upstream is None else upstream)

                return x * factor, gradient

            return scaled(x)

    x, scaling = keras.Input((4,)), Scaling()
    analyzer = innspect.create_analyzer("gradient", shake(keras.Model(x, L.Dense(2)(scaling(x)))))
    before = analyzer.analyze(normal(3, 4), 1)
    scaling.factor.assign(3 * ops.convert_to_tensor(scaling.factor))
    np.testing.assert_allclose(analyzer.analyze(normal(3, 4), 1), 3 * before, rtol=1e-5)


def test_nothing_of_the_backend_stays_replaced(dense):
    features, last, _ = dense
    places = innspect.backend.custom_gradients(lambda *_: None)
    before = [vars(owner).get(name) for owner, name, _ in places]
    innspect.create_analyzer("gradient", written(features, with_slope(1.0)[1], last)["layer"])
    assert [vars(owner).get(name) for owner, name, _ in places] == before
