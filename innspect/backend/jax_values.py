"""Whether outputs of a JAX program are equal by construction, from its equations alone: nothing is compiled or run.

Every value gets a number, and the same number only where the same primitive with the same parameters is applied to
values of the same numbers (global value numbering, Alpern, Wegman and Zadeck 1988). Equal numbers prove that values
are equal; different numbers say nothing.

Axes of length one are left out of account, as they change no value: a number stands for an array without them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend import core

# Of these the result at a place depends on the operands at that place; an operand may be a single number.
_ELEMENTWISE = frozenset(
    "abs add add_any and clamp convert_element_type copy cos div eq erf erf_inv erfc exp exp2 expm1 floor ge gt "
    "integer_pow is_finite le log log1p logistic lt max min mul ne neg not or pow rem round rsqrt select_n sign sin sqrt "
    "square stop_gradient sub tan tanh".split()
)


class NotNumbered(Exception):
    """A program that has effects, or a parameter that cannot be compared."""


def equal_outputs(closed):
    """Whether the first half of a program's outputs are, one by one, the second half.

    Args:
        closed: A `jax.extend.core.ClosedJaxpr`.
    """
    values = _Values()
    try:
        outputs = values.program(closed, values.arguments(closed))
    except NotNumbered:
        return False
    shapes, half = [v.aval.shape for v in closed.jaxpr.outvars], len(outputs) // 2
    return outputs[:half] == outputs[half:] and shapes[:half] == shapes[half:]


class _Values:
    def __init__(self):
        self._numbers = {}

    def _number(self, *key):
        return self._numbers.setdefault(key, len(self._numbers))

    def arguments(self, closed):
        """Numbers for what a program is given."""
        return [self._number("argument", i, str(v.aval)) for i, v in enumerate(closed.jaxpr.invars)]

    def program(self, closed, arguments):
        """The numbers of a program's outputs."""
        jaxpr, consts = (closed.jaxpr, closed.consts) if isinstance(closed, core.ClosedJaxpr) else (closed, ())
        known = dict(zip(jaxpr.invars, arguments, strict=True))
        known.update((v, self._number("constant", id(c))) for v, c in zip(jaxpr.constvars, consts, strict=True))

        def number(atom):
            if isinstance(atom, core.Literal):
                value = np.asarray(atom.val, atom.aval.dtype)
                return self._number("literal", str(value.dtype), value.shape, value.tobytes())
            return known[atom]

        for equation in jaxpr.eqns:
            outputs = self._equation(equation, [number(v) for v in equation.invars])
            known.update(zip(equation.outvars, outputs, strict=True))
        return [number(v) for v in jaxpr.outvars]

    def _equation(self, equation, inputs):
        if equation.effects:
            raise NotNumbered
        name, params = equation.primitive.name, equation.params
        called = params.get("call_jaxpr") or (params.get("jaxpr") if name == "jit" else None)
        if called is not None:  # a function, perhaps with a derivative of its own: its body
            return self.program(called, inputs)
        shapes = [tuple(v.aval.shape) for v in equation.invars]
        after = tuple(equation.outvars[0].aval.shape)
        if name in _WITHOUT_UNITS and len(inputs) == _WITHOUT_UNITS[name][0]:
            settings = _WITHOUT_UNITS[name][1](params, *shapes, after)
            if settings is None:
                return inputs
        else:
            settings = {k: v for k, v in params.items() if k != "sharding"}
            if name not in _ELEMENTWISE:
                settings["shapes"] = shapes
        return [self._number(name, self._setting(settings), *inputs, i) for i in range(len(equation.outvars))]

    def _setting(self, value):
        """A parameter, so that equal ones compare equal."""
        if isinstance(value, core.ClosedJaxpr):  # such as the body of a loop
            shapes = tuple(str(v.aval) for v in value.jaxpr.outvars)
            return ("program", shapes, *self.program(value, self.arguments(value)))
        if isinstance(value, dict):
            return tuple((k, self._setting(v)) for k, v in sorted(value.items()))
        if isinstance(value, tuple | list):
            return tuple(self._setting(v) for v in value)
        try:
            hash(value)
        except TypeError:
            raise NotNumbered from None
        return value


# ------------------------------------------------------------------ primitives that know of axes, without those of length one
def _restricted(axes, shape):
    """Axes that are longer than one, by their place among such axes."""
    longer = [axis for axis, size in enumerate(shape) if size != 1]
    return [longer.index(axis) for axis in axes if axis in longer]


def _squeezed(shape):
    return [size for size in shape if size != 1]


def _reshape(params, before, after):
    if params.get("dimensions"):  # transposes as well
        raise NotNumbered
    return None if _squeezed(before) == _squeezed(after) else {"after": _squeezed(after)}


def _broadcast(params, before, after):
    if _squeezed(before) == _squeezed(after):
        return None
    kept = [axis for axis, size in zip(params["broadcast_dimensions"], before, strict=True) if size != 1]
    return {"after": _squeezed(after), "kept": _restricted(kept, after)}


def _transpose(params, before, after):
    order = _restricted(params["permutation"], before)
    return None if order == sorted(order) else {"order": order}


def _reduce(params, before, after):
    axes = sorted(_restricted(params["axes"], before))
    return {"axes": axes} if axes else None


def _dot_general(params, left, right, after):
    (over_left, over_right), (batch_left, batch_right) = params["dimension_numbers"]
    pairs = [_restricted(over_left, left), _restricted(over_right, right)]
    batch = [_restricted(batch_left, left), _restricted(batch_right, right)]
    return {k: params[k] for k in ("precision", "preferred_element_type")} | {"over": pairs, "batch": batch}


# name -> how many operands, and what of the parameters and shapes counts; None where it changes nothing
_WITHOUT_UNITS: dict[str, tuple[int, Callable[..., Any]]] = {
    "reshape": (1, _reshape),
    "squeeze": (1, lambda *_: None),
    "broadcast_in_dim": (1, _broadcast),
    "transpose": (1, _transpose),
    "reduce_sum": (1, _reduce),
    "reduce_max": (1, _reduce),
    "reduce_min": (1, _reduce),
    "dot_general": (2, _dot_general),
}
