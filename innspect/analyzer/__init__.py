"""Compatibility: `innvestigate.analyzer`. It lives in `innspect.migration.analyzers`."""

from innspect.analyzer import (  # noqa: F401
    base,
    deeplift,
    deeptaylor,
    gradient_based,
    misc,
    network_base,
    pattern_based,
    relevance_based,
    reverse_base,
    wrapper,
)
from innspect.migration.analyzers import *  # noqa: F403
