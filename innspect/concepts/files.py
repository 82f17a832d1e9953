"""What the HDF5 files of galleries hold.

(512 bytes)             a digest of all others, see innspect.files.seals
/                       format, version, innspect, keras, backend, model, fingerprint, samples
settings, progress, fingerprints        text, JSON
seen                    (parts, 2): the ids of the samples, each part from its first up to its last and one
layers/<number>         a group for each layer, with the attributes path, number, keeps, by_class, left_out
whole, classes          values, ids, positions, total, error, count; of classes with an axis of these first, and their numbers
crops                   data of different ones, one after the other, shapes, low, high; channels, and numbers of theirs
"""

import json
from typing import Any

import h5py
import keras
import numpy as np

from innspect._version import __version__
from innspect.concepts.best import Best
from innspect.concepts.crops import Crop
from innspect.concepts.references import Part, References
from innspect.files.containers import Format
from innspect.patterns.fingerprint import combined
from innspect.types import Array, Path

FORMAT = Format("innspect-concepts", 1, "reference samples of concepts")
_TEXTS = ("settings", "progress", "fingerprints")


def write(path: Path, header: dict[str, Any], layers: dict[str, References]) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The file.
        header: Dict with "settings", "progress" and "fingerprints", dicts; "model_name", "samples" and "seen".
        layers: Dict from path to `References`.
    """
    with FORMAT.written(path) as file:
        told = {"innspect": __version__, "keras": keras.__version__, "backend": keras.backend.backend()}
        fingerprint = combined(header["fingerprints"])
        file.attrs.update(told | {"model": header["model_name"], "fingerprint": fingerprint, "samples": header["samples"]})
        for name in _TEXTS:
            file.create_dataset(name, data=json.dumps(header[name]))
        file.create_dataset("seen", data=np.array(header["seen"], "int64").reshape(-1, 2))
        for number, (name, references) in enumerate(layers.items()):
            _write_layer(file.create_group(f"layers/{number}"), name, references)


def _write_layer(group: h5py.Group, name: str, references: References) -> None:
    group.attrs.update(
        {
            "path": name,
            "number": references.number,
            "keeps": references.keeps,
            "by_class": references.by_class,
            "left_out": references.left_out,
        }
    )
    for key, value in _arrays([references.whole]).items():
        group.create_dataset(f"whole/{key}", data=value[0])
    numbers = sorted(references.parts)
    group.create_dataset("classes/numbers", data=np.array(numbers, "int64"))
    for key, value in _arrays([references.parts[n] for n in numbers]).items():
        group.create_dataset(f"classes/{key}", data=value)
    pieces = [(channel, crop) for channel, listed in enumerate(references.pieces) for crop in listed]
    if pieces:
        different = {id(crop): crop for _, crop in pieces}  # several channels may see the same
        places = {key: number for number, key in enumerate(different)}
        stored = [crop.stored for crop in different.values()]
        group.create_dataset("crops/data", data=np.concatenate([s.reshape(-1) for s in stored]))
        group.create_dataset("crops/shapes", data=np.array([s.shape for s in stored], "int64"))
        group.create_dataset("crops/channels", data=np.array([channel for channel, _ in pieces], "int64"))
        group.create_dataset("crops/numbers", data=np.array([places[id(crop)] for _, crop in pieces], "int64"))
        for name in ("low", "high"):
            group.create_dataset(
                f"crops/{name}", data=np.array([getattr(crop, name) for crop in different.values()], "float64")
            )


def _arrays(parts: list[Part]) -> dict[str, Array]:
    """Those of some parts, stacked; none where there are none."""
    if not parts:
        return {}
    named = {name: np.stack([getattr(p.best, name) for p in parts]) for name in ("values", "ids", "positions")}
    named |= {name: np.stack([getattr(p, name) for p in parts]) for name in ("total", "error")}
    return named | {"count": np.array([p.count for p in parts], "int64")}


def read(path: Path) -> tuple[dict[str, Any], dict[str, References]]:
    """The header and the layers, as `write` takes them.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, holds no reference samples, or is of a newer version.
    """
    with FORMAT.opened(path) as file:
        header = {name: json.loads(file[name][()]) for name in _TEXTS}
        header |= {"model_name": str(file.attrs["model"]), "samples": int(file.attrs["samples"])}
        header["seen"] = [(int(a), int(b)) for a, b in file["seen"][()]]
        groups = [file[f"layers/{n}"] for n in range(len(file["layers"]))] if "layers" in file else []
        return header, {str(group.attrs["path"]): _read_layer(group) for group in groups}


def _read_layer(group: h5py.Group) -> References:
    numbers = group["classes/numbers"][()]
    whole = _part(group["whole"])
    parts = {int(c): _part(group["classes"], i) for i, c in enumerate(numbers)}
    settings = {name: int(group.attrs[name]) for name in ("number", "keeps", "left_out", "by_class")}
    pieces: list[list[Crop]] = [[] for _ in range(len(whole.total))]
    if "crops" in group:
        found = {name: group[f"crops/{name}"][()] for name in group["crops"]}
        ends = np.cumsum(found["shapes"].prod(axis=1))
        stored = zip(np.split(found["data"], ends[:-1]), found["shapes"], found["low"], found["high"], strict=True)
        crops = [Crop(each.reshape(shape), float(low), float(high)) for each, shape, low, high in stored]
        for channel, number in zip(found["channels"], found["numbers"], strict=True):
            pieces[int(channel)].append(crops[int(number)])
    return References(str(group.attrs["path"]), whole, parts, pieces=pieces, **settings)


def _part(group: h5py.Group, at: int | None = None) -> Part:
    where: Any = () if at is None else at
    best = Best(*(group[name][where] for name in ("values", "ids", "positions")))
    return Part(int(group["count"][where]), group["total"][where], group["error"][where], best)
