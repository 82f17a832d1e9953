"""Pictures of a few explained inputs, while a model trains."""

import io
import os

import keras
import numpy as np

from innspect.callbacks.going_on import going_on
from innspect.callbacks.pattern_checkpoint import few_of
from innspect.checks import File, Integer
from innspect.files import check_folder, write
from innspect.labels import read
from innspect.spelling import methods_by_label

# What the user may say of the grid; the rest is told by the training.
_LOOK = ("cell", "reduce", "channel_axis", "percentile", "gamma", "palette", "ground")


class ExplanationImages(keras.callbacks.Callback):
    """Explains a few inputs at the end of epochs and draws them: a row for each sample, a column for each method.

    Images are drawn beside their maps, series as curves on the colour of theirs, tables as bars, ids as coloured tokens,
    volumes as slices; a sample of several inputs has a row for each. Beside a row stands what is explained, as in notebooks.

    Pictures go to `log_dir/epoch_0001.png` and so on, and into an event file beside them, which TensorBoard shows under
    "Images" with a slider over the epochs (TensorBoard need not be installed while training). Where they cannot be written, as
    on a full disk, a warning says so, and the training goes on.

    Args:
        data: The inputs: an array, samples first, several as a list or dict of them, or a stream of batches (tf.data dataset,
            `keras.utils.PyDataset`, torch DataLoader), of which the first are taken, now. An object of its own: reading a
            shuffled data set that training reads as well would change its order there.
        methods: Names as for `create_analyzer`, names with arguments ("lrp.gamma:gamma=0.5") and pairs (name, arguments), one
            of them or a list; or a dict from label to one of these. None takes `innspect.default_methods`.
        every: Epochs between pictures; the last epoch of a training is always drawn.
        log_dir: The folder, made if it is not there.
        samples: How many inputs are drawn at most.
        fit_data: What methods with patterns are fitted to before each picture, as for `innspect.patterns.fit`.
        neuron_selection: As for `analyze`; None explains the class that is predicted in that epoch.
        output: Which output of a model with several, as for `analyze`.
        labels: Names of the classes: a list, a file, or another form that `innspect.labels.read` takes. They stand in the
            pictures, and `neuron_selection` may be one.
        **look: Others of `innspect.visualize.grid`, such as `percentile`, `ground` and `cell`.

    Raises:
        ValueError: An argument does not fit. What does not fit the model is raised when training begins.

    Examples:
        >>> callback = innspect.callbacks.ExplanationImages(x_val[:8], ["gradient", ("lrp.epsilon", {"epsilon": 0.1})])
        >>> model.fit(x_train, y_train, epochs=20, callbacks=[callback])
    """

    def __init__(
        self,
        data,
        methods=None,
        every=1,
        log_dir="explanations",
        *,
        samples=8,
        fit_data=None,
        neuron_selection=None,
        output=0,
        labels=None,
        **look,
    ):
        super().__init__()
        Integer(1).check("every", every)
        Integer(1).check("samples", samples)
        File().check("log_dir", log_dir)
        self.every, self.log_dir, self.fit_data = every, str(log_dir), fit_data
        self.neuron_selection, self.output = neuron_selection, output
        self.methods = None if methods is None else _known(methods)
        self.labels = read(labels)
        self.x = _first(data, samples)
        self._look = {"cell": 0.9, **_checked(look)}

    def on_train_begin(self, logs=None):
        from innspect import study
        from innspect.analyzers.defaults import default_methods
        from innspect.inputs.batches import called
        from innspect.inputs.predictor import black_box
        from innspect.visualize.charts import new_figure
        from innspect.visualize.tensorboard import ImageWriter

        new_figure(1, 1)  # says now, and not after an epoch, that matplotlib is missing
        check_folder(self.log_dir)
        self._analyzers = study.make_analyzers(self.model, self.methods or default_methods(self.model, self.x))
        for analyzer in self._analyzers.values():
            analyzer.labels = self.labels
        with called("data"):
            arrays = black_box(self.model).inputs(self.x).arrays
        if not isinstance(self.x, dict | list):
            self.x = self.x.reshape(arrays[0].shape)  # with channels, where they miss
        self._refitted = study.unfitted(self._analyzers)
        study.check_fit_data(self._refitted, self.fit_data)
        self._epoch = self._drawn = 0
        self._rehearse()
        os.makedirs(self.log_dir, exist_ok=True)
        self._writer = ImageWriter(self.log_dir)

    def _rehearse(self):
        """Draws once, so that what fails does so now, and not after an epoch. What a stream would fit is left out."""
        from innspect import study

        few = few_of(self.fit_data) if self._refitted else None
        if few is not None:
            study.fit(self._analyzers, self._refitted, few, verbose=0)
        ready = {label: a for label, a in self._analyzers.items() if few is not None or label not in self._refitted}
        if ready:
            self._figure(ready)

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch + 1
        if self._epoch % self.every == 0:
            self._draw()

    def on_train_end(self, logs=None):
        if self._epoch != self._drawn:
            self._draw()
        self._analyzers = {}

    def _draw(self):
        from innspect import study

        study.fit(self._analyzers, self._refitted, self.fit_data, verbose=0)
        png = _png(self._figure())
        with going_on(f"The pictures of epoch {self._epoch}"):
            write(os.path.join(self.log_dir, f"epoch_{self._epoch:04d}.png"), png)
            self._writer.add("explanations", png, self._epoch)
        self._drawn = self._epoch

    def _figure(self, analyzers=None):
        from innspect.visualize import grid, signal
        from innspect.visualize.captions import captions_of

        analyzers = self._analyzers if analyzers is None else analyzers
        axis = self._look.get("channel_axis", -1)
        images = self.x if isinstance(self.x, np.ndarray) and self.x.ndim == 4 and self.x.shape[axis] in (1, 3) else None
        maps, captions, samples = {}, None, len(keras.tree.flatten(self.x)[0])
        for label, analyzer in analyzers.items():
            explanation = analyzer.explain(self.x, self.neuron_selection, batch_size=samples, output=self.output)
            if np.ndim(explanation.targets) != 1:
                raise ValueError(
                    f"`neuron_selection` must choose one neuron for each sample. Received: {self.neuron_selection!r:.80}"
                )
            captions = captions_of(explanation, between="\n") if captions is None else captions
            signals = images is not None and analyzer.name == "pattern.net"
            maps[label] = signal(explanation.attributions, channel_axis=axis) if signals else explanation
        look = {"of": analyzers, "captions": captions, "captions_label": f"epoch {self._epoch}", "images": images}
        return grid(maps, **look, **self._look)


