"""Class activation maps."""

from innspect.analyzers.cam import base, guided, path, pooled, scores  # noqa: F401  (register themselves)
