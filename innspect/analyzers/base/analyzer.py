"""The analyzer: one flow for every method.

    inputs -> request -> batches -> what the method finds -> Explanation

A method that is no backward pass through the model overrides `attribute`, or `explain_batch`; one that is derives from
`ReverseAnalyzer` and says what rule each node gets. Constructors keep arguments; what depends on the model is made from
them when all constructors have run (`ready`), so their order does not matter.
"""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.assembly import assembled, empty, restored, some
from innspect.analyzers.base.described import labelled, settings_of, told
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.export import Exported
from innspect.analyzers.base.inside import Inside
from innspect.analyzers.base.migration import Migrated
from innspect.analyzers.base.naming import Named
from innspect.analyzers.base.question import Question, ask
from innspect.analyzers.base.request import Batch, Request, Result, paths
from innspect.analyzers.base.soundness import Sound
from innspect.analyzers.base.storing import Storing
from innspect.analyzers.base.work import found
from innspect.checks import AnyOf, Boolean, Integer
from innspect.graph.ir import Tensor
from innspect.graph.opened.opened_model import OpenedModel, check_no_mixture, open_model
from innspect.inputs import targets
from innspect.inputs.ahead import batches_ahead
from innspect.inputs.batches import Inputs, is_stream, of_a_stream
from innspect.inputs.contrast import Contrast, contrasted
from innspect.inputs.passing import Channels, passing
from innspect.nests import joined
from innspect.types import Array, Nest, Neuron, Shape


class _Made(abc.ABCMeta):  # so that a class may also be an abstract one
    """Checks the arguments of an instance, and calls its `ready`, once every constructor has run."""

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        cls.check_given(kwargs)
        made = super().__call__(*args, **kwargs)
        made.check_arguments()
        made.ready()
        return made


