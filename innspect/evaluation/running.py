"""What runs the model that is asked about: a network, up to a layer where a unit there is explained, or a function."""

from typing import Any

import keras

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.inputs.predictor import Network, Predictor, black_box
from innspect.inputs.units import cut_at


def predictor_of(model: Any, layer: str | None = None) -> Predictor:
    """What runs a model, or what it computes up to a layer.

    Raises:
        ValueError: A layer is asked for of what is no Keras model.
    """
    if isinstance(model, keras.Layer | OpenedModel):
        try:
            network = Network(model if layer is None else cut_at(open_model(model), layer), "logit")
        except NotAnalyzeableModelError:
            if layer is not None:
                raise
        else:  # else it can still be called
            network.opened.compiled = network.call = network.opened.compiled or network.call
            return network
    elif layer is not None:
        raise ValueError(
            "`targets` can be a unit only where `model` is a Keras model, whose layers can be seen. Received: a unit of the "
            f"layer {layer!r}, and the model {model!r}"
        )
    return black_box(model)
