"""The HTML page of a report: one file, pictures inlined, nothing loaded from elsewhere."""

import base64
import json
import re
from functools import partial
from importlib import resources

import numpy as np

from innspect.labels import name_of
from innspect.reports.pictures import coloured, input_pictures, is_picture, reduced_size
from innspect.study import uncertain
from innspect.tables import Table, on_page, printable
from innspect.visualize import colours, palette_of, scale_of
from innspect.visualize.colours import see_through
from innspect.visualize.html import png

_FEATURES = 24  # shown of a map without spatial axes
_SMALL = 64  # pixels a side: below it pixels are shown as squares
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_RANKS = ("largest output", "2nd", "3rd")


def page(explained, names, labels=None, title="Explanations", notes=None, images=None, place=None, lead=()):
    """The page of an `Explained`.

    Args:
        explained: The `Explained`.
        names: A name for each input.
        labels: The `Labels` of the output, or None.
        title: The heading.
        notes: A dict of strings that are added to the settings; "command" and "model" (its file) are shown in the code.
        images: Inputs as they should be shown, (samples, height, width[, 1 or 3]); a list of RGB pictures, uint8 (height,
            width, 3), which may differ in size; or None.
        lead: What is said above, sentences.
        place: A function of an input's number and of a map's picture that puts that where it belongs in the input's picture.

    Returns:
        An HTML document as a string.
    """
    shown = images if isinstance(images, list) else input_pictures(explained.x if images is None else images)
    place = place or (lambda i, picture: picture)
    sections = [_input(explained, i, name, labels, shown, place) for i, name in enumerate(names)]
    count = f"{len(names)} input{'s' * (len(names) > 1)}, {len(explained.methods)} method{'s' * (len(explained.methods) > 1)}"
    versions = next(iter(explained.methods.values())).settings
    subtitle = f"{count}; innspect {versions.get('innspect')} on Keras {versions.get('keras')} ({versions.get('backend')})"
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en" style="--blend: {_blend(shown)}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{on_page(title)}</title>\n<style>\n{_part('page.css')}{_strips()}</style>\n</head>\n<body>",
            f"<h1>{on_page(title)}</h1>\n<p>{on_page(subtitle)}. ",
            f"{_scales(explained)}. Colours: {_legend(explained)}</p>",
            *(f"<p>{on_page(text)}</p>" for text in lead),
            _controls(explained, shown, labels),
            *sections,
            _books(explained),
            _uncertain(explained),
            _settings(explained, notes or {}),
            f"<script>\n{_part('page.js')}</script>\n</body>\n</html>\n",
        ]
    )


def _scales(explained):
    """What the darkest colour of a map is."""
    kinds: dict = {}
    for label, method in explained.methods.items():
        kinds.setdefault(scale_of(method.settings), []).append(on_page(label))
    parts: list[str] = []
    for scale, labels in sorted(kinds.items(), key=lambda kind: kind[0].percentile):
        cut = 100 - scale.percentile
        part = f"the largest {cut:g}% of its values" if cut else "its largest value"
        part += ", from its lowest on" * scale.above_lowest
        parts.append(part + f" ({', '.join(labels)})" * bool(parts))
    return f"Every map has its own scale: darkest is {'; '.join(parts)}"


def _legend(explained):
    palettes = {palette_of(method.settings) for method in explained.methods.values()}
    signed = 'negative <span class="strip"></span> positive' if len(palettes) > 1 or "red_blue" in palettes else ""
    unsigned = 'without a sign, little <span class="strip heat"></span> much' if palettes - {"red_blue"} else ""
    return "; ".join(part for part in (signed, unsigned) if part) + "."


def _strips():
    """The legend's colours, those of the maps."""
    rules = []
    for selector, palette, start in ((".strip", "red_blue", -1), (".strip.heat", "heat", 0)):
        stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in colours(np.linspace(start, 1, 17), palette, "light"))
        rules.append(f"{selector} {{ background: linear-gradient(90deg, {stops}); }}\n")
    return "".join(rules)


