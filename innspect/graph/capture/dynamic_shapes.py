"""Lengths that are not known before the input is, such as the number of tokens, as values that a replay can compute with.

`keras.ops.shape` tells None for them, and what a layer makes of that (`ops.arange(None)`) fails. Within `known_lengths`
it tells a `Length` instead: the place of a number that a constant node reads off its tensor at run time.
"""

import contextlib
import operator
import threading

import keras

from innspect.graph.keras_internals import TARGETS
from innspect.types import Shape

_MAKERS = ("arange", "ones", "zeros", "full")
_RESHAPERS = ("broadcast_to", "reshape", "repeat", "tile")
_wanted = threading.local()


class Length:
    """A number that is known at run time only; `symbol` is the symbolic tensor that will be it."""

    def __init__(self, trace, symbol):
        self.trace, self.symbol = trace, symbol


def _arithmetic(name):
    compute = getattr(operator, name)

    def forward(self, other):
        return _length(self.trace, compute, self.symbol, getattr(other, "symbol", other))

    def backward(self, other):
        return _length(self.trace, lambda a, b: compute(b, a), self.symbol, other)

    return forward, backward


for _name in ("add", "sub", "mul", "floordiv"):
    _forward, _backward = _arithmetic(_name)
    setattr(Length, f"__{_name}__", _forward)
    setattr(Length, f"__r{_name}__", _backward)


def _length(trace, function, *args):
    spec = keras.KerasTensor((), dtype="int32")
    return Length(trace, trace.emit("constant", function, *args, spec=spec, name="length", operation="Length"))


@contextlib.contextmanager
def known_lengths():
    """Within this, in this thread, unknown lengths are `Length`s."""
    before = getattr(_wanted, "on", False)
    _wanted.on = True
    try:
        yield
    finally:
        _wanted.on = before


def functions(trace_of):
    """Stand-ins for functions of `keras.ops`, by name, while `trace_of()` gives a trace."""

    def shape(x):
        found = original["shape"](x)
        if trace_of() is None or not getattr(_wanted, "on", False) or not isinstance(x, keras.KerasTensor):
            return found
        return tuple(_axis_of(trace_of(), x, i) if d is None else d for i, d in enumerate(found))

    def maker(name):
        def make(*args, **kwargs):
            if trace_of() is None or not _has_lengths((args, kwargs)):
                return original[name](*args, **kwargs)
            return _made(trace_of(), name, original[name], args, kwargs)

        return make

    def reshaper(name):
        def reshape(x, *args, **kwargs):
            if trace_of() is not None and not isinstance(x, keras.KerasTensor) and _has_lengths((args, kwargs)):
                x = _constant(trace_of(), x)  # on which the operation is one of the graph
            return original[name](x, *args, **kwargs)

        return reshape

    original = {name: getattr(keras.ops, name) for name in ("shape", *_MAKERS, *_RESHAPERS)}
    return {"shape": shape} | {name: maker(name) for name in _MAKERS} | {name: reshaper(name) for name in _RESHAPERS}


def _constant(trace, x):
    x = keras.ops.convert_to_tensor(x)
    spec = keras.KerasTensor(x.shape, dtype=keras.backend.standardize_dtype(x.dtype))
    return trace.emit("constant", lambda: x, spec=spec, name="constant", operation="Constant")


def _axis_of(trace, x, axis):
    return _length(trace, _axis_length, x, axis)


def _axis_length(x, axis):
    return keras.ops.shape(x)[axis]


def counts_rows(node):
    """Whether a node tells how many rows, such as samples, a tensor has."""
    return node is not None and node.function is _axis_length and node.args[1] == 0


def _has_lengths(structure):
    return any(isinstance(leaf, Length) for leaf in keras.tree.flatten(structure))


def _symbols(structure):
    return keras.tree.map_structure(lambda leaf: leaf.symbol if isinstance(leaf, Length) else leaf, structure)


def _made(trace, name, function, args, kwargs):
    """A tensor that is made of lengths."""
    example = function(*keras.tree.map_structure(_one, args), **keras.tree.map_structure(_one, kwargs))
    if name == "arange":
        shape: Shape = (None,)
    else:
        given = args[0] if args else kwargs["shape"]
        shape = tuple(None if isinstance(d, Length) else d for d in given)
    spec = keras.KerasTensor(shape, dtype=keras.backend.standardize_dtype(example.dtype))
    args, kwargs = _symbols((args, kwargs))
    return trace.emit("constant", function, *args, spec=spec, name=name, operation=name.title(), **kwargs)


def _one(leaf):
    return 1 if isinstance(leaf, Length) else leaf


def with_lengths(operation, args):
    """Where an operation was given a shape with lengths in it, or a length as the number of repeats or in a slice.

    Returns:
        A function `(*args) -> spec` that gives the shape of the result with None in their place, a function
        `(*args, lengths)` that computes the operation, and the lengths' symbols; or None where there are none.
    """
    if type(operation).__name__ == "GetItem":
        return _sliced(operation, args[1])
    name = next((a for a in TARGETS if _has_lengths(vars(operation).get(a))), None)
    if name is None:
        return None
    given = vars(operation)[name]
    target = [given] if isinstance(given, Length) else list(given)
    places = [i for i, d in enumerate(target) if isinstance(d, Length)]

    def filled(values):
        supply = iter(values)
        made = tuple(next(supply) if isinstance(d, Length) else d for d in target)
        return _with(operation, name, made[0] if isinstance(given, Length) else made)

    def spec(*args, **kwargs):
        found = filled([1 if name == "repeats" else None for _ in places]).compute_output_spec(*args, **kwargs)
        shape = list(found.shape)
        axis = getattr(operation, "axis", None)  # of what repeats along one
        for unknown in [place - len(target) for place in places] if axis is None else [axis]:
            shape[unknown] = None
        return keras.KerasTensor(shape, dtype=found.dtype)

    def call(*args, lengths, **kwargs):
        return filled(lengths).call(*args, **kwargs)

    return spec, call, [target[i].symbol for i in places]


def _sliced(operation, key):
    """As `with_lengths`, of `x[key]`."""
    parts = [_ends(part) for part in (key if isinstance(key, tuple | list) else (key,))]
    symbols = [end.symbol for part in parts for end in part if isinstance(end, Length)]
    if not symbols:
        return None
    if Ellipsis in key:
        raise ValueError("it slices with an ellipsis and a length that is not known beforehand")

    def spec(x, key):
        blank = tuple(slice(None) if _has_lengths(part) else given for part, given in zip(parts, key, strict=True))
        found = operation.compute_output_spec(x, blank)
        kept = [place for place, part in enumerate(parts) if part or key[place] is None]  # an index leaves no axis
        shape = list(found.shape)
        for axis, place in enumerate(kept):
            shape[axis] = None if _has_lengths(parts[place]) else shape[axis]
        return keras.KerasTensor(shape, dtype=found.dtype)

    def call(x, key, lengths):
        supply = iter(lengths)
        filled = [[next(supply) if isinstance(end, Length) else end for end in part] for part in parts]
        return operation.call(x, tuple(slice(*ends) if ends else given for ends, given in zip(filled, key, strict=True)))

    return spec, call, symbols


def _ends(part):
    return (part.start, part.stop, part.step) if isinstance(part, slice) else ()


def _with(operation, name, value):
    """A copy of an operation with another attribute (`copy.copy` asks for the configuration, which it may not have)."""
    made = object.__new__(type(operation))
    vars(made).update(vars(operation) | {name: value})
    return made


__all__ = ["Length", "counts_rows", "functions", "known_lengths", "with_lengths"]
