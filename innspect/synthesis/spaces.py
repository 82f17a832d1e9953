"""What is moved step by step, and the image that it stands for: pixels, Fourier coefficients, phases, or a code.

Each has `start`, the arrays to begin with, `constants`, arrays that the program is handed, and `image`, from tensors of these
to the image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import is_float
from innspect.graph.opened.opened_model import OpenedModel
from innspect.synthesis import spectra
from innspect.synthesis.layout import Layout
from innspect.types import Array, BackendTensor, Tensors

STARTS = ("zeros", "noise", "fourier", "maco")
SPACES = ("pixels", "fourier", "maco")
_DRAWN = 0.1  # standard deviation of a drawn start, as a share of the range
_COEFFICIENTS = 0.01  # the same of Fourier coefficients


class Range:
    """What the numbers of a sample may be.

    Args:
        low, high: Numbers, or arrays that broadcast to a sample; None where there is no bound.
        shape: The sample's.

    Raises:
        ValueError: They do not broadcast, or `low` is above `high`.
    """

    def __init__(self, low: Any, high: Any, shape: tuple[int, ...]):
        self.given = low is not None or high is not None
        self.low, self.high = (_bound(n, b, shape) for n, b in (("low", low), ("high", high)))
        if self.low is not None and self.high is not None and (self.low > self.high).any():
            raise ValueError(f"`low` must not be above `high`. Received: low={low!r:.100}, high={high!r:.100}")

    def or_unit(self, shape: tuple[int, ...]) -> "Range":
        """The range; from 0 to 1 where none was given."""
        if self.given and not np.all(np.asarray(self.width) > 0):
            raise ValueError("`low` must be below `high` everywhere for 'fourier' and 'maco'. Received: equal ones")
        return self if self.given else Range(0.0, 1.0, shape)

    @property
    def lowest(self) -> Array:
        """The lower bound, where there is one."""
        assert self.low is not None
        return self.low

    @property
    def width(self) -> Any:
        return 1.0 if self.low is None or self.high is None else self.high - self.low

    @property
    def middle(self) -> Any:
        return 0.0 if self.low is None or self.high is None else (self.high + self.low) / 2

    def clipped(self, x: Array) -> Array:
        if self.low is not None:
            x = np.maximum(x, self.low)
        return x if self.high is None else np.minimum(x, self.high)


def _bound(name: str, value: Any, shape: tuple[int, ...]) -> Array | None:
    if value is None:
        return None
    try:
        array = np.asarray(value, "float64")
        whole = np.broadcast_to(array, shape)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be a number, or an array that broadcasts to a sample of shape {shape}. Received: {value!r:.100}"
        ) from error
    if not np.isfinite(whole).all():
        raise ValueError(f"`{name}` must be finite. Received: {value!r:.100}")
    return whole


def drawn(seeds: Sequence[int], shape: tuple[int, ...], attempt: int = 0) -> Array:
    """Normal numbers (samples, *shape): those of a sample depend on its seed alone."""
    made = {seed: np.random.default_rng([seed, 1 << 20, attempt]).standard_normal(shape) for seed in set(seeds)}
    return np.stack([made[seed] for seed in seeds])


class Pixels:
    """The numbers of the input themselves, kept within the range where one is given."""

    name = "pixels"

    def __init__(self, layout: Layout, within: Range):
        self.layout, self.within, self.shape = layout, within, layout.shape
        self.constants: list[Array] = []

    def start(self, kind: str, seeds: Sequence[int], spread: float = 1.0, attempt: int = 0) -> Array:
        if kind == "zeros":
            return self.within.clipped(np.zeros((len(seeds), *self.shape)))
        return self.within.clipped(self.within.middle + spread * _DRAWN * self.within.width * drawn(seeds, self.shape, attempt))

    def of_image(self, image: Array) -> Array:
        return image

    def image(self, z: BackendTensor, constants: Tensors) -> BackendTensor:
        return z

    def bounds(self) -> tuple[Array | None, Array | None]:
        """What z is clipped to after each step."""
        return self.within.low, self.within.high


class Fourier:
    """Coefficients of waves, weighted so that long ones move first, in colours that go together (Olah et al. 2017).

    x = low + (high - low) sigmoid(C H(s h)): H the Hartley transform, s falling with the frequency, C a root of the colours'
    covariance.
    """

    name = "fourier"

    def __init__(self, layout: Layout, within: Range, decay: float, data: Array | None):
        self.layout, self.within = layout, within.or_unit(layout.shape)
        self.shape = (*layout.sizes, layout.channels)
        colours = spectra.natural_colours(layout.channels) if data is None else spectra.colours_of(layout.array_last(data))
        self._scale, self._colours = spectra.decaying(layout.sizes, decay), colours
        low, width = (np.broadcast_to(v, layout.shape).astype("float32") for v in (self.within.lowest, self.within.width))
        self.constants = [self._scale.astype("float32"), colours.T.astype("float32"), low, width]

    def start(self, kind: str, seeds: Sequence[int], spread: float = 1.0, attempt: int = 0) -> Array:
        return (
            np.zeros((len(seeds), *self.shape))
            if kind == "zeros"
            else spread * _COEFFICIENTS * drawn(seeds, self.shape, attempt)
        )

    def of_image(self, image: Array) -> Array:
        share = np.clip((image - self.within.lowest) / self.within.width, 0.01, 0.99)
        logits = self.layout.array_last(np.log(share / (1 - share))) @ np.linalg.inv(self._colours).T
        return spectra.hartley_array(logits) / self._scale

    def image(self, z: BackendTensor, constants: Tensors) -> BackendTensor:
        scale, colours, low, width = constants
        waves = spectra.hartley(z * scale, self.layout.axes)
        return low + width * ops.sigmoid(self.layout.own(ops.matmul(waves, colours)))

    def bounds(self) -> tuple[None, None]:
        return None, None


class Maco:
    """Phases alone: the magnitudes are those of data, or fall as nature's do (Fel et al. 2023).

    The magnitude of each wave in each channel is the mean one of the data. The phases of the channels go together as the
    data's colours do.
    """

    name = "maco"

    def __init__(self, layout: Layout, within: Range, data: Array | None):
        if data is not None and not within.given:
            within = Range(data.min(), data.max() + 1e-6, layout.shape)
        self.layout, self.within = layout, within.or_unit(layout.shape)
        self.shape = (*layout.sizes, layout.channels)
        if data is None:
            ends = [
                layout.array_last(np.broadcast_to(b, layout.shape)[None])[0]
                for b in (self.within.lowest, self.within.lowest + self.within.width)
            ]
            low, high = (e.reshape(-1, layout.channels).mean(0) for e in ends)
            self.spectrum = spectra.natural_spectrum(layout.sizes, layout.channels, low, high)
            self._colours = spectra.natural_colours(layout.channels)
        else:
            whole = layout.array_last(data)
            self.spectrum, self._colours = spectra.mean_spectrum(whole), spectra.colours_of(whole)
        moving = np.ones((*layout.sizes, 1), "float32")
        moving[(0,) * layout.axes] = 0
        fixed = self.spectrum * (1 - moving)  # the mean, which has a sign and no phase
        self.constants = [a.astype("float32") for a in (self.spectrum * moving, fixed, self._colours.T)]

    def start(self, kind: str, seeds: Sequence[int], spread: float = 1.0, attempt: int = 0) -> Array:
        return drawn(seeds, self.shape, attempt)

    def of_image(self, image: Array) -> Array:
        waves = spectra.hartley_array(self.layout.array_last(image) @ np.linalg.inv(self._colours).T)
        sizes = tuple(range(1, 1 + self.layout.axes))
        other = waves
        for axis in sizes:
            other = np.roll(np.flip(other, axis), 1, axis)
        return waves / np.sqrt((waves**2 + other**2) / 2 + 1e-20)

    def image(self, z: BackendTensor, constants: Tensors) -> BackendTensor:
        moving, fixed, colours = constants
        waves = ops.matmul(z, colours)
        phases = waves / spectra.magnitudes(waves, self.layout.axes)
        return self.layout.own(spectra.hartley(phases * moving + fixed, self.layout.axes))

    def bounds(self) -> tuple[None, None]:
        return None, None


class Code:
    """The code of a generator, whose output is the image (Nguyen et al. 2016).

    Args:
        generator: The opened generator.
        within: What the code is kept in.
        image: The shape of the image that the model takes.

    Raises:
        ValueError: The generator takes several inputs, or ids, or makes something else.
    """

    name = "code"

    def __init__(self, generator: OpenedModel, shape: tuple[int, ...], within: Range, image: tuple[int, ...]):
        (output,) = generator.graph.outputs
        made = tuple(output.shape[1:])
        if len(made) != len(image) or any(a is not None and a != b for a, b in zip(made, image, strict=True)):
            raise ValueError(
                f"`generator` must make what the model takes, samples of shape {image}. Received: a generator of samples of "
                f"shape {made}"
            )
        self.layout, self.within, self.shape = Layout(shape, 0), within, shape
        self.constants: list[Array] = []
        self._run = Interpreter.of(generator.graph, output)

    def start(self, kind: str, seeds: Sequence[int], spread: float = 1.0, attempt: int = 0) -> Array:
        first = np.zeros((len(seeds), *self.shape)) if kind == "zeros" else spread * drawn(seeds, self.shape, attempt)
        return self.within.clipped(first)

    def of_image(self, image: Array) -> Array:
        return image

    def image(self, z: BackendTensor, constants: Tensors) -> BackendTensor:
        (x,) = self._run([z])
        return x

    def bounds(self) -> tuple[Array | None, Array | None]:
        return self.within.low, self.within.high


def code_shape(generator: OpenedModel) -> tuple[int, ...]:
    """The shape of one code of a generator.

    Raises:
        ValueError: It takes or makes several tensors, takes integers, or a code whose length is not known.
    """
    graph = generator.graph
    shapes = [tuple(t.shape[1:]) for t in graph.inputs]
    fits = len(graph.inputs) == len(graph.outputs) == 1 and is_float(graph.inputs[0].dtype) and None not in shapes[0]
    if not fits:
        raise ValueError(
            "`generator` must be a Keras model from one code of known length to one image. Received: a model from "
            f"{shapes} to {[tuple(t.shape[1:]) for t in graph.outputs]}"
        )
    return tuple(int(n) for n in shapes[0] if n is not None)
