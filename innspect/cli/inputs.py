"""Reading what a model is to explain: images, arrays, folders and globs."""

import glob
import os
import zipfile

import numpy as np

from innspect.files import archives, readable
from innspect.tables import printable

_ARRAYS = (".npy", ".npz", ".h5", ".hdf5")
_BITS_PER_SAMPLE = 258  # the number of a tag
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class Source:
    """The inputs that the command line names, read when they are asked for.

    Args:
        given: Paths, with FILE:NAME for one array of a file.
        model: The Keras model that they are for.
        preprocess: Name of the preprocessing.
        limit: Most samples to take; None takes all.

    Attributes:
        names: A name for each sample, good for a file.
        arrays: True where the inputs are arrays and not images.
    """

    def __init__(self, given, model, preprocess="none", limit=None):
        from innspect.graph.opened.opened_model import open_model

        opened = open_model(model)
        self._specs, self._names = opened.specs, opened.names
        self._prepare = preprocessing(preprocess)
        paths = expand(given)
        kinds = {_is_array(path) for path in paths}
        if len(kinds) > 1:
            raise ValueError(f"Inputs must be images or arrays, not both. Received: {', '.join(paths[:4])}")
        self.arrays = kinds.pop()
        if self.arrays:
            parts = [_read_arrays(path, self._names, limit) for path in paths]
            self._held = _joined(parts, limit)
            stems = [f"{_stem(path)}-{i}" for path, part in zip(paths, parts, strict=True) for i in range(_count(part))]
        else:
            if len(self._specs) > 1:
                raise ValueError(f"A model with several inputs, {self._names}, needs arrays. Received: images")
            self._paths = paths[:limit]
            stems = [_stem(path) for path in paths]
        self.names = _distinct(stems[:limit])

    def __len__(self):
        return len(self.names)

    def batches(self, batch_size):
        """The inputs in batches."""
        for start in range(0, len(self), batch_size):
            yield self[start : start + batch_size]

    def __getitem__(self, rows):
        """Some of the samples, a slice: an array, or a dict of arrays by the name of the input."""
        if not self.arrays:
            return self._prepare(np.stack([read_image(path, self._specs[0].shape) for path in self._paths[rows]]))
        if isinstance(self._held, dict):
            return {name: self._prepare(np.asarray(a[rows])) for name, a in self._held.items()}
        return self._prepare(np.asarray(self._held[rows]))

    def pictures(self, rows):
        """The same samples as they should be shown, before preprocessing: an array, or None for a dict of inputs."""
        if self.arrays:
            return None if isinstance(self._held, dict) else np.asarray(self._held[rows])
        return np.stack([read_image(path, self._specs[0].shape) for path in self._paths[rows]]).astype("uint8")


def expand(given):
    """Files from files, folders (all images below) and globs, in a fixed order.

    Raises:
        FileNotFoundError: There is nothing of that name.
        UnreadableFileError: It is a pipe, or a device.
    """
    found = []
    for path in given:
        if os.path.isdir(path):
            inside = [os.path.join(folder, f) for folder, _, files in os.walk(path) for f in files]
            images = sorted(f for f in inside if f.lower().endswith(_IMAGES) and os.path.isfile(f))
            if not images:
                raise FileNotFoundError(f"There are no images below {path!r}")
            found += images
        elif os.path.exists(path) or os.path.exists(_split(path)[0]):
            readable(_split(path)[0])
            found.append(path)
        else:
            matches = sorted(m for m in glob.glob(path, recursive=True) if os.path.isfile(m))
            if not matches:
                raise FileNotFoundError(f"There is no file {path!r}")
            found += matches
    return found


# ------------------------------------------------------------------ arrays
def _split(path):
    """A file and the name of an array inside it, or None."""
    if os.path.exists(path) or ":" not in path:
        return path, None
    file, _, name = path.rpartition(":")
    return file, name


def _is_array(path):
    return _split(path)[0].lower().endswith(_ARRAYS)


def _read_arrays(path, inputs, limit):
    """One array, or a dict of them by the name of the input; of each not many more than the first `limit` samples."""
    file, name = _split(path)
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


