"""Explanations in notebooks. Needs NumPy only: the pictures are PNG files written here and put into the page."""

from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.nests import by_input
from innspect.tables import on_page
from innspect.types import Array
from innspect.visualize.captions import captions_of
from innspect.visualize.colours import colours
from innspect.visualize.forms import Form, forms_of, forms_of_explanation, input_pictures, picture_shades, slices_told
from innspect.visualize.palettes import palette_of
from innspect.visualize.pieces import data_uri, named_rows, series_piece, table_piece
from innspect.visualize.tokens import ids_shown, text
from innspect.visualize.uncertainty import error_text

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

MAX_SAMPLES, _MAX_NEURONS = 16, 4
_SIDE = 160  # pixels of a picture on the screen
_WIDE = "min(720px,100%)"  # of series and tokens
_FIGURE = "display:inline-block;vertical-align:top;margin:4px 10px 6px 0;text-align:left"


def explanation_html(explanation: "Explanation") -> str:
    """An `Explanation` as HTML: each input with its map; curves of series, slices of volumes, bars of tables, coloured tokens.

    Args:
        explanation: The `Explanation`; its first samples and neurons are shown.

    Returns:
        One HTML element as a string; nothing is loaded from elsewhere.
    """
    if not hasattr(explanation, "attributions"):
        raise ValueError(f"`explanation` must be an `Explanation`, as `explain` returns it. Received: {explanation!r:.80}")
    several = np.ndim(explanation.targets) == 2
    heading = f"<b>{on_page(explanation.settings.get('method', 'explanation'))}</b>"
    model = explanation.settings.get("model")
    heading += f" of {on_page(model)}" if model else ""
    neurons = range(len(explanation.targets))[:_MAX_NEURONS] if several else [None]
    forms = [forms_of_explanation(explanation, neuron) for neuron in neurons]
    captions = [_captions(explanation, neuron) for neuron in neurons]
    blocks = [f"<div>{heading}</div>"]
    for number, form in enumerate(forms[0]):
        title = f"<div style='margin-top:6px'>{on_page(form.name)}</div>" if form.name else ""
        blocks.append(title + _block([each[number] for each in forms], captions, explanation))
    if several:
        blocks.append(more_html(len(explanation.targets), _MAX_NEURONS, "neurons"))
    return f'<div style="font-family:sans-serif;font-size:13px">{"".join(blocks)}</div>'


def _captions(explanation: "Explanation", neuron: int | None) -> list[str]:
    """What is known of each sample in a few words, an error that is not small, and that a map is empty."""
    shares = getattr(explanation, "relative_error", None)
    shares = shares[neuron] if neuron is not None and shares is not None else shares
    kind = "sampling" if "draws" in explanation.details else "numerical"
    told = captions_of(explanation, neuron)
    maps = [np.asarray(a if neuron is None else a[neuron]) for a in by_input(explanation.attributions).values()]
    for i in range(len(told)):
        error = "" if shares is None else error_text(shares[i], kind)
        empty = "the map is zero everywhere" if all(len(a) > i and a.size and not a[i].any() for a in maps) else ""
        told[i] = ", ".join(part for part in (told[i], error, empty) if part)
    return told


def _block(forms: list[Form], captions: list[list[str]], explanation: "Explanation") -> str:
    """One input: each sample with its maps of every neuron."""
    first = forms[0]
    count = len(first.values)
    if not first.values.size:
        return f"nothing to show, shape {first.values.shape}"
    shown = input_pictures(first.x, first.kind) if first.flat and first.x is not None else None
    palette, features = palette_of(explanation), explanation.settings.get("features")
    parts = []
    for i in range(min(count, MAX_SAMPLES)):
        figures = []
        if shown is not None:
            figures.append(_picture(shown[i], "input", "input", slices_told(first)))
        for form, told in zip(forms, captions, strict=True):
            if form.flat:
                image = colours(picture_shades(form)[i], palette)
                figures.append(_picture(image, "attribution", told[i], "" if shown is not None else slices_told(form)))
            else:
                figures.append(_figure(piece_of(form, i, palette, features), told[i], _WIDE))
        parts.append(f'<div style="{_FIGURE if first.flat else ""}">{"".join(figures)}</div>')
    return "".join(parts) + more_html(count, MAX_SAMPLES, "samples")


