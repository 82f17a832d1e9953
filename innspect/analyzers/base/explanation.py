"""Everything about one explained pass, in one object that can be kept."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from innspect.files import UnreadableFileError, replacing
from innspect.files.archives import arrays_of, opened_archive
from innspect.files.seals import seal_end
from innspect.nests import joined, packed, unpacked
from innspect.types import Array, Nest, Path

_FORMAT = "innspect-explanation"
_VERSION = 2  # 1: without inputs and neurons
_PARTS = ("attributions", "outputs", "targets", "signals", "delta", "details", "x", "neurons")  # all but the settings
OF_SAMPLES = ("outputs", "x")  # which have no axis of neurons


def norm(arrays: Iterable[Array], lead: int) -> Array:
    """The Euclidean norm over all arrays together, but for their first axes, `lead` of them."""
    return np.sqrt(sum(np.square(a.reshape(*a.shape[:lead], -1), dtype="float64").sum(axis=-1) for a in arrays))


def _without_objects(x: Nest | None) -> Nest | None:
    """Inputs as files can hold them: strings that NumPy keeps as objects as such; None where there are others."""
    if x is None:
        return None
    flat = keras.tree.flatten(x)
    if any(a.dtype == object and not all(isinstance(v, str) for v in a.flat) for a in flat):
        return None
    return keras.tree.map_structure(lambda a: a.astype("U") if a.dtype == object else a, x)


@dataclass
class Explanation:
    """What `analyzer.explain` returns.

    Attributes:
        attributions: As from `analyze`: the inputs' structure and shapes.
        outputs: The model's own output, (samples, ...).
        targets: The explained value of each sample, the logit where the head was stripped, (samples,); with a neuron
            axis first for several neurons.
        signals: Dict from each layer named by `at=` to the signal at its output, (samples, ...).
        delta: For methods with a conservation or completeness law, what is missing from it: target, less the target
            at the reference where the method has one, minus the sum of the attributions, (samples,); else None.
        settings: What is needed to compute the same again: method, arguments, selection, versions.
        details: What else the method found, by name; see its class. "error": how far the map may be from what more draws, or
            steps, would give, in its structure and shape.
        x: The inputs as they were given, in the structure of the attributions; None where they are not known.
        neurons: The number of each explained neuron along the output's last axis, integers in the shape of `targets`; -1 where
            it is no single one, such as weights. None where they are not known.
    """

    attributions: Nest
    outputs: Array
    targets: Array
    signals: dict[str, Nest] = field(default_factory=dict)
    delta: Array | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Nest] = field(default_factory=dict)
    x: Nest | None = None
    neurons: Array | None = None

    @property
    def relative_error(self) -> Array | None:
        """The error as a share of the map, both in Euclidean norm over a sample's inputs: an array like `targets`.

        None where the method tells no error; NaN where it is undefined, and for a map that is 0 with an error.
        """
        if "error" not in self.details:
            return None
        lead = self.targets.ndim
        error, whole = (norm(keras.tree.flatten(tree), lead) for tree in (self.details["error"], self.attributions))
        return np.where(error == 0, 0.0, error / np.where(whole == 0, np.nan, whole))

    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        arrays: dict[str, Any] = {}
        described = packed({k: getattr(self, k) for k in _PARTS} | {"x": _without_objects(self.x)}, arrays)
        header = {"format": _FORMAT, "version": _VERSION, "tree": described, "settings": self.settings}
        arrays["header"] = np.frombuffer(json.dumps(header, default=repr).encode(), "uint8")
        with replacing(path) as partial:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            seal_end(partial)

    @classmethod
    def load(cls, path: Path) -> "Explanation":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: It is damaged, no saved explanation, or of a newer version.
        """
        with opened_archive(path, "saved explanation") as archive:
            arrays = arrays_of(archive)
            if "header" not in arrays:
                raise UnreadableFileError(f"{str(path)!r} is no saved explanation. Received: arrays {list(arrays)[:4]}")
            header = json.loads(arrays["header"].tobytes())
            if header.get("format") != _FORMAT or header["version"] > _VERSION:
                raise UnreadableFileError(
                    f"{str(path)!r} is no saved explanation that this version can read: expected {_FORMAT} of version "
                    f"{_VERSION} or older. Received: {header.get('format')} {header.get('version')}"
                )
            return cls(**unpacked(header["tree"], arrays), settings=header["settings"])

    @classmethod
    def join(cls, parts: Iterable["Explanation"]) -> "Explanation":
        """The explanations of several batches as one, with the settings of the first.

        Args:
            parts: Explanations by one analyzer, of other samples, in their order.

        Raises:
            ValueError: There are none.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("`parts` must hold at least one explanation. Received: none")
        axis = parts[0].targets.ndim - 1  # of the samples: behind the neurons, where there are several

        def whole(name: str) -> Any:
            found = [getattr(part, name) for part in parts]
            return None if any(each is None for each in found) else joined(found, 0 if name in OF_SAMPLES else axis)

        return cls(**{name: whole(name) for name in _PARTS}, settings=parts[0].settings)

    def with_samples(self, samples: Array, other: "Explanation") -> "Explanation":
        """The explanation with that of some samples, by number, taken from another."""
        axis = self.targets.ndim - 1

        def placed(name: str) -> Any:
            def put(mine: Array, theirs: Array) -> Array:
                whole = np.array(mine)
                whole[samples if name in OF_SAMPLES or not axis else (slice(None), samples)] = theirs
                return whole

            mine, theirs = getattr(self, name), getattr(other, name)
            return mine if mine is None or theirs is None else keras.tree.map_structure(put, mine, theirs)

        return replace(self, **{name: placed(name) for name in _PARTS})

    def __repr__(self) -> str:
        shape = keras.tree.map_structure(lambda a: a.shape, self.attributions)
        method = self.settings.get("method", "?")
        targets = np.array2string(self.targets, precision=4, threshold=6)
        return f"Explanation({method!r}, attributions={shape}, targets={targets})"

    def show(self) -> None:
        """Draw it at once: below the cell in a notebook, elsewhere as a page in the browser."""
        from innspect.visualize.showing import show

        show(self)

    def _repr_html_(self) -> str:
        from innspect.visualize import explanation_html

        return explanation_html(self)
