"""The HTML page of a report."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from innspect.labels import Labels, name_of
from innspect.reports.document import document
from innspect.reports.inputs import Shown, pictured, sections
from innspect.reports.pictures import SMALL
from innspect.reports.recipe import recipe
from innspect.study import Study, uncertain
from innspect.tables import Table, on_page
from innspect.visualize import colours, palette_of, scale_of
from innspect.visualize.captions import share_told
from innspect.visualize.colours import see_through

_RANKS = ("largest output", "2nd", "3rd")
_MOST_LABELS = 1000  # that the settings list


def page(
    explained: Study,
    names: Sequence[str],
    labels: Labels | None = None,
    title: str = "Explanations",
    notes: Mapping[str, str] | None = None,
    images: Any = None,
    place: Callable[[int, Any], Any] | None = None,
    lead: Sequence[str] = (),
    **shown: Any,
) -> str:
    """The page of a `Study`.

    Args:
        explained: The `Study`.
        names: A name for each input.
        labels: The `Labels` of the output, or None.
        title: The heading.
        notes: A dict of strings that are added to the settings; "command" and "model" (its file) are shown in the code.
        images: Inputs as they should be shown, (samples, height, width[, 1 or 3]); a list of RGB pictures, uint8 (height,
            width, 3), which may differ in size; or None.
        place: A function of an input's number and of a map's levels, which are `ZERO` at 0, uint8 (height, width, 3), that puts
            these where they belong in the input's picture.
        lead: What is said above, sentences.
        **shown: What else `Shown` takes: "features", "tokens", "sources".

    Returns:
        An HTML document as a string.
    """
    look = Shown(names, labels, images, place, **shown)
    pictures = pictured(explained, look)
    count = f"{len(names)} input{'s' * (len(names) > 1)}, {len(explained.methods)} method{'s' * (len(explained.methods) > 1)}"
    versions = next(iter(explained.methods.values())).settings
    subtitle = f"{count}; innspect {versions.get('innspect')} on Keras {versions.get('keras')} ({versions.get('backend')})"
    found = sections(explained, look)
    tables = any('class="features"' in each for each in found)
    parts = [
        f"<h1>{on_page(title)}</h1>\n<p>{on_page(subtitle)}. ",
        f"{_scales(explained, tables)}. Colours: {_legend(explained, pictures is not None)}</p>",
        *(f"<p>{on_page(text)}</p>" for text in lead),
        _controls(explained, pictures, labels),
        *found,
        _books(explained),
        _uncertain(explained),
        _settings(explained, notes or {}, labels, look),
    ]
    return document(title, parts, blend=_blend(pictures), more=_strips(), script="page.js")


def _scales(explained: Study, tables: bool) -> str:
    """What the darkest colour of a map is, and the longest bar of a table."""
    kinds: dict[Any, list[str]] = {}
    for label, method in explained.methods.items():
        kinds.setdefault(scale_of(method.settings), []).append(on_page(label))
    parts: list[str] = []
    for scale, labels in sorted(kinds.items(), key=lambda kind: kind[0].percentile):
        cut = 100 - scale.percentile
        part = f"the largest {cut:g}% of its values" if cut else "its largest value"
        part += ", from its lowest on" * scale.above_lowest
        parts.append(part + f" ({', '.join(labels)})" * bool(parts))
    several = len(next(iter(explained.methods.values())).attributions) > 1
    whose = "The maps of a method for one sample share a scale" if several else "Every map has its own scale"
    bars = "; a whole bar is a method's largest value for the sample" * tables
    return f"{whose}: darkest is {'; '.join(parts)}{bars}"


def _legend(explained: Study, over: bool) -> str:
    palettes = {palette_of(method.settings) for method in explained.methods.values()}
    signed = f"negative {_strip('', over)} positive" if len(palettes) > 1 or "red_blue" in palettes else ""
    unsigned = f"without a sign, little {_strip(' heat', over)} much" if palettes - {"red_blue"} else ""
    return "; ".join(part for part in (signed, unsigned) if part) + (", over light and dark" if over else "") + "."


def _strip(kind: str, over: bool) -> str:
    """The colours of maps; where these are over inputs, what becomes of them there, from white above to black below."""
    return f'<span class="strip{" over" * over}"><i class="inks{kind}"></i></span>'


def _strips() -> str:
    """The legend's colours, those of the maps: inks that are seen through."""
    rules = []
    for selector, palette, start in ((".inks", "red_blue", -1), (".inks.heat", "heat", 0)):
        layers = see_through(colours(np.linspace(start, 1, 17), palette, "light"))
        stops = ", ".join(f"rgb({r} {g} {b} / {a / 255:.3f})" for r, g, b, a in layers)
        rules.append(f"{selector} {{ background: linear-gradient(90deg, {stops}); }}\n")
    return "".join(rules)