def _known(methods):
    """Methods by label; raises for a name that there is not."""
    from innspect.analyzers import list_analyzers  # noqa: F401  (which makes all names known)
    from innspect.analyzers.base.registry import find

    found = methods_by_label(methods)
    for one in found.values():
        if isinstance(one, tuple):
            find(one[0])
        elif not hasattr(one, "explain"):
            raise ValueError(f"`methods` must hold names, pairs (name, arguments) and analyzers. Received: {one!r}")
    return found


def _checked(look):
    """Arguments of `grid`, looked at before hours of training, as it does."""
    from innspect.visualize import grid

    unknown = [name for name in look if name not in _LOOK]
    if unknown:
        raise TypeError(f"`ExplanationImages` takes of a grid's arguments {', '.join(_LOOK)}. Received: `{unknown[0]}`")
    grid({"": np.zeros((1, 2, 2, 1))}, **look)
    return look


def _first(data, samples):
    """The first samples as NumPy arrays of their own: one, or a list or dict of them."""
    from innspect.inputs.batches import as_numbers, batches_of, is_stream

    parts, count = [], 0
    for batch in batches_of(data) if is_stream(data) else [data]:
        arrays = keras.tree.map_structure(lambda leaf: as_numbers(leaf, "data"), batch)
        sizes = [len(a) if a.ndim else None for a in keras.tree.flatten(arrays)]
        if None in sizes or len(set(sizes)) != 1:
            raise ValueError(f"`data` must hold samples first, as many of each input. Received: {batch!r:.80}")
        parts.append(keras.tree.map_structure(lambda a, n=samples - count: a[:n].copy(), arrays))
        count += min(sizes[0], samples - count)
        if count == samples:
            break
    if not count:
        raise ValueError("`data` must hold at least one sample. Received: none")
    x = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
    leaves = keras.tree.flatten(x)
    return leaves[0] if len(leaves) == 1 else x


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
