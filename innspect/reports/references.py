"""The HTML page of reference samples: a row for each channel, with what it sees of the samples in which it matters most."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from innspect import labels as names_of_neurons
from innspect.checks import Count, Integer, ListOf, Text
from innspect.concepts.gallery import Gallery
from innspect.concepts.references import References
from innspect.labels import Labels
from innspect.reports.document import Page, document
from innspect.tables import on_page
from innspect.types import Array
from innspect.visualize.png import png

_CLASSES = 3  # named of a channel
_SIDE = 96  # pixels of a crop on the page
_BARS = 24  # of what is no picture


def references_page(
    gallery: Gallery,
    layers: Sequence[str] | None,
    channels: Sequence[int] | None,
    top: int,
    most: int,
    labels: Any,
    names: Any,
    title: str | None,
) -> Page:
    """See `Gallery.html`."""
    Count().check("top", top)
    Count().check("most", most)
    ListOf(Integer()).check_given("channels", channels)
    Text().check_given("title", title)
    paths = [layers] if isinstance(layers, str) else list(gallery if layers is None else layers)
    if not paths:
        raise ValueError("`layers` must name at least one layer. Received: an empty list")
    shown = {path: gallery[path] for path in paths}
    for path, references in shown.items():
        if channels is not None and max(channels) >= references.channels:
            raise ValueError(
                f"`channels` must be between 0 and {references.channels - 1} for the layer {path!r}. Received: {max(channels)}"
            )
    known = next((each.number for each in shown.values() if each.number), None)
    read = names_of_neurons.read(labels, known)
    called = _called(names)
    told = gallery.settings
    about = f"{gallery.samples} samples; by {told['by']}" + (f", {told['method']}" if "method" in told else "")
    about += f"; {told['reduce']} over positions" + (", as a share of the layer" if told["normalize"] else "")
    parts = [_layer(path, each, channels, top, most, read, called) for path, each in shown.items()]
    heading = title or f"What the channels of {gallery.model_name} look for"
    head = f"<h1>{on_page(heading)}</h1>\n<p>{on_page(about)}.</p>\n{_legend(told)}"
    return Page(document(heading, [head, *parts], styles=["references.css"]))


def _called(names: Any) -> Callable[[int], str]:
    """What a sample is called, by its id."""
    if names is None:
        return lambda number: f"sample {number}"
    if callable(names):
        return lambda number: str(names(number))
    if isinstance(names, Mapping):
        return lambda number: str(names.get(number, f"sample {number}"))
    if isinstance(names, list | tuple | np.ndarray):
        return lambda number: str(names[number]) if number < len(names) else f"sample {number}"
    raise ValueError(f"`names` must be a list, a dict by id, or a function of an id. Received: {names!r:.80}")


def _legend(told: Mapping[str, Any]) -> str:
    what = "relevance for what is explained" if told["by"] == "relevance" else "activation"
    size = "the largest" if told["reduce"] == "max" else "the sum"
    return (
        f"<p>Each row is a channel. Its pictures are the samples with the largest {what}, cut to what a unit of the channel "
        f"can see, about the position where it is largest; below each the sample, and its value: {size} over positions.</p>"
    )


def _layer(
    path: str,
    references: References,
    channels: Sequence[int] | None,
    top: int,
    most: int,
    labels: Labels | None,
    called: Callable[[int], str],
) -> str:
    chosen = list(channels) if channels is not None else _largest(references.mean, most)
    means = references.classes.mean if references.number else None
    pictures = _scaled(references, chosen, top)
    rows = [_channel(references, c, pictures[c], means, labels, called) for c in chosen]
    more = references.channels - len(chosen)
    note = f"<p>{len(chosen)} of {references.channels} channels, those with the largest mean values.</p>" * (more > 0)
    return f"<h2>{on_page(path)}</h2>\n{note if channels is None else ''}{''.join(rows)}"


def _largest(mean: Array, most: int) -> list[int]:
    size = np.nan_to_num(np.abs(mean))
    return [int(c) for c in np.argsort(-size, kind="stable")[:most]]


def _channel(
    references: References,
    channel: int,
    pictures: list[str],
    means: Array | None,
    labels: Labels | None,
    called: Callable[[int], str],
) -> str:
    samples, values, positions = (getattr(references, name)[channel] for name in ("samples", "values", "positions"))
    figures = []
    for place, picture in enumerate(pictures):
        where = ", ".join(map(str, positions[place]))
        seen = f"{values[place]:.3g}" + (f" at {where}" if where else "")
        caption = f"{on_page(called(int(samples[place])))}<small>{on_page(seen)}</small>"
        figures.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    if not figures:
        figures = [f"<p>{on_page(_listed(samples, values, called))}</p>"]
    mean = f"mean {references.mean[channel]:.3g}"
    head = f"<h3>{channel}</h3><span>{mean}</span>{_classes(means, channel, labels)}"
    return f'<section class="channel"><div class="head">{head}</div><div class="crops">{"".join(figures)}</div></section>\n'


def _listed(samples: Array, values: Array, called: Callable[[int], str]) -> str:
    """Samples in words, where no crops were kept."""
    return ", ".join(f"{called(int(s))} ({v:.3g})" for s, v in zip(samples, values, strict=True) if s >= 0)


def _classes(means: Array | None, channel: int, labels: Labels | None) -> str:
    """The classes for which a channel has the largest means."""
    if means is None:
        return ""
    mine = means[:, channel]
    order = [int(c) for c in np.argsort(np.where(np.isnan(mine), np.inf, -mine), kind="stable")[:_CLASSES] if mine[c] > 0]
    named = [f"{on_page(f'class {c}' if labels is None else labels.short(c))} <b>{mine[c]:.3g}</b>" for c in order]
    return "".join(f'<span class="of">{text}</span>' for text in named)


# ------------------------------------------------------------------ pictures
def _scaled(references: References, channels: list[int], top: int) -> dict[int, list[str]]:
    """The crops of channels as HTML; pictures share one scale, that of all crops of the layer that are shown."""
    crops = {c: references.crops(c)[:top] for c in channels}
    every = [crop for listed in crops.values() for crop in listed]
    low, high = min((c.min() for c in every if c.size), default=0), max((c.max() for c in every if c.size), default=1)
    made: dict[bytes, str] = {}

    def drawn(crop: Array) -> str:
        key = crop.tobytes() + str(crop.shape).encode()
        if key not in made:
            made[key] = _picture(crop, low, high)
        return made[key]

    return {c: [drawn(crop) for crop in listed] for c, listed in crops.items()}


def _picture(crop: Array, low: Any, high: Any) -> str:
    if crop.ndim == 3 and (crop.shape[-1] in (1, 3) or crop.shape[0] in (1, 3)):
        crop = crop if crop.shape[-1] in (1, 3) else np.moveaxis(crop, 0, -1)
        scaled = (crop.astype("float64") - float(low)) / (float(high) - float(low) or 1.0)
        image = np.broadcast_to(np.round(255 * np.clip(scaled, 0, 1)).astype("uint8"), (*crop.shape[:2], 3))
        uri = base64.b64encode(png(image)).decode()
        return (
            f'<img alt="crop" class="{"small" if max(image.shape[:2]) < _SIDE // 2 else ""}" src="data:image/png;base64,{uri}">'
        )
    if crop.dtype.kind in "iu" or crop.dtype.kind not in "f":
        return f"<code>{on_page(' '.join(map(str, crop.reshape(-1)[:_BARS])))}{' ...' * (crop.size > _BARS)}</code>"
    return _curve(crop.reshape(len(crop), -1), float(low), float(high))


def _curve(series: Array, low: float, high: float) -> str:
    """Numbers in their order as lines, one for each channel, a few."""
    span, steps = (high - low) or 1.0, max(len(series) - 1, 1)
    lines = []
    for values in series.T[:4]:
        points = " ".join(f"{_SIDE * i / steps:.1f},{60 - 56 * (v - low) / span:.1f}" for i, v in enumerate(values.tolist()))
        lines.append(f'<polyline points="{points}"/>')
    return f'<svg viewBox="0 0 {_SIDE} 64" role="img" aria-label="crop">{"".join(lines)}</svg>'
