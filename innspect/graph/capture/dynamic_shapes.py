"""Lengths that are not known before the input is, such as the number of tokens, as values that a replay can compute with.

`keras.ops.shape` tells None for them, and what a layer makes of that (`ops.arange(None)`) fails. Within `known_lengths`
it tells a `Length` instead: the place of a number that a constant node reads off its tensor at run time.
"""

import contextlib
import operator
import threading

import keras
import numpy as np

from innspect.graph.keras_internals import TARGETS
from innspect.types import Shape

_MAKERS = ("arange", "ones", "zeros", "full")
_RESHAPERS = ("broadcast_to", "reshape", "repeat", "tile")
_wanted = threading.local()


class Length:
    """A number that is known at run time only; `symbol` is the symbolic tensor that will be it.

    Of one that is `positive`, that of an axis or made of such, it is known that it is above 0, which checks of arguments ask.
    What else it is compared with is not known: whose `call` asks that is not opened.
    """

    def __init__(self, trace, symbol, positive=False):
        self.trace, self.symbol, self.positive = trace, symbol, positive

    def _above(self, other):
        return NotImplemented if not self.positive or isinstance(other, Length) or other > 0 else True

    def _not_above(self, other):
        above = self._above(other)
        return above if above is NotImplemented else not above

    __gt__ = __ge__ = _above
    __lt__ = __le__ = _not_above


def _is_positive_number(value):
    """Not asked of tensors, whose comparison would be one more operation of the graph."""
    return isinstance(value, int | float | np.integer) and value > 0


def _arithmetic(name):
    compute, grows = getattr(operator, name), name in ("add", "mul")

    def is_positive(self, other):
        return grows and self.positive and (other.positive if isinstance(other, Length) else _is_positive_number(other))

    def forward(self, other):
        symbol = getattr(other, "symbol", other)
        return _length(self.trace, compute, self.symbol, symbol, positive=is_positive(self, other))

    def backward(self, other):
        made = is_positive(self, other)
        return _length(self.trace, lambda a, b: compute(b, a), self.symbol, other, positive=made)

    return forward, backward


for _name in ("add", "sub", "mul", "floordiv"):
    _forward, _backward = _arithmetic(_name)
    setattr(Length, f"__{_name}__", _forward)
    setattr(Length, f"__r{_name}__", _backward)


def _length(trace, function, *args, positive=False):
    spec = keras.KerasTensor((), dtype="int32")
    return Length(trace, trace.emit("constant", function, *args, spec=spec, name="length", operation="Length"), positive)


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
    return _length(trace, _axis_length, x, axis, positive=True)


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
    """Where an operation was given a shape, a size or a padding with lengths in it, or one as repeats or in a slice.

    Returns:
        A function `(*args) -> spec` that gives the shape of the result with None in their place, a function
        `(*args, lengths)` that computes the operation, and the lengths' symbols; or None where there are none.
    """
    if type(operation).__name__ == "GetItem":
        return _sliced(operation, args[1])
    name = next((a for a, value in vars(operation).items() if not a.startswith("_") and _has_lengths(value)), None)
    if name is None:
        return None
    made = _WithLengths(operation, name)
    return made.target_spec if name in TARGETS else made.spec, made.call, made.symbols


class _WithLengths:
    """An operation with lengths in one of its attributes; what else is asked of it, it says itself."""

    def __init__(self, operation, name):
        self._operation, self._name = operation, name
        self._given = vars(operation)[name]
        self.symbols = [leaf.symbol for leaf in keras.tree.flatten(self._given) if isinstance(leaf, Length)]

    def __getattr__(self, name):
        return getattr(self._operation, name)

    def _filled(self, values):
        supply = iter(values)
        made = keras.tree.map_structure(lambda leaf: next(supply) if isinstance(leaf, Length) else leaf, self._given)
        return _with(self._operation, self._name, made)

    def target_spec(self, *args, **kwargs):
        """The shape of what has lengths in the shape it shall have, or repeats."""
        found = self._filled([1 if self._name == "repeats" else None for _ in self.symbols]).compute_output_spec(
            *args, **kwargs
        )
        target = [self._given] if isinstance(self._given, Length) else list(self._given)
        shape, axis = list(found.shape), getattr(self._operation, "axis", None)  # of what repeats along one
        places = [i - len(target) for i, d in enumerate(target) if isinstance(d, Length)]
        for unknown in places if axis is None else [axis]:
            shape[unknown] = None
        return keras.KerasTensor(shape, dtype=found.dtype)

    def spec(self, *args, **kwargs):
        """The shape of anything else: not known is what differs between lengths of 1 and of 2."""
        one, two = (self._filled([n] * len(self.symbols)).compute_output_spec(*args, **kwargs) for n in (1, 2))
        shape = [a if a == b else None for a, b in zip(one.shape, two.shape, strict=True)]
        return keras.KerasTensor(shape, dtype=one.dtype)

    def call(self, *args, lengths, **kwargs):
        return self._filled(lengths).call(*args, **kwargs)


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
