"""Small networks that are drawn, and other ways to write the same function down.

A stage is a table of forms, functions from a symbolic tensor and numbers to a symbolic tensor. The first form is the
layer that Keras has for it. `Drawn` draws stages and numbers; `Drawn.model(pick)` writes them in the forms that `pick` chooses.
"""

import keras
import numpy as np
from keras import layers as L
from keras import ops

BACKEND = keras.backend.backend()


# ---------------------------------------------------------------------- what a user writes
class Formula(L.Layer):
    """A layer of one's own: a function of the input and of weights, which are read in the way of the formula."""

    def __init__(self, formula, **weights):
        super().__init__()
        self.formula, self.names = formula, list(weights)
        for name, value in weights.items():
            setattr(self, name, self.add_weight(shape=np.shape(value), initializer="zeros", name=name))
            getattr(self, name).assign(value)
        self.listed = [getattr(self, name) for name in weights]

    def call(self, x):
        return self.formula(x, self)


def formula(h, function, **weights):
    """The layer with a formula, applied."""
    return Formula(function, **weights)(h)


class Wrapped(keras.Model):
    """A model whose `call` uses some layers."""

    def __init__(self, *used):
        super().__init__()
        self.used = list(used)

    def call(self, x):
        for layer in self.used:
            x = layer(x)
        return x


def weighted(layer, h, *weights):
    """A layer, applied, with its weights."""
    y = layer(h)
    layer.set_weights([w for w in weights if w is not None])
    return y


def native(name):
    """A function of the backend's own."""
    if BACKEND == "torch":
        import torch

        return {"softmax": lambda t: torch.softmax(t, dim=-1)}.get(name) or getattr(torch, name)
    if BACKEND == "jax":
        import jax

        return getattr(jax.nn, name)
    import tensorflow as tf

    return getattr(tf.nn, name)


# ---------------------------------------------------------------------- stages
ACTIVATE = {
    "argument": None,  # of the layer before, see `Drawn`
    "Activation": lambda h, name: L.Activation(name)(h),
    "operation": lambda h, name: getattr(ops, name)(h),
    "native": lambda h, name: L.Activation(native(name))(h),
    "lambda": lambda h, name: L.Activation(lambda t: native(name)(t) * 1)(h),
    "leaf": lambda h, name: L.Lambda(lambda t: native(name)(t), output_shape=h.shape[1:])(h),
}
RELU = {"ReLU": lambda h, _: L.ReLU()(h), "maximum": lambda h, _: ops.maximum(h, 0)}

DENSE = {
    "Dense": lambda h, w, b, act: weighted(L.Dense(w.shape[1], activation=act), h, w, b),
    "b + x w": lambda h, w, b, act: act(formula(h, lambda x, s: s.b + x @ s.w, w=w, b=b)),
    "matmul": lambda h, w, b, act: act(formula(h, lambda x, s: ops.matmul(x, s.w) + s.b, w=w, b=b)),
    "einsum": lambda h, w, b, act: act(formula(h, lambda x, s: ops.einsum("...i,io->...o", x, s.w) + s.b, w=w, b=b)),
    "transposed": lambda h, w, b, act: act(formula(h, lambda x, s: x @ ops.transpose(s.w) + s.b, w=w.T, b=b)),
    "tensordot": lambda h, w, b, act: act(formula(h, lambda x, s: ops.tensordot(x, s.w, axes=1) + s.b, w=w, b=b)),
    "EinsumDense": lambda h, w, b, act: weighted(
        L.EinsumDense("...i,io->...o", w.shape[1], bias_axes="o", activation=act), h, w, b
    ),
    "bias apart": lambda h, w, b, act: act(weighted(L.Dense(w.shape[1], use_bias=False), h, w) + b),
    "bias as a layer": lambda h, w, b, act: act(
        formula(weighted(L.Dense(w.shape[1], use_bias=False), h, w), lambda x, s: x - s.b, b=-b)
    ),
    "masked": lambda h, w, b, act: act(
        formula(h, lambda x, s: x @ (s.w * s.m) + s.b, w=np.where(w == 0, 7.0, w), m=1.0 * (w != 0), b=b)
    ),
    "normalized": lambda h, w, b, act: act(
        formula(
            h,
            lambda x, s: x @ (s.g * s.v / ops.sqrt(ops.sum(ops.square(s.v), 0))) + s.b,
            v=3 * w,
            g=np.sqrt((w**2).sum(0)),
            b=b,
        )
    ),
    "a sum": lambda h, w, b, act: act(formula(h, lambda x, s: x @ (s.w + s.u @ s.v) + s.b, **low_rank(w), b=b)),
    "in a list": lambda h, w, b, act: act(formula(h, lambda x, s: x @ (2.0 * s.listed[0]) + s.listed[1], w=w / 2, b=b)),
    "nested": lambda h, w, b, act: nested(h, L.Dense(w.shape[1], activation=act), w, b),
    "in a model of one's own": lambda h, w, b, act: wrapped(h, L.Dense(w.shape[1], activation=act), w, b),
    "then normalized": lambda h, w, b, act: act(normalize(weighted(L.Dense(w.shape[1]), h, *before_norm(w, b)), "layer")),
    "then by operation": lambda h, w, b, act: act(normalize(weighted(L.Dense(w.shape[1]), h, *before_norm(w, b)), "operation")),
    "then by arithmetic": lambda h, w, b, act: act(
        normalize(weighted(L.Dense(w.shape[1]), h, *before_norm(w, b)), "arithmetic")
    ),
}
for _how in ("layer", "operation", "arithmetic"):
    DENSE[f"normalized before, {_how}"] = lambda h, w, b, act, how=_how: weighted(
        L.Dense(w.shape[1], activation=act), normalize(h, how), w / SCALE, b - SHIFT / SCALE * w.sum(0)
    )
