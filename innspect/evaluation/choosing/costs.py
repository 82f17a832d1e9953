"""What methods cost on this model: timed on a sample or two, before any is tried."""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from innspect.analyzers import create_analyzer
from innspect.errors import said
from innspect.evaluation.choosing.budget import Clock
from innspect.evaluation.choosing.offers import Offer
from innspect.evaluation.maps import Maps
from innspect.evaluation.trial import Trial
from innspect.types import Array

TIMED = 2  # samples
NO_TIME = "there was no time for it"
_SHARE = 0.08  # of the time: methods that are not timed by then are when their turn comes
_ALIKE = 1e-5  # of their largest value: maps that differ by less are taken for the same


class Costs:
    """What methods cost.

    Args:
        clock: Keeps the time.
        offers: The methods.
        left: Takes the reasons of those that are not tried: they fail, there is no time, or another one has the same maps.

    Attributes:
        seconds: Dict from a method that was timed to the time of an explanation of one sample.
        forward: Seconds of a forward pass of one sample.
        unit: Seconds of a gradient of one sample; where there is no gradient, of three forward passes.
    """

    def __init__(self, clock: Clock, offers: dict[str, Offer], left: dict[str, str]):
        self._clock, self._offers, self._left = clock, offers, left
        self.seconds: dict[str, float] = {}
        self.forward = self.unit = 0.0
        self._seen: dict[str, Array] = {}

    def begin(self, opened: Any, probe: Trial) -> None:
        """Time the model, and as many methods as a part of the time allows, those first that should be cheapest.

        Args:
            opened: The model.
            probe: The samples for that.

        Raises:
            ValueError: The model's outputs cannot be scored.
        """
        self._probe = probe
        outputs = probe.outputs
        if outputs.dtype.kind not in "fiub" or not np.isfinite(outputs.astype("float64")).any():
            raise ValueError(
                f"`model` must give finite numbers, whose changes can be scored. Received: outputs of dtype {outputs.dtype}, "
                f"such as {outputs.reshape(-1)[:3]}"
            )
        self.forward = self._taken(lambda: probe.run("output")) / probe.samples
        self.unit = 3 * self.forward
        with contextlib.suppress(TypeError, ValueError):  # a model that has none
            gradient = create_analyzer("gradient", opened)
            self.unit = self._taken(lambda: Maps(probe, gradient).full) / probe.samples
        for label in self._offers:
            if self._clock.spent > _SHARE * self._clock.limit:
                break
            self.time(label)

    def time(self, label: str) -> None:
        """Explain the samples once: what that costs, whether it works, and whether another method has the same maps."""
        if label in self.seconds or label in self._left:
            return
        offer, probe, found = self._offers[label], self._probe, []
        if offer.expected * self.unit * probe.samples > self._clock.left / 4:
            self._left[label] = NO_TIME
            return
        self._clock.say(f"timing {label}")
        try:
            with unwarned():
                spent = self._taken(lambda: found.append(Maps(probe, offer.analyzer).flat()))
        except Exception as error:
            self._left[label] = said(error)
            return
        same = next((other for other, maps in self._seen.items() if _same(found[-1], maps)), None)
        if same is not None:
            self._left[label] = f"its maps are those of {same}"
            return
        self._seen[label] = found[-1]
        self.seconds[label] = spent / probe.samples

    def expected(self, label: str) -> float:
        """Seconds of an explanation of one sample: measured, or what methods of its family cost."""
        return self.seconds.get(label, self._offers[label].expected * self.unit)

    def in_gradients(self, label: str) -> float | None:
        """What a method costs, in gradients; None where it was not timed."""
        return self.seconds[label] / self.unit if label in self.seconds and self.unit else None

    def _taken(self, call: Callable[[], Any]) -> float:
        """Seconds of a call; the second one where the first one compiles."""
        for _ in range(1 if keras.backend.backend() == "torch" else 2):
            began = time.monotonic()
            call()
            self._clock.advance()
        return time.monotonic() - began


def _same(a: Array, b: Array) -> bool:
    """Whether maps order positions in the same way: they are the same but for a factor of each sample."""
    largest = [np.abs(m).max(axis=1, keepdims=True) for m in (a, b)]
    if min(m.min() for m in largest) <= 0:
        return False
    return bool(np.abs(a / largest[0] - b / largest[1]).max() <= _ALIKE)


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """What dozens of methods warn of in their maps is measured here in another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
