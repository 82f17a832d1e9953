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
_PARTS = ("attributions", "outputs", "targets", "signals", "delta", "details")  # all but the settings


def norm(arrays: Iterable[Array], lead: int) -> Array:
    """The Euclidean norm over all arrays together, but for their first axes, `lead` of them."""
    return np.sqrt(sum(np.square(a.reshape(*a.shape[:lead], -1), dtype="float64").sum(axis=-1) for a in arrays))


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
    """

    attributions: Nest
    outputs: Array
    targets: Array
    signals: dict[str, Nest] = field(default_factory=dict)
    delta: Array | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Nest] = field(default_factory=dict)

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
        described = packed({k: getattr(self, k) for k in _PARTS}, arrays)
        header = {"format": _FORMAT, "version": 1, "tree": described, "settings": self.settings}
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
            if header.get("format") != _FORMAT or header["version"] > 1:
                raise UnreadableFileError(
                    f"{str(path)!r} is no saved explanation that this version can read: expected {_FORMAT} of version 1. "
                    f"Received: {header.get('format')} {header.get('version')}"
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
            return None if found[0] is None else joined(found, 0 if name == "outputs" else axis)

        return cls(**{name: whole(name) for name in _PARTS}, settings=parts[0].settings)

    def with_samples(self, samples: Array, other: "Explanation") -> "Explanation":
        """The explanation with that of some samples, by number, taken from another."""
        axis = self.targets.ndim - 1

        def placed(name: str) -> Any:
            def put(mine: Array, theirs: Array) -> Array:
                whole = np.array(mine)
                whole[samples if name == "outputs" or not axis else (slice(None), samples)] = theirs
                return whole

            mine = getattr(self, name)
            return None if mine is None else keras.tree.map_structure(put, mine, getattr(other, name))

        return replace(self, **{name: placed(name) for name in _PARTS})

    def __repr__(self) -> str:
        shape = getattr(self.attributions, "shape", None)
        method = self.settings.get("method", "?")
        targets = np.array2string(self.targets, precision=4, threshold=6)
        return f"Explanation({method!r}, attributions={shape}, targets={targets})"

    def _repr_html_(self) -> str:
        from innspect.visualize import explanation_html

        return explanation_html(self)