TIMES = {"TimeDistributed": lambda h, w, b, act: times(h, L.Dense(w.shape[1], activation=act), w, b)}

CONV = {
    "Conv2D": lambda h, w, b, act: weighted(L.Conv2D(w.shape[-1], w.shape[:2], activation=act), h, w, b),
    "conv": lambda h, w, b, act: act(formula(h, lambda x, s: ops.conv(x, s.w, padding="valid") + s.b, w=w, b=b)),
    "b + conv": lambda h, w, b, act: act(formula(h, lambda x, s: s.b + ops.conv(x, s.w, padding="valid"), w=w, b=b)),
    "standardized": lambda h, w, b, act: act(
        formula(h, lambda x, s: ops.conv(x, s.w * s.d, padding="valid") + s.b, w=w / 3, d=np.full(w.shape[-1:], 3.0), b=b)
    ),
    "bias apart": lambda h, w, b, act: act(weighted(L.Conv2D(w.shape[-1], w.shape[:2], use_bias=False), h, w) + b),
    "then normalized": lambda h, w, b, act: act(
        normalize(weighted(L.Conv2D(w.shape[-1], w.shape[:2]), h, *before_norm(w, b)), "layer")
    ),
    "then by arithmetic": lambda h, w, b, act: act(
        normalize(weighted(L.Conv2D(w.shape[-1], w.shape[:2]), h, *before_norm(w, b)), "arithmetic")
    ),
}
for _how in ("layer", "arithmetic"):
    CONV[f"normalized before, {_how}"] = lambda h, w, b, act, how=_how: weighted(
        L.Conv2D(w.shape[-1], w.shape[:2], activation=act), normalize(h, how), w / SCALE, b - SHIFT / SCALE * w.sum((0, 1, 2))
    )


def low_rank(w):
    u, v = np.ones((w.shape[0], 1)), w[:1] / 2
    return {"w": w - u @ v, "u": u, "v": v}


def nested(h, layer, *weights):
    x = keras.Input(h.shape[1:])
    model = keras.Sequential([x, layer]) if len(h.shape) == 2 else keras.Model(x, layer(x))
    layer.set_weights(weights)
    return model(h)


def wrapped(h, layer, *weights):
    y = Wrapped(layer)(h)
    layer.set_weights(weights)
    return y


def times(h, layer, *weights):
    y = L.TimeDistributed(layer)(h)
    layer.set_weights(weights)
    return y


SCALE, SHIFT, EPSILON = 1.7, 0.3, 1e-3  # of the normalization behind a kernel that is adjusted to it


def before_norm(w, b):
    return w / SCALE, (b - SHIFT) / SCALE


def normalize(h, how):
    """y = SCALE h + SHIFT, as a batch normalization with statistics of its own."""
    n = h.shape[-1]
    mean, variance, beta = np.linspace(-1, 1, n), np.linspace(0.5, 2, n), np.zeros(n)
    gamma = SCALE * np.sqrt(variance + EPSILON)
    beta = SHIFT + SCALE * mean
    if how == "layer":
        return weighted(L.BatchNormalization(epsilon=EPSILON), h, gamma, beta, mean, variance)
    weights = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    if how == "operation":
        return formula(h, lambda x, s: ops.batch_normalization(x, s.mean, s.variance, -1, s.beta, s.gamma, EPSILON), **weights)
    return formula(h, lambda x, s: (x - s.mean) * ops.rsqrt(s.variance + EPSILON) * s.gamma + s.beta, **weights)


