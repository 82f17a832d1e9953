"""How a layer is called: its arguments as `Layer.__call__` would prepare them."""

import inspect

import keras

from innspect.graph.ir import is_float, widen
from innspect.graph.keras_internals import casts_inputs, mask_of, set_mask, shapes_by_argument


class Bound:
    def __init__(self, args, kwargs):
        self.args, self.kwargs = args, kwargs


class Call(Bound):
    """The arguments of a layer call as `Layer.__call__` would prepare them: cast, in inference, with masks."""

    def __init__(self, trace, layer, args, kwargs):
        self.layer = layer
        parameters = inspect.signature(layer.call).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        kwargs = {k: v for k, v in kwargs.items() if k in parameters or open_ended}
        if casts_inputs(layer):
            args, kwargs = keras.tree.map_structure(lambda leaf: self._cast(trace, leaf), (args, kwargs))
        self.training = trace.training
        if "training" in parameters:
            asked = inspect.signature(layer.call).bind_partial(*args, **kwargs).arguments.get("training")
            self.training = trace.training if asked is None else bool(asked)
            if list(parameters).index("training") >= len(args):
                kwargs["training"] = self.training
        named = inspect.signature(layer.call).bind_partial(*args, **kwargs).arguments
        self.first = args[0] if args else next(iter(named.values()), None)
        tensors = {k: v for k, v in named.items() if has_symbols(v)}
        if len(tensors) == 1:
            if "mask" in parameters and named.get("mask") is None:
                kwargs["mask"] = keras.tree.map_structure(mask_of, next(iter(tensors.values())))
        else:
            for name, value in tensors.items():
                if f"{name}_mask" in parameters and named.get(f"{name}_mask") is None:
                    kwargs[f"{name}_mask"] = keras.tree.map_structure(mask_of, value)
        self.mask = kwargs.get("mask")
        if self.mask is None:
            self.mask = keras.tree.map_structure(mask_of, self.first)
        super().__init__(args, kwargs)

    def _cast(self, trace, leaf):
        if not isinstance(leaf, keras.KerasTensor) or not is_float(leaf.dtype):
            return leaf
        target = widen(self.layer.input_dtype)
        if not is_float(target) or target == trace.tensor(leaf).dtype:
            return leaf
        mask = mask_of(leaf)
        cast = trace.emit(
            "pass",
            keras.ops.cast,
            leaf,
            spec=keras.KerasTensor(leaf.shape, dtype=target),
            name="cast",
            operation="Cast",
            dtype=target,
        )
        if mask is not None:
            set_mask(cast, mask)
        return cast

    def set_masks(self, outputs):
        """Attach masks to the outputs, as `Layer.__call__` does."""
        if not self.layer.supports_masking:
            return
        symbols = [y for y in keras.tree.flatten(outputs) if isinstance(y, keras.KerasTensor)]
        if all(mask_of(y) is not None for y in symbols):
            return
        if not any(m is not None for m in keras.tree.flatten(self.mask)) and not getattr(self.layer, "mask_zero", False):
            return
        masks = self.layer.compute_mask(self.first, self.mask)
        if masks is None:
            return
        for symbol, mask in zip(symbols, keras.tree.flatten(masks), strict=False):
            if mask_of(symbol) is None and mask is not None:
                set_mask(symbol, mask)


def has_symbols(structure):
    return any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten(structure))


def call_arguments(model, structure):
    """How a model's `call` is given its inputs: one argument, or one by name for every shape that its `build` takes."""
    return ((structure,), {}) if shapes_by_argument(model) is None else ((), structure)
