"""How much do maps change when inputs hardly do? Each beside the change of the prediction, without which it says little."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.checks import Boolean, Count, Number, OneOf
from innspect.errors import PlainKeyError, suggest
from innspect.evaluation.correlation import spearman
from innspect.evaluation.maps import CHANNELS, Maps, as_they_are, flattened
from innspect.evaluation.neighbours import Neighbours, gaussian, movable, uniform
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.versions import answers_to, pieces
from innspect.graph.ir import Tensor
from innspect.graph.opened.layer_names import path_of
from innspect.types import Array

RANGES: dict[str, Any] = {
    "draws": Count(),
    "radius": Number(),
    "level": Number(),
    "relative": Boolean(),
    "channels": OneOf(*CHANNELS),
}
_DRAWN: dict[str, Any] = {"draws": 10, "radius": 0.02, "noise": None}
_NORMS: dict[str, Any] = _DRAWN | {"channels": "apart"}
_LEAST = 1e-6  # a change of the input, representation or output counts as this much at least
_COUNTED = 1e-6  # of the largest magnitude: elements that are smaller take no part in a relative change


@dataclass
class Near:
    """Some neighbours, and what is known of them and of their samples: rows side by side.

    Attributes:
        inputs: Gives the movable inputs of the samples and of the neighbours, `x` and `moved`, (n, elements), float64.
        r, again: Their maps, (n, elements).
        seen, now: What the model says, of samples and neighbours; see `answers_to`.
    """

    inputs: Callable[[], tuple[Array, Array]]
    r: Array
    again: Array
    seen: dict[str, Array]
    now: dict[str, Array]

    @functools.cached_property
    def x(self) -> Array:
        return self.inputs()[0]

    @functools.cached_property
    def moved(self) -> Array:
        return self.inputs()[1]


def _as_vectors(trial: Trial, full: list[Array], channels: str) -> Array:
    """Maps for norms: as they are, or summed over channels; NaN where one is not finite."""
    vectors = as_they_are(full)
    finite = np.isfinite(vectors.sum(axis=1))  # one number that is not finite makes the sum so
    vectors = vectors if channels == "apart" else flattened(trial, full)
    vectors[~finite] = np.nan
    return vectors


def _measured(
    trial: Trial,
    maps: Maps,
    near: Neighbours,
    measure: Callable[[Near], Array],
    channels: str = "apart",
    tensor: Tensor | None = None,
    outputs: bool = False,
) -> tuple[Array, dict[str, Array]]:
    """A number of every neighbour, (samples, neighbours), and what is told beside: how the prediction changed."""
    moving, rows = movable(trial), np.arange(trial.samples)

    def joined(arrays: list[Array]) -> Array:
        return as_they_are([arrays[i] for i in moving])

    seen, r = answers_to(trial, trial.arrays, rows, tensor=tensor), _as_vectors(trial, maps.full, channels)
    found = np.full((trial.samples, near.count), np.nan)
    change, turned = np.full(found.shape, np.nan), np.zeros(found.shape)
    for rows, numbers, arrays in pieces(trial, near.count, near.of):
        if outputs or tensor is not None or not maps.tells_scores:
            full, now = maps.again(arrays, rows), answers_to(trial, arrays, rows, tensor=tensor)
        else:
            full, now = maps.again_with_scores(arrays, rows)
        again = _as_vectors(trial, full, channels)
        here = {k: v[rows] for k, v in seen.items()}
        inputs = functools.partial(_pair, joined, trial.arrays, rows, arrays)
        found[rows, numbers] = measure(Near(inputs, r[rows], again, here, now))
        change[rows, numbers] = np.abs(now["scores"] - here["scores"])
        turned[rows, numbers] = now["classes"] != here["classes"]
    return found, {"prediction_change": change.mean(axis=1), "class_changed": turned.mean(axis=1)}


def _pair(joined: Callable[[list[Array]], Array], x: list[Array], rows: Array, moved: list[Array]) -> tuple[Array, Array]:
    return joined([a[rows] for a in x]), joined(moved)


def _largest(found: Array, keep: Array | None = None) -> Array:
    """The largest number of each row, of those to be kept; NaN where there is none, or one of them is NaN."""
    keep = np.ones(found.shape, bool) if keep is None else keep
    values = np.where(keep, found, -np.inf).max(axis=1)  # which a NaN survives
    return np.where(keep.any(axis=1), values, np.nan)


def _norms(a: Array) -> Array:
    return np.sqrt(np.einsum("ij,ij->i", a, a))


def _ratio(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0)


# ---------------------------------------------------------------------- norms
def _sensitivity(trial: Trial, maps: Maps, told: dict[str, Any], relative: bool) -> tuple[Array, dict[str, Array]]:
    near = uniform(trial, told["draws"], told["radius"], told["noise"])

    def measure(near: Near) -> Array:
        change = _norms(near.again - near.r)
        return _ratio(change, _norms(near.r)) if relative else change

    return _measured(trial, maps, near, measure, told["channels"])


@metric("max_sensitivity", "robustness", higher=False, range=(0, np.inf), again=True, takes=_NORMS, ranges=RANGES)
def max_sensitivity(trial: Trial, maps: Maps, *, relative: bool = True, **told: Any) -> Result:
    """The largest change of the map among neighbours of the input, max ||R' - R|| / ||R|| (Yeh et al. 2019).

    Args:
        draws: How many neighbours each sample has.
        radius: Each element moves by at most this share of the sample's range, its largest value minus its smallest.
        noise: What is added to the samples, (samples, draws, *sample), in the place of what is drawn; a list for several
            inputs.
        channels: "apart": norms are of the map as it is. "together": of the map summed over channels.
        relative: Divide by the map's own norm; False is the definition of the paper, whose value depends on the map's scale.

    Returns:
        A `Result`; beside the values stand "prediction_change", mean |f(x') - f(x)|, and "class_changed", the share of
        neighbours with another largest output. Undefined where the map is zero.
    """
    found, beside = _sensitivity(trial, maps, told, relative)
    return Result(_largest(found), beside=beside)


@metric("avg_sensitivity", "robustness", higher=False, range=(0, np.inf), again=True, takes=_NORMS, ranges=RANGES)
def avg_sensitivity(trial: Trial, maps: Maps, *, relative: bool = True, **told: Any) -> Result:
    """The mean change of the map over neighbours of the input, mean ||R' - R|| / ||R||. Arguments as of `max_sensitivity`."""
    found, beside = _sensitivity(trial, maps, told, relative)
    return Result(found.mean(axis=1), beside=beside)


@metric("local_lipschitz", "robustness", higher=False, range=(0, np.inf), again=True, takes=_NORMS, ranges=RANGES)
def local_lipschitz(trial: Trial, maps: Maps, *, relative: bool = False, **told: Any) -> Result:
    """The steepest change of the map, max ||R' - R|| / ||x' - x|| (Alvarez-Melis & Jaakkola 2018).

    It depends on the map's scale, so it compares samples of one method; relative=True divides by ||R|| too. Neighbours that are
    the sample itself are left out. Other arguments and what stands beside as of `max_sensitivity`.
    """
    near = uniform(trial, told["draws"], told["radius"], told["noise"])

    def measure(near: Near) -> Array:
        steep = np.stack([_norms(near.again - near.r), _norms(near.moved - near.x), _norms(near.r)])
        moved = steep[1] > 0
        change = _ratio(steep[0], steep[2]) if relative else steep[0]
        return np.where(moved, change / np.where(moved, steep[1], 1), -1)

    found, beside = _measured(trial, maps, near, measure, told["channels"])
    return Result(_largest(found, found != -1), beside=beside)


# ---------------------------------------------------------------------- relative stability
def relative_change(u: Array, v: Array) -> Array:
    """||(u - v) / u|| of each row, over the elements that are not small beside the largest one; NaN where u is zero."""
    size = np.abs(u)
    largest = size.max(axis=1, initial=0, keepdims=True)
    kept = size > _COUNTED * largest
    change = _norms(np.where(kept, (u - v) / np.where(kept, u, 1), 0 * v))
    return np.where(largest[:, 0] > 0, change, np.nan)


def _stability(
    trial: Trial,
    maps: Maps,
    told: dict[str, Any],
    below: Callable[[Near], Array],
    tensor: Tensor | None = None,
    outputs: bool = False,
) -> Result:
    near = uniform(trial, told["draws"], told["radius"], told["noise"])

    def measure(near: Near) -> Array:
        ratio = relative_change(near.r, near.again) / np.maximum(below(near), _LEAST)
        return np.where(near.seen["classes"] == near.now["classes"], ratio, -1)

    found, beside = _measured(trial, maps, near, measure, told["channels"], tensor, outputs=outputs)
    return Result(_largest(found, found != -1), beside=beside)


_STABLE: dict[str, Any] = {"higher": False, "range": (0, np.inf), "again": True, "takes": _NORMS, "ranges": RANGES}


@metric("relative_input_stability", "robustness", **_STABLE)
def relative_input_stability(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Relative change of the map by that of the input (Agarwal et al. 2022, eq. 2): max c(R, R') / max(c(x, x'), 1e-6).

    c(u, v) is the norm of (u - v) / u over the elements with |u| > 1e-6 max |u|. Only neighbours of the same largest output
    count; without one, or where the map or the sample is zero, it is undefined. Arguments as of `max_sensitivity`.
    """
    return _stability(trial, maps, told, lambda near: relative_change(near.x, near.moved))


@metric("relative_representation_stability", "robustness", **_STABLE)
def relative_representation_stability(trial: Trial, maps: Maps, *, layer: str | None = None, **told: Any) -> Result:
    """As `relative_input_stability`, by the change of what a layer returns (Agarwal et al. 2022, eq. 3).

    Args:
        layer: Its path in the model; None: what the last layer with a kernel is given.
    """
    tensor = _representation(trial, layer)

    def below(near: Near) -> Array:
        return relative_change(*(each["tensor"].astype("float64") for each in (near.seen, near.now)))

    return _stability(trial, maps, told, below, tensor)


@metric("relative_output_stability", "robustness", **_STABLE)
def relative_output_stability(trial: Trial, maps: Maps, **told: Any) -> Result:
    """As `relative_input_stability`, by ||z - z'||, z the logits, not divided by them (Agarwal et al. 2022, eq. 5)."""

    def below(near: Near) -> Array:
        return _norms(near.seen["explained"].astype("float64") - near.now["explained"])

    return _stability(trial, maps, told, below, outputs=True)


def _representation(trial: Trial, layer: str | None) -> Tensor:
    opened = trial.predictor.opened
    if opened is None:
        raise ValueError("This metric looks at a layer, so `model` must be a Keras model that can be opened. Received: another")
    layer = path_of(opened, layer)
    if layer is not None:
        calls = opened.graph.paths.get(layer)
        if calls is None or not calls or not calls[-1]:
            raise PlainKeyError(
                f"`layer` must name a layer of the model by path. Received: {layer!r}. {suggest(layer, opened.graph.paths)}"
            )
        return calls[-1][0]
    nodes = opened.graph.ancestors([trial.predictor.explained(trial.output)])  # type: ignore[attr-defined]
    kernels = [node for node in nodes if node.kind == "affine" and node.active_inputs]
    if not kernels:
        raise ValueError("The model has no layer with a kernel, so `layer` must be given. Received: None")
    return kernels[-1].inputs[kernels[-1].active_inputs[0]]


# ---------------------------------------------------------------------- rank
@metric("noise", "robustness", higher=False, range=(0, 2), again=True, ranges=RANGES)
def noise(trial: Trial, maps: Maps, *, draws: int = 10, level: float = 0.05, noise: Any = None) -> Result:
    """How much the order of relevance changes under normal noise on the input: mean of 1 - Spearman of r(x') and r(x).

    Args:
        draws: How many noisy inputs each sample has.
        level: The noise's deviation as a share of the sample's range, its largest value minus its smallest.
        noise: As of `max_sensitivity`.

    Beside it stands the change of the prediction, as there. Draws with a constant map are left out; all: undefined.
    """
    near = gaussian(trial, draws, level, noise, "gaussian")
    found, beside = _measured(trial, maps, near, lambda near: 1 - spearman(near.r, near.again), "together")
    counts = (~np.isnan(found)).sum(axis=1)
    return Result(np.where(counts > 0, np.nansum(found, axis=1) / np.maximum(counts, 1), np.nan), beside=beside)
