"""Rules and reverse-mapping layers: the two nouns that every method is made of."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import keras
from keras import ops

from innspect import backend
from innspect.errors import NotAnalyzeableModelError, PlainKeyError, said, suggest
from innspect.graph.ir import Node, Tensor
from innspect.types import BackendTensor, Pullback, Signals, Tensors

View = TypeVar("View")  # of the nodes that a rule is for, such as `Affine`
Shares = dict[str, list[BackendTensor]]

_NAMED: dict[str, type["Rule"]] = {}  # innspect's own rules, by the names that files have for them


class Rule(Generic[View]):
    """How one kind of layer answers a backward signal.

    A rule has two methods. `forward` computes what the layer computes, unchanged, and keeps what it will need;
    `backward` turns the signals at the outputs into the signals at the inputs.

    Attributes:
        form: "relevance" where the signal is R itself, "gradient" where it is a (modified) gradient.
        support: "input" where an input of zero gets nothing, since every message has it as a factor; "output" where an
            input of zero gets nothing if an output of zero does; None where neither holds.
        kinds: The kinds of nodes that it is for, such as ("affine",); None for any.
        gates: True for a rule of affine layers that applies `layer.gate` to its outputs: the ReLU that follows may
            then be merged into the layer, and the rule needs no stored pre-activation.
        needs_bounds: True for a rule that has `low` and `high`, bounds of the model's input, and wants those of its layer's
            as `layer.bounds`.
    """

    form: str = "relevance"
    support: str | None = None
    kinds: tuple[str, ...] | None = None
    gates: bool = False
    needs_bounds: bool = False
    low: Any
    high: Any

    def __init_subclass__(cls, rule_name: str | None = None, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("innspect."):
            _NAMED[rule_name or cls.__name__] = cls

    def forward(self, layer: "ReverseLayer[View]", inputs: Tensors) -> tuple[Tensors, Any]:
        """Compute the layer.

        Args:
            layer: The `ReverseLayer`. `layer(*inputs)` computes the layer as it is.
            inputs: List of tensors.

        Returns:
            The list of outputs, and anything for `backward`.
        """
        raise NotImplementedError

    def backward(self, layer: "ReverseLayer[View]", saved: Any, signals: Tensors) -> Signals:
        """The list of signals at the inputs (None for an input that gets none) from those at the outputs."""
        raise NotImplementedError

    def shares(self, layer: "ReverseLayer[View]", saved: Any, signals: Tensors) -> Shares:
        """Where relevance stayed: a dict of "bias", "stabiliser" and "dropped".

        Each is a list of tensors with the batch as their first axis; together their entries sum to the share lost.
        """
        return {}

    def describe(self, layer: "ReverseLayer[View]") -> str:
        """The form chosen for this layer, for `analyzer.summary()`."""
        return ""

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in sorted(vars(self).items()) if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"


def named_rule(name: str) -> type[Rule]:
    """The class of a rule of innspect's own."""
    if name not in _NAMED:
        raise PlainKeyError(f"There is no rule {name!r}. {suggest(name, _NAMED)}")
    return _NAMED[name]


def name_of_rule(cls: type[Rule]) -> str:
    """What a file calls a class of rules: innspect's own by name, others by their module."""
    known = next((name for name, rule in _NAMED.items() if rule is cls), None)
    return known or f"{cls.__module__}:{cls.__qualname__}"


