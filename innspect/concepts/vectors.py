"""Concept vectors: the direction along which a concept is, in the channels of a layer.

A classifier of samples with a concept and without it is a filter: it turns away from whatever else varies, so its weights do
not point where the concept is. The pattern does (Haufe et al. 2014): v = cov(h, t) / var(t), which for t in {0, 1} is the
difference of the means (Pahde et al. 2022, pattern-based concept activation vectors). It is no decoder, though: how well the
concept can be told is said by the filter, on samples that it was not made from.
"""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from innspect.checks import Integer, Number, OneOf
from innspect.concepts.activations import Activations
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.types import Array

KINDS = ("pattern", "filter")
_FOLDS = 5


@dataclass(frozen=True)
class ConceptVector:
    """A direction in the channels of a layer that stands for a concept. `innspect.concepts.vector` makes it.

    Attributes:
        layer: The layer's path.
        vector: The direction, (channels,), not scaled: for the pattern mean(h | with) - mean(h | without).
        auc: The area under the curve of the filter on samples that were held out: 0.5 where the concept cannot be told.
        vector_auc: The same of the vector itself, v.h, which may be low though the direction is right.
        origin: The mean without the concept, (channels,).
        kind: "pattern" or "filter".
        with_concept, without: What the layer makes of the samples, means over positions, (samples, channels).
    """

    layer: str
    vector: Array
    auc: float
    vector_auc: float
    origin: Array
    kind: str = "pattern"
    with_concept: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    without: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    def __repr__(self) -> str:
        told = f"auc={self.auc:.3f}, vector_auc={self.vector_auc:.3f}"
        return f"ConceptVector({self.layer!r}, {self.kind!r}, {len(self.vector)} channels, {told})"


def vector(
    model: keras.Layer | OpenedModel,
    layer: str,
    with_concept: Any,
    without: Any,
    kind: str = "pattern",
    *,
    least_auc: float = 0.8,
    batch_size: int | None = None,
    seed: int = 0,
) -> ConceptVector:
    """The direction of a concept in the channels of a layer, from samples with it and samples without.

    Of a layer with positions, such as a convolution, the mean over positions is taken: one direction in channel space.

    Args:
        model: A built Keras model. It is only read.
        layer: The layer's path.
        with_concept: Inputs with the concept, as for `analyze`, or a stream of batches of these.
        without: Inputs without it, else alike.
        kind: "pattern": cov(h, t) / var(t), where the concept is. "filter": the linear discriminant cov(h)^-1 cov(h, t), which
            tells it best, with the covariance shrunk as Ledoit & Wolf 2004 do.
        least_auc: Refuse a vector where the filter cannot tell the concept so well from samples that were held out; 0 refuses
            none.
        batch_size: Samples computed at once; None: by their size and the model's.
        seed: Of the parting into five, of which each is held out once.

    Returns:
        A `ConceptVector`.

    Raises:
        KeyError: No layer has this path.
        ValueError: The filter's AUC is below `least_auc`; there are fewer than two samples of a kind; or an argument does not
            fit.

    Examples:
        >>> stripes = innspect.concepts.vector(model, "block4_conv3", striped, plain)
        >>> stripes.auc
        >>> innspect.concepts.tcav(model, stripes, zebras, 340)
    """
    OneOf(*KINDS).check("kind", kind)
    Integer(1, or_none=True).check("batch_size", batch_size)
    Integer().check("seed", seed)
    if not Number().holds(least_auc) or not least_auc <= 1:
        raise ValueError(f"`least_auc` must be between 0 and 1. Received: {least_auc!r}")
    activations = Activations(open_model(model), layer)
    seen, others = (
        _checked(name, activations.means(given, name, batch_size))
        for name, given in (("with_concept", with_concept), ("without", without))
    )
    h, t = np.concatenate([seen, others]), np.repeat([1, 0], [len(seen), len(others)])
    auc, vector_auc = _held_out(h, t, seed)
    if auc < least_auc:
        raise ValueError(
            f"The concept cannot be told at the layer {layer!r}: on samples that were held out, the filter has an AUC of "
            f"{auc:.2f}, and {least_auc:g} is asked for. Take another layer, more or other samples, or `least_auc=0`. "
            f"Received: {len(seen)} samples with the concept, {len(others)} without"
        )
    direction = seen.mean(axis=0) - others.mean(axis=0)
    if kind == "filter":
        direction = np.linalg.solve(shrunk_covariance(h, t), direction)
    return ConceptVector(layer, direction, auc, vector_auc, others.mean(axis=0), kind, seen, others)


def _checked(name: str, h: Array) -> Array:
    if len(h) < 2:
        raise ValueError(f"`{name}` must hold at least two samples. Received: {len(h)}")
    if not np.isfinite(h).all():
        raise ValueError(f"`{name}` must lead to finite values at the layer. Received: NaN or infinite ones")
    return h


def _held_out(h: Array, t: Array, seed: int) -> tuple[float, float]:
    """The AUC of filters, and of patterns, on the parts that they were not made from: means over parts."""
    random, parts = np.random.default_rng(seed), np.zeros(len(t), int)
    folds = min(_FOLDS, int(np.bincount(t).min()))
    for kind in (0, 1):
        mine = np.flatnonzero(t == kind)
        parts[random.permutation(mine)] = np.arange(len(mine)) % folds
    found = []
    for part in range(folds):
        train, test = parts != part, parts == part
        v = h[train & (t == 1)].mean(axis=0) - h[train & (t == 0)].mean(axis=0)
        w = np.linalg.solve(shrunk_covariance(h[train], t[train]), v)
        found.append([area_under_curve(h[test] @ direction, t[test]) for direction in (w, v)])
    auc, vector_auc = np.mean(found, axis=0)
    return float(auc), float(vector_auc)


def shrunk_covariance(h: Array, t: Array) -> Array:
    """The covariance within both kinds, drawn towards a multiple of the identity as Ledoit & Wolf 2004 (eq. 14) do.

    Args:
        h: (samples, channels).
        t: 0 or 1 for each sample.
    """
    centred = h - np.stack([h[t == 0].mean(axis=0), h[t == 1].mean(axis=0)])[t]
    n, channels = centred.shape
    covariance = centred.T @ centred / n
    scale = np.trace(covariance) / channels
    away = np.square(covariance).sum() - channels * scale**2
    squares = np.square(centred).sum(axis=1)
    noise = (np.square(squares).sum() / n - np.square(covariance).sum()) / n
    share = min(1.0, max(noise, 0.0) / away) if away > 0 else 1.0
    floor = max(scale, np.finfo("float64").tiny) * 1e-9  # channels that never vary
    return (1 - share) * covariance + (share * scale + floor) * np.eye(channels)


def area_under_curve(scores: Array, t: Array) -> float:
    """How often a sample of kind 1 has a larger score than one of kind 0, ties half."""
    order = np.sort(scores[t == 0])
    below = np.searchsorted(order, scores[t == 1], "left") + np.searchsorted(order, scores[t == 1], "right")
    return float(below.mean() / (2 * len(order)))
