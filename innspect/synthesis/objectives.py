"""What is made of an output: its logit, its log-probability, or what else is registered."""

from collections.abc import Callable

from keras import ops

from innspect.errors import PlainKeyError, suggest
from innspect.inputs.targets import weighed
from innspect.layers.program import per_sample
from innspect.types import BackendTensor

Objective = Callable[[BackendTensor, BackendTensor, str], BackendTensor]

_known: dict[str, Objective] = {}


def register_objective(name: str) -> Callable[[Objective], Objective]:
    """Make a function an objective that `synthesize(objective=name)` knows.

    Args:
        name: Its name.

    Returns:
        A decorator of a function `(y, weights, head) -> (samples,)` of tensors: the explained output (samples, ...), logits
        where the model ends in a softmax or sigmoid; a weight for each of its elements, 1 at the target and else 0; and the
        head that was taken off: "softmax", "sigmoid", "" where there is none, or "probability" where the output is known to
        be probabilities though no head can be seen.

    Examples:
        >>> @innspect.synthesis.register_objective("margin")
        ... def margin(y, weights, head):
        ...     rivals = keras.ops.where(weights > 0, -1e9, y)
        ...     return keras.ops.sum(weights * y, axis=-1) - keras.ops.max(rivals, axis=-1)
    """

    def register(function: Objective) -> Objective:
        _known[name] = function
        return function

    return register


def list_objectives() -> list[str]:
    """The names that `objective=` takes."""
    return sorted(_known)


def objective(name: str) -> Objective:
    """The objective of a name.

    Raises:
        KeyError: There is none.
    """
    if name not in _known:
        raise PlainKeyError(f"Unknown objective: {name!r}. {suggest(name, _known)}")
    return _known[name]


@register_objective("logit")
def _logit(y: BackendTensor, weights: BackendTensor, head: str) -> BackendTensor:
    """The output before its softmax or sigmoid, as it is."""
    return per_sample(weighed(weights, y), y.shape[0])


@register_objective("log_probability")
def _log_probability(y: BackendTensor, weights: BackendTensor, head: str) -> BackendTensor:
    """The logarithm of the probability: of a softmax, or of a sigmoid for a sigmoid or one neuron."""
    if head == "probability":
        logs = ops.log(ops.maximum(y, 1e-30))
    elif head == "sigmoid" or len(y.shape) == 1 or y.shape[-1] == 1:
        logs = -ops.softplus(-y)
    else:
        logs = ops.log_softmax(y, axis=-1)
    return per_sample(weighed(weights, logs), y.shape[0])
