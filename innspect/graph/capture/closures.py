"""What the functions that an operation is given hold besides their arguments, such as the branches of `ops.cond`.

A branch that closes over symbolic tensors would give these, not numbers, when the graph runs: what it is in is called as a
whole. Variables and layers that it closes over are read when it runs, as those of a node.
"""

import types
from typing import Any

import keras

from innspect.graph.capture.interception import CannotOpen
from innspect.graph.keras_internals import is_of_keras


def closed_over(operation, args, kwargs):
    """The variables that functions among an operation's arguments and attributes hold.

    Raises:
        CannotOpen: They hold symbolic tensors.
    """
    given = [*keras.tree.flatten((args, kwargs)), *vars(operation).values()]
    functions = [leaf for leaf in given if isinstance(leaf, types.FunctionType | types.MethodType) and not is_of_keras(leaf)]
    held: list[Any] = list(functions)
    seen: set[int] = set()
    variables: dict[int, keras.Variable] = {}
    while held:
        value = held.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, keras.KerasTensor):
            raise CannotOpen(f"its {type(operation).__name__} is given a function that closes over tensors")
        if isinstance(value, keras.Variable):
            variables[id(value)] = value
        elif isinstance(value, keras.Layer):
            variables.update((id(v), v) for v in value.variables)
        elif isinstance(value, types.MethodType):
            held += [value.__self__, value.__func__]
        elif isinstance(value, types.FunctionType):
            cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            held += [*cells, *(value.__defaults__ or ())]
        elif isinstance(value, list | tuple | dict):
            held += value.values() if isinstance(value, dict) else value
    return tuple(variables.values())


def _is_filled(cell):
    try:
        cell.cell_contents  # noqa: B018  (an empty one raises)
    except ValueError:
        return False
    return True
