"""What would a model like to see: images that drive a neuron, a class or a unit."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from innspect import backend
from innspect.checks import Count, Integer, Number, OneOf, Positive, Sizes
from innspect.synthesis import spaces as moved
from innspect.synthesis.answer import answer
from innspect.synthesis.ascent import OPTIMIZERS
from innspect.synthesis.request import Request
from innspect.synthesis.result import Synthesis


def synthesize(
    model: Any,
    target: Any,
    *,
    start: Any = "zeros",
    steps: int = 512,
    objective: str = "logit",
    regularizers: dict[Any, Any] | None = None,
    transformations: Any = None,
    generator: Any = None,
    density: Any = None,
    data: ArrayLike | None = None,
    mean: Any = None,
    low: Any = None,
    high: Any = None,
    size: int | Sequence[int] | None = None,
    space: str | None = None,
    decay: float = 1.0,
    optimizer: str = "adam",
    step_size: float | None = None,
    shrink: float = 1.0,
    output: int | str = 0,
    labels: Any = None,
    batch_size: int | None = None,
    seed: int | Sequence[int] = 0,
    verbose: int = 0,
) -> Synthesis:
    """Images that a target responds to most: class models, prototypes, activation maximization, code space, MACO.

    What is maximized is the target, plus the log-density where there is a `density`, less the penalties; of each image by
    itself, so that an image does not depend on those beside it.

    Args:
        model: A built Keras model, or an opened one; its weights are only read.
        target: What is wanted: the number of a neuron; its name, where there are `labels`; `innspect.unit(...)`;
            `innspect.synthesis.neuron(...)`; sums and differences of these; else what `analyze` takes: a tuple, weights, a
            function. A list, or an array of integers, holds one for each image; "all" is every neuron of the output.
        start: "zeros"; "noise"; "fourier", Fourier coefficients in place of pixels; "maco", phases in place of pixels; or
            images, (samples, ...) or one alone: the model's inputs. With `generator=` codes.
        steps: How many.
        objective: What is made of an output's neuron: "logit", or "log_probability"; or another of `list_objectives()`.
        regularizers: A dict from names to strengths, or to dicts of "strength" and arguments: "l2", "lp", "total_variation",
            "blur", "features", or others of `list_regularizers()`; functions in place of names are penalties, too. The penalty
            is the strength times the plain sum over one image; with `generator=` over the code.
        transformations: A list of names, or of pairs (name, arguments): "jitter", "scale", "rotation", "crop", "blur",
            "noise", or others of `list_transformations()`. They are drawn for each step, and alike for all images of a seed.
        generator: A Keras model from codes to images, in whose code space the image is looked for.
        density: A function from a tensor of images (samples, ...) to their log-densities (samples,), such as a
            `innspect.synthesis.Gaussian`; or a Keras model.
        data: Samples, (samples, ...), whose mean spectrum and colours "maco" takes, and whose colours "fourier" takes. Without
            them the spectrum falls as 1/f, and the colours are those of natural images.
        mean: What penalties are about, an array that broadcasts to a sample: of the code with `generator=`.
        low, high: What an image is kept in, numbers or arrays that broadcast to a sample; with `generator=` the code. "fourier"
            and "maco" take 0 and 1 unless told.
        size: Lengths of the axes that the model leaves open, such as (224, 224).
        space: What is moved from a start image: "pixels" (default), "fourier" or "maco".
        decay: Of "fourier": the power by which coefficients are smaller for shorter waves.
        optimizer: "adam", whose steps fall to 0 along a cosine; "normalized", the gradient over its mean magnitude, along a
            line.
        step_size: The length of the first steps. None: 0.05; for pixels with a range 0.05 of that; 1 for "normalized".
        shrink: What is moved is multiplied with it after each step.
        output: Number or name of the output that neurons belong to.
        labels: Names of its neurons, as for `create_analyzer`.
        batch_size: How many images at once; None: by their size and the model's.
        seed: Of all that is drawn; or one for each image.
        verbose: 1 shows progress.

    Returns:
        A `Synthesis`, with `images`, `codes`, `curve`, `values`.

    Raises:
        KeyError: No layer, regularizer, transformation or objective has this name; near matches are offered.
        ValueError: An argument out of its range; a target that does not depend on the input; a generator that does not fit.
        NotAnalyzeableModelError: The model cannot be opened, or takes nothing that can be synthesized.

    Examples:
        >>> prototypes = innspect.synthesize(model, [0, 1, 2], objective="log_probability", regularizers={"l2": 0.1})
        >>> innspect.synthesize(model, innspect.unit("conv5", 12), start="fourier", transformations=["jitter", "scale"])
        >>> innspect.synthesize(model, "tabby", labels=names, start="maco", data=x, transformations=[("crop", {"count": 8})])

    References:
        Simonyan, Vedaldi, Zisserman (2014), section 2. Nguyen et al. (2016). Montavon, Samek, Mueller (2018), section 3.
        Olah, Mordvintsev, Schubert (2017). Fel et al. (2023), MACO. Hamblin et al. (2024), feature accentuation.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("model", "verbose")}
    _check(arguments)
    with backend.inference():
        found, surprises = answer(Request(model, arguments), verbose)
    for surprise in surprises:
        warnings.warn(surprise, stacklevel=2)
    return found


def _check(given: dict[str, Any]) -> None:
    ranges = {
        "steps": Count(),
        "optimizer": OneOf(*OPTIMIZERS),
        "shrink": Number(1.0),
        "decay": Number(),
        "batch_size": Integer(1, or_none=True),
        "space": OneOf(None, *moved.SPACES),
    }
    for name, allowed in ranges.items():
        allowed.check(name, given[name])
    Positive().check_given("step_size", given["step_size"])
    Sizes().check_given("size", given["size"])
    seeds = given["seed"]
    if not all(map(Integer().holds, np.atleast_1d(np.asarray(seeds, object)))):
        raise ValueError(f"`seed` must be an integer that is not negative, or a list of these. Received: {seeds!r}")
