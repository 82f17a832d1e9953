"""Fitted patterns: a mapping from layer path to an array in the kernel's shape."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from innspect.errors import PlainKeyError
from innspect.files import reading
from innspect.graph.opened.opened_model import OpenedModel
from innspect.patterns import files
from innspect.patterns.fingerprint import Fingerprints
from innspect.patterns.kinds import KINDS, checked_types, kind_of
from innspect.patterns.matching import fitted_to
from innspect.tables import Table
from innspect.types import Array, Path

HEADER = ("pattern_types", "samples", "gate", "y_mean", "model_name", "fingerprints")  # what a file says of its whole


@dataclass
class LayerPatterns:
    """The patterns of one layer.

    Attributes:
        arrays: Dict from "linear", "positive" or "negative" to an array in the kernel's shape.
        gated: Whether a ReLU follows the layer.
        count: Samples times positions that the patterns were fitted on.
        active: How often each neuron was active.
        degenerate: Dict from kind to booleans per neuron: True where the pattern is 0 because there is none.
    """

    arrays: dict[str, Array]
    gated: bool = False
    count: int = 0
    active: Array = field(default_factory=lambda: np.zeros((0,), "int64"))
    degenerate: dict[str, Array] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What a file holds of them."""
        return {"arrays": self.arrays, "count": self.count, "active": self.active, "degenerate": self.degenerate}


