"""What is not finite: inputs whose gaps the model fills, and warnings where maps cannot be right.

What counts is the model's output. A sample of which the model says something finite is explained whatever is in it; where
its output is not finite, or that at a reference, a warning tells the numbers of the samples.
"""

import functools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.assembly import assembled
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.facts import Facts
from innspect.analyzers.base.request import Request
from innspect.analyzers.base.warned import warn
from innspect.errors import some_of
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import Inputs, on_device
from innspect.inputs.missing import filled, has_gaps, says
from innspect.inputs.predictor import Network, Predictor
from innspect.inputs.references import References
from innspect.types import Array


class Sound(Facts):
    """Part of `Analyzer`: what is done about what is not finite."""

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The model as a function of its inputs, for methods that ask it about other inputs."""
        return Network(self.opened, "output")

    def _asked(self) -> Predictor:
        """The model before its head, which saturates."""
        return self.predictor if self.opened is None else self._logits

    @functools.cached_property
    def _logits(self) -> Predictor:
        return Network(self.opened, "logit")

    def filled(self, inputs: Inputs, number: int) -> Inputs:
        """The inputs as they are explained: with numbers where the model puts numbers for what is not finite."""
        return filled(inputs, self._asked, number)

    def filled_references(self, references: References, number: int) -> References:
        """The same for what inputs are compared with."""
        return references.through(lambda inputs: self.filled(inputs, number))

    def compared_with(self, request: Request) -> References | None:
        """The references of a method that has some."""
        return None

    def guarded(self) -> Any:
        """An analyzer like this one for samples whose maps are not finite though their output is, see `Guarded`; or None."""
        return None

    def explain_again(self, request: Request) -> Explanation:
        """What `guarded` finds for a request, with a flat list of attributions."""
        return assembled(request, self.guarded()._parts(request, 0), {})

    def sound(self, request: Request, explanation: Explanation) -> Explanation:
        """The explanation with finite maps wherever there are some; else a warning names the samples, and says why.

        Args:
            request: The `Request`.
            explanation: With a flat list of attributions.
        """
        if _all_finite(request, explanation):
            return explanation
        axis = 1 if request.several else 0
        fine = _finite(explanation.attributions, axis)
        known = _finite([explanation.targets], axis) & (fine | _finite(keras.tree.flatten(explanation.outputs), 0))
        known &= ~_unknown_to(self.opened, request)
        complete = fine if explanation.delta is None else fine & _finite([explanation.delta], axis)
        apart = self._not_finite_at_references(request, np.flatnonzero(known & ~complete))
        lost = np.setdiff1d(np.flatnonzero(known & ~fine), apart)
        if len(lost) and self.guarded() is not None:
            again = self.explain_again(replace(request.of(lost), advance=lambda count: None))
            explanation = explanation.with_samples(lost, again)
            lost = lost[~_finite(again.attributions, axis)]
        dtype = explanation.attributions[0].dtype
        self._tell(
            np.flatnonzero(~known),
            len(fine),
            request.first,
            "the model's own output is not finite{}, so there is nothing to explain. Replace what is missing or infinite in "
            "these samples, or leave them out.",
        )
        self._tell(
            apart,
            len(fine),
            request.first,
            "the model's output at the reference is not finite{}, so the maps that compare with it are not. Give a reference "
            "that the model has an output for, such as the mean of the data.",
        )
        self._tell(
            lost,
            len(fine),
            request.first,
            f"signals grew beyond what {dtype} can hold, so the maps are not finite,{{}}. Rules "
            "that divide by sums which may be near zero do so in deep networks: a larger `epsilon`, keeping the bias, or "
            "another rule bounds them; float64 holds more.",
        )
        return explanation

    def _tell(self, samples: Array, count: int, first: int, text: str) -> None:
        if len(samples):
            where = f" for {some_of(samples, count, first)}"
            warn(f"{self.name!r}: {text.format(where)}")

    def _not_finite_at_references(self, request: Request, samples: Array) -> Array:
        """Those of some samples of whose references the model says nothing finite."""
        references = self.compared_with(request) if len(samples) else None
        if references is None:
            return samples[:0]
        sound = np.ones(len(samples), bool)
        for inputs in references.as_inputs(samples):
            sound &= _finite([says(inputs, self._asked, request.output)], 0)
        return samples[~sound]


def _all_finite(request: Request, explanation: Explanation) -> bool:
    """Whether there is nothing to look at: inputs, explained values and maps, all that they hold, are finite."""
    delta = [] if explanation.delta is None else [explanation.delta]
    return not has_gaps([*explanation.attributions, explanation.targets, *delta, *request.inputs.arrays])


def _unknown_to(opened: OpenedModel | None, request: Request) -> Array:
    """For which samples that are not finite the model's own answer is not a number, (samples,).

    A compiled function may lose a NaN on its way, as TensorFlow's do where it fuses a convolution and a ReLU.
    """
    inputs = request.inputs
    unknown, floats = np.zeros(inputs.samples, bool), [a for a in inputs.arrays if a.dtype.kind == "f"]
    if opened is None or opened.batch is not None or not floats:
        return unknown
    odd = np.flatnonzero(~_finite(floats, 0))
    for start in range(0, len(odd), request.at_once):
        rows = odd[start : start + request.at_once]
        y = opened.outputs(on_device([a[rows] for a in inputs.arrays], opened))[request.output]
        unknown[rows] = np.isnan(y).reshape(len(rows), -1).any(axis=1)
    return unknown


def _finite(arrays: Iterable[Array], axis: int) -> Array:
    """Whether all that arrays hold for each sample, along `axis`, is finite: (samples,)."""
    flat = [np.isfinite(np.moveaxis(a, axis, 0)).reshape(a.shape[axis], -1).all(axis=1) for a in arrays]
    return np.logical_and.reduce(flat)
