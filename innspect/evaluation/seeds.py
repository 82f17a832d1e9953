"""Seeds of a segmentation from maps, and how good they are (METRICS 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from innspect.checks import Integer
from innspect.evaluation.draws import generator, sample_keys
from innspect.evaluation.results import Result
from innspect.evaluation.units import Share, floored, places
from innspect.inputs.batches import as_numbers
from innspect.types import Array

BACKGROUND, NONE = 0, 255


def segmentation_seeds(
    maps: Any,
    saliency: Any,
    classes: Sequence[Any],
    *,
    threshold: float = 0.2,
    background: float = 0.1,
    seed: int = 0,
) -> Array | list[Array]:
    """Where a segmentation could start from: the surest positions of each class of an image (Kolesnikov & Lampert 2016, SEC).

    A class claims where its map is above a share of its largest value, the background the positions of least saliency. What
    several classes claim goes to that with the fewest claimed positions, then to the lower one; the classes go before the
    background.

    Args:
        maps: A map over positions for each of the image's classes, (classes, *positions).
        saliency: A class-free map over positions, *positions, such as the largest absolute gradient over channels.
        classes: The number of each class, from 1 to 254. For several images a list with a list for each; `maps` and
            `saliency` then hold those of each image.
        threshold: The share of a map's largest value.
        background: The share of positions that the background claims.
        seed: Of the order of equal saliencies; it depends on the saliency map too.

    Returns:
        The class of each position, int64 of the positions' shape: 0 is background, 255 nothing; for several images a list.

    Raises:
        ValueError: Maps of other shapes, or numbers that mean something else.
    """
    Share().check("threshold", threshold)
    Share().check("background", background)
    Integer().check("seed", seed)
    told = (threshold, background, seed)
    if any(np.ndim(c) for c in classes):
        if not len(maps) == len(saliency) == len(classes):
            raise ValueError(
                "`maps`, `saliency` and `classes` must hold as many images. "
                f"Received: {len(maps)}, {len(saliency)} and {len(classes)}"
            )
        return [_seeds(*image, *told) for image in zip(maps, saliency, classes, strict=True)]
    return _seeds(maps, saliency, classes, *told)


def _seeds(maps: Any, saliency: Any, classes: Any, threshold: float, background: float, seed: int) -> Array:
    numbers = as_numbers(classes, "classes") if len(classes) else np.zeros(0, "int64")
    fit = numbers.dtype.kind in "iu" and numbers.ndim == 1 and len(set(numbers.tolist())) == len(numbers)
    if not fit or (len(numbers) and (numbers.min() <= BACKGROUND or numbers.max() >= NONE)):
        raise ValueError(
            f"`classes` must be different integers from 1 to 254; 0 is the background, 255 nothing. Received: {classes!r:.100}"
        )
    least = _finite(saliency, "saliency")
    shown = _finite(maps, "maps") if len(numbers) else np.zeros((0, *least.shape))
    if shown.shape != (len(numbers), *least.shape):
        raise ValueError(
            f"`maps` must hold a map of the saliency's shape for each of the {len(numbers)} classes, "
            f"{(len(numbers), *least.shape)}. Received: shape {shown.shape}"
        )
    flat = least.reshape(-1)
    draws = generator(seed, "order", sample_keys([least.reshape(1, -1).astype("float32")])[0])
    claimed = floored(background * len(flat))
    result = np.where(places(-flat, draws.random(len(flat))) < claimed, BACKGROUND, NONE)
    claims = [(m.max() > 0) & (m.reshape(-1) > threshold * m.max()) for m in shown]
    # The smallest claim last, so that it stands; of equal ones the lower class.
    for n in sorted(range(len(numbers)), key=lambda n: (-int(claims[n].sum()), -int(numbers[n]))):
        result[claims[n]] = numbers[n]
    return np.asarray(result.reshape(least.shape), "int64")


def _finite(given: Any, name: str) -> Array:
    array = as_numbers(given, name)
    if array.dtype.kind not in "fiub" or not array.size or not np.isfinite(array).all():
        raise ValueError(f"`{name}` must hold finite numbers. Received: shape {array.shape}, dtype {array.dtype}")
    return array.astype("float64")


def seeds_miou(seeds: Any, truth: Any) -> Result:
    """Mean IoU over classes of seeds and true segmentations: the quality of the seeds themselves.

    The figures of papers, 44.6 or 49.6, are those of a network trained on seeds, and not to be compared with these.

    Args:
        seeds: Of `segmentation_seeds`, for each image integers of the positions' shape: 0 background, 255 nothing.
        truth: The true classes, of the same shapes; where they are 255, positions do not count.

    Returns:
        For each image the mean over the classes (background too) that are in the truth or the seeds; undefined where the truth
        is 255 everywhere. `beside` has the means over classes of "precision" (over those in the seeds) and "recall" (over those
        in the truth); `settings` has "miou", "precision", "recall" of the data set, for which positions of all images are
        counted together first, as for VOC, and "class_iou" by class.

    Raises:
        ValueError: They are not integers, or of different shapes.
    """
    if len(seeds) != len(truth):
        raise ValueError(f"`seeds` and `truth` must hold as many images. Received: {len(seeds)} and {len(truth)}")
    tables = [_counts(s, t, i) for i, (s, t) in enumerate(zip(seeds, truth, strict=True))]
    whole: dict[int, Array] = {}
    for table in tables:
        for c, counts in table.items():
            whole[c] = whole.get(c, 0) + counts
    found = np.array([_quality(table) for table in tables]).reshape(-1, 3)
    miou, precision, recall = (float(n) for n in _quality(whole))
    of_class = {c: float(both / (ours + true - both)) for c, (both, ours, true) in sorted(whole.items())}
    return Result(
        found[:, 0],
        settings={"miou": miou, "precision": precision, "recall": recall, "class_iou": of_class},
        beside={"precision": found[:, 1], "recall": found[:, 2]},
        metric="seeds_miou",
        higher_is_better=True,
        range=(0, 1),
    )


def _counts(seeds: Any, truth: Any, image: int) -> dict[int, Array]:
    """For each class of an image how many positions both have, the seeds and the truth."""
    ours, true = as_numbers(seeds, "seeds"), as_numbers(truth, "truth")
    if ours.shape != true.shape or {ours.dtype.kind, true.dtype.kind} - set("iu"):
        raise ValueError(
            f"`seeds` and `truth` must be integers of the same shape. Received: shapes {ours.shape} and {true.shape}, "
            f"dtypes {ours.dtype} and {true.dtype} for image {image}"
        )
    ours, true = ours[true != NONE], true[true != NONE]
    there = set(np.unique(ours).tolist()) | set(np.unique(true).tolist())
    return {c: np.array([((ours == c) & (true == c)).sum(), (ours == c).sum(), (true == c).sum()]) for c in there - {NONE}}


def _quality(table: dict[int, Array]) -> tuple[float, float, float]:
    """Means over classes of IoU, precision and recall."""
    if not table:
        return (float("nan"),) * 3
    both, ours, true = np.array(list(table.values()), "float64").T
    return (
        float((both / (ours + true - both)).mean()),
        float((both[ours > 0] / ours[ours > 0]).mean()) if ours.any() else float("nan"),
        float((both[true > 0] / true[true > 0]).mean()) if true.any() else float("nan"),
    )
