"""Pictures of concepts: a row each, with the map through its channel and crops that show what the channel answers to."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.checks import Count, Integer
from innspect.nests import by_input
from innspect.types import Array
from innspect.visualize.colours import numeric
from innspect.visualize.figures import grid
from innspect.visualize.html import MAX_SAMPLES, maps_html, more_html
from innspect.visualize.images import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from innspect.analyzers.base.concepts import Concepts

_SIDE = 64  # pixels of a crop at least, so that small ones are not blurred
_PAPER = 255


def concepts(
    found: "Concepts",
    x: Any = None,
    sample: int = 0,
    *,
    references: Any = None,
    crops: int = 6,
    names: Mapping[int, str] | None = None,
    cell: float = 0.9,
    channel_axis: int = -1,
    **arguments: Any,
) -> "Figure":
    """Draw the concepts of one sample: a row for each, the largest relevance first.

    Args:
        found: What `analyzer.concepts` returned.
        x: The samples that were explained, or the one alone, to be drawn beside the maps: (samples, height, width[, channels]).
        sample: The number of the sample.
        references: What shows what each channel answers to: what `innspect.concepts.collect` returned; or a dict from a
            channel's number to a list of images, (height, width[, 1 or 3 channels]), of any size.
        crops: How many of these are drawn.
        names: Dict from a channel's number to a name of the concept.
        cell: Height of a row in inches.
        channel_axis: Where images, maps and crops have their channels.
        **arguments: Others of `grid`, such as `palette` and `percentile`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: There is no such sample, or what is given is no picture.
        ImportError: matplotlib is not installed.

    Examples:
        >>> found = analyzer.concepts(x, 3, at="block4_conv3", top=5)
        >>> innspect.visualize.concepts(found, x, references=gallery).savefig("concepts.png", dpi=160)
    """
    if not hasattr(found, "relevances") or not hasattr(found, "maps"):
        raise TypeError(f"`found` must be what `analyzer.concepts` returned. Received: {type(found).__name__}")
    if names is not None and not isinstance(names, Mapping):
        raise TypeError(f"`names` must be a dict from a channel's number to a name. Received: {names!r:.80}")
    Integer(0, len(found) - 1).check("sample", sample)
    Count().check("crops", crops)
    maps = {name or "map": _as_images(array[sample]) for name, array in by_input(found.maps).items()}
    ids = found.ids[sample]
    columns: dict[str, Any] = dict(maps)
    for number, column in enumerate(_reference_columns(found.at, ids, references, crops, channel_axis)):
        columns[f"reference {number + 1}" if number else "references"] = column
    images = None
    if x is not None:
        images = np.repeat(_one(x, sample, len(found))[None], len(ids), axis=0)
        try:
            pictures(images, channel_axis=channel_axis)
        except ValueError as error:
            raise ValueError(f"`x` must hold pictures. {str(error).replace('`images`', 'They')}") from None
    return grid(
        columns,
        images=images,
        of=dict.fromkeys(maps, found.settings.get("method")),
        captions=captions_of(found, sample, names),
        captions_label=found.at,
        cell=cell,
        channel_axis=channel_axis,
        **arguments,
    )


def captions_of(found: "Concepts", sample: int, names: Mapping[int, str] | None = None) -> list[str]:
    """For each concept of a sample its number, its name, its relevance, and its share of all magnitudes."""
    whole = np.abs(found.channels[sample]).sum()
    told = []
    for channel, relevance in zip(found.ids[sample], found.relevances[sample], strict=True):
        name = (names or {}).get(int(channel))
        share = f" ({100 * relevance / whole:.0f} %)" if whole else ""
        told.append(f"channel {channel}" + (f"\n{name}" if name else "") + f"\n{relevance:.3g}{share}")
    return told


def concepts_html(found: "Concepts") -> str:
    """Concepts as HTML: for the first samples the maps of each, with captions."""
    blocks = [f"<div><b>{found.settings.get('method', 'concepts')}</b>, concepts at {found.at}</div>"]
    for sample in range(min(len(found), MAX_SAMPLES)):
        captions = [text.replace("\n", ", ") for text in captions_of(found, sample)]
        for name, array in by_input(found.maps).items():
            label = f"sample {sample}" + (f", {name}" if name else "") + f", target {found.targets[sample]:.4g}"
            blocks.append(maps_html(label, array[sample], captions, found.settings.get("method")))
    blocks.append(more_html(len(found), MAX_SAMPLES, "samples"))
    return f'<div style="font-family:sans-serif;font-size:13px">{"".join(blocks)}</div>'


def _as_images(maps: Array) -> Array:
    """Maps (top, ...) with two axes of positions: features are one row."""
    return maps[:, None] if maps.ndim == 2 else maps


def _one(x: Any, sample: int, samples: int) -> Array:
    """The sample among all, or alone."""
    numeric("x", x)
    array = np.asarray(x)
    if not array.size:
        raise ValueError(f"`x` must hold pictures. Received: shape {array.shape}")
    one = array[sample] if array.ndim > 2 and len(array) == samples and array.ndim != 3 else array
    if array.ndim == 4 and len(array) != samples:
        raise ValueError(f"`x` must hold the {samples} samples that were explained, or one. Received: shape {array.shape}")
    return one[None] if one.ndim == 1 else one


def _reference_columns(at: str, ids: Array, references: Any, crops: int, channel_axis: int) -> list[Array]:
    """A column (concepts, side, side, 3) of bytes for each place among the references."""
    if references is None:
        return []
    if isinstance(references, Mapping) and at in references:  # of a gallery
        references = references[at]
    each = [_crops(references, int(channel))[:crops] for channel in ids]
    drawn = [[pictures(np.asarray(crop)[None], channel_axis=channel_axis)[0] for crop in row] for row in each]
    side = max([_SIDE, *(max(crop.shape[:2]) for row in drawn for crop in row)])
    blank = np.full((side, side, 3), _PAPER, "uint8")
    count = max(map(len, drawn), default=0)
    return [np.stack([_fitted(row[k], side) if k < len(row) else blank for row in drawn]) for k in range(count)]


def _crops(references: Any, channel: int) -> Sequence[Any]:
    if hasattr(references, "crops"):
        return list(references.crops(channel))
    if not isinstance(references, Mapping):
        raise ValueError(
            "`references` must be what `innspect.concepts.collect` returned, or a dict from the number of a channel to its "
            f"crops. Received: {references!r:.80}"
        )
    return list(references.get(channel, ()))


def _fitted(crop: Array, side: int) -> Array:
    """A crop enlarged by a whole factor and set in the middle of a square."""
    factor = max(1, side // max(crop.shape[:2]))
    large = crop.repeat(factor, axis=0).repeat(factor, axis=1)
    gaps = [(math.floor((side - n) / 2), math.ceil((side - n) / 2)) for n in large.shape[:2]]
    return np.pad(large, [*gaps, (0, 0)], constant_values=_PAPER)
