"""Compatibility: `innvestigate.analyzer`. It lives in `innspect.migration.analyzers`."""

from innspect.analyzer import relevance_based  # noqa: F401
from innspect.migration.analyzers import *  # noqa: F403
from innspect.migration.analyzers import __dir__, __getattr__  # noqa: F401
