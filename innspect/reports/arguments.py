"""What may be asked of a report."""

from typing import Any

import numpy as np

from innspect.checks import File, Integer, ListOf, Text, Texts
from innspect.inputs.batches import as_numbers
from innspect.nests import by_input
from innspect.types import Array, Nest
from innspect.visualize.forms import input_pictures

_RANGES = {
    "path": File(),
    "top": Integer(1),
    "names": ListOf(Text()),
    "title": Text(),
    "batch_size": Integer(1, or_none=True),
}
_NEEDED = ("top",)


def check_arguments(**given: Any) -> None:
    """Raise where an argument of `report` is out of its range.

    Raises:
        ValueError: The message names it.
    """
    for name, value in given.items():
        if value is not None or name in _NEEDED:
            _RANGES[name].check(name, value)


def check_entries(count: int, names: Any, images: Any) -> Array | None:
    """Raise where there is no sample, or not one of `names` and `images` for each; the images as an array."""
    if not count:
        raise ValueError("`x` must hold a sample. Received: 0 samples")
    array = None if images is None else as_numbers(images, "images")
    if array is not None and (array.dtype.kind not in "fiub" or input_pictures(array) is None):
        raise ValueError(
            f"`images` must be pictures, (samples, height, width[, 1 or 3]). Received: shape {array.shape}, dtype {array.dtype}"
        )
    for name, entries in (("names", names), ("images", array)):
        if entries is not None and len(entries) != count:
            raise ValueError(f"`{name}` must have an entry for each of the {count} inputs. Received: {len(entries)}")
    return array


def check_neurons(neurons: Any, shape: tuple[int, ...]) -> None:
    """Raise where `neurons` is no list of numbers of outputs, whose shape is (samples, ...)."""
    ListOf(Integer(0, (shape[-1] if len(shape) > 1 else 1) - 1)).check("neurons", neurons)


def columns_of(x: Any) -> dict[str, list[str]] | None:
    """The names of a table's columns, as `check_features` returns them; None for what is no table."""
    return {"": [str(name) for name in x.columns]} if hasattr(x, "columns") and hasattr(x, "__array__") else None


def check_features(features: Any, x: Nest) -> dict[str, list[str]] | None:
    """Names of features, or of channels, as a dict by the name of the input.

    Args:
        features: What the user gave; None for none.
        x: The inputs, samples first.

    Raises:
        ValueError: There is no such input, or it has another number of features.
    """
    given = _by_input("features", features, x)
    inputs = by_input(x)
    for name, listed in given.items():
        Texts(np.shape(inputs[name])[-1]).check("features", listed)
    return {name: [str(each) for each in listed] for name, listed in given.items()} or None


def check_tokens(tokens: Any, x: Nest) -> dict[str, list[list[str]]] | None:
    """Texts as a dict by the name of the input, each a list of tokens for each sample.

    Raises:
        ValueError: There is no such input, another number of texts, or a text is longer than the input.
    """
    given = _by_input("tokens", tokens, x, several=True)
    inputs = by_input(x)
    for name, texts in given.items():
        shape = np.shape(inputs[name])
        listed = isinstance(texts, list | tuple) and all(isinstance(each, list | tuple) for each in texts)
        if not listed or len(texts) != shape[0] or any(len(each) > shape[1] for each in texts):
            received = f"{[len(each) for each in texts][:8]} tokens" if listed else f"{texts!r:.80}"
            raise ValueError(
                f"`tokens` must hold a list of at most {shape[1]} tokens for each of the {shape[0]} samples. "
                f"Received: {received}"
            )
    return {name: [[str(token) for token in each] for each in texts] for name, texts in given.items()} or None


def _by_input(argument: str, given: Any, x: Nest, several: bool = False) -> dict[str, Any]:
    """What is given for some inputs: a dict, or a list where there is one input."""
    if given is None:
        return {}
    inputs = by_input(x)
    found = given if isinstance(given, dict) else {next(iter(inputs)): given}
    wrong = [name for name in found if name not in inputs]
    if wrong or (len(inputs) > 1 and not isinstance(given, dict)):
        raise ValueError(
            f"`{argument}` must be a {'list of lists' if several else 'list'}, or for several inputs a dict by their names "
            f"{list(inputs)}. Received: {given!r:.80}"
        )
    return found
