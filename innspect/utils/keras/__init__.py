"""`innvestigate.utils.keras`, as far as scripts use it."""

from innspect.utils.keras import graph

__all__ = ["graph"]
