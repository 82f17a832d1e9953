"""Which layer is lowered how: the table that `register_reverse_mapping` writes to."""

_LOWERINGS = {}

# A subclass keeps its parent's mapping only where it computes with its parent's methods.
_COMPUTING = ("call", "convolution_op", "_merge_function", "kernel")


def lowers(*layer_classes):
    """Register a function `(trace, layer, *call_arguments) -> symbolic outputs` for layer classes."""

    def register(function):
        for layer_class in layer_classes:
            _LOWERINGS[layer_class] = function
        return function

    return register


def find_lowering(layer):
    """The lowering of a layer by what computes it, or None."""
    own = type(layer)
    for base in own.__mro__:
        if base in _LOWERINGS:
            same = all(getattr(own, name, None) is getattr(base, name, None) for name in _COMPUTING)
            return _LOWERINGS[base] if same else None
    return None
