"""Keeping float64 where Keras would narrow it: the one table of Keras that is answered for, in threads that ask for it."""

import contextlib
import sys
import threading

import keras

from innspect.graph.keras_internals import lacking

_PROMOTION, _TABLE = vars(sys.modules[keras.backend.result_type.__module__]), "BIT64_TO_BIT32_DTYPE"
if _TABLE not in _PROMOTION:
    raise lacking(_TABLE)
_here, _lock = threading.local(), threading.Lock()
_keeping = 0


class _Narrowing(dict):
    """The table by which Keras narrows dtypes of 64 bits; threads that keep float64 find it unnarrowed."""

    def get(self, dtype, default=None):
        return dtype if dtype == "float64" and getattr(_here, "keeps", False) else super().get(dtype, default)


@contextlib.contextmanager
def keeping_float64(wanted=True):
    """Let Keras promote to float64 what holds a float64, in this thread, or narrow it as it does, if that is not wanted."""
    before = getattr(_here, "keeps", False)
    _tell(wanted)
    _here.keeps = wanted
    try:
        yield
    finally:
        _here.keeps = before
        _tell(-wanted)


def _tell(change):
    """Put the table that asks in the place of Keras' own while any thread keeps float64."""
    global _keeping
    with _lock:
        _keeping += change
        table = _PROMOTION[_TABLE]
        if bool(_keeping) != isinstance(table, _Narrowing):
            _PROMOTION[_TABLE] = _Narrowing(table) if _keeping else dict(table)
