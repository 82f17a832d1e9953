"""Does hiding a set of positions lose the sum of their relevance? sensitivity_n, faithfulness_correlation, infidelity."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from innspect.checks import Boolean, Count, Integer, OneOf
from innspect.evaluation.correlation import pearson, spearman
from innspect.evaluation.curves import HIDING, RANGES
from innspect.evaluation.maps import Maps
from innspect.evaluation.moving import moves
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.subsets import Losses, Subsets, rates, subsets_of
from innspect.evaluation.trial import Score, Trial
from innspect.evaluation.versions import changed_scores
from innspect.types import Array

CORRELATIONS = {"pearson": pearson, "spearman": spearman}
TAKES: dict[str, Any] = {"channels": "together", "sign": "signed", "score": "logit"}
TAKES |= {"region": None, "groups": None, "remainder": "cut"} | HIDING
_RANGES = RANGES | {"draws": Count(), "correlation": OneOf(*CORRELATIONS), "size": Integer(1, or_none=True)}


def _correlated(found: Losses, which: Array, correlation: str) -> Array:
    return CORRELATIONS[correlation](found.said[:, which], found.drops[:, which], found.magnitude)


def spaced(units: int) -> list[int]:
    """Ten set sizes spaced by equal factors from 1 to 0.8 of the units, rounded, doubles dropped."""
    sizes = np.floor((0.8 * units) ** (np.arange(10) / 9) + 0.5) if units else np.zeros(0)
    return sorted({int(np.clip(n, 1, units)) for n in sizes})


@metric("sensitivity_n", "faithfulness", higher=True, range=(-1, 1), takes=TAKES, ranges=_RANGES)
def sensitivity_n(
    trial: Trial,
    maps: Maps,
    *,
    sizes: Any = None,
    draws: int = 100,
    correlation: str = "pearson",
    subsets: Any = None,
    **told: Any,
) -> Result:
    """Correlation of what is lost without a set of n positions with the sum of their relevance (Ancona et al. 2018, sec. 4).

    1 for a linear model and relevance w (x - fill). For each n the correlation runs over random sets of that size; the value
    is the mean over the n where it is defined. Undefined where relevance or score is constant.

    Args:
        sizes: The n; None: ten, spaced by equal factors from 1 to 0.8 of the units.
        draws: Sets of each size.
        correlation: "pearson" or "spearman".
        subsets: Booleans (samples, draws, *positions), true is hidden, in place of random sets; those that hide equally many
            positions are compared. For several inputs a list.

    Other arguments as of `flipping`.
    """
    asked = Subsets(trial, maps, told)
    if subsets is not None:
        stream, count = asked.given(subsets)
        plan = np.array([[int(hidden.sum()) for hidden in stream(i)] for i in range(trial.samples)])
    else:
        each = [spaced(asked.units.count(i)) if sizes is None else _sizes(sizes, asked, i) for i in range(trial.samples)]
        count = max(map(len, each)) * draws
        plan = np.array([np.pad(np.repeat(s, draws), (0, count - len(s) * draws)) for s in each]).astype("int64")

        def stream(i: int) -> Iterator[Array]:
            wanted = [(f"subsets {n}", n, draws) for n in each[i]]
            return (asked.positions(i, s) for s in subsets_of(wanted, asked.units.count(i), _of(trial, i)))

    if not count:  # nothing can be hidden
        return Result(np.full(trial.samples, np.nan), settings=asked.settings)
    found = asked.losses(stream, count)
    total, defined = np.zeros(trial.samples), np.zeros(trial.samples)
    for pattern in np.unique(plan, axis=0):
        rows = np.flatnonzero((plan == pattern).all(axis=1))
        part = Losses(found.clean[rows], found.scores[rows], found.said[rows])
        values = np.array([_correlated(part, pattern == n, correlation) for n in np.unique(pattern[pattern > 0])])
        values = values.reshape(-1, len(rows))
        total[rows], defined[rows] = np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0)
    used = sorted({int(n) for n in np.unique(plan) if n})
    settings = asked.settings | {"sizes": used if len(used) <= 20 else f"{len(used)} of {used[0]} to {used[-1]}"}
    return Result(np.where(defined > 0, total / np.maximum(defined, 1), np.nan), settings=settings)


def _of(trial: Trial, i: int) -> Any:
    return lambda purpose: trial.generator(purpose, i)


def _sizes(given: Any, asked: Subsets, i: int) -> list[int]:
    units = asked.units.count(i)
    listed = [given] if isinstance(given, int) else list(given) if isinstance(given, list | tuple | np.ndarray) else []
    if not listed or not all(Integer(1, units).holds(n) for n in listed):
        raise ValueError(f"`sizes` must be integers between 1 and the number of units, {units}. Received: {given!r:.100}")
    return sorted({int(n) for n in listed})


@metric("faithfulness_correlation", "faithfulness", higher=True, range=(-1, 1), takes=TAKES, ranges=_RANGES)
def faithfulness_correlation(
    trial: Trial,
    maps: Maps,
    *,
    size: int | None = None,
    draws: int = 100,
    correlation: str = "pearson",
    subsets: Any = None,
    **told: Any,
) -> Result:
    """Correlation of what is lost without a fifth of the positions with the sum of their relevance (Bhatt et al. 2020, def. 3).

    1 for a linear model and relevance w (x - fill). Undefined where relevance or score is constant. With
    correlation="spearman", a `region` and `subsets` of unequal size it is MuFidelity.

    Args:
        size: How many units are hidden; None: a fifth, rounded, at least one.
        draws: How many random sets there are.
        correlation: "pearson" or "spearman".
        subsets: Booleans (samples, draws, *positions), true is hidden, in place of random sets. For several inputs a list.

    Other arguments as of `flipping`.
    """
    asked = Subsets(trial, maps, told)
    if subsets is not None:
        stream, draws = asked.given(subsets)
    else:
        counts = [asked.units.count(i) for i in range(trial.samples)]
        if size is not None and size > min(counts):
            raise ValueError(f"`size` must be at most the number of units, {min(counts)}. Received: {size}")
        each = [max(1, int(np.floor(0.2 * n + 0.5))) if size is None else size for n in counts]

        def stream(i: int) -> Iterator[Array]:
            wanted = [(f"subsets {each[i]}", each[i], draws)]
            return (asked.positions(i, s) for s in subsets_of(wanted, counts[i], _of(trial, i)))

    found = asked.losses(stream, draws)
    return Result(_correlated(found, np.arange(draws), correlation), settings=asked.settings)


_FORMS = ("attribution", "function")


@metric(
    "infidelity",
    "faithfulness",
    higher=False,
    range=(0, np.inf),
    takes=TAKES,
    ranges=_RANGES | {"kind": OneOf(None, *_FORMS), "scale": Boolean(), "perturb": OneOf("subsets", "square", "noise")},
)
def infidelity(
    trial: Trial,
    maps: Maps,
    *,
    kind: str | None = None,
    scale: bool = True,
    perturb: str = "subsets",
    draws: int = 100,
    subsets: Any = None,
    noise: Any = None,
    **told: Any,
) -> Result:
    """Mean of (b a - d)^2: d is what is lost without a set of positions, a what the map says is lost (Yeh et al. 2019).

    In squared units of the score. 0 for a linear model and relevance w (x - fill), or rates w with kind="function".

    Args:
        kind: "attribution": a is the sum of the hidden relevance. "function": maps are rates, such as gradients, and a is the
            sum over hidden elements of R (x - fill). None: what the analyzer makes; "attribution" for given maps.
        scale: Whether b is the best factor, since maps have no common scale; else 1, which is always in `curves["raw"]`.
        perturb: "subsets" of random size, one "square" window, or "noise", which moves every element (function only).
        draws: How many.
        subsets: Booleans (samples, draws, *positions), true is hidden, in place of random ones. For several inputs a list.
        noise: What is taken off the sample, (samples, draws, *sample), in place of N(0, (0.2 range)^2).

    Other arguments as of `flipping`.
    """
    if kind is None:
        kind = _FORMS[bool(getattr(maps.analyzer, "rates", False)) and all(map(trial.repeatable, range(len(trial.arrays))))]
    if noise is not None and perturb != "noise":
        raise ValueError(f"`noise` needs perturb='noise'. Received: perturb={perturb!r}")
    if perturb == "noise":
        if kind != "function":
            raise ValueError(f"perturb='noise' needs maps that are rates, kind='function'. Received: kind={kind!r}")
        if subsets is not None:
            raise ValueError("`subsets` has no meaning for perturb='noise'. Received: both")
        found, settings = _moved(trial, maps, noise, draws, told["score"]), {"score": trial.score(told["score"]).said}
    else:
        asked = Subsets(trial, maps, told, function=kind == "function")
        if subsets is not None:
            stream, draws = asked.given(subsets)
        else:
            drawn = squares if perturb == "square" else of_any_size

            def stream(i: int) -> Iterator[Array]:
                return drawn(asked, i, draws)

        found, settings = asked.losses(stream, draws), asked.settings
    a, d = found.said, found.drops
    raw = ((a - d) ** 2).mean(axis=1)
    square = (a * a).sum(axis=1)
    factor = np.where(square > 0, (a * d).sum(axis=1) / np.where(square > 0, square, 1), 0)
    scaled = ((factor[:, None] * a - d) ** 2).mean(axis=1)
    return Result(scaled if scale else raw, {"raw": raw}, settings | {"kind": kind})


def of_any_size(asked: Subsets, i: int, draws: int) -> Iterator[Array]:
    """Random sets whose size is drawn too, from one to all."""
    source, units = asked.trial.generator("infidelity", i), asked.units.count(i)
    for _ in range(draws):
        chosen = np.zeros(units, bool)
        if units:
            order = source.permutation(units)
            chosen[order[: source.integers(1, units + 1)]] = True
        yield asked.positions(i, chosen)


def squares(asked: Subsets, i: int, draws: int) -> Iterator[Array]:
    """One square window of random side at a random place."""
    trial = asked.trial
    if len(trial.sizes) > 1 or asked.apart or trial.is_table(0):
        raise ValueError(
            "perturb='square' needs one input with positions beside each other, and channels='together'. "
            f"Received: {len(trial.sizes)} inputs of positions {trial.sizes}"
        )
    size, source = trial.sizes[0], trial.generator("infidelity", i)
    for _ in range(draws):
        side = int(source.integers(1, min(size) + 1))
        hidden = np.zeros(size, bool)
        corner = [int(source.integers(0, n - side + 1)) for n in size]
        hidden[tuple(slice(c, c + side) for c in corner)] = True
        yield hidden.reshape(-1) & (asked.units.row(i) >= 0)


def _moved(trial: Trial, maps: Maps, noise: Any, draws: int, score: Score) -> Losses:
    """What a Gaussian I takes: f(x) - f(x - I), and the sum of R I."""
    full, (stream, draws) = rates(trial, maps), moves(trial, noise, draws)
    said = np.zeros((trial.samples, draws + 1))

    def make(rows: Array, numbers: Array) -> list[Array]:
        taken = stream(rows, numbers)
        lost = [r[rows] * t.astype("float64") for r, t in zip(full, taken, strict=True)]
        said[np.ix_(rows, numbers)] = sum(part.reshape(*part.shape[:2], -1).sum(axis=-1) for part in lost).T
        return [x[rows] - t for x, t in zip(trial.arrays, taken, strict=True)]

    scores = changed_scores(trial, score, draws + 1, make).scores
    return Losses(scores[:, 0], scores[:, 1:], said[:, 1:])