def _part(name):
    return resources.files("innspect.reports").joinpath(name).read_text(encoding="utf-8")


def _uri(image):
    return "data:image/png;base64," + base64.b64encode(png(reduced_size(image))).decode()


# ------------------------------------------------------------------ controls
def _blend(shown):
    """Where the slider starts, from the input at 0 to the map at 1: half-way a photograph is seen below the map."""
    return 0.5 if shown is not None and max(max(image.shape[:2]) for image in shown) >= _SMALL else 1.0


def _controls(explained, shown, labels):
    chips = [_chip("checkbox", "method", m, m, True) for m in explained.methods]
    parts = [f"<fieldset><legend>Methods</legend>{''.join(chips)}</fieldset>"]
    neurons = explained.neurons
    if neurons is not None and len(neurons) > 1:
        chosen = (neurons == neurons[:, :1]).all()  # the same for every input: they were asked for by number
        names = [name_of(n, labels) if chosen and neurons.shape[1] > 1 else _rank(k) for k, n in enumerate(neurons[:, 0])]
        chips = [_chip("radio", "class", k, n, k == 0) for k, n in enumerate(names)]
        parts.append(f"<fieldset><legend>Class</legend>{''.join(chips)}</fieldset>")
    if shown is not None:
        start = f'min="0" max="100" value="{100 * _blend(shown):.0f}"'
        slider = f'<input type="range" name="blend" {start} aria-label="From the input to the map">'
        parts.append(f"<fieldset><legend>Input</legend>{slider}<span>map</span></fieldset>")
    return f'<div class="controls">{"".join(parts)}</div>'


def _chip(kind, name, value, text, checked):
    box = f'<input type="{kind}" name="{name}" value="{on_page(value)}"{" checked" if checked else ""}>'
    return f'<label class="chip">{box}<span>{on_page(text)}</span></label>'


def _rank(k):
    return _RANKS[k] if k < len(_RANKS) else f"{k + 1}th"


# ------------------------------------------------------------------ inputs
def _input(explained, i, name, labels, shown, place):
    figures, style = [], ""
    if shown is not None:
        uri = _uri(shown[i])
        style = f' style="--base:url({uri})"'
        small = " class=small" if max(shown[i].shape[:2]) < _SMALL else ""
        picture = f'<div class="stack"><img alt="{on_page(name)}" src="{uri}"></div>'
        figures.append(f"<figure{small}>{picture}<figcaption>input</figcaption></figure>")
    for label, method in explained.methods.items():
        figures += [_figure(label, method, inner, maps[:, i], i, place) for inner, maps in method.attributions.items()]
    plain = " plain" if shown is None else ""
    return (
        f'<section class="input{plain}"{style}>\n<h2>{on_page(name)}</h2>\n{_prediction(explained, i, labels)}\n'
        f'<div class="maps">{"".join(figures)}</div>\n</section>'
    )


def _prediction(explained, i, labels):
    if explained.neurons is None:
        values = np.ravel(explained.outputs[i])
        text = ", ".join(f"{v:.4g}" for v in values[:6]) + (", ..." if len(values) > 6 else "")
        return f"<p>output {text}</p>"
    buttons = []
    outputs = explained.outputs[i]
    likely = bool(((outputs >= 0) & (outputs <= 1)).all())
    for k, neuron in enumerate(explained.neurons[:, i]):
        value = f"{outputs[neuron]:.1%}" if likely else f"{outputs[neuron]:.4g}"
        bar = f'<i style="width:{100 * outputs[neuron]:.1f}%"></i>' if likely else ""
        pressed = "true" if k == 0 else "false"
        buttons.append(
            f'<button type="button" class="class" value="{k}" aria-pressed="{pressed}">'
            f"{on_page(name_of(neuron, labels))} {value}{bar}</button>"
        )
    return f'<div class="prediction">{"".join(buttons)}</div>'