class Patterns(Mapping[str, Array]):
    """Patterns of all affine layers of a model: `patterns["conv1"]` has the shape of that layer's kernel.

    A separable convolution has two, `name/depthwise` and `name/pointwise`. Where several types were fitted the mapping
    shows the first; `select` gives another.

    Attributes:
        layers: Dict from path to `LayerPatterns`.
        pattern_types: The types that were asked for, the one shown first.
        samples: Number of samples fitted on.
        gate, y_mean: As given to `fit`.
        model_name: Name of the model.
        fingerprints: Layer path -> digest of the model fitted on, or None where that is not known.
    """

    def __init__(
        self,
        layers: Mapping[str, LayerPatterns],
        pattern_types: str | Iterable[str] = ("auto",),
        samples: int = 0,
        gate: str = "activation",
        y_mean: str = "all",
        model_name: str = "",
        fingerprints: Fingerprints | None = None,
    ):
        self.layers, self.samples = dict(layers), int(samples)
        self.pattern_types = checked_types(pattern_types)
        self.gate, self.y_mean = gate, y_mean
        self.model_name, self.fingerprints = model_name, fingerprints

    def __getitem__(self, path: str) -> Array:
        if path not in self.layers:
            raise PlainKeyError(f"There is no pattern of {path!r}. Layers with patterns: {_listed(self.layers)}")
        layer = self.layers[path]
        return layer.arrays[kind_of(self.pattern_types[0], layer.gated)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def select(self, pattern_type: str) -> "Patterns":
        """The same patterns showing another type, which must have been fitted.

        Raises:
            ValueError: It was not fitted.
        """
        (chosen,) = checked_types([pattern_type])
        for path, layer in self.layers.items():
            if kind_of(chosen, layer.gated) not in layer.arrays:
                raise ValueError(
                    f"The patterns of type {pattern_type!r} were not fitted: {path!r} has only {sorted(layer.arrays)}. "
                    f"Fit with pattern_type={[*self.pattern_types, pattern_type]}. Received: {pattern_type!r}"
                )
        types = (chosen, *[t for t in self.pattern_types if t != chosen])
        return Patterns(
            self.layers, types, self.samples, self.gate, self.y_mean, self.model_name, fingerprints=self.fingerprints
        )

    # ------------------------------------------------------------------ files
    def save(self, path: Path) -> None:
        """Write to an HDF5 file, whole or not at all: a file that was there stays until the new one is complete.

        Raises:
            OSError: The file cannot be written, such as on a full disk.
        """
        header = {name: getattr(self, name) for name in HEADER}
        layers = {name: {"gated": layer.gated, "patterns": layer.record()} for name, layer in self.layers.items()}
        files.write(path, header, layers)

    @staticmethod
    def load(path: Path, model: keras.Layer | OpenedModel | None = None, *, strict: bool = True) -> "Patterns":
        """Read a file: see `innspect.patterns.load`.

        Raises:
            UnreadableFileError: It is damaged, holds no patterns, or is of a newer version.
            ValueError: It was fitted on another model.
        """
        return load(path, model, strict=strict)

    def of_model(self, layers: Mapping[str, LayerPatterns], model_name: str, fingerprints: Fingerprints | None) -> "Patterns":
        """These patterns as those of another model, under the names of its layers."""
        return Patterns(layers, self.pattern_types, self.samples, self.gate, self.y_mean, model_name, fingerprints)

    # ------------------------------------------------------------------ looking at it
    def summary(self, print_fn: Callable[[str], Any] | None = print) -> str:
        """Print a line per layer: neurons, dead neurons, degenerate denominators, samples; and return the text."""
        head = ["layer", "kernel", "pattern", "neurons", "never active", *[f"no {k} pattern" for k in self._kinds()], "samples"]
        rows = []
        for path, layer in self.layers.items():
            shown = kind_of(self.pattern_types[0], layer.gated)
            without = [str(int(layer.degenerate[k].sum())) if k in layer.degenerate else "-" for k in self._kinds()]
            dead = str(int((layer.active == 0).sum()))
            shape = "x".join(map(str, layer.arrays[shown].shape))
            rows.append([path, shape, shown, str(layer.active.size), dead, *without, str(layer.count)])
        note = f"{self.samples} samples of the input; types {', '.join(self.pattern_types)}; gate {self.gate}"
        text = str(Table(head, rows, note, left=3))
        if print_fn is not None:
            print_fn(text)
        return text

    def _kinds(self) -> list[str]:
        return [k for k in KINDS if any(k in layer.arrays for layer in self.layers.values())]

    @property
    def degenerate(self) -> dict[str, int]:
        """Path -> number of neurons that have no pattern, for the layers where there are any."""
        counts = {
            path: int(layer.degenerate[kind_of(self.pattern_types[0], layer.gated)].sum())
            for path, layer in self.layers.items()
            if layer.degenerate
        }
        return {path: n for path, n in counts.items() if n}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Patterns):
            return NotImplemented
        return (
            list(self.layers) == list(other.layers)
            and self.pattern_types == other.pattern_types
            and (self.gate, self.y_mean, self.samples) == (other.gate, other.y_mean, other.samples)
            and all(_same(a, other.layers[path]) for path, a in self.layers.items())
        )

    __hash__ = None  # type: ignore[assignment]  # what is compared by its arrays has none

    def __repr__(self) -> str:
        return f"Patterns({len(self)} layers, types {list(self.pattern_types)}, {self.samples} samples)"


def load(path: Path, model: keras.Layer | OpenedModel | None = None, *, strict: bool = True) -> Patterns:
    """Read patterns from an HDF5 file.

    Args:
        path: The file.
        model: The model they are for; without it nothing is compared now, but an analyzer will.
        strict: True wants the very model they were fitted on, weights included; False compares shapes only.

    Returns:
        A `Patterns` object.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, holds no patterns, or is of a newer version.
        ValueError: It was fitted on another model; the message names the first layer that differs.

    Warns:
        UserWarning: The file has no digest, so that nothing can tell whether it is what was written.
    """
    header, layers = files.read_patterns(path)
    with reading(path):
        patterns = Patterns({name: LayerPatterns(**layer) for name, layer in layers.items()}, **header)
    return patterns if model is None else fitted_to(patterns, model, strict=strict)


def _same(a: LayerPatterns, b: LayerPatterns) -> bool:
    return a.arrays.keys() == b.arrays.keys() and all(
        x.dtype == b.arrays[k].dtype and np.array_equal(x, b.arrays[k]) for k, x in a.arrays.items()
    )


def _listed(paths: Iterable[str]) -> str:
    paths = [repr(p) for p in paths]
    return ", ".join(paths[:20]) + (", ..." if len(paths) > 20 else "")
