"""Layer-wise relevance propagation and deep Taylor decomposition."""

from innspect.analyzers.relevance import deep_taylor, lrp, presets, transformer  # noqa: F401  (register themselves)
