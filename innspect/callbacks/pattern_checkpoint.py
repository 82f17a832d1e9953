"""Patterns next to a model's checkpoints."""

import inspect
import warnings
from typing import Any

import keras

from innspect.callbacks.file_names import FileName
from innspect.callbacks.going_on import going_on
from innspect.checks import File, Integer
from innspect.errors import suggest


class PatternCheckpoint(keras.callbacks.Callback):
    """Fits patterns at the end of epochs and saves them next to the model's checkpoints.

    Where a file cannot be written, as on a full disk, a warning says so, and the training goes on.

    Args:
        path: The HDF5 file, whose folder is made; it may hold `{epoch}` and the names of logs, such as
            "{epoch:02d}-{val_loss:.2f}.h5". "none" stands for a log that an epoch has not, and a warning says so.
        data: What `innspect.patterns.fit` takes. An object of its own: reading a shuffled data set that training reads
            as well would change its order there.
        every: Epochs between fits; the last epoch of a training is always saved.
        pattern_type: As for `innspect.patterns.fit`.
        **arguments: Others of that function, such as `batch_size`.

    Raises:
        ValueError: An argument does not fit. What does not fit the model is raised when training begins.
        TypeError: `innspect.patterns.fit` takes no such argument.

    Examples:
        >>> callback = innspect.callbacks.PatternCheckpoint("net.{epoch:02d}.patterns.h5", x_train, every=5)
        >>> model.fit(x_train, y_train, epochs=20, callbacks=[callback])
    """

    def __init__(self, path, data, every=1, pattern_type="auto", **arguments):
        super().__init__()
        Integer(1).check("every", every)
        if data is None:
            raise ValueError("`data` must be samples as for `innspect.patterns.fit`, or a stream of them. Received: None")
        self._name = FileName(path)
        self.path, self.data, self.every = self._name.text, data, every
        _check_arguments(arguments)
        self._arguments = {"pattern_type": pattern_type, "verbose": 0, **arguments}
        self._saved: int | None = None
        self._epoch: int | None = None
        self._logs: dict[str, Any] = {}
        self._told = False

    def on_train_begin(self, logs=None):
        """Fits to a few samples: what does not fit is said now, and not after an epoch. A stream is left alone."""
        from innspect import patterns

        self._name.prepare()
        few = few_of(self.data)
        if few is None:
            return
        File().check_given("checkpoint", self._arguments.get("checkpoint"))
        patterns.fit(self.model, few, **{**self._arguments, "checkpoint": None})

    def on_epoch_end(self, epoch, logs=None):
        self._logs = dict(logs or {})
        self._epoch = epoch + 1
        if self._epoch % self.every == 0:
            self._save(self._epoch)

    def on_train_end(self, logs=None):
        if self._epoch is not None and self._epoch != self._saved:
            self._save(self._epoch)

    def _save(self, epoch: int) -> None:
        from innspect import patterns

        fitted = patterns.fit(self.model, self.data, **self._arguments)
        with going_on(f"The patterns of epoch {epoch}"):
            place, missing = self._name.at(epoch, self._logs)
            if missing and not self._told:
                self._told = True
                warnings.warn(
                    f"`path` names {', '.join(missing)}, for which 'none' stands: epoch {epoch} has no such log. "
                    f"Received: logs {', '.join(self._logs) or 'none'}",
                    stacklevel=2,
                )
            fitted.save(place)
        self._saved = epoch


def few_of(data: Any) -> Any:
    """The first two samples of arrays; None of a stream, which is left alone."""
    from innspect.inputs.batches import is_stream

    return None if is_stream(data) else keras.tree.map_structure(lambda a: a[:2] if getattr(a, "shape", ()) else a, data)


def _check_arguments(given: dict[str, Any]) -> None:
    """Raise for an argument that `patterns.fit` does not take."""
    from innspect import patterns

    taken = list(inspect.signature(patterns.fit).parameters)[2:]
    for name in given:
        if name not in taken:
            raise TypeError(f"`PatternCheckpoint` takes no argument {name!r}. {suggest(name, taken)}")
