"""`PatternComputer`, iNNvestigate's way to fit patterns; `innspect.patterns.fit` is the newer one."""

from innspect import patterns


class PatternComputer:
    """Fits the patterns of every layer with a kernel (Kindermans et al. 2017).

    Args:
        model: A built Keras model.
        pattern_type: "linear", "relu", "relu.positive" or "relu.negative", or a list or tuple of these; "auto" as for
            `innspect.patterns.fit`.
        compute_layers_in_parallel, gpus: Taken and not used: one pass serves all layers, on the devices of the backend.

    Attributes:
        patterns: What the last `compute` fitted, as an `innspect.patterns.Patterns` object, which can be saved.
    """

    def __init__(self, model, pattern_type="linear", compute_layers_in_parallel=True, gpus=None):
        self.model = model
        self.pattern_types = [pattern_type] if isinstance(pattern_type, str) else list(pattern_type)
        self.patterns = None

    def compute(self, X, batch_size=32, verbose=0):
        """Fit to arrays.

        Args:
            X: The model's inputs, samples first.
            batch_size: Samples computed at once.
            verbose: 1 shows progress.

        Returns:
            A list of arrays in the kernels' shapes, in the order of the layers, which the pattern methods take as
            `patterns=`; for several types a dict from type to such a list.
        """
        return self._fit(X, batch_size=batch_size, verbose=verbose)

    def compute_generator(
        self,
        generator,
        steps=None,
        max_queue_size=10,
        workers=1,
        use_multiprocessing=False,
        verbose=0,
        steps_per_epoch=None,
    ):
        """Fit to batches: a generator, `keras.utils.PyDataset` or tf.data dataset; labels in them are ignored.

        Args:
            generator: The batches.
            steps, steps_per_epoch: How many are read, by either name; None: all.
            max_queue_size, workers, use_multiprocessing: Taken and not used: batches are read one after another. A
                `PyDataset` or tf.data dataset brings its own.
            verbose: 1 shows progress.

        Returns:
            As `compute`.
        """
        return self._fit(generator, steps=steps if steps_per_epoch is None else steps_per_epoch, verbose=verbose)

    def _fit(self, data, **arguments):
        self.patterns = patterns.fit(self.model, data, self.pattern_types, **arguments)
        lists = {kind: list(self.patterns.select(kind).values()) for kind in self.pattern_types}
        return lists if len(lists) > 1 else lists[self.pattern_types[0]]
