"""Inputs seen through their map: average_drop, increase and win (Chattopadhay et al. 2018, sec. 4.1)."""

import weakref
from typing import Any

import numpy as np

from innspect.checks import OneOf
from innspect.evaluation.curves import RANGES, split
from innspect.evaluation.hiding import Hiding
from innspect.evaluation.maps import Maps, others
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Score, Trial
from innspect.evaluation.units import units_of
from innspect.evaluation.versions import hidden_scores
from innspect.types import Array

TAKES: dict[str, Any] = {
    "hide": 0.0,
    "background": None,
    "repeats": 10,
    "value_range": None,
    "channels": "together",
    "sign": "positive",
    "normalise": "max",
    "score": "probability",
}
_RANGES = RANGES | {"normalise": OneOf("max", "minmax")}
_seen: "weakref.WeakKeyDictionary[Maps, dict[Any, tuple[Array, Array]]]" = weakref.WeakKeyDictionary()


def normalised(r: Array, how: str) -> Array:
    """How much of each position is shown, in [0, 1]: (samples, positions).

    Args:
        r: Values (samples, positions).
        how: "max": max(r, 0) / max(r), nothing where that is not above 0. "minmax": a constant map shows all.
    """
    largest = r.max(axis=1, keepdims=True)
    if how == "max":
        return np.where(largest > 0, np.maximum(r, 0) / np.where(largest > 0, largest, 1), 0)
    width = largest - r.min(axis=1, keepdims=True)
    return np.where(width > 0, (r - r.min(axis=1, keepdims=True)) / np.where(width > 0, width, 1), 1)


def _scores(trial: Trial, maps: Maps, told: dict[str, Any]) -> tuple[Array, Array]:
    """Y = p(x) and O = p(m x + (1 - m) fill), (samples,) each; kept for as long as the maps are."""
    key = _key(told)
    kept = _seen.setdefault(maps, {})
    if key is None:
        return _looked(trial, maps, **told)
    if key not in kept:
        kept[key] = _looked(trial, maps, **told)
    return kept[key]


def _key(told: dict[str, Any]) -> Any:
    """The arguments, where they are numbers and words."""
    plain = all(isinstance(v, str | int | float | None) for v in told.values())
    return tuple(told.items()) if plain else None


def _looked(
    trial: Trial, maps: Maps, *, channels: str, sign: str, normalise: str, score: Score, **told: Any
) -> tuple[Array, Array]:
    if any(trial.ids):
        raise ValueError("`x` must hold numbers for this metric: ids cannot be dimmed. Received: ids of an embedding")
    apart = channels == "apart"
    m = normalised(maps.flat(channels, sign), normalise)
    hiding = Hiding(trial, units=units_of(trial, apart=apart), apart=apart, **told)

    def masks(rows: Array, numbers: Array) -> list[Array]:
        return split(trial, np.where(numbers[:, None, None] == 0, 0.0, 1 - m[rows]), apart)

    seen = hiding.mean(lambda: hidden_scores(trial, score, 2, masks, hiding.fills, apart=apart).scores)
    clean, shown = seen.T
    whole = (m == 1).all(axis=1)  # the sample itself, wherever in a batch it is computed
    return clean, np.where(whole, clean, shown)


@metric("average_drop", "faithfulness", higher=False, range=(0, 1), takes=TAKES, ranges=_RANGES)
def average_drop(trial: Trial, maps: Maps, **told: Any) -> Result:
    """How much of the probability is lost where the input is seen through its map: max(0, Y - O) / Y, a fraction.

    Y = p(x), O = p(m x + (1 - m) fill), m = max(R, 0) / max(R). Undefined where Y = 0.

    Args:
        hide: The fill, in what the model takes: a number, one for each channel, "mean", ...; see `flipping`.
        normalise: "max", or "minmax", in which a constant map shows all.
        sign: "positive", "abs" or "signed" relevance, after the sum over channels.

    Other arguments as of `flipping`.
    """
    clean, shown = _scores(trial, maps, told)
    known = np.isfinite(clean) & np.isfinite(shown) & (clean != 0)
    drop = np.maximum(0, clean - shown) / np.where(known, clean, 1)
    return Result(np.where(known, drop, np.nan), settings={"score": trial.score(told["score"]).said})


@metric("increase", "faithfulness", higher=True, range=(0, 1), interval="wilson", takes=TAKES, ranges=_RANGES)
def increase(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Whether the probability rises where the input is seen through its map: 1 or 0. Arguments as of `average_drop`."""
    clean, shown = _scores(trial, maps, told)
    known = np.isfinite(clean) & np.isfinite(shown)
    return Result(np.where(known, shown > clean, np.nan), settings={"score": trial.score(told["score"]).said})


@metric("win", "faithfulness", higher=True, range=(0, 1), takes=TAKES, ranges=_RANGES)
def win(trial: Trial, maps: Maps, *, against: Any = None, **told: Any) -> Result:
    """The share of other methods whose maps keep less of the probability than these; equal ones count half.

    Undefined where there is no other method, or none with a finite map.

    Args:
        against: The other methods' maps: a dict or a list of what `maps` may be. The row "random" does not belong there.

    Other arguments as of `average_drop`.
    """
    mine = _scores(trial, maps, told)[1]
    wins, defined = np.zeros(trial.samples), np.zeros(trial.samples)
    for other in [] if against is None else others(trial, against):
        theirs = _scores(trial, other, told)[1]
        known = np.isfinite(mine) & np.isfinite(theirs) & other.finite
        wins += np.where(known, (mine > theirs) + 0.5 * (mine == theirs), 0)
        defined += known
    values = np.where(defined > 0, wins / np.maximum(defined, 1), np.nan)
    return Result(values, settings={"score": trial.score(told["score"]).said})