# ------------------------------------------------------------------ controls
def _blend(pictures: Any) -> float:
    """Where the slider starts, from the input at 0 to the map at 1: half-way a photograph is seen below the map."""
    return 0.5 if pictures is not None and max(max(image.shape[:2]) for image in pictures) >= SMALL else 1.0


def _controls(explained: Study, pictures: Any, labels: Labels | None) -> str:
    chips = [_chip("checkbox", "method", m, m, True) for m in explained.methods]
    parts = [f"<fieldset><legend>Methods</legend>{''.join(chips)}</fieldset>"]
    neurons = explained.neurons
    if neurons is not None and len(neurons) > 1:
        chosen = (neurons == neurons[:, :1]).all()  # the same for every input: they were asked for by number
        names = [name_of(n, labels) if chosen and neurons.shape[1] > 1 else _rank(k) for k, n in enumerate(neurons[:, 0])]
        chips = [_chip("radio", "class", k, n, k == 0) for k, n in enumerate(names)]
        parts.append(f"<fieldset><legend>Class</legend>{''.join(chips)}</fieldset>")
    if pictures is not None:
        start = f'min="0" max="100" value="{100 * _blend(pictures):.0f}"'
        slider = f'<input type="range" name="blend" {start} aria-label="From the input to the map">'
        parts.append(f"<fieldset><legend>Input</legend>{slider}<span>map</span></fieldset>")
    return f'<div class="controls">{"".join(parts)}</div>'


def _chip(kind: str, name: str, value: object, text: str, checked: bool) -> str:
    box = f'<input type="{kind}" name="{name}" value="{on_page(value)}"{" checked" if checked else ""}>'
    return f'<label class="chip">{box}<span>{on_page(text)}</span></label>'


def _rank(k: int) -> str:
    return _RANKS[k] if k < len(_RANKS) else f"{k + 1}th"


# ------------------------------------------------------------------ numbers
def _books(explained: Study) -> str:
    """How well the sum of each map agrees with what it explains, and where relevance went, layer by layer."""
    rows, details = [], []
    for label, method in explained.methods.items():
        if method.delta is None:
            rows.append([label, "-", "-", "-"])
            continue
        targets, missing = method.targets[0], method.delta[0]
        share = np.abs(missing) / np.maximum(np.abs(targets), np.finfo("float32").tiny)
        rows.append([label, f"{targets.mean():.4g}", f"{np.abs(missing).mean():.3g}", share_told(float(share.mean()))])
        if method.conservation is not None:
            table = method.conservation._repr_html_()
            details.append(
                f"<p><b>{on_page(label)}</b>: {on_page(method.conservation.summary())}</p>"
                f'<details><summary>{on_page(label)}, layer by layer</summary><div class="wide">{table}</div></details>'
            )
    head = ["method", "explained value", "missing from the map", "share"]
    note = "means over the inputs, for the first class; - where a method promises no sum. What a bias kept is missing too."
    body = Table(head, rows, note).html()
    return f'<h2>Do the maps add up?</h2>\n<div class="wide">{body}</div>\n{"".join(details)}'


def _uncertain(explained: Study) -> str:
    """Whose maps more draws, or steps, would change by more than a little."""
    said = uncertain(explained)
    if not said:
        return ""
    lines = "".join(f"<li><b>{on_page(label)}</b>: {on_page(text)}</li>" for label, text in said.items())
    note = "Standard errors, by Euclidean norms. More draws or steps, or a `tolerance`, make them smaller."
    return f"<h2>How sure are the maps?</h2>\n<ul>{lines}</ul>\n<p>{note}</p>"


def _settings(explained: Study, notes: Mapping[str, str], labels: Labels | None, shown: Shown) -> str:
    content: dict[str, Any] = {**notes, "methods": {label: m.settings for label, m in explained.methods.items()}}
    content |= {"labels": list(labels)} if labels is not None and len(labels) <= _MOST_LABELS else {}
    content |= {"sources": list(shown.sources)} if shown.sources else {}
    text = json.dumps(content, indent=1, default=repr)
    return (
        f'<h2>To compute this again</h2>\n<pre class="recipe">{on_page(recipe(explained, notes))}</pre>\n'
        f"<details><summary>All settings</summary><pre>{on_page(text)}</pre></details>"
    )
