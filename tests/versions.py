"""Which Keras the tests run on, and what an older one cannot do."""

import keras
import pytest


def _numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def before_keras(version):
    """Whether the tests run on an older Keras than this, such as "3.15"."""
    return _numbers(keras.__version__) < _numbers(version)


def needs_keras(version, reason):
    """A mark for a test of what an older Keras cannot do itself, whatever innspect does."""
    return pytest.mark.skipif(before_keras(version), reason=f"before Keras {version}, {reason}")
