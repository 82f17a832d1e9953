"""What the HDF5 files hold of patterns and statistics.

/                       format, version, innspect, keras, backend, model, samples, pattern_types, gate, y_mean;
fingerprint of the model, and fingerprints, where to find those of its layers
/<layer path>           a group for every layer, with the attributes path, index and gated
linear, positive, negative      patterns in the kernel's shape
count, active, degenerate       samples times positions; per neuron how often active, and whether without pattern
statistics/                     float64 sums and their centre, and the kernel
"""

import json

import h5py
import keras
import numpy as np

from innspect.graph.clone import open_model
from innspect.patterns.accumulate import Accumulator
from innspect.patterns.collection import LayerPatterns, Patterns
from innspect.patterns.container import FORMAT, VERSION, opened, written
from innspect.patterns.fingerprint import combined, layer_fingerprints
from innspect.patterns.kinds import KINDS
from innspect.patterns.layout import Layout
from innspect.patterns.matching import check_same_layers, fitted_to
from innspect.patterns.moments import Moments


# ------------------------------------------------------------------ writing
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
    with written(path) as file:
        _write_header(file, patterns)
        for index, (name, layer) in enumerate(patterns.layers.items()):
            _write_patterns(_layer_group(file, index, name, layer.gated), layer)


def save_statistics(statistics, path, patterns):
    """Write `PatternStatistics`, with the patterns they give where `patterns` is true."""
    statistics.flush()
    fitted = statistics.patterns().layers if patterns else {}
    with written(path) as file:
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
def layer_groups(file):
    """The groups of the layers, in the order of the layers."""
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
    with opened(path) as file:
        layers = {str(group.attrs["path"]): _read_patterns(group) for group in layer_groups(file)}
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

    with opened(path) as file:
        if not file.attrs.get("statistics"):
            raise ValueError(f"{str(path)!r} holds patterns without statistics. Use `innspect.patterns.load(path)`.")
        statistics = object.__new__(PatternStatistics)
        statistics.__dict__.update(_header(file))
        statistics.progress = json.loads(file.attrs["progress"])
        statistics.layers = {}
        for group in layer_groups(file):
            kernel = group["statistics/kernel"][()]
            layer = LayerStatistics(kernel, bool(group.attrs["gated"]), read_moments(group["statistics"]) if moments else None)
            statistics.layers[str(group.attrs["path"])] = layer
    statistics._opened = statistics._measurement = statistics._centres = None
    statistics._accumulator = Accumulator()
    if model is not None:
        name = statistics.model_name
        model = open_model(model)
        known = layer_fingerprints(model.graph)
        check_same_layers(statistics.fingerprints, known, name, model.model.name, "statistics")
        statistics._attach(model)
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
