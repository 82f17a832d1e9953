"""Arrays in files, and whether they hold pixels."""

import os
import zipfile

import numpy as np

from innspect.files import archives

_ENDINGS = (".npy", ".npz", ".h5", ".hdf5")
_LOOKED_AT = 64  # samples
_LARGE = 20  # who divides by that does not expect numbers up to 1


def split(path):
    """A file and the name of an array inside it, or None."""
    if os.path.exists(path) or ":" not in path:
        return path, None
    file, _, name = path.rpartition(":")
    return file, name


def is_array(path):
    return split(path)[0].lower().endswith(_ENDINGS)


def read_arrays(path, inputs, limit):
    """One array, or a dict of them by the name of the input; of each not many more than the first `limit` samples."""
    file, name = split(path)
    try:
        if file.lower().endswith(".npy"):
            return np.load(file, mmap_mode="r")
        if file.lower().endswith(".npz"):
            with zipfile.ZipFile(file) as content:
                shapes = {k: archives.shape_of(content, k) for k in archives.member_names(content)}
                return _choose(file, name, shapes, lambda k: archives.read_member(content, k, limit), inputs)
        return _read_hdf5(file, name, inputs, limit)
    except Exception as error:  # which a damaged file may raise of any kind
        raise ValueError(f"{file!r} could not be read: {error or type(error).__name__}") from error


def one_array(path, limit=None):
    """An array of a file, or the only one of it: FILE, or FILE:NAME.

    Raises:
        ValueError: The file could not be read, or holds several.
    """
    if not is_array(path):
        raise ValueError(f"An array must be in a file .npy, .npz or .h5. Received: {path!r}")
    return np.asarray(read_arrays(path, [""], limit))[:limit]


def _read_hdf5(file, name, inputs, limit):
    import h5py

    with h5py.File(file, "r") as content:
        shapes = {}
        content.visititems(lambda k, item: shapes.update({k: item.shape}) if isinstance(item, h5py.Dataset) else None)
        return _choose(file, name, shapes, lambda k: content[k][slice(limit) if shapes[k] else ()], inputs)


def _choose(file, name, shapes, read, inputs):
    """The arrays of the model's inputs among those of a file."""
    if name is not None:
        if name not in shapes:
            raise ValueError(f"it holds no array {name!r}, but {', '.join(shapes) or 'nothing'}")
        return read(name)
    if len(inputs) > 1:
        missing = [n for n in inputs if n not in shapes]
        if missing:
            raise ValueError(f"it must hold the arrays {', '.join(inputs)}, but holds {', '.join(shapes) or 'nothing'}")
        return {n: read(n) for n in inputs}
    usual = [k for k in shapes if k in ("x", "x_test", "images", "data", *inputs)]
    candidates = list(shapes) if len(shapes) == 1 else usual
    if len(candidates) != 1:
        listed = ", ".join(f"{k} {shape}" for k, shape in shapes.items())
        raise ValueError(f"choose one of its arrays with {file}:NAME; it holds {listed or 'nothing'}")
    return read(candidates[0])


def count(part):
    return len(next(iter(part.values())) if isinstance(part, dict) else part)


def joined(parts, limit):
    if isinstance(parts[0], dict):
        return {name: joined([p[name] for p in parts], limit) for name in parts[0]}
    if any(p.ndim == 0 or p.shape[1:] != parts[0].shape[1:] for p in parts):
        raise ValueError(f"Arrays must have the samples first and the same shape. Received: {[p.shape for p in parts]}")
    return parts[0][:limit] if len(parts) == 1 else np.concatenate(parts)[:limit]


# ------------------------------------------------------------------ pixels
def are_pixels(array):
    """Whether an array, samples first, holds pixels from 0 to 255: bytes, or images of whole numbers in this range."""
    some = np.asarray(array[:_LOOKED_AT])
    if some.dtype == np.uint8 or some.dtype.kind not in "iuf" or some.ndim < 3 or not some.size:
        return some.dtype == np.uint8
    return bool(2 <= some.max() <= 255 and some.min() >= 0 and (some == np.round(some)).all())


def check_scale(array, prepare, text):
    """Raise where `--preprocess` is for pixels from 0 to 255, and the array holds numbers that were scaled before.

    Args:
        array: Samples first.
        prepare: The `Preprocessing`.
        text: How it was said.

    Raises:
        ValueError: The message has the remedy.
    """
    some = np.asarray(array[:_LOOKED_AT])
    if some.dtype.kind != "f" or not some.size:
        return
    low, high = float(some.min()), float(some.max())
    small = -1 <= low < high <= 1
    if (prepare.of_pixels and (small or low < 0)) or (prepare.divisor >= _LARGE and small):
        raise ValueError(
            f"--preprocess {text} is for pixels from 0 to 255, and these arrays were scaled before: leave it out where they "
            f"are as in training, or give arrays of pixels. Received: numbers from {low:.4g} to {high:.4g}"
        )