PREPARE = {
    "Rescaling": {
        "layer": lambda h: L.Rescaling(0.5, -0.25)(h),
        "arithmetic": lambda h: h * 0.5 - 0.25,
        "division": lambda h: h / 2.0 - 0.25,
        "either side": lambda h: -0.25 + 0.5 * h,
        "centre first": lambda h: (h - 0.5) / 2,
        "in a layer": lambda h: formula(h, lambda x, s: ops.subtract(ops.multiply(x, 0.5), 0.25)),
    },
    "Normalization": {
        "layer": lambda h: L.Normalization(mean=spread(h, -1, 1), variance=spread(h, 0.5, 2))(h),
        "arithmetic": lambda h: (h - spread(h, -1, 1)) / np.sqrt(spread(h, 0.5, 2)),
        "in a layer": lambda h: formula(
            h, lambda x, s: ops.divide(ops.subtract(x, spread(x, -1, 1)), np.sqrt(spread(x, 0.5, 2)))
        ),
    },
    "nothing": {"nothing": lambda h: h},
}


def spread(h, low, high):
    return np.linspace(low, high, h.shape[-1]).astype(keras.config.floatx())


AVERAGE = {
    "layer": lambda h: {4: L.GlobalAveragePooling2D, 3: L.GlobalAveragePooling1D}[len(h.shape)]()(h),
    "operation": lambda h: ops.mean(h, axis=tuple(range(1, len(h.shape) - 1))),
}
HEADS = {
    "fused": None,
    "layer": lambda h: L.Softmax()(h),
    "operation": lambda h: ops.softmax(h),
    "native": lambda h: L.Activation(native("softmax"))(h),
    "written": lambda h: ops.exp(h) / ops.sum(ops.exp(h), -1, keepdims=True),
    "reshaped": lambda h: L.Reshape(h.shape[1:])(ops.expand_dims(L.Softmax()(h), 1)),
    "clipped": lambda h: ops.clip(L.Softmax()(h), 0, 1),
    "cast": lambda h: ops.cast(ops.squeeze(ops.softmax(ops.expand_dims(h, 1), -1), 1), h.dtype),
}


class Drawn:
    """A network whose stages and numbers are drawn."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.seed, self.family = seed, ["vector", "image", "sequence"][seed % 3]
        self.shape = {"vector": (5,), "image": (6, 6, 2), "sequence": (4, 5)}[self.family]
        self.prepared = random.choice(sorted(PREPARE))
        self.activation = random.choice(["relu", "tanh", "sigmoid"], p=[0.6, 0.2, 0.2])
        channels = self.shape[-1]
        if self.family == "image":
            self.first = random.normal(0, 0.5, (3, 3, channels, 4)), random.normal(0, 0.3, 4)
        else:
            self.first = random.normal(0, 0.5, (channels, 4)), random.normal(0, 0.3, 4)
        self.first[0][..., 0, 0] = 0  # for the form that masks
        self.second = random.normal(0, 0.5, (4, 5)), random.normal(0, 0.3, 5)
        self.last = random.normal(0, 0.7, (5, 3)), random.normal(0, 0.3, 3)
        self.x = random.normal(size=(3, *self.shape)).astype(keras.config.floatx())

    def model(self, pick):
        """The network, with the forms that `pick(stage, names)` chooses; `pick` also names the stage."""
        x = keras.Input(self.shape)
        h = self._chosen(pick, "preparation", PREPARE[self.prepared])(x)
        h = self._kernel(pick, "first kernel", CONV if self.family == "image" else self._dense(h), h, self.first)
        if self.family != "vector":
            h = self._chosen(pick, "average", AVERAGE)(h)
        h = self._kernel(pick, "second kernel", DENSE, h, self.second)
        head = pick("head", list(HEADS))
        dense = self._chosen(pick, "last kernel", DENSE)
        y = dense(h, *self.last, "softmax" if head == "fused" else "linear") if dense is DENSE["Dense"] else None
        if y is None:
            y = dense(h, *self.last, keras.activations.softmax if head == "fused" else keras.activations.linear)
        return keras.Model(x, y if head == "fused" else HEADS[head](y))

    def _dense(self, h):
        return DENSE | (TIMES if len(h.shape) == 3 else {})

    def _kernel(self, pick, stage, forms, h, weights):
        form = self._chosen(pick, stage, forms)
        activate = {**ACTIVATE, **(RELU if self.activation == "relu" else {})}
        how = pick(f"activation of the {stage}", list(activate))
        if how == "argument":
            return form(h, *weights, keras.activations.get(self.activation))
        return activate[how](form(h, *weights, keras.activations.linear), self.activation)

    @staticmethod
    def _chosen(pick, stage, forms):
        return forms[pick(stage, list(forms))]


def first(stage, names):
    """Pick what Keras has a layer for."""
    return names[0]


class Others:
    """Pick other forms, and remember which."""

    def __init__(self, seed):
        self._random, self.picked = np.random.default_rng(seed + 1000), {}

    def __call__(self, stage, names):
        self.picked[stage] = str(self._random.choice(names))
        return self.picked[stage]

    def __repr__(self):
        return ", ".join(f"{stage}: {form}" for stage, form in self.picked.items())
