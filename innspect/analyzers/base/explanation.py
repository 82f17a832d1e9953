"""Everything about one explained pass, in one object that can be kept."""

import json
from dataclasses import dataclass, field

import numpy as np

from innspect.files import replacing

_FORMAT = "innspect-explanation"


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
        details: What else the method found, by name; see its class.
    """

    attributions: object
    outputs: np.ndarray
    targets: np.ndarray
    signals: dict = field(default_factory=dict)
    delta: np.ndarray | None = None
    settings: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)

    def save(self, path):
        """Write everything to one npz file, whole or not at all."""
        arrays, tree = {}, _Packer()
        named = ("attributions", "outputs", "targets", "signals", "delta", "details")
        described = tree.pack({k: getattr(self, k) for k in named}, arrays)
        header = {"format": _FORMAT, "version": 1, "tree": described, "settings": self.settings}
        arrays["header"] = np.frombuffer(json.dumps(header, default=repr).encode(), "uint8")
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        with np.load(path) as file:
            if "header" not in file:
                raise ValueError(f"{path!r} is no saved explanation.")
            header = json.loads(file["header"].tobytes())
            if header.get("format") != _FORMAT or header["version"] > 1:
                raise ValueError(f"{path!r} is no saved explanation that this version can read: {header.get('format')}.")
            return cls(**_Packer().unpack(header["tree"], file), settings=header["settings"])

    def __repr__(self):
        shape = getattr(self.attributions, "shape", None)
        method = self.settings.get("method", "?")
        targets = np.array2string(self.targets, precision=4, threshold=6)
        return f"Explanation({method!r}, attributions={shape}, targets={targets})"

    def _repr_html_(self):
        from innspect.visualize import explanation_html

        return explanation_html(self)


class _Packer:
    """Nests of arrays as a description in JSON and flat arrays."""

    def pack(self, value, arrays):
        if isinstance(value, dict):
            return {"dict": [[k, self.pack(v, arrays)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [self.pack(v, arrays) for v in value]}
        if value is None:
            return None
        name = f"array_{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array": name}

    def unpack(self, described, file):
        if described is None:
            return None
        ((kind, content),) = described.items()
        if kind == "dict":
            return {k: self.unpack(v, file) for k, v in content}
        if kind == "list":
            return [self.unpack(v, file) for v in content]
        return file[content]
