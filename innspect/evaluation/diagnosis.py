"""Where a model goes wrong: maps of what it should have said and of what it said, and maps under an attack."""

from typing import Any

import keras
import numpy as np

from innspect.checks import Count, Number, OneOf
from innspect.evaluation import agreement
from innspect.evaluation.attacks import Attack
from innspect.evaluation.maps import CHANNELS, SIGNS, Maps, flattened
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.versions import changed_scores
from innspect.inputs.batches import as_numbers
from innspect.types import Array, Nest

_MAPS: dict[str, Any] = {"channels": "together", "sign": "signed"}
_RANGES: dict[str, Any] = {"channels": OneOf(*CHANNELS), "sign": OneOf(*SIGNS)}


@metric("failures", "diagnosis", higher=None, range=(-1, 1), again=True, needs=("labels",), takes=_MAPS, ranges=_RANGES)
def failures(trial: Trial, maps: Maps, *, labels: Any = None, **told: str) -> Result:
    """Where the model is wrong: does it look elsewhere than for the true class?

    Spearman's rank correlation of the maps of the true and of the predicted class. Near 1 the class makes no difference to the
    map; near -1 what speaks for one speaks against the other.

    Args:
        labels: The true class of each sample, integers (samples,).
        channels: "together" sums over channels with their signs first; "apart" takes every element.
        sign: "signed", "positive" or "abs" relevance, after the sum over channels.

    `targets` play no part. Two explanations for each wrong sample.

    Returns:
        A `Result`; undefined for samples that are classified rightly, and where a map is constant. Beside it the class that
        was predicted.
    """
    outputs = trial.outputs
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"'failures' needs a model of several classes, (batch, classes). Received: output {outputs.shape}")
    true, predicted = _labels(trial, labels), outputs.argmax(axis=1)
    wrong = np.flatnonzero(predicted != true)
    values = np.full(trial.samples, np.nan)
    if len(wrong):
        arrays = [a[wrong] for a in trial.arrays]
        pair = [
            flattened(trial, maps.again(arrays, wrong, neuron=classes[wrong], turn=turn), **told)
            for turn, classes in enumerate((true, predicted))
        ]
        values[wrong] = agreement.rank_correlation(*pair)
    return Result(values, settings={"wrong": len(wrong)}, beside={"predicted": predicted.astype("float64")})


def _labels(trial: Trial, labels: Any) -> Array:
    given, classes = as_numbers(labels, "labels"), trial.outputs.shape[1]
    given = given[:, 0] if given.shape == (trial.samples, 1) else given
    fits = given.shape == (trial.samples,) and given.dtype.kind in "iu"
    if not fits or (given.size and (given.min() < 0 or given.max() >= classes)):
        raise ValueError(
            f"`labels` must be the true classes, integers between 0 and {classes - 1} of shape ({trial.samples},). Received: "
            f"dtype {given.dtype}, shape {given.shape}" + (f", {given.min()} to {given.max()}" if fits and given.size else "")
        )
    return given.astype("int64")


_ATTACK: dict[str, Any] = {"attack": "fgsm", "eps": 0.02, "steps": 10, "wanted": None, "value_range": None}
_ATTACK_RANGES: dict[str, Any] = {"attack": OneOf("fgsm", "pgd"), "eps": Number(), "steps": Count()}


@metric(
    "adversarial",
    "diagnosis",
    higher=None,
    range=(-1, 1),
    again=True,
    takes=_ATTACK,
    ranges=_ATTACK_RANGES | _RANGES,
)
def adversarial(trial: Trial, maps: Maps, *, channels: str = "together", sign: str = "signed", **attack: Any) -> Result:
    """What an attack does to the prediction, and to the map: rank correlation of the maps before and after.

    Both maps are of the explained class. FGSM (Goodfellow et al. 2015): `x + eps sign(gradient of the cross-entropy)`; PGD
    (Madry et al. 2018): some such steps of `2.5 eps / steps`, each projected on |x' - x| <= eps, without a random start.

    Args:
        attack: "fgsm" or "pgd".
        eps: Largest change of an element, as a share of the range (max - min) of each sample.
        steps: Of PGD.
        wanted: A class, or one for each sample, that the attack goes for; None: away from the explained one.
        value_range: (low, high) that attacked samples stay in; None: anything.
        channels: "together" sums over channels with their signs first; "apart" takes every element.
        sign: "signed", "positive" or "abs" relevance, after the sum over channels.

    Returns:
        A `Result`; undefined where a map is constant. Beside it for each sample the explained class's probability "before" and
        "after", "turned" (1 where the prediction is another one), and "reached" where a class is wanted.

    Raises:
        TypeError: The model is a function, which has no gradient.
        ValueError: Inputs are ids or text, or what is explained is no class.
    """
    made = Attack(trial, **attack)
    arrays, rows = made.samples(), np.arange(trial.samples)
    before, after = (flattened(trial, full, channels, sign) for full in (maps.full, maps.again(arrays, rows, turn=1)))
    clean, turned = made.classes(trial.arrays), made.classes(arrays)
    beside = {"before": _probability(trial, trial.arrays), "after": _probability(trial, arrays)}
    beside["turned"] = (clean != turned).astype("float64")
    if made.wanted is not None:
        beside["reached"] = (turned == made.wanted).astype("float64")
    values = agreement.rank_correlation(before, after)
    return Result(values, settings={"turned": float(beside["turned"].mean())}, beside=beside)


def _probability(trial: Trial, arrays: list[Array]) -> Array:
    return changed_scores(trial, "probability", 1, lambda rows, _: [a[rows][None] for a in arrays]).scores[:, 0]


def adversarial_samples(
    model: Any,
    x: Nest,
    targets: Any = None,
    *,
    attack: str = "fgsm",
    eps: float = 0.02,
    steps: int = 10,
    wanted: Any = None,
    value_range: tuple[float, float] | None = None,
    batch_size: int | None = None,
    output: int | str = 0,
) -> Nest:
    """The samples that the metric `adversarial` explains, in the structure of `x`. Arguments as there."""
    trial = model if isinstance(model, Trial) else Trial(model, x, targets, batch_size=batch_size, output=output)
    for name, value in (("attack", attack), ("eps", eps), ("steps", steps)):
        _ATTACK_RANGES[name].check(name, value)
    arrays = Attack(trial, attack=attack, eps=eps, steps=steps, wanted=wanted, value_range=value_range).samples()
    return keras.tree.map_structure(np.asarray, trial.packed(arrays))
