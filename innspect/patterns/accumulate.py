"""Adding up the moments of many batches so that the result is as good as float64.

On a CPU every batch goes straight into the float64 sums. On an accelerator a transfer a batch would cost more than the
measurement: there the sums stay on the device as pairs of numbers, value and rounding error (Knuth's exact addition),
and are brought over every so many batches.
"""

import keras
from keras import ops

from innspect import backend

# Counts are 32-bit integers on the device: so many batches of a hundred million positions each fit.
_BATCHES_BETWEEN_TRANSFERS = 16


class Accumulator:
    """Collects sums, dict of dicts of tensors, and hands them on as NumPy arrays."""

    def __init__(self, on_device=None):
        self._on_device = backend.accelerated() if on_device is None else on_device
        self._held, self._batches = None, 0
        self._add = backend.compile(_add)

    def add(self, sums, deposit):
        """Take the sums of one batch, a dict of which nothing is left.

        `deposit(path, sums of a layer, its rows or None)` is called when it is time; the sums are NumPy arrays then.
        """
        if not self._on_device:
            while sums:  # so that a layer's are released before the next
                path, layer = sums.popitem()
                rows = layer.pop("rows", None)
                deposit(path, keras.tree.map_structure(backend.view, layer), rows)
            return
        if self._held is None:
            self._held = sums, keras.tree.map_structure(ops.zeros_like, sums)
        else:
            self._held = self._add(*self._held, sums)
        self._batches += 1
        if self._batches >= _BATCHES_BETWEEN_TRANSFERS:
            self.flush(deposit)

    def flush(self, deposit):
        """Hand on what is held."""
        for part in self._held or ():
            for path, layer in part.items():
                deposit(path, keras.tree.map_structure(backend.to_numpy, layer), None)
        self._held, self._batches = None, 0


def _add(value, error, more):
    """The sums value + more, and the error with what that addition rounded off."""
    pairs = keras.tree.map_structure(_add_exactly, value, error, more)
    return (
        {path: {k: pair[0] for k, pair in layer.items()} for path, layer in pairs.items()},
        {path: {k: pair[1] for k, pair in layer.items()} for path, layer in pairs.items()},
    )


def _add_exactly(a, error, b):
    total = a + b
    part = total - a
    return total, error + ((a - (total - part)) + (b - part))