def maps_html(label: str, maps: Array, captions: list[str], of: Any) -> str:
    """Maps of one input, (rows, ...), as pictures, curves or bars, with a caption each.

    Args:
        label: Above them, or "".
        maps: An array.
        captions: One for each row.
        of: Whose maps they are, as for `heatmap`.
    """
    form = forms_of(maps, of=of)[0]
    if not form.values.size:
        return f"<div>{on_page(label)}</div>nothing to show, shape {form.values.shape}"
    palette, parts = palette_of(of), []
    for i in range(min(len(form.values), MAX_SAMPLES)):
        if form.flat:
            parts.append(_picture(colours(picture_shades(form)[i], palette), "attribution", captions[i], slices_told(form)))
        else:
            parts.append(_figure(piece_of(form, i, palette), captions[i], _WIDE))
    title = f"<div style='margin-top:6px'>{on_page(label)}</div>" if label else ""
    return title + "".join(parts) + more_html(len(form.values), MAX_SAMPLES, "samples")


def piece_of(form: Form, i: int, palette: str, names: list[str] | None = None) -> str:
    """A sample's map as HTML, where it is no picture."""
    values = None if form.x is None or form.x.shape[1:2] != form.values.shape[1:2] else form.x[i]
    if form.kind == "series":
        known = None if values is None else np.asarray(values, "float64").reshape(len(values), -1)
        fits = known is None or form.shades.shape[2] in (1, known.shape[1])
        return series_piece(known if fits else None, form.shades[i], _fitting(names, known), palette)
    if form.kind == "tokens" and values is not None and np.ndim(values) == 1:
        tokens, note = ids_and_padding(values)
        return f"{text(tokens, form.values[i, : len(tokens)], palette=palette)}{f'<small>{note}</small>' if note else ''}"
    row = form.values[i].ravel()
    limit = np.abs(row[np.isfinite(row)]).max(initial=0.0) or 1.0
    flat = None if values is None else np.ravel(values)
    labels = named_rows(len(row), names if names is not None and len(names) == len(row) else None, flat)
    return table_piece(row, labels, float(limit))


def ids_and_padding(ids: Array) -> tuple[list[str], str]:
    """The ids of a text as tokens, without the zeros of its padding, and what is said of these."""
    tokens, left = ids_shown(ids)
    return tokens, f"and {left} of padding" if left else ""


def _fitting(names: list[str] | None, values: Array | None) -> list[str] | None:
    return names if names is not None and values is not None and len(names) == values.shape[1] else None


def _picture(image: Array, alt: str, caption: str, more: str = "") -> str:
    frame = (
        f'<img alt="{alt}" src="{data_uri(image)}" '
        f'style="width:{_width(image)}px;max-width:100%;image-rendering:pixelated;border:1px solid #ccc">'
    )
    return _figure(frame, ", ".join(part for part in (caption, more) if part), f"{max(_width(image), _SIDE)}px")


def _figure(content: str, caption: str, width: str) -> str:
    return (
        f'<figure style="{_FIGURE};width:{width}">{content}'
        f'<figcaption style="overflow-wrap:anywhere">{on_page(caption)}</figcaption></figure>'
    )


def _width(image: Array) -> int:
    """Pixels on the screen: small maps enlarged by a whole factor, so that every pixel stays a square."""
    height, width = image.shape[:2]
    return width * max(1, round(_SIDE / max(height, width)))


def more_html(count: int, shown: int, what: str) -> str:
    """What is said of those that are not shown."""
    return f"<div>... and {count - shown} more {what}</div>" if count > shown else ""
