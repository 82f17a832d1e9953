"""How near a map is to a truth that is known, as where the data were made (METRICS 8)."""

from typing import Any

import numpy as np

from innspect.checks import Integer, OneOf
from innspect.evaluation.intervals import of_scipy
from innspect.evaluation.localisation import mass
from innspect.evaluation.maps import SIGNS, Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.truth import masks_of, over_positions, region_of
from innspect.types import Array

_SIDES = (16, 6)  # up to which it is solved exactly: of one or two axes, and of more


@metric(
    "emd",
    "localisation",
    higher=True,
    range=(0, 1),
    needs=("masks or boxes",),
    ranges={"sign": OneOf(*SIGNS), "side": Integer(2, or_none=True)},
)
def emd(
    trial: Trial,
    maps: Maps,
    *,
    masks: Any = None,
    boxes: Any = None,
    side: int | None = None,
    sign: str = "abs",
) -> Result:
    """1 minus the earth mover's distance of the map to the mask, both of sum 1, as a share of the diagonal.

    After Clark et al. 2024 (XAI-TRIS), with the diagonal between the centres of the corner positions.

    Args:
        masks: Where the thing is; or `boxes`.
        side: Up to how many positions a side it is solved exactly; longer sides are summed over blocks first. None: 16, and 6
            with three axes or more.
        sign: What of the map is moved, "abs" or "positive".

    Undefined where that is 0 everywhere. For one input whose positions have distances; needs SciPy.
    """
    if len(trial.sizes) > 1 or trial.is_table(0):
        received = f"{len(trial.sizes)} inputs" if len(trial.sizes) > 1 else "a table"
        raise ValueError(f"'emd' needs one input whose positions have distances from each other. Received: {received}")
    if sign == "signed":
        raise ValueError("`sign` must be 'abs' or 'positive' for 'emd', which moves no negative mass. Received: 'signed'")
    size = trial.sizes[0]
    most = side or _SIDES[len(size) > 2]
    region, r = region_of(trial, masks, boxes).astype("float64"), maps.flat(sign=sign)
    values = np.full(trial.samples, np.nan)
    blocks = [-(-n // most) for n in size]
    for i in np.flatnonzero((region.sum(axis=1) > 0) & (r.sum(axis=1) > 0)):
        moved, wanted = (summed((a[i] / a[i].sum()).reshape(size), blocks) for a in (r, region))
        diagonal = np.sqrt(sum((n - 1) ** 2 for n in moved.shape))
        values[i] = 1 - distance(moved, wanted) / diagonal if diagonal else 1.0
    return Result(np.clip(values, 0, 1), settings={"blocks": blocks})


def summed(values: Array, blocks: list[int]) -> Array:
    """Sums over blocks laid from the first corner; those at the far border are cut."""
    for axis, block in enumerate(blocks):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], block), axis=axis)
    return values


def distance(a: Array, b: Array) -> float:
    """The earth mover's distance of two arrays of the same sum, Euclidean between positions: least cost, solved exactly.

    What both have at a position stays there, since no way round is shorter.
    """
    sparse, optimize = (of_scipy(part, "Distances of maps") for part in ("sparse", "optimize"))
    spare = (a - b).ravel()
    sources, sinks = np.flatnonzero(spare > 0), np.flatnonzero(spare < 0)
    if not len(sources) or not len(sinks):
        return 0.0
    places = np.stack(np.unravel_index(np.arange(a.size), a.shape), axis=1)
    costs = np.sqrt(np.square(places[sources][:, None] - places[sinks]).sum(axis=-1))
    out, into = spare[sources], -spare[sinks]
    m, n = costs.shape
    leaving = sparse.kron(sparse.eye(m), np.ones((1, n)))
    coming = sparse.kron(np.ones((1, m)), sparse.eye(n))
    # Scaled to the number of ways, so that the solver's tolerance does not matter; the sums are equal but for rounding.
    amounts = np.concatenate([out / out.sum(), into / into.sum()])
    found = optimize.linprog(
        costs.ravel(), A_eq=sparse.vstack([leaving, coming]).tocsr(), b_eq=amounts * a.size, method="highs"
    )
    if found.status != 0:
        raise RuntimeError(f"The earth mover's distance was not found. SciPy says: {found.message}")
    return float(found.fun / a.size * (out.sum() + into.sum()) / 2)


@metric("sign_accuracy", "localisation", higher=True, range=(0, 1), needs=("truth",))
def sign_accuracy(trial: Trial, maps: Maps, *, truth: Any = None) -> Result:
    """The share of the truth's positions where the map has the truth's sign; a map of 0 has none.

    Args:
        truth: What every position really does, signed numbers (samples, *positions), 0 where it does nothing.

    Undefined where the truth is 0 everywhere.
    """
    wanted = over_positions(trial, truth, "truth", "fiu", "numbers").astype("float64")
    if not np.isfinite(wanted).all():
        raise ValueError("`truth` must hold finite numbers. Received: some that are not")
    r, there = maps.flat(), wanted != 0
    count = there.sum(axis=1)
    right = ((np.sign(r) == np.sign(wanted)) & there).sum(axis=1)
    return Result(np.where(count > 0, right / np.maximum(count, 1), np.nan))


@metric(
    "suppressor_share",
    "localisation",
    higher=False,
    range=(0, 1),
    needs=("masks", "distractors"),
    ranges={"sign": OneOf(*SIGNS)},
)
def suppressor_share(trial: Trial, maps: Maps, *, masks: Any = None, distractors: Any = None, sign: str = "abs") -> Result:
    """The share of the relevance that is on what only distracts: on distractors that are not on the thing.

    Args:
        masks: Where the thing is, booleans (samples, *positions).
        distractors: Where something stands that says nothing of the class itself, of the same form.
        sign: What of the map counts.

    Undefined for a map of zeros, and where either mask is empty.
    """
    region, others = masks_of(trial, masks), masks_of(trial, distractors, "distractors")
    share = mass(maps.flat(sign=sign), others & ~region)
    nothing_else = others.any(axis=1) & ~(others & ~region).any(axis=1)  # all of it is on the thing
    share[nothing_else & (maps.flat(sign=sign).sum(axis=1) != 0)] = 0
    share[~region.any(axis=1)] = np.nan
    return Result(share)
