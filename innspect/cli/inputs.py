"""Reading what a model is to explain: images, arrays, folders and globs."""

import glob
import os

import numpy as np

from innspect.cli.arrays import are_pixels, check_scale, count, is_array, joined, read_arrays, split
from innspect.cli.images import ENDINGS, layout_of, photograph, pixels_and_frame, shown_size
from innspect.cli.preprocessing import check_spread, preprocessing
from innspect.files import readable
from innspect.tables import printable


class Source:
    """The inputs that the command line names, read when they are asked for.

    Args:
        given: Paths, with FILE:NAME for one array of a file.
        model: The Keras model that they are for.
        preprocess: What `--preprocess` says.
        limit: Most samples to take; None takes all.
        resize: "crop", "pad" or "stretch": how photographs come into the model's input.
        size: (height, width) of photographs for a model that takes any; None: their own.
        told: Called with what is said of an image that cannot be read, once for each.

    Attributes:
        names: A name for each sample, good for a file.
        arrays: True where the inputs are arrays and not images.
        skipped: (path, what is said of it) of the images that could not be read.
    """

    def __init__(self, given, model, preprocess="none", limit=None, *, resize="crop", size=None, told=lambda text: None):
        from innspect.graph.opened.opened_model import open_model

        opened = open_model(model)
        self._specs, self._names = opened.specs, opened.names
        self._ids = {n for n, tensor in zip(opened.names, opened.graph.inputs, strict=False) if opened.takes_ids(tensor)}
        self._shape = tuple(self._specs[0].shape)
        self._prepare = preprocessing(preprocess, self._shape)
        self._resize, self._told, self.skipped = resize, told, []
        paths = expand(given)
        self.arrays = are_arrays(paths)
        if self.arrays:
            parts = [read_arrays(path, self._names, limit) for path in paths]
            self._held = joined(parts, limit)
            for array in self._held_arrays().values():
                check_scale(array, self._prepare, preprocess)
            counts = [count(part) for part in parts]
            stems = [f"{_stem(path)}-{i}" for path, n in zip(paths, counts, strict=True) for i in range(n)]
            self.paths = [path for path, n in zip(paths, counts, strict=True) for _ in range(n)][:limit]
        else:
            if len(self._specs) > 1:
                raise ValueError(f"A model with several inputs, {self._names}, needs arrays. Received: images")
            layout_of(self._shape, paths[0])
            check_spread(self._prepare, preprocess, self._shape)
            self._shape = _sized(self._shape, size)
            self._held, self.paths = None, paths[:limit]
            stems = [_stem(path) for path in paths]
        self.names = _distinct(stems[:limit])

    def __len__(self):
        return len(self.names)

    def settle(self):
        """Read all images now, and leave out those that cannot be read.

        Raises:
            ValueError: None can be read.
        """
        if self.arrays or self._held is not None:
            return
        read, refused = self._read(self.paths)
        if not read:
            first = refused[self.paths[0]]
            raise ValueError(first if len(refused) == 1 else f"None of {len(refused)} images can be read. The first: {first}")
        self._skip(refused)
        kept = [i for i, path in enumerate(self.paths) if path not in refused]
        self._held, self.paths, self.names = read, [self.paths[i] for i in kept], [self.names[i] for i in kept]

    def batches(self, batch_size):
        """The inputs in batches, without the images that cannot be read."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            if self.arrays or self._held is not None:
                yield self[rows]
                continue
            read, refused = self._read(self.paths[rows])
            self._skip(refused)
            if read:
                yield self._prepare(_stacked(read).astype("float32"))

    def __getitem__(self, rows):
        """Some of the samples, a slice: an array, or a dict of arrays by the name of the input."""
        if not self.arrays:
            return self._prepare(self.pixels(rows).astype("float32"))
        if isinstance(self._held, dict):
            return {name: self._prepare(np.asarray(a[rows])) for name, a in self._held.items()}
        return self._prepare(np.asarray(self._held[rows]))

    def pixels(self, rows):
        """Samples as the network sees them, before preprocessing: an array, or None for a dict of inputs."""
        if self.arrays:
            return None if isinstance(self._held, dict) else np.asarray(self._held[rows])
        self.settle()
        return _stacked(self._held[rows])

    @property
    def files(self):
        """The file of each sample."""
        return list(self.paths)

    def are_pixels(self):
        """Whether the samples are pixels from 0 to 255: photographs, or arrays that hold what looks so."""
        held = self._held_arrays() if self.arrays else {}
        return not self.arrays or any(are_pixels(a) for name, a in held.items() if name not in self._ids)

    def _held_arrays(self):
        return self._held if isinstance(self._held, dict) else {self._names[0]: self._held}

    def bounds(self):
        """(low, high) of what the model is given, as `Preprocessing.bounds`; None where that is not known."""
        bytes_only = self.arrays and getattr(self._held, "dtype", None) == np.uint8 and len(self._shape) in (3, 4)
        return self._prepare.bounds(self._shape) if bytes_only or not self.arrays else None

    # ------------------------------------------------------------------ photographs, after `settle`
    def frame(self, i):
        """Where in the i-th photograph the network looks, a `Frame`."""
        return self._held[i][1]

    def size(self, i):
        """Width and height of the i-th photograph."""
        return self._held[i][2]

    def photograph(self, i, longest):
        """The i-th photograph, uint8 (height, width, 3), reduced where a side is longer than `longest`."""
        return photograph(self.paths[i], longest)

    def shown_size(self, i, longest):
        """Width and height of that."""
        return shown_size(self.size(i), longest)

    def _read(self, paths):
        """(pixels, frame, size) of each that can be read; and a dict from path to what is said of the others."""
        read, refused = [], {}
        for path in paths:
            try:
                read.append(pixels_and_frame(path, self._shape, self._resize))
            except (ValueError, OSError) as error:
                refused[path] = str(error)
        return read, refused

    def _skip(self, refused):
        known = dict(self.skipped)
        for path, reason in refused.items():
            if path not in known:
                self.skipped.append((path, reason))
                self._told(reason)


def _stacked(read):
    """The pixels of several images as one array."""
    pixels = [each for each, _, _ in read]
    if len({p.shape for p in pixels}) > 1:
        sizes = ", ".join(sorted({f"{height}x{width}" for _, _, (width, height) in read})[:4])
        raise ValueError(f"Images must be of one size for a model that takes any: give --size HEIGHTxWIDTH. Received: {sizes}")
    return np.stack(pixels)


def _sized(shape, size):
    """The model's input with the height and width that are given where it takes any."""
    if size is None:
        return shape
    first, _, own = layout_of(shape)
    if any(o not in (None, s) for o, s in zip(own, size, strict=True)):
        raise ValueError(f"--size must be that of the model's input, {own[0]}x{own[1]}. Received: {size[0]}x{size[1]}")
    at = 2 if first else 1
    return (*shape[:at], *size, *shape[at + 2 :])


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
            images = sorted(f for f in inside if f.lower().endswith(ENDINGS) and os.path.isfile(f))
            if not images:
                raise FileNotFoundError(f"There are no images below {path!r}")
            found += images
        elif os.path.exists(path) or os.path.exists(split(path)[0]):
            readable(split(path)[0])
            found.append(path)
        else:
            matches = sorted(m for m in glob.glob(path, recursive=True) if os.path.isfile(m))
            if not matches:
                raise FileNotFoundError(f"There is no file {path!r}")
            found += matches
    return found


def are_arrays(paths):
    """Whether files hold arrays, not images.

    Raises:
        ValueError: They are mixed.
    """
    kinds = {is_array(path) for path in paths}
    if len(kinds) > 1:
        raise ValueError(f"Inputs must be images or arrays, not both. Received: {', '.join(paths[:4])}")
    return kinds.pop()


# ------------------------------------------------------------------ names
def names_of_images(paths, limit=None):
    """A name for each image, good for a file."""
    return _distinct([_stem(path) for path in paths][:limit])


def _stem(path):
    """The name of a file, without its ending, in characters that are good for files and can be shown."""
    return printable(os.path.splitext(os.path.basename(split(path)[0]))[0]).replace("\\", "_")


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
