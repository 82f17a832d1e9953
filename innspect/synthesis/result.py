"""What was synthesized, and all that is needed to do it again."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.storing import read_parts, write_parts
from innspect.types import Array, Nest, Path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORM = "innspect-synthesis"
_PARTS = ("images", "codes", "curve", "values", "names", "settings", "notes", "tokens", "transparency", "low", "high")


@dataclass
class Synthesis:
    """What `synthesize` returns.

    Attributes:
        images: What was synthesized, in the shape of the model's input, (targets, ...); for several inputs in their structure.
            Of an input that takes ids it is the vectors that they would be looked up as, (targets, ids, elements).
        codes: With `generator=` the codes, (targets, *code); else None.
        curve: What was maximized, less penalties, before each step and, of the image as it is, at the end,
            (targets, steps + 1). Before a step it is of the image as the transformations left it. NaN after a stop.
        values: What the targets are of the images as they are, (targets,), without penalties and densities.
        names: What each target is called.
        settings: Every argument, the seed, what was done by default, versions: what is needed to do it again.
        notes: What should be known of this result, in sentences.
        tokens: For inputs that take ids: the ids whose vectors are nearest, (targets, ids), by the name of the input.
        transparency: With "maco" how much each position was moved by, the sum of the gradient's magnitudes over all steps,
            (targets, *spatial axes); else None.
        low, high: The range that was given for the image, a number or an array; None where there was none.
    """

    images: Nest
    codes: Array | None
    curve: Array
    values: Array
    names: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tokens: dict[str, Array] = field(default_factory=dict)
    transparency: Array | None = None
    low: Any = None
    high: Any = None

    def __len__(self) -> int:
        return len(self.names)

    def pictures(self) -> Array:
        """Images as they are seen: uint8 (targets, height, width, 3).

        Values are drawn from black at `low` to white at `high`; where there is no range, each image from its lowest to its
        highest value. Of a volume its slice in the middle is shown.

        Raises:
            ValueError: What was synthesized is no image.
        """
        from innspect.synthesis.drawing import pictures

        return pictures(self)

    def show(self, columns: int | None = None, size: float = 1.8) -> "Figure":
        """A figure of all images with the names of the targets and their values; of series as lines.

        Args:
            columns: How many stand side by side. None: up to five.
            size: Height of an image in inches.

        Returns:
            A `matplotlib.figure.Figure`; `figure.savefig("wanted.png", dpi=160)` writes it.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from innspect.synthesis.drawing import figure

        return figure(self, columns, size)

    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        write_parts(path, _FORM, {name: getattr(self, name) for name in _PARTS})

    @classmethod
    def load(cls, path: Path) -> "Synthesis":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: It is damaged, holds something else, or is of a newer version.
        """
        return cls(**read_parts(path, _FORM, "synthesis"))

    def to_json(self) -> str:
        """Names, values, notes and settings as JSON: what is needed to do it again."""
        told = {"targets": self.names, "values": [None if not np.isfinite(v) else float(v) for v in self.values]}
        return json.dumps({**told, "notes": self.notes, "settings": self.settings}, indent=1, default=repr)

    def __repr__(self) -> str:
        lines = [f"Synthesis of {len(self)} targets, {self.settings.get('steps')} steps"]
        lines += [f"  {name}: {value:.4g}" for name, value in list(zip(self.names, self.values, strict=True))[:12]]
        lines += ["  ..."] if len(self) > 12 else []
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        from innspect.synthesis.drawing import html

        return html(self)
