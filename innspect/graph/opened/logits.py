"""A model without its final softmax, as a Keras model that shares the user's weights."""

import keras

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.registry import lowers
from innspect.graph.heads import is_head, without_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.opened.bare import HEADS, Bare
from innspect.graph.opened.opened_model import open_model
from innspect.graph.opened.structure import input_structure
from innspect.nests import leaves


@keras.saving.register_keras_serializable(package="innspect")
class LogitsModel(keras.Model):
    """`model` up to what its final softmax or sigmoid is given. It shares the weights, and computes in inference.

    Args:
        model: A built Keras model that ends in a softmax or sigmoid.
    """

    def __init__(self, model, **kwargs):
        super().__init__(**{"name": f"{model.name}_logits", **kwargs})
        self.model = model
        self._opened = open_model(model)
        graph = self._opened.graph
        if not any(is_head(graph.producer(t)) for t in graph.outputs):
            raise NotAnalyzeableModelError(f"The model {model.name!r} ends in no softmax or sigmoid that could be taken off.")
        self._logits = [without_head(graph, t) for t in graph.outputs]
        self._run = Interpreter.of(graph, *self._logits)
        self.built = True

    @property
    def input_specs(self):
        """What the model's `call` is given, as `keras.KerasTensor` in its structure."""
        return input_structure(self.model)

    def call(self, inputs, training=None):
        outputs = self._run(keras.tree.flatten(inputs))
        return outputs[0] if len(outputs) == 1 else outputs

    def compute_output_spec(self, inputs, training=None):
        specs = [keras.KerasTensor(t.shape, dtype=t.dtype) for t in self._logits]
        return specs[0] if len(specs) == 1 else specs

    def get_config(self):
        return {**super().get_config(), "name": self.name, "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("model")), **config)


@lowers(LogitsModel)
def _lower(trace, layer, inputs, **_):
    outputs = [y for _, y in leaves(trace.open(layer.model, inputs)) if isinstance(y, keras.KerasTensor)]
    symbols = [trace.before_head(y) for y in outputs]
    return symbols[0] if len(symbols) == 1 else symbols


def model_wo_softmax(model):
    """The model without its final softmax (or sigmoid), as a Keras model that shares its weights.

    innspect strips heads by itself (`head="logit"`); this is for scripts that do it in the open.

    Args:
        model: A built Keras model, or what `innspect.open_model` made of it. It is only read.

    Returns:
        Of a functional or Sequential model a functional one: of its own layers, with a last layer of its own that shares the
        variables of the model's. Of another model, or where the softmax is inside a layer of the user's own, one that holds
        the model, and computes in inference.

    Raises:
        NotAnalyzeableModelError: The model ends in no softmax or sigmoid.
    """
    opened = open_model(model)
    heads = [is_head(opened.graph.producer(t)) for t in opened.graph.outputs]
    if any(heads):
        bare = Bare().model(opened.model, heads, f"{opened.model.name}_logits")
        if bare is not None:
            return bare
    with backend.inference():
        return LogitsModel(opened.model)


def model_wo_output_activation(model, activation=None):
    """The model without its final activation, of whatever kind, as iNNvestigate 2 has it.

    innspect strips a softmax or sigmoid by itself; another activation is part of what is explained, unless it is taken off.

    Args:
        model: As for `model_wo_softmax`.
        activation: The name of the activation that is taken off, such as "softmax"; None: any but a linear one.

    Returns:
        As `model_wo_softmax`.

    Raises:
        NotAnalyzeableModelError: The model ends in no such activation, or in one that cannot be taken off.
        ValueError: There is no activation of this name.
    """
    if activation is not None and not isinstance(activation, str):
        raise ValueError(f"`activation` must be the name of an activation, or None. Received: {activation!r}")
    opened = open_model(model)
    keras.activations.get(activation)  # raises for what is none
    bare = Bare(None if activation is None else (activation,))
    found = bare.finds(opened.model)
    if any(found):
        return bare.model(opened.model, found, f"{opened.model.name}_logits")
    if activation is None or activation in HEADS:
        return model_wo_softmax(opened)
    raise NotAnalyzeableModelError(
        f"The model {opened.model.name!r} ends in no activation {activation!r} that could be taken off."
    )