class Analyzer(Sound, Inside, Exported, Storing, Migrated, Named, metaclass=_Made):
    """Base of all methods.

    Args:
        model: A built Keras model, or what `innspect.open_model` made of it. It is only read.
        name: What the analyzer is called in errors, pictures and files; default the name it is registered by.
        neuron_selection_mode: None accepts any `neuron_selection`; "max_activation", "index" and "all" fix what it
            is, as in iNNvestigate.
        disable_model_checks: Where a relevance method has no rule for a layer, share in proportion to input times
            gradient instead of raising.
        labels: The names of the classes, in any form that `innspect.labels.read` takes: `neuron_selection` may then be one.

    Raises:
        TypeError: `model` is no Keras model.
        NotAnalyzeableModelError: The model has a layer that the method has no rule for.
    """

    def __init__(
        self,
        model: keras.Layer | OpenedModel,
        *,
        name: str | None = None,
        neuron_selection_mode: str | None = None,
        disable_model_checks: bool = False,
        labels: Any = None,
    ):
        self._name = name
        self.neuron_selection_mode = neuron_selection_mode
        self.disable_model_checks = disable_model_checks
        self.opened = self._open(model)
        self.labels = labels

    def _open(self, model: keras.Layer | OpenedModel) -> OpenedModel:
        opened = open_model(model)
        if self.moves_inputs:
            check_no_mixture(opened, self.name)
        return opened

    def ready(self) -> None:
        """Called once the constructors have run: raise where the method does not apply to the model."""

    # ------------------------------------------------------------------ for users
    def analyze(
        self,
        x: Nest,
        neuron_selection: Neuron = None,
        *,
        batch_size: int | None = None,
        output: int | str = 0,
        verbose: int = 0,
        neurons: Sequence[Neuron] | None = None,
        contrast: Contrast = None,
        through: Channels = None,
    ) -> Nest:
        """Explain the model's output for `x`, or a unit inside it.

        Args:
            x: What `model.predict` takes, samples first: an array, a list of arrays (several inputs), a dict of arrays, a
                table; or a stream of batches (tf.data dataset, `keras.utils.PyDataset`, torch DataLoader, generator).
            neuron_selection: What to explain. None: the largest output. An integer, or an integer array (samples,):
                that index of the last axis, summed over spatial axes. A tuple: one element. A float array of the
                output's shape: weights. A callable from the output (batch, ...) to (batch,). "all": every element. Where
                the analyzer knows `labels`, the name of a class, a synonym, or a beginning that only one has; or a list.
                A unit of a layer, `innspect.unit`, or a list with one for each sample.
            batch_size: Samples computed at once; None: by their size and the model's, few large ones, up to 1,024 small ones.
            output: Number or name of the output, for a model with several.
            verbose: 1 shows progress.
            neurons: A list of selections: the result gets a neuron axis first.
            contrast: What the neuron is compared with, by index of the output's last axis. "rest": all others. "runner_up":
                the largest other. An integer, or a list. The neuron has weight 1, these have -1 in equal parts.
            through: What is told is only what passes some channels of some layers, a dict from path to one channel or a list
                of them: any of a layer's channels, and all of the layers. What runs beside a layer is dropped.

        Returns:
            Attributions as NumPy arrays, in the structure and shape of `x`.

        Raises:
            ValueError: An argument does not fit the model; the message says what was expected.
        """
        asked = Asked(neuron_selection, neurons, batch_size, output, verbose, contrast, through)
        if not is_stream(x):
            return self._run(x, asked).attributions
        with of_a_stream():
            return joined(some(self._run(batch, asked).attributions for batch in batches_ahead(x)), 0 if neurons is None else 1)

    def stream(self, data: Any, neuron_selection: Neuron = None, **arguments: Any) -> Iterator[Nest]:
        """Explain a stream of batches one by one: an iterator of what `analyze` returns for each."""
        for batch in batches_ahead(data, whole=False):
            with of_a_stream():
                maps = self.analyze(batch, neuron_selection, **arguments)
            yield maps

    def explain(
        self,
        x: Nest,
        neuron_selection: Neuron = None,
        *,
        at: Any = (),
        batch_size: int | None = None,
        output: int | str = 0,
        verbose: int = 0,
        neurons: Sequence[Neuron] | None = None,
        contrast: Contrast = None,
        through: Channels = None,
        labels: Any = None,
    ) -> Explanation:
        """As `analyze`, but returns an `Explanation`: inputs, outputs, targets, signals at layers, conservation error.

        For a unit `outputs` is the output of its layer; where several neurons are of several layers, that of the first.

        Args:
            at: Layers whose signals are wanted: paths ("conv3", "backbone/conv3"), layers, or numbers in `model.layers`.
            labels: The names of the output's neurons, for pictures, in any form that `innspect.labels.read` takes; None takes
                the analyzer's own.
        """
        asked = Asked(neuron_selection, neurons, batch_size, output, verbose, contrast, through, paths(at, self.opened))
        if not is_stream(x):
            return labelled(self._run(x, asked), labels)
        with of_a_stream():
            return labelled(Explanation.join(some(self._run(batch, asked) for batch in batches_ahead(x))), labels)

    # ------------------------------------------------------------------ what a method decides
    def check_output(self, output: int | str) -> None:
        """Raise where the method cannot explain an output, given by number or name; there must be one that it can."""
        self._output_number(output)

    def check(self, inputs: Inputs) -> None:
        """Warn, or raise, where the method cannot be right for these `Inputs`."""

    def chosen(self, output: int | str) -> dict[str, Any]:
        """What the method chose where the user left it open, such as {"layer": path}, for an output's settings."""
        return {}

    def explained_kind(self, number: int) -> str:
        """What is explained of an output, by number: "logit", what a final softmax or sigmoid is given, or "output"."""
        own = self.opened is None or self._explained(number) is self.opened.graph.outputs[number]
        return "output" if own else "logit"

    def begin(self, request: Request) -> Any:
        """What serves all batches of a `Request`, such as references; `batch.request.context` has it."""
        return None

    def attribute(self, question: Question) -> list[Array]:
        """The maps of one batch for one target: an array (batch, ...) for each of the model's inputs, in a list.

        Args:
            question: A `Question`: the samples, and what the model says of others in their place.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must have `attribute`, as docs/extending.md tells.")

    def explain_batch(self, batch: Batch) -> Result:
        """All that is found for a `Batch`.

        Returns:
            Dict of tensors or arrays: "attributions", a list with one for each input; "outputs", the model's (batch, ...);
            "targets", the explained values (batch,); and as the method has them "signals" at `batch.request.at`, "delta"
            and "details". Where `batch.request.several` all but the outputs have a neuron axis first.
        """
        return ask(self, batch)

    def work(self, request: Request) -> int | None:
        """How much there is to do for a request, in the steps that `request.advance` is told of; None: samples."""
        return None

    # ------------------------------------------------------------------ the flow
    def _run(self, x: Nest, asked: Asked) -> Explanation:
        AnyOf(Integer(), Boolean()).check("verbose", asked.verbose)
        if getattr(self.opened, "site", None) is None and asked.has_units:
            return self._of_layers(x, asked)
        request = self.request(x, asked)
        parts = self._parts(request, asked.verbose)
        if not request.explained:
            return self._assemble(request, parts, {})
        return told(self._assemble(request, parts, settings_of(self, asked)), self, request, x)

    def request(self, x: Nest, asked: Asked) -> Request:
        """What is asked of samples, checked."""
        number = self._output_number(asked.output)
        inputs = self.filled(self._inputs(x), number)
        self.check(inputs)
        if asked.through is not None and not self.masks:
            raise ValueError(
                f"{self.name!r} sends no signal back through layers that could be masked. Received: through={asked.through!r}"
            )
        return Request(
            inputs,
            tuple(self._selections(asked, number, inputs)),
            several=asked.neurons is not None,
            output=number,
            at=asked.at or (),
            through=() if asked.through is None else passing(self.opened.graph, asked.through, inputs.samples),
            explained=asked.at is not None,  # None: only the attributions are wanted
            batch_size=None if asked.batch_size is None else inputs.checked_size(asked.batch_size),
        )

    def _parts(self, request: Request, verbose: int) -> Iterator[Result]:
        """What is found for each batch, NumPy arrays, and how many of its samples count."""
        return (part for _, part in found(self, request, verbose))

    def _inputs(self, x: Nest) -> Inputs:
        inputs = Inputs(x, self.opened)
        if inputs.samples:
            self.opened.confirm([a[:1] for a in inputs.arrays])
        return inputs

    def _selections(self, asked: Asked, number: int, inputs: Inputs) -> list[targets.Selection]:
        shape, neurons, contrast = self._output_shape(number, inputs), asked.neurons, asked.contrast

        def told(one: Neuron) -> Neuron:
            return self.of_units(self.numbered(one, shape), inputs.samples)

        several = [told(n) for n in neurons] if isinstance(neurons, list | tuple | np.ndarray) else neurons
        chosen = targets.resolve_all(told(asked.neuron), several, self.neuron_selection_mode, shape, inputs.samples)
        if contrast is None:
            return chosen
        if not self.linear_seed:
            raise ValueError(
                f"{self.name!r} takes no `contrast`: what it starts from is not linear in the outputs. Received: {contrast!r}"
            )
        return [contrasted(one, contrast, shape, inputs.samples) for one in chosen]

    def _output_shape(self, number: int, inputs: Inputs) -> Shape:
        """The shape of one sample's explained tensor; None where an axis is not known."""
        return tuple(self._explained(number).shape[1:])

    def _output_number(self, output: int | str) -> int:
        return self.opened.number(output)

    def _explained(self, number: int) -> Tensor:
        """The tensor of the graph that is explained for an output."""
        return self.opened.graph.outputs[number]

    def _assemble(self, request: Request, parts: Iterable[Result], settings: dict[str, Any]) -> Explanation:
        """The `Explanation` of what was found for each batch."""
        axis = 1 if request.several else 0
        if request.inputs.samples:
            explanation = self.sound(request, assembled(request, parts, settings))
        else:
            shapes = self._attribution_shapes([(0, *a.shape[1:]) for a in request.inputs.arrays])
            explanation = empty(request, shapes, settings, "float32" if self.opened is None else self.opened.dtype)
        return restored(explanation, lambda arrays: self._restore(request.inputs, arrays, axis + 1))

    def _attribution_shapes(self, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return shapes

    def _restore(self, inputs: Inputs, arrays: list[Array], lead: int) -> Nest:
        """Attributions, a flat list, as they are returned; `lead` axes are before the sample's."""
        return inputs.restore(arrays, lead)
