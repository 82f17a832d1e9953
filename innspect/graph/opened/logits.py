"""A model without its final softmax, as a Keras model that shares the user's weights."""

import keras

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.registry import lowers
from innspect.graph.heads import is_head, without_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.opened.bare import functional_without_heads
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
        bare = functional_without_heads(opened.model, heads, f"{opened.model.name}_logits")
        if bare is not None:
            return bare
    with backend.inference():
        return LogitsModel(opened.model)
