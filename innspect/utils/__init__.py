"""Compatibility: `innvestigate.utils`. It lives in `innspect.migration.utilities`."""

from innspect.migration.utilities import *  # noqa: F403
from innspect.utils import keras, sequence, visualizations  # noqa: F401