def _figure(label, method, inner, maps, i, place):
    """One method's maps of one input, (neurons, ...), of which one at a time is seen."""
    blocks = [_map(label, method.settings, maps[k], k, partial(place, i)) for k in range(len(maps))]
    captions = [
        f'<small data-class="{k}"{" hidden" * (k > 0)}>explains {method.targets[k, i]:.4g}</small>' for k in range(len(maps))
    ]
    small = " class=small" if is_picture(maps) and max(maps.shape[1:3]) < _SMALL else ""
    title = re.sub(r"([._])", r"\1<wbr>", on_page(label + (f", {inner}" if inner else "")))  # where a line may break
    frame = f'<div class="stack">{"".join(blocks)}</div>' if is_picture(maps) else "".join(blocks)
    return f'<figure data-method="{on_page(label)}"{small}>{frame}<figcaption>{title}{"".join(captions)}</figcaption></figure>'


def _map(label, settings, attribution, k, placed):
    hidden = " hidden" * (k > 0)
    if is_picture(attribution[None]):
        image = see_through(placed(coloured(attribution[None], settings)[0]))
        return f'<img class="map" data-class="{k}"{hidden} alt="map of {on_page(label)}" src="{_uri(image)}">'
    values = np.ravel(attribution).astype("float64")
    scale = np.nanmax(np.abs(values), initial=0) or 1.0
    chosen = sorted(np.argsort(-np.abs(values), kind="stable")[:_FEATURES])
    rows = []
    for feature in chosen:
        side, width = "up" if values[feature] >= 0 else "down", 50 * abs(values[feature]) / scale
        bar = f'<div class="bar"><i class="{side}" style="width:{width:.1f}%"></i></div>'
        rows.append(f"<b>{feature}</b>{bar}<span>{values[feature]:.3g}</span>")
    left = f"<small>the {_FEATURES} largest of {values.size}</small>" if values.size > _FEATURES else ""
    return f'<div class="bars" data-class="{k}"{hidden}>{"".join(rows)}</div>{left if k == 0 else ""}'


# ------------------------------------------------------------------ numbers
def _books(explained):
    """How well the sum of each map agrees with what it explains, and where relevance went, layer by layer."""
    rows, details = [], []
    for label, method in explained.methods.items():
        if method.delta is None:
            rows.append([label, "-", "-", "-"])
            continue
        targets, missing = method.targets[0], method.delta[0]
        share = np.abs(missing) / np.maximum(np.abs(targets), np.finfo("float32").tiny)
        rows.append([label, f"{targets.mean():.4g}", f"{np.abs(missing).mean():.3g}", f"{share.mean():.1%}"])
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


def _uncertain(explained):
    """Whose maps more draws, or steps, would change by more than a little."""
    said = uncertain(explained)
    if not said:
        return ""
    lines = "".join(f"<li><b>{on_page(label)}</b>: {on_page(text)}</li>" for label, text in said.items())
    note = "Standard errors, by Euclidean norms. More draws or steps, or a `tolerance`, make them smaller."
    return f"<h2>How sure are the maps?</h2>\n<ul>{lines}</ul>\n<p>{note}</p>"


def _settings(explained, notes):
    content = {**notes, "methods": {label: m.settings for label, m in explained.methods.items()}}
    text = json.dumps(content, indent=1, default=repr)
    code = [f"# {printable(notes['command'])}", ""] if "command" in notes else []
    code += ["import innspect, keras", "", f"model = keras.saving.load_model({notes.get('model', '...')!r})"]
    selection = ""
    if explained.neurons is not None:
        code.append(f"neurons = {explained.neurons.tolist()}  # what is explained of each input, a list for each class")
        selection = ", neurons=neurons"
    for method in explained.methods.values():
        given = "".join(f", {k}={v!r}" for k, v in method.settings["arguments"].items())
        code.append(f'innspect.create_analyzer("{method.settings["method"]}", model{given}).analyze(x{selection})')
    snippet = "\n".join(code)
    return (
        f"<h2>To compute this again</h2>\n<pre>{on_page(snippet)}</pre>\n"
        f"<details><summary>All settings</summary><pre>{on_page(text)}</pre></details>"
    )
