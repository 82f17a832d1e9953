"""What the HDF5 files hold of patterns and statistics.

(512 bytes)             a digest of all others, see innspect.files.seals
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

from innspect._version import __version__
from innspect.files import UnreadableFileError
from innspect.files.containers import Format
from innspect.patterns.fingerprint import combined
from innspect.patterns.kinds import KINDS

FORMAT = Format("innspect-patterns", 1, "patterns")


# ------------------------------------------------------------------ writing
def write(path, header, layers, **more):
    """Write a file, whole or not at all.

    Args:
        path: The file.
        header: Dict with "pattern_types", "samples", "gate", "y_mean", "model_name" and "fingerprints".
        layers: Dict from path to a dict with "gated", and as there are any "patterns", with the entries of `LayerPatterns`, and
            "statistics", a dict of the kernel and the `Moments` as a dict.
        **more: Further attributes.
    """
    with FORMAT.written(path) as file:
        _write_header(file, header, layers, more)
        for index, (name, layer) in enumerate(layers.items()):
            group = file.create_group(name)
            group.attrs.update({"path": name, "index": index, "gated": layer["gated"]})
            if "patterns" in layer:
                _write_patterns(group, **layer["patterns"])
            if "statistics" in layer:
                _write_statistics(group.create_group("statistics"), **layer["statistics"])


def _write_header(file, header, layers, more):
    fingerprints = header["fingerprints"] or {}
    file.attrs.update(
        {
            "innspect": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "model": header["model_name"],
            "fingerprint": combined(fingerprints),
            "samples": header["samples"],
            "pattern_types": list(header["pattern_types"]),
            "gate": header["gate"],
            "y_mean": header["y_mean"],
            **more,
        }
    )
    name = "fingerprints"
    while name in {path.split("/")[0] for path in layers}:
        name += "_"
    file.attrs["fingerprints"] = name
    file.create_dataset(name, data=json.dumps(fingerprints))


def _write_patterns(group, arrays, count, active, degenerate):
    for kind, array in arrays.items():
        group.create_dataset(kind, data=array)
    group.create_dataset("count", data=count)
    group.create_dataset("active", data=active)
    kinds = list(degenerate)
    if kinds:
        group.create_dataset("degenerate", data=np.stack([degenerate[k] for k in kinds]))
        group["degenerate"].attrs["kinds"] = kinds


def _write_statistics(group, kernel, moments):
    group.create_dataset("kernel", data=kernel)
    if moments is None:
        return
    group.attrs["regimes"] = list(moments["regimes"])
    group.attrs["layout"] = json.dumps(moments["layout"])
    for name, values in moments["centre"].items():
        group.create_dataset(f"centre/{name}", data=values)
    for name, values in moments["sums"].items():
        group.create_dataset(f"sums/{name}", data=values)


# ------------------------------------------------------------------ reading
def read_patterns(path):
    """The header and the layers' patterns, as `write` takes them.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, holds no patterns, or is of a newer version.
    """
    with FORMAT.opened(path) as file:
        layers = {str(group.attrs["path"]): _read_patterns(group) for group in _layer_groups(file)}
        if layers and not any(layer["arrays"] for layer in layers.values()):
            raise UnreadableFileError(
                f"{str(path)!r} holds statistics without patterns. Use "
                "`innspect.patterns.PatternStatistics.load(path).patterns()`."
            )
        return _header(file), layers


def read_statistics(path, *, moments=True):
    """The header, the progress, and the layers' statistics, as `write` takes them; without the moments if not wanted."""
    with FORMAT.opened(path) as file:
        if not file.attrs.get("statistics"):
            raise UnreadableFileError(f"{str(path)!r} holds patterns without statistics. Use `innspect.patterns.load(path)`.")
        layers = {}
        for group in _layer_groups(file):
            found = group["statistics"]
            layers[str(group.attrs["path"])] = {
                "kernel": found["kernel"][()],
                "gated": bool(group.attrs["gated"]),
                "moments": _read_moments(found) if moments else None,
            }
        return _header(file) | {"progress": json.loads(file.attrs["progress"])}, layers


def read_moments(path, index):
    """The moments of one layer, by its number, as a dict; None where no data was seen. The file was read from before."""
    with FORMAT.opened(path, known=True) as file:
        return _read_moments(_layer_groups(file)[index]["statistics"])


def _layer_groups(file):
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


def _read_patterns(group):
    arrays = {kind: group[kind][()] for kind in KINDS if kind in group}
    if not arrays:
        return {"arrays": {}}
    degenerate = {}
    if "degenerate" in group:
        kinds = group["degenerate"].attrs["kinds"]
        degenerate = {str(k): row for k, row in zip(kinds, group["degenerate"][()], strict=True)}
    return {
        "arrays": arrays,
        "gated": bool(group.attrs["gated"]),
        "count": int(group["count"][()]),
        "active": group["active"][()],
        "degenerate": degenerate,
    }


def _read_moments(group):
    if "sums" not in group:
        return None
    return {
        "layout": {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(group.attrs["layout"]).items()},
        "regimes": tuple(str(r) for r in group.attrs["regimes"]),
        "centre": {name: item[()] for name, item in group["centre"].items()},
        "sums": {name: np.asarray(item[()], "float64") for name, item in group["sums"].items()},
    }
