"""Methods that average another method over many points: on a path to the input, or around it.

Requirements of the design:

- What is explained is fixed at the input itself: the largest output there is the target at every point.
- Points are made on the device from the batch that is there already, as many (sample, point) pairs at once as the batch
  size allows, and are reduced before they leave it. Memory does not grow with their number.
- Ids of an embedding cannot be moved; their vectors can, see `innspect.analyzers.averaging.vectors`.
"""

import functools

from keras import ops

from innspect.analyzers.averaging.on_host import HostPoints
from innspect.analyzers.averaging.points import Points, Runner
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.config import parameters
from innspect.analyzers.base.registry import accepted_arguments, create_analyzer, fixed_arguments, list_analyzers, told_of
from innspect.checks import Elsewhere
from innspect.errors import PlainKeyError, suggest


class Averaging(Analyzer):
    """Base of the methods that average another one.

    Args:
        model: A built Keras model.
        of: The method that is averaged: its name, with its arguments among `arguments`, or an analyzer of `model`.
        **arguments: Of that method.

    Attributes:
        inner: The analyzer that is averaged.
    """

    moves_inputs = True
    family = "averaged gradient"
    ranges = {"of": Elsewhere("make_inner")}

    def __init__(
        self,
        model,
        *,
        of="gradient",
        name=None,
        neuron_selection_mode=None,
        disable_model_checks=False,
        labels=None,
        **arguments,
    ):
        own = {"name": name, "neuron_selection_mode": neuron_selection_mode, "labels": labels}
        super().__init__(model, disable_model_checks=disable_model_checks, **own)
        self.of, self._of_inner = of, {**arguments, "disable_model_checks": disable_model_checks}

    @functools.cached_property
    def inner(self):
        return self.make_inner(self._of_inner)

    def make_inner(self, arguments):
        """The analyzer that is averaged, from the arguments that this method does not take itself."""
        if isinstance(self.of, str):
            if self.of not in list_analyzers():
                raise PlainKeyError(f"`of` must name an analyzer. Received: {self.of!r}. {suggest(self.of, list_analyzers())}")
            return create_analyzer(self.of, self.opened, **arguments)
        if not isinstance(self.of, Analyzer) or self.of.model is not self.model:
            raise ValueError(f"`of` must be the name of an analyzer, or an analyzer of the same model. Received: {self.of!r}")
        return self.of

    def check_output(self, output):
        self.inner.check_output(output)

    @classmethod
    def more_arguments(cls, given):
        """The names of the arguments that the averaged method takes, for the check of spelling."""
        of = given.get("of", "gradient")
        return accepted_arguments(of) if isinstance(of, str) and of in list_analyzers() else set()

    # ------------------------------------------------------------------ configuration
    @property
    def learned(self):  # type: ignore[override]  # it depends on the averaged method
        return self.inner.learned if isinstance(self.of, str) else ()

    def get_config(self):
        return {**self._beside(self.inner.get_config()), **super().get_config()}

    def arguments(self):
        own = parameters(type(self))
        return {**self._beside(self.inner.arguments()), **{k: v for k, v in super().arguments().items() if k in own}}

    def _beside(self, of_inner):
        """Those arguments of the averaged method that are given beside this method's own."""
        if not isinstance(self.of, str):
            return {}
        kept = {*parameters(type(self)), *fixed_arguments(type(self.inner), self.of)}  # the latter are what the name stands for
        return {k: v for k, v in of_inner.items() if k not in kept}

    def fit(self, *args, **kwargs):
        """Fit the averaged method, where it learns from data."""
        self.inner.fit(*args, **kwargs)
        self._forget_inside()
        vars(self).pop("runner", None)
        return self

    def state(self):
        return self.inner.state()

    def set_state(self, state):
        self.inner.set_state(state)
        self._forget_inside()
        vars(self).pop("runner", None)

    # ------------------------------------------------------------------ what the averaged method knows
    @property
    def signed(self):
        return self.inner.signed

    @property
    def linear_seed(self):  # type: ignore[override]  # it depends on the averaged method
        return self.inner.linear_seed

    @property
    def scale(self):  # type: ignore[override]  # it depends on the averaged method
        return self.inner.scale

    @classmethod
    def told_with(cls, fact, **arguments):
        told = getattr(cls, fact)
        return told_of(arguments["of"], fact) if isinstance(told, property) else told

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on the averaged method
        return self.runner is not None

    @property
    def masks(self):  # type: ignore[override]  # it depends on the averaged method
        return self.runner is not None and self.inner.masks

    def arguments_up_to(self, layer):
        arguments = super().arguments_up_to(layer)
        return arguments if isinstance(self.of, str) else arguments | {"of": self.of.up_to(layer)}

    def _explained(self, number):
        return self.inner._explained(number)

    def _restore(self, inputs, arrays, lead):
        return self.inner._restore(inputs, arrays, lead)

    def _attribution_shapes(self, shapes):
        return self.inner._attribution_shapes(shapes)

    @functools.cached_property
    def runner(self):
        """The averaged method at points, in one compiled call; None where it has no backward pass of the usual kind."""
        return Runner(self) if getattr(self.inner, "composable", False) else None

    def points(self, batch, reduce="reduce"):
        """The `Points` of a batch, or what stands for them where the averaged method has no usual backward pass."""
        return HostPoints(self, batch, reduce) if self.runner is None else Points(self.runner, batch, reduce)

    @property
    def embeddings(self):
        """See `Runner`."""
        return [] if self.runner is None else self.runner.embeddings

    @property
    def guards(self):
        """Whether this is what `guarded` made."""
        return getattr(self.inner, "guards", False)

    def guarded(self):
        return None if self.guards or self._guarded.inner is None else self._guarded

    @functools.cached_property
    def _guarded(self):
        made = type(self)(self.opened, **self.get_config())
        made.inner = self.inner.guarded()
        vars(made).pop("runner", None)  # of the inner analyzer that was
        return made

    # ------------------------------------------------------------------ what a method decides
    def place(self, xs, moves, count):
        """The points, inside the compiled call.

        Args:
            xs: The inputs, (batch, ...) each.
            moves: What `Points.step` was given.
            count: Points of each sample.

        Returns:
            A tensor (batch * count, ...) for each input, the points of a sample together; then what each embedding's
            `move` is given.
        """
        raise NotImplementedError

    def move(self, looked_up, given):
        """An embedding's vectors, `InOrder` or `Scattered`, moved by what `place` gave for it."""
        raise NotImplementedError

    def reduce(self, maps, ws):
        """What is kept of the maps (batch, count, ...) of a chunk; `ws` broadcasts over them and weighs the points."""
        return ops.sum(maps * ws, axis=1)