@dataclass(frozen=True, eq=False, repr=False)
class ReverseLayer(Generic[View]):
    """One node of the cloned graph with the rule that answers for it in the backward pass.

    Attributes:
        node: The node of the graph; `node.view` is the affine view where the node is affine.
        rule: The `Rule`.
        nonnegative: True where the input is proven to be >= 0.
        gated: True where a ReLU follows and relevance can only be where it is open. The ReLU is then part of this
            layer: its outputs are those of the ReLU.
        outputs: The tensors that it makes: the node's, or those of the ReLU.
        bounds: For rules with `needs_bounds`, while the model runs: the lowest and highest value of each input entry.
    """

    node: Node
    rule: Rule[View]
    nonnegative: bool = False
    gated: bool = False
    outputs: tuple[Tensor, ...] = ()
    bounds: tuple[BackendTensor, BackendTensor] | None = None

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", self.node.outputs)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.node.inputs

    @property
    def path(self) -> str:
        return self.node.path

    @property
    def view(self) -> View:
        return self.node.view

    def __call__(self, *inputs: BackendTensor) -> Tensors:
        """The node's own outputs, a list, without the gate."""
        return self.node(*inputs)

    def gate(self, z: BackendTensor) -> BackendTensor:
        """What the layer hands on: relu(z) where the ReLU that follows was merged into it, else z."""
        return ops.relu(z) if self.gated else z

    def vjp(
        self, function: Callable[..., BackendTensor], *inputs: BackendTensor
    ) -> tuple[BackendTensor, Callable[[BackendTensor], Tensors]]:
        """Outputs of `function` (one tensor) and its pullback, from the signal to the list of inputs' signals."""
        outputs, pullback = backend.vjp(lambda *xs: [function(*xs)], list(inputs))
        return outputs[0], lambda signal: pullback([signal])

    def active_vjp(self, inputs: Tensors) -> tuple[Tensors, Pullback]:
        """The node's outputs and a pullback with respect to the inputs that a signal can flow to."""
        return vjp_at(self.node, inputs, self.node.active_inputs)

    def forward(self, inputs: Tensors) -> tuple[Tensors, Any]:
        return self.rule.forward(self, inputs)

    def backward(self, saved: Any, signals: Tensors) -> Signals:
        return self.rule.backward(self, saved, signals)

    def __repr__(self) -> str:
        return f"ReverseLayer({self.path!r}, {self.rule!r})"


def vjp_at(function: Callable[..., Tensors], inputs: Tensors, positions: Sequence[int]) -> tuple[Tensors, Pullback]:
    """Outputs of `function(*inputs)` and a pullback to all inputs, with None outside `positions`."""

    def at(*chosen: BackendTensor) -> Tensors:
        filled = list(inputs)
        for position, value in zip(positions, chosen, strict=True):
            filled[position] = value
        return function(*filled)

    with _telling(function):
        outputs, pull = backend.vjp(at, [inputs[p] for p in positions])

    def pullback(signals: Tensors) -> Signals:
        results: Signals = [None] * len(inputs)
        with _telling(function):
            arrived = pull(signals)
        for position, signal in zip(positions, arrived, strict=True):
            results[position] = signal
        return results

    return outputs, pullback


@contextlib.contextmanager
def _telling(function: Any) -> Iterator[None]:
    """Let what a backend says where it has no gradient of a function be told with its name."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError, LookupError) as error:
        if isinstance(error, NotAnalyzeableModelError):
            raise
        name = repr(function.path) if hasattr(function, "path") else "the model"
        raise NotAnalyzeableModelError(
            f"{keras.backend.backend()} has no gradient of {name}: {said(error)}. Methods that only call a model, 'occlusion' "
            "and 'rise', need none."
        ) from error


def stabilised(z: BackendTensor, epsilon: float | BackendTensor) -> BackendTensor:
    """Z moved away from zero by epsilon, a number or a tensor, where zero counts as positive (METHODS 0)."""
    if isinstance(epsilon, int | float) and not epsilon:
        return z
    epsilon = ops.convert_to_tensor(epsilon, z.dtype)
    return backend.add_owned(ops.where(z >= 0, epsilon, -epsilon), z)


def shared_out(signal: BackendTensor, z: BackendTensor, epsilon: float | BackendTensor) -> BackendTensor:
    """The signal over z, stabilised, and 0 where that is 0.

    In a graph z is moved when the signal is there: before, it would be held for all layers.
    """
    return safe_divide(signal, stabilised(backend.after(z, signal), epsilon))


def safe_divide(numerator: BackendTensor, denominator: BackendTensor) -> BackendTensor:
    """numerator / denominator, and 0 where the denominator is 0."""
    return backend.divide_no_nan(numerator, denominator)
