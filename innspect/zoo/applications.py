"""Networks of `keras.applications`, with what its modules say of preprocessing. Keras fetches their weights."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras


def names() -> list[str]:
    """The functions that make a network."""
    return sorted(name for name, made in vars(keras.applications).items() if inspect.isfunction(made))


def build(name: str, **arguments: Any) -> keras.Model:
    """The network, with the arguments of its function in `keras.applications`.

    Raises:
        ValueError: The layers that preprocess are left out, of which `preprocess_input` knows nothing.
    """
    if not arguments.get("include_preprocessing", True):
        raise ValueError("`include_preprocessing` must be True: `preprocess` does the rest. Received: False")
    return getattr(keras.applications, name)(**arguments)


def preprocessing(name: str) -> Callable[..., Any]:
    """The `preprocess_input` of the module that a network is of, for pixels with channels last.

    That is the module which has the function; or, for those that have it nowhere, the one whose name the network's begins
    with, the longest.
    """
    modules = {key: m for key, m in vars(keras.applications).items() if inspect.ismodule(m) and hasattr(m, "preprocess_input")}
    having = [key for key, module in modules.items() if hasattr(module, name)]
    beginning = [key for key in modules if name.lower().startswith(key.replace("_", ""))]
    return functools.partial(modules[max(having or beginning, key=len)].preprocess_input, data_format="channels_last")