def _count(part):
    return len(next(iter(part.values())) if isinstance(part, dict) else part)


def _joined(parts, limit):
    if isinstance(parts[0], dict):
        return {name: _joined([p[name] for p in parts], limit) for name in parts[0]}
    if any(p.ndim == 0 or p.shape[1:] != parts[0].shape[1:] for p in parts):
        raise ValueError(f"Arrays must have the samples first and the same shape. Received: {[p.shape for p in parts]}")
    return parts[0][:limit] if len(parts) == 1 else np.concatenate(parts)[:limit]


# ------------------------------------------------------------------ images
def read_image(path, shape):
    """An image as float32, 0 to 255, in the size and channels of a model's input. Of 16 bits, 65535 is 255.

    Args:
        path: The file.
        shape: The input's, with the samples: (None, height, width, 1 or 3), (None, 1 or 3, height, width), or
            (None, height, width). Where height or width is not known the image keeps its size.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Images need Pillow: pip install pillow") from error
    first = len(shape) == 4 and shape[-1] not in (1, 3) and shape[1] in (1, 3)
    channels = 1 if len(shape) == 3 else shape[1 if first else -1]
    if len(shape) not in (3, 4) or channels not in (1, 3):
        raise ValueError(f"The model takes no images, but inputs of shape {tuple(shape[1:])}. Received: {path!r}")
    height, width = shape[2:] if first else shape[1:3]
    try:
        with Image.open(path) as file:
            image = _of_8_bits(file, "L" if channels == 1 else "RGB")
            if height and width and image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, "float32")
    except Exception as error:  # which a damaged picture may raise of any kind
        raise ValueError(f"{os.fspath(path)!r} is no image that can be read: {error or type(error).__name__}") from error
    if len(shape) == 3:
        return pixels
    pixels = np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], channels))
    return np.moveaxis(pixels, -1, 0) if first else pixels


def _of_8_bits(image, mode):
    """A picture in a mode of Pillow's whose values are from 0 to 255; those of 16 bits become fractions in between.

    Pillow's own conversion takes every value above 255 for white.

    Raises:
        ValueError: Its values have no range that would be known: they are of 32 bits, floats, or have a sign.
    """
    if not image.mode.startswith(("I", "F")):
        return image.convert(mode)
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]  # of a TIFF, whose tags tell it
    if bits > 16 or not (image.mode.startswith("I;16") or image.format in ("PNG", "PPM")):
        raise ValueError(
            "the range of its pixels is not known, which are of 32 bits, floats, or have a sign. Save it with 8 or 16 bits, or "
            f"give an array. Received: mode {image.mode!r}"
        )
    from PIL import Image

    return Image.fromarray(np.asarray(image).astype("float32") * (255 / (2**bits - 1)))


def preprocessing(name):
    """A function from arrays to arrays.

    Raises:
        ValueError: There is none of that name.
    """
    from innspect.errors import suggest

    simple = {"none": lambda x: x, "unit": lambda x: x / 255.0, "symmetric": lambda x: x / 127.5 - 1.0}
    if name in simple:
        return simple[name]
    import keras

    modules = [n for n in dir(keras.applications) if hasattr(getattr(keras.applications, n), "preprocess_input")]
    if name not in modules:
        raise ValueError(f"There is no preprocessing {name!r}. {suggest(name, [*simple, *modules])}")
    prepare = getattr(keras.applications, name).preprocess_input
    return lambda x: prepare(np.array(x, "float32"))


# ------------------------------------------------------------------ names
def _stem(path):
    """The name of a file, without its ending, in characters that are good for files and can be shown."""
    return printable(os.path.splitext(os.path.basename(_split(path)[0]))[0]).replace("\\", "_")


def _distinct(stems):
    """The same names, with a number where one occurs again."""
    seen, names = set(), []
    for stem in stems:
        name, number = stem, 2
        while name in seen:
            name, number = f"{stem}-{number}", number + 1
        seen.add(name)
        names.append(name)
    return names
