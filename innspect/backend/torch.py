"""PyTorch: eager; each step keeps its small local graph, so that no forward pass is repeated."""

import contextlib

import keras
import torch

EAGER = True

matmul = torch.matmul


def mean(x, axis=None, keepdims=False):
    if x.dtype != torch.float64:
        return keras.ops.mean(x, axis=axis, keepdims=keepdims)
    axis = tuple(range(x.ndim)) if axis is None else axis
    return torch.mean(x, dim=axis, keepdim=keepdims)


def maximum(a, b):
    return torch.maximum(*_tensors(a, b))


def minimum(a, b):
    return torch.minimum(*_tensors(a, b))


PRECISE = {"HardSigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1)}


def _tensors(a, b):
    """Both as tensors; a number takes the dtype of the other."""
    dtype = next(x.dtype for x in (a, b) if is_tensor(x))
    return [x if is_tensor(x) else keras.ops.convert_to_tensor(x, keras.backend.standardize_dtype(dtype)) for x in (a, b)]


def divide_no_nan(numerator, denominator):
    """numerator / denominator, and 0 where the denominator is 0."""
    empty = denominator == 0
    if torch.is_grad_enabled():  # the gradient of 1 / 0 would be none
        return torch.where(empty, 0, numerator / torch.where(empty, 1, denominator))
    return (numerator / denominator).masked_fill_(empty, 0)  # no array beside the result


def add_owned(a, b):
    return a.add_(b) if _takes(a, b) else a + b


def multiply_owned(a, b):
    return a.mul_(b) if _takes(a, b) else a * b


def _takes(a, b):
    """Whether `a` may be written to and a result has its form."""
    if not a.is_contiguous() or (torch.is_grad_enabled() and a.requires_grad):
        return False
    return not is_tensor(b) or (a.dtype == torch.result_type(a, b) and a.shape == torch.broadcast_shapes(a.shape, b.shape))


def is_tensor(x):
    return isinstance(x, torch.Tensor)


def vjp(function, inputs):
    """The outputs of `function(*inputs)`, a list, and a function from their signals to the inputs'."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in inputs]
        outputs = function(*inputs)
    return [y.detach() for y in outputs], _pullback(inputs, outputs)


def _pullback(inputs, outputs, create_graph=False):
    """From signals at the outputs to those at the inputs; with `create_graph` they can be differentiated in turn.

    It holds where the outputs come from, not the outputs, which may be large and are seldom needed on the way back.
    """
    tracked = [i for i, y in enumerate(outputs) if y.requires_grad]
    edges = [torch.autograd.graph.get_gradient_edge(outputs[i]) for i in tracked]
    forms = [(outputs[i].dtype, outputs[i].shape) for i in tracked]

    def pullback(signals):
        if not tracked:
            return [torch.zeros_like(x) for x in inputs]
        grads = torch.autograd.grad(
            edges,
            inputs,
            [signals[i].to(dtype).expand(shape) for i, (dtype, shape) in zip(tracked, forms, strict=True)],
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )
        return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]

    return pullback


def differentiable_vjp(function, inputs):
    """As `vjp`, where outputs and signals keep their place in the graph of who trains: they can be differentiated in turn.

    Where nobody trains, as in validation, nothing is kept for a second derivative.
    """
    trains = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        outputs = function(*inputs)
    return outputs, _pullback(inputs, outputs, create_graph=trains)


def once_only(tensor):
    """Whether a gradient comes from a function whose author says that it has no derivative, of which PyTorch itself is silent.

    It raises where it gets there, and leaves that way out where a weight is reached by another one.
    """
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        step = waiting.pop()
        if step is not None and step not in seen:
            seen.add(step)
            if step.name() == "torch::autograd::Error":
                return True
            waiting.extend(before for before, _ in step.next_functions)
    return False


def compile(function):
    def run(*args):
        with torch.no_grad():
            return function(*args)

    return run


def once(function, *args):
    """The value of a function that is run a single time."""
    return function(*args)


def view(tensor):
    return tensor.detach().cpu().numpy()


def conv(x, kernel, data_format, **options):
    """`keras.ops.conv`, which copies a channels-last input twice: PyTorch takes any order in memory.

    On a CPU weight gradients are fastest with each channel in one piece, all else with each position in one.
    """
    if data_format == "channels_first":
        return keras.ops.conv(x, kernel, data_format=data_format, **options)
    by_channel = kernel.requires_grad and x.device.type == "cpu"
    x = x.movedim(-1, 1).contiguous() if by_channel else x.contiguous().movedim(-1, 1)
    return keras.ops.conv(x, kernel, data_format="channels_first", **options).movedim(1, -1)


def scan(function, items):
    """Apply `function` to each element along the first axis of `items`, and stack what it returns."""
    results = [function(item) for item in items]
    return keras.tree.map_structure(lambda *leaves: torch.stack(leaves), *results)


def recur(step, carry, items, reverse=False):
    """Run `carry, made = step(carry, item)` along the first axis of a structure; the last carry and what was made."""
    apart = [torch.unbind(leaf) for leaf in keras.tree.flatten(items)]
    made = []
    for leaves in reversed(list(zip(*apart, strict=True))) if reverse else zip(*apart, strict=True):
        carry, result = step(carry, keras.tree.pack_sequence_as(items, leaves))
        made.append(result)
    return carry, keras.tree.map_structure(lambda *leaves: torch.stack(leaves), *(made[::-1] if reverse else made))


def variable_values(variables):
    """The live values without their place in any training graph."""
    return [v.value.detach() for v in variables]


def marks(values):
    """What is another where values are not what they were: how often they were written to."""
    return [0 if value.is_inference() else value._version for value in values]


def copies(values):
    """Copies of values, or None where these were written to meanwhile."""
    before = marks(values)
    made = [value.clone() for value in values]
    same = all(map(torch.equal, made, values))  # a step that is being written is counted when it is done
    return made if same and marks(values) == before else None


def inference():
    return torch.no_grad()


def beside(variables):
    """A scope in which tensors are made on the device of some variables: Keras' own may be another one."""
    first = next(iter(variables()), None)
    return contextlib.nullcontext() if first is None else keras.device(str(first.value.device))


def accelerated():
    """Whether tensors live on a device that is not the CPU."""
    return keras.ops.zeros(()).device.type != "cpu"


def custom_gradients(answer):
    owner = torch.autograd.Function.__mro__[1]  # whose `apply` is asked also by one that was taken off its class before

    def apply(cls, *args, **kwargs):
        return answer(lambda: super(owner, cls).apply(*args, **kwargs), cls.apply, args, kwargs)

    return [(owner, "apply", classmethod(apply))]
