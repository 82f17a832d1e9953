"""innspect against numbers that other libraries computed (tests/references/README.md)."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.layers import AlphaBeta, Bounded, Epsilon, Flat, Gamma, Proportional, WSquare, ZPlus

# The peers' inputs lie outside the bounds that they were given.
pytestmark = pytest.mark.filterwarnings("ignore:.*outside the bounds")

FOLDER = Path(__file__).parent / "references"
ZENNIT = np.load(FOLDER / "zennit_layers.npz")

# zennit's rules in our words. It stabilises every denominator with 1e-6.
ZENNIT_RULES = {
    "zennit.Epsilon.eps1e-6": Epsilon(1e-6),
    "zennit.Epsilon.eps0.25": Epsilon(0.25),
    "zennit.Epsilon.eps1e-6.nobias": Epsilon(1e-6, bias=False),
    "zennit.Gamma.gamma0.25": Gamma(0.25, epsilon=1e-6),
    "zennit.AlphaBeta.alpha2.beta1": AlphaBeta(2, 1, epsilon=1e-6),
    "zennit.ZPlus": AlphaBeta(1, 0, epsilon=1e-6),
    "zennit.ZPlus.nobias": ZPlus(epsilon=1e-6),
    "zennit.WSquare": WSquare(),
    "zennit.Flat": Flat(),
    "zennit.ZBox.low-1.high1": Bounded(-1.0, 1.0, epsilon=1e-6),
}
# Layers without a kernel: in zennit "Norm" is our rule of average pooling, "Gradient" of max pooling.
POOLING = {"avgpool2d": "zennit.Norm", "maxpool2d_s1": "zennit.Gradient"}


def zennit_layer(name):
    kind, config = json.loads(str(ZENNIT[f"{name}/layer"]))
    x = keras.Input(ZENNIT[f"{name}/x"].shape[1:])
    layer = getattr(L, kind)(**config)
    model = keras.Model(x, layer(x))
    layer.set_weights([ZENNIT[f"{name}/weights/{w}"] for w in ("kernel", "bias") if f"{name}/weights/{w}" in ZENNIT])
    return model


def close(ours, theirs, tolerance):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.mark.sweep(keep=["conv2d_groups", "conv2dtranspose_s2", "dense", "depthwise2d", "maxpool2d_s1"], on="jax")
@pytest.mark.usefixtures("double", "eager")
@pytest.mark.parametrize("name", sorted({key.split("/")[0] for key in ZENNIT}))
def test_single_layers_give_zennits_numbers(name):
    model, x, relevance = zennit_layer(name), ZENNIT[f"{name}/x"], ZENNIT[f"{name}/R"]
    close(keras.ops.convert_to_numpy(model(x)), ZENNIT[f"{name}/y"], 1e-6)
    pairs = {POOLING[name]: None} if name in POOLING else ZENNIT_RULES
    for theirs, rule in pairs.items():
        if theirs == "zennit.WSquare" and f"{name}/weights/bias" in ZENNIT:
            continue  # there the squared bias takes its share, here (as in Montavon et al. 2017) relevance is kept
        if rule is None:
            analyzer = innspect.create_analyzer("lrp.epsilon_plus", model, start="one")
        else:
            analyzer = innspect.create_analyzer("lrp", model, rule=rule, start="one")
        close(analyzer.analyze(x, relevance), ZENNIT[f"{name}/rule/{theirs}"], 1e-6)


# ---------------------------------------------------------------------- iNNvestigate 2
def mlp_relu():
    return keras.Sequential([keras.Input((6,)), L.Dense(8, "relu"), L.Dense(7, "relu"), L.Dense(4)])


def cnn_maxpool():
    same = {"kernel_size": 3, "padding": "same", "activation": "relu"}
    convolutions = [L.Conv2D(4, **same), L.Conv2D(5, **same), L.MaxPooling2D(2), L.Conv2D(6, **same)]
    return keras.Sequential([keras.Input((8, 8, 3)), *convolutions, L.GlobalAveragePooling2D(), L.Dense(4)])


def two_inputs():
    xs = [keras.Input((6,)), keras.Input((5,))]
    h = L.Concatenate()([L.Dense(5, "relu")(x) for x in xs])
    return keras.Model(xs, L.Dense(4)(L.Dense(6, "relu")(h)))


def embedding_text():
    h = [keras.Input((12,), dtype="int32"), L.Embedding(20, 6), L.Conv1D(5, 3, activation="relu")]
    return keras.Sequential([*h, L.GlobalMaxPooling1D(), L.Dense(4)])


# iNNvestigate adds the whole bias to both denominators of alpha-beta.
BIAS_IN_BOTH = ("lrp.alpha_beta", "lrp.alpha_2_beta_1", "lrp.alpha_1_beta_0", "lrp.sequential_preset")
# Its sums are in proportion, whatever the rules are.
SUMS_IN_PROPORTION = ("lrp.flat", "lrp.w_square")
SELECTION = {
    "analysis": ({}, None),
    "analysis_index": ({"neuron_selection_mode": "index"}, 1),
    "analysis_index_batch": ({"neuron_selection_mode": "index"}, [0, 1, 2, 3]),
    "analysis_all": ({"neuron_selection_mode": "all"}, None),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("build", [mlp_relu, cnn_maxpool, two_inputs, embedding_text])
def test_small_models_give_innvestigates_numbers(build):
    stored = np.load(FOLDER / f"innvestigate_{build.__name__}.npz")
    keys = stored.files
    model = build()
    model.set_weights([stored[k] for k in sorted(k for k in keys if k.startswith("weights/"))])
    x = [stored[k] for k in sorted(k for k in keys if k.startswith("x/"))]
    x = x[0] if len(x) == 1 else x
    for key in (k for k in keys if k.endswith("/call")):
        name, arguments = json.loads(str(stored[key]))
        if name.startswith(BIAS_IN_BOTH) and not name.endswith("_IB"):
            arguments["bias"] = "both"
        if name in SUMS_IN_PROPORTION:
            arguments["rules"] = [("sum", Proportional())]
        mode, selection = SELECTION[key.split("/")[0]]
        analyzer = innspect.create_analyzer(name, model, **arguments, **mode)
        ours = keras.tree.flatten(analyzer.analyze(x, selection))
        for number, mine in enumerate(ours):
            close(mine, stored[key.replace("call", str(number))], 2e-5)
