"""HDF5 files of patterns and statistics.

    /                       format, version, innspect, keras, backend, model, samples, pattern_types, gate, y_mean;
                            fingerprint of the model, and fingerprints, where to find those of its layers
    /<layer path>           a group for every layer, with the attributes path, index and gated
        linear, positive, negative      patterns in the kernel's shape
        count, active, degenerate       samples times positions; per neuron how often active, and whether without pattern
        statistics/                     float64 sums and their centre, and the kernel

Writes are atomic: a new file takes the old one's place when it is complete and on the disk.
"""

import contextlib
import json
import os
import tempfile
from itertools import zip_longest

import h5py
import keras
import numpy as np

from innspect.graph.clone import Clone
from innspect.patterns.accumulate import Accumulator
from innspect.patterns.collection import LayerPatterns, Patterns
from innspect.patterns.fingerprint import combined, first_difference, layer_fingerprints
from innspect.patterns.kinds import KINDS
from innspect.patterns.layout import Layout
from innspect.patterns.moments import Moments

FORMAT, VERSION = "innspect-patterns", 1


# ------------------------------------------------------------------ writing
@contextlib.contextmanager
def _written(path):
    """An HDF5 file that takes the place of `path` once the block has ended well."""
    path = os.path.abspath(path)
    try:
        handle, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".innspect-", suffix=".h5")
        os.close(handle)
        try:
            with h5py.File(partial, "w", track_order=True) as file:
                yield file
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.chmod(partial, _permissions(path))
            os.replace(partial, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
    except (OSError, RuntimeError) as error:
        raise OSError(f"{path!r} could not be written; what was there before is unchanged. Received: {error}") from error


def _permissions(path):
    """Those of the file that is replaced, or of a new file."""
    if os.path.exists(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_header(file, source, **more):
    from innspect import __version__

    fingerprints = source.fingerprints or {}
    file.attrs.update(
        {
            "format": FORMAT,
            "version": VERSION,
            "innspect": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "model": source.model_name,
            "fingerprint": combined(fingerprints),
            "samples": source.samples,
            "pattern_types": list(source.pattern_types),
            "gate": source.gate,
            "y_mean": source.y_mean,
            **more,
        }
    )
    name = "fingerprints"
    while name in {path.split("/")[0] for path in source.layers}:
        name += "_"
    file.attrs["fingerprints"] = name
    file.create_dataset(name, data=json.dumps(fingerprints))


def _layer_group(file, index, path, gated):
    group = file.create_group(path)
    group.attrs.update({"path": path, "index": index, "gated": gated})
    return group


def _write_patterns(group, layer):
    for kind, array in layer.arrays.items():
        group.create_dataset(kind, data=array)
    group.create_dataset("count", data=layer.count)
    group.create_dataset("active", data=layer.active)
    kinds = list(layer.degenerate)
    if kinds:
        group.create_dataset("degenerate", data=np.stack([layer.degenerate[k] for k in kinds]))
        group["degenerate"].attrs["kinds"] = kinds


def save_patterns(patterns, path):
    """Write a `Patterns` object."""
    with _written(path) as file:
        _write_header(file, patterns)
        for index, (name, layer) in enumerate(patterns.layers.items()):
            _write_patterns(_layer_group(file, index, name, layer.gated), layer)


def save_statistics(statistics, path, patterns):
    """Write `PatternStatistics`, with the patterns they give where `patterns` is true."""
    statistics.flush()
    fitted = statistics.patterns().layers if patterns else {}
    with _written(path) as file:
        _write_header(file, statistics, progress=json.dumps(statistics.progress), statistics=True)
        for index, (name, layer) in enumerate(statistics.layers.items()):
            group = _layer_group(file, index, name, layer.gated)
            if name in fitted:
                _write_patterns(group, fitted.pop(name))
            _write_moments(group.create_group("statistics"), layer)


def _write_moments(group, layer):
    group.create_dataset("kernel", data=layer.kernel)
    if layer.moments is None:
        return
    moments = layer.moments
    group.attrs["regimes"] = list(moments.regimes)
    group.attrs["layout"] = json.dumps(vars(moments.layout))
    for name, values in moments.centre.items():
        group.create_dataset(f"centre/{name}", data=values)
    for name, values in moments.sums.items():
        group.create_dataset(f"sums/{name}", data=values)


# ------------------------------------------------------------------ reading
@contextlib.contextmanager
def _opened(path):
    """The file for reading, its format and version checked."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path!r} is damaged, cut short, or no HDF5 file. Received: {error}") from error
    with file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(
                f"{path!r} holds no patterns: expected the attribute format={FORMAT!r}. Received: {file.attrs.get('format')!r}"
            )
        if int(file.attrs["version"]) > VERSION:
            raise ValueError(
                f"{path!r} was written by a newer innspect ({file.attrs.get('innspect')}) in version {file.attrs['version']} "
                f"of the format, and this one reads up to version {VERSION}. Update innspect."
            )
        try:
            yield file
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path!r} is damaged. Received: {error}") from error


def _layer_groups(file):
    found = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Group) and "path" in item.attrs else None)
    return sorted(found, key=lambda g: g.attrs["index"])


def _header(file):
    return {
        "pattern_types": tuple(str(t) for t in file.attrs["pattern_types"]),
        "samples": int(file.attrs["samples"]),
        "gate": str(file.attrs["gate"]),
        "y_mean": str(file.attrs["y_mean"]),
        "model_name": str(file.attrs["model"]),
        "fingerprints": json.loads(file[file.attrs["fingerprints"]].asstr()[()]),
    }


def load_patterns(path, model=None, *, strict=True):
    """Read patterns from an HDF5 file.

    Args:
        path: The file.
        model: The model they are for; without it nothing is compared now, but an analyzer will.
        strict: True wants the very model they were fitted on, weights included; False compares shapes only.

    Returns:
        A `Patterns` object.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, holds no patterns, is of a newer version, or was fitted on another model; the message
            names the first layer that differs.
    """
    with _opened(path) as file:
        layers = {str(group.attrs["path"]): _read_patterns(group) for group in _layer_groups(file)}
        if layers and not any(layer.arrays for layer in layers.values()):
            raise ValueError(
                f"{str(path)!r} holds statistics without patterns. Use "
                "`innspect.patterns.PatternStatistics.load(path).patterns()`."
            )
        patterns = Patterns(layers, **_header(file))
    return patterns if model is None else fitted_to(patterns, model, strict=strict)


def _read_patterns(group):
    arrays = {kind: group[kind][()] for kind in KINDS if kind in group}
    if not arrays:
        return LayerPatterns({})
    degenerate = {}
    if "degenerate" in group:
        kinds = group["degenerate"].attrs["kinds"]
        degenerate = {str(k): row for k, row in zip(kinds, group["degenerate"][()], strict=True)}
    return LayerPatterns(arrays, bool(group.attrs["gated"]), int(group["count"][()]), group["active"][()], degenerate)


def load_statistics(path, model=None, *, moments=True):
    """Read `PatternStatistics`, without the moments where they are not wanted."""
    from innspect.patterns.statistics import LayerStatistics, PatternStatistics

    with _opened(path) as file:
        if not file.attrs.get("statistics"):
            raise ValueError(f"{str(path)!r} holds patterns without statistics. Use `innspect.patterns.load(path)`.")
        statistics = object.__new__(PatternStatistics)
        statistics.__dict__.update(_header(file))
        statistics.progress = json.loads(file.attrs["progress"])
        statistics.layers = {}
        for group in _layer_groups(file):
            kernel = group["statistics/kernel"][()]
            layer = LayerStatistics(kernel, bool(group.attrs["gated"]), read_moments(group["statistics"]) if moments else None)
            statistics.layers[str(group.attrs["path"])] = layer
    statistics._clone = statistics._measurement = statistics._centres = None
    statistics._accumulator = Accumulator()
    if model is not None:
        name = statistics.model_name
        clone = model if isinstance(model, Clone) else Clone(model)
        known = layer_fingerprints(clone.graph)
        _compare(statistics.fingerprints, known, name, clone.model.name, "statistics")
        statistics._attach(clone)
        statistics.fingerprints = known
        paths = [unit.path for unit in statistics._measurement.units]
        statistics.layers = dict(zip(paths, statistics.layers.values(), strict=True))
    return statistics


def read_moments(group):
    """The `Moments` of one layer, or None where no data was seen."""
    if "sums" not in group:
        return None
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(group.attrs["layout"]).items()}
    centre = {name: item[()] for name, item in group["centre"].items()}
    sums = {name: np.asarray(item[()], "float64") for name, item in group["sums"].items()}
    return Moments(Layout(**settings), tuple(str(r) for r in group.attrs["regimes"]), centre, sums)


# ------------------------------------------------------------------ the right model
def fitted_to(patterns, model, *, strict=True):
    """`patterns`, checked to be those of `model`, a model or a `Clone`, under the names that its layers have there.

    Raises:
        ValueError: They are not; the message names the first layer that differs.
    """
    from innspect.patterns.measure import units_of

    clone = model if isinstance(model, Clone) else Clone(model)
    shapes = {unit.path: unit.layout.shape for unit in units_of(clone.graph)}
    _compare_shapes(patterns, shapes, clone.model.name)
    known = patterns.fingerprints
    if known is not None or not strict:
        known = layer_fingerprints(clone.graph)
    if strict and known is not None:
        _compare(patterns.fingerprints, known, patterns.model_name, clone.model.name, "patterns")
    layers = dict(zip(shapes, patterns.layers.values(), strict=True))
    settings = patterns.pattern_types, patterns.samples, patterns.gate, patterns.y_mean, clone.model.name, known
    return Patterns(layers, *settings)


def _compare_shapes(patterns, shapes, name):
    for (path, shape), (other, layer) in zip_longest(shapes.items(), patterns.layers.items(), fillvalue=(None, None)):
        theirs = None if layer is None else next(iter(layer.arrays.values())).shape
        if theirs != shape:
            there = f"is {path!r}, whose kernel has the shape {shape}" if path else f"is {other!r}, which this model has not"
            received = f"a pattern of shape {theirs}" if layer is not None else "no pattern of it"
            raise ValueError(
                f"The patterns do not fit the model {name!r}: the first layer that differs {there}. Received: {received}"
            )


def _compare(theirs, mine, their_name, my_name, what):
    path = first_difference(mine, theirs)
    if path is not None:
        raise ValueError(
            f"The {what} were fitted on another model ({their_name!r}) than {my_name!r}, or on "
            f"other weights: the first layer that differs is {path!r}. Fit again, or compare shapes only with "
            "`innspect.patterns.load(path, model, strict=False)`."
        )
