"""The classes of samples, in whatever form they come, and what tells them from the names of classes."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from innspect import backend
from innspect.labels import Labels
from innspect.types import Array


def split(labels: Any) -> tuple[Any, Any]:
    """(names of the classes, classes of the samples), of which one is None."""
    if labels is None or isinstance(labels, Labels | str | os.PathLike | Mapping) or callable(labels):
        return labels, None
    if backend.is_tensor(labels) or hasattr(labels, "dtype"):
        array = _array(labels)
        return (labels, None) if array.dtype.kind in "OSU" else (None, labels)
    try:
        are_numbers = np.asarray(labels).dtype.kind in "iubf" and len(labels) > 0
    except (TypeError, ValueError):  # lists of several lengths, such as synonyms
        are_numbers = False
    return (None, labels) if are_numbers else (labels, None)


def classes(given: Any) -> Array | None:
    """Classes as the file has them: integers (samples,), or truth values (samples, classes); None where these are none."""
    array = _array(given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iubf" or array.ndim not in (1, 2):
        return None
    if array.ndim == 2:
        return array.astype(bool) if np.isin(array, (0, 1)).all() else None
    whole = array.dtype.kind != "f" or (np.isfinite(array).all() and (array == np.round(array)).all())
    small = whole and (not array.size or np.abs(array.astype("float64")).max() < 1 << 31)
    return array.astype("int32") if small else None


def checked(given: Any, count: int) -> Array | None:
    """The argument `labels`, as by `classes`.

    Raises:
        ValueError: It is none of these, or of another number of samples.
    """
    if given is None:
        return None
    found = classes(given)
    if found is None:
        received = f"dtype {_array(given).dtype}, shape {_array(given).shape}"
        raise ValueError(
            "`labels` must be the names of the classes, or the class of each sample: integers (samples,), or ones and zeros "
            f"(samples, classes). Received: {received}"
        )
    if len(found) != count:
        raise ValueError(f"`labels` must have one for each of the {count} samples. Received: {len(found)} labels")
    return found


def _array(given: Any) -> Array:
    return backend.to_numpy(given) if backend.is_tensor(given) else np.asarray(given)
