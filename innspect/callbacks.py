"""Keras callbacks: what innspect does while a model trains. Training stays equal to the bit."""

import keras


class PatternCheckpoint(keras.callbacks.Callback):
    """Fits patterns at the end of epochs and saves them next to the model's checkpoints.

    Args:
        path: The HDF5 file; it may hold `{epoch}` and the names of logs, such as "{epoch:02d}-{val_loss:.2f}.h5".
        data: What `innspect.patterns.fit` takes. An object of its own: reading a shuffled data set that training reads
            as well would change its order there.
        every: Epochs between fits; the last epoch of a training is always saved.
        pattern_type: As for `innspect.patterns.fit`.
        **arguments: Others of that function, such as `batch_size`.

    Example:
        >>> callback = innspect.callbacks.PatternCheckpoint("net.{epoch:02d}.patterns.h5", x_train, every=5)
        >>> model.fit(x_train, y_train, epochs=20, callbacks=[callback])
    """

    def __init__(self, path, data, every=1, pattern_type="auto", **arguments):
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be a positive integer. Received: {every!r}")
        self.path, self.data, self.every = str(path), data, every
        self._arguments = {"pattern_type": pattern_type, "verbose": 0, **arguments}
        self._saved = None

    def on_epoch_end(self, epoch, logs=None):
        self._logs = dict(logs or {})
        self._epoch = epoch + 1
        if self._epoch % self.every == 0:
            self._save()

    def on_train_end(self, logs=None):
        if getattr(self, "_epoch", None) not in (None, self._saved):
            self._save()

    def _save(self):
        from innspect import patterns

        place = self.path.format(epoch=self._epoch, **self._logs)
        patterns.fit(self.model, self.data, **self._arguments).save(place)
        self._saved = self._epoch
