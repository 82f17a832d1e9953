"""One input on a page: its prediction, itself, and what every method says of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.labels import Labels, name_of
from innspect.nests import by_input
from innspect.reports.pictures import SMALL, layer_uri, photograph_uri
from innspect.study import Method, Study
from innspect.tables import on_page
from innspect.types import Array
from innspect.visualize import palette_of
from innspect.visualize.captions import are_shares, output_of, output_told, target_told
from innspect.visualize.forms import Form, forms_of, input_pictures, slices_told
from innspect.visualize.html import ids_and_padding
from innspect.visualize.pieces import bar, data_uri, of_class, series_piece, value_told
from innspect.visualize.tokens import text

_ROWS = 32  # features shown of a table

Place = Callable[[int, Array], Array]


@dataclass
class Shown:
    """What the inputs of a page are shown with.

    Attributes:
        names: A name for each input.
        labels: The `Labels` of the output, or None.
        images: RGB pictures of the inputs of a model with one input, in place of the inputs themselves; or None.
        place: Puts the levels of an input's map where they belong in its picture; None: they are of one size.
        features: Dict from the name of an input ("" where there is one) to the names of its features, or channels.
        tokens: Dict from the name of an input to a list of tokens for each sample.
        sources: The file of each input; or None.
    """

    names: Sequence[str]
    labels: Labels | None = None
    images: Any = None
    place: Place | None = None
    features: Mapping[str, Sequence[str]] | None = None
    tokens: Mapping[str, Sequence[Sequence[str]]] | None = None
    sources: Sequence[str] | None = None


def sections(explained: Study, shown: Shown) -> list[str]:
    """A section for each input."""
    # method -> input -> a form for each neuron
    drawn = {label: _forms(method, explained) for label, method in explained.methods.items()}
    kinds = {name: forms[0].kind for name, forms in next(iter(drawn.values())).items()}
    pictures = {name: _pictures(name, kinds[name], explained, shown) for name in kinds}
    return [_section(explained, i, shown, drawn, pictures) for i in range(len(shown.names))]


def pictured(explained: Study, shown: Shown) -> Any:
    """The pictures of the inputs, of the first that has some; or None."""
    first = next(iter(explained.methods.values()))
    kinds = {name: forms[0].kind for name, forms in _forms(first, explained).items()}
    found = (_pictures(name, kind, explained, shown) for name, kind in kinds.items())
    return next((each for each in found if each is not None), None)


def _forms(method: Method, explained: Study) -> dict[str, list[Form]]:
    kinds, x = (None if nest is None else by_input(nest) for nest in (method.settings.get("kinds"), explained.x))
    fits = x is not None and set(x) == set(method.attributions)
    found: dict[str, list[Form]] = {}
    for k in range(len(method.targets)):
        maps = {name: np.asarray(a[k]) for name, a in method.attributions.items()}
        for form in forms_of(maps, kinds=kinds, x=x if fits else None, of=method.settings):
            found.setdefault(form.name, []).append(form)
    return found


def _pictures(name: str, kind: str, explained: Study, shown: Shown) -> Any:
    """What an input looks like: a picture for each sample, or None."""
    x = by_input(explained.x)
    if shown.images is not None and (len(x) == 1 or name == next(iter(x))):
        return shown.images if isinstance(shown.images, list) else input_pictures(shown.images)
    return input_pictures(x.get(name), kind) if kind in ("image", "volume") else None


def _section(explained: Study, i: int, shown: Shown, drawn: Any, pictures: Any) -> str:
    source = f"<p class=source>{on_page(shown.sources[i])}</p>" if shown.sources else ""
    parts = []
    for name, base in pictures.items():
        forms = {label: each[name] for label, each in drawn.items() if name in each}
        title = f"<h3>{on_page(name)}</h3>" if len(pictures) > 1 else ""
        parts.append(title + _one_input(explained, i, name, forms, None if base is None else base[i], shown))
    return (
        f'<section class="input">\n<h2>{on_page(shown.names[i])}</h2>{source}\n{_prediction(explained, i, shown.labels)}\n'
        f"{''.join(parts)}\n</section>"
    )


def _prediction(explained: Study, i: int, labels: Labels | None) -> str:
    outputs = np.asarray(explained.outputs[i])
    explains = _stripped(explained)
    if explained.neurons is None:
        values = np.ravel(outputs)
        if len(values) == 1:
            return f"<p>{on_page(name_of(0, labels) if labels else 'output')} {on_page(output_told(outputs, 0, explains))}</p>"
        return f"<p>output {', '.join(f'{v:.4g}' for v in values[:6]) + (', ...' if len(values) > 6 else '')}</p>"
    buttons = []
    for k, neuron in enumerate(explained.neurons[:, i]):
        share = output_of(outputs, neuron)
        line = f'<i style="width:{100 * share:.1f}%"></i>' if are_shares(outputs, explains) else ""
        buttons.append(
            f'<button type="button" class="class" value="{k}" aria-pressed="{"true" if k == 0 else "false"}">'
            f"{on_page(name_of(neuron, labels))} {on_page(output_told(outputs, neuron, explains))}{line}</button>"
        )
    return f'<div class="prediction">{"".join(buttons)}</div>'


def _one_input(explained: Study, i: int, name: str, forms: Mapping[str, list[Form]], base: Any, shown: Shown) -> str:
    """What every method says of one of a sample's inputs, with the input."""
    flat = {label: each for label, each in forms.items() if each[0].flat}
    rows = {label: each for label, each in forms.items() if each[0].kind in ("series", "tokens")}
    cells = {label: each for label, each in forms.items() if each[0].kind == "table"}
    listed = (shown.features or {}).get(name)
    if rows and listed is not None and next(iter(rows.values()))[0].kind == "tokens":
        rows, cells = {}, {**rows, **cells}  # categories of a table, which have names
    parts = []
    if flat:
        sheet = next(iter(flat.values()))[0].kind == "volume"
        figures = [] if base is None else [_input_figure(shown.names[i], base, sheet)]
        figures += [_outputs(explained, i)] if base is not None else []
        figures += [_picture(explained, label, each, i, shown.place) for label, each in flat.items()]
        style = "" if base is None else f' style="--base:url({photograph_uri(base)})"'
        parts.append(f'<div class="maps{" plain" * (base is None)}"{style}>{"".join(figures)}</div>')
    for label, each in rows.items():
        parts.append(_row(explained, label, each, i, listed, (shown.tokens or {}).get(name)))
    if cells:
        parts.append(_table(explained, cells, i, listed))
    return "".join(parts)


# ------------------------------------------------------------------ pictures
def _input_figure(name: str, base: Array, sheet: bool) -> str:
    height, width = base.shape[:2]
    stack = f'<div class="stack bare" role="img" aria-label="{on_page(name)}" style="aspect-ratio:{width}/{height}"></div>'
    return f"<figure{' class=sheet' if sheet else _small(base)}>{stack}<figcaption>input</figcaption></figure>"


def _small(picture: Array) -> str:
    return " class=small" if max(picture.shape[:2]) < SMALL else ""


def _outputs(explained: Study, i: int) -> str:
    """The output itself, where it is a picture, as a segmentation's is: that of the class, black 0 and white 1."""
    outputs, neurons, explains = np.asarray(explained.outputs[i]), explained.neurons, _stripped(explained)
    if outputs.ndim != 3 or neurons is None or min(outputs.shape[:2]) < 2:
        return ""
    drawn, count = [], len(neurons)
    for k, neuron in enumerate(neurons[:, i]):
        values = outputs[..., neuron]
        span = 1.0 if are_shares(outputs, explains) else float(np.ptp(values)) or 1.0
        low = 0.0 if are_shares(outputs, explains) else float(values.min())
        image = np.repeat(np.round(255 * np.clip((values - low) / span, 0, 1)).astype("uint8")[..., None], 3, axis=2)
        drawn.append(f'<img{of_class(k, count)} alt="output" src="{data_uri(image)}">')
    stack = f'<div class="stack">{"".join(drawn)}</div>'
    return f"<figure{_small(outputs)}>{stack}<figcaption>the output for this class</figcaption></figure>"


def _picture(explained: Study, label: str, forms: list[Form], i: int, place: Place | None) -> str:
    """One method's maps of one input, of which one at a time is seen."""
    method, drawn = explained.methods[label], []
    placed = None if place is None else lambda levels: place(i, levels)
    for k, form in enumerate(forms):
        uri = layer_uri(form, i, method.settings, placed)
        drawn.append(f'<img class="map" data-class="{k}"{" hidden" * (k > 0)} alt="map of {on_page(label)}" src="{uri}">')
    caption = _caption(explained, label, forms, i, slices_told(forms[0]))
    frame = f'<div class="stack">{"".join(drawn)}</div>'
    attributes = _small(forms[0].values[0]) if forms[0].kind == "image" else " class=sheet"
    return f'<figure data-method="{on_page(label)}"{attributes}>{frame}<figcaption>{caption}</figcaption></figure>'


def _caption(explained: Study, label: str, forms: list[Form], i: int, more: str = "") -> str:
    """What a method is called, and what it explains of each class."""
    method = explained.methods[label]
    title = re.sub(r"([._])", r"\1<wbr>", on_page(label))  # where a line may break
    layer = method.settings.get("layer")
    said = [more, f"at {layer}" if layer else ""]
    told = "".join(f"<small>{on_page(each)}</small>" for each in said if each)
    for k, form in enumerate(forms):
        words = target_told(method.targets[k, i], _explains(method))
        words += ", the map is zero everywhere" * (not np.nan_to_num(form.values[i], nan=1.0).any())
        told += f'<small data-class="{k}"{" hidden" * (k > 0)}>{words}</small>'
    return title + told


def _explains(method: Method) -> str | None:
    return method.settings.get("explains")


def _stripped(explained: Study) -> str | None:
    """The word "logit" where a method found a softmax or a sigmoid at the output."""
    return "logit" if any(_explains(each) == "logit" for each in explained.methods.values()) else None


# ------------------------------------------------------------------ rows
def _row(explained: Study, label: str, forms: list[Form], i: int, names: Any, tokens: Any) -> str:
    """A series, or a text, with the attributions of one method."""
    first, palette = forms[0], palette_of(explained.methods[label].settings)
    known = first.x is not None and len(first.x[i]) == first.values.shape[1]
    if first.kind == "series":
        values = np.asarray(first.x[i], "float64").reshape(len(first.x[i]), -1) if known and first.x is not None else None
        values = values if values is not None and first.shades.shape[2] in (1, values.shape[1]) else None
        fits = names is not None and len(names) == (first.shades.shape[2] if values is None else values.shape[1])
        content = series_piece(values, [form.shades[i] for form in forms], list(names) if fits else None, palette)
    else:
        words, note = ids_and_padding(first.x[i]) if known and first.x is not None else (range(first.values.shape[1]), "")
        words, note = (tokens[i], "") if tokens is not None else (words, note)
        count = len(words)
        content = "".join(
            f"<div{of_class(k, len(forms))}>{text(list(words), form.values[i, :count], palette=palette)}</div>"
            for k, form in enumerate(forms)
        )
        content += f"<small>{on_page(note)}</small>" if note else ""
    caption = _caption(explained, label, forms, i)
    return f'<figure class="row" data-method="{on_page(label)}"><figcaption>{caption}</figcaption>{content}</figure>'


def _table(explained: Study, cells: Mapping[str, list[Form]], i: int, names: Any) -> str:
    """A row for each feature, a column for each method: the same rows for all, those with the largest bars first."""
    limits = {label: [_limit(explained.methods[label], k, i) for k in range(len(forms))] for label, forms in cells.items()}
    shares = {label: [f.values[i] / v for f, v in zip(forms, limits[label], strict=True)] for label, forms in cells.items()}
    count = len(next(iter(shares.values()))[0])
    weight = np.mean([np.mean(np.abs(np.nan_to_num(each)), axis=0) for each in shares.values()], axis=0)
    order = np.argsort(-weight, kind="stable")
    shown, others = order[:_ROWS], order[_ROWS:]
    first = next(iter(cells.values()))[0]
    x = None if first.x is None else np.ravel(first.x[i])
    called = [f"feature {n}" for n in range(count)] if names is None else list(names)
    head = "<th>feature</th>" + "".join(
        f'<th data-method="{on_page(label)}">{_caption(explained, label, forms, i)}</th>' for label, forms in cells.items()
    )
    rows = []
    for n in [*shown, *([None] if len(others) else [])]:
        value = "" if n is None or x is None or len(x) != count else f"<small>{on_page(value_told(x[n]))}</small>"
        cols = []
        for label, forms in cells.items():
            whole = [np.nan_to_num(f.values[i, others]).sum() if n is None else f.values[i, n] for f in forms]
            bars = "".join(
                f'<div{of_class(k, len(forms))} class="cell">{bar(v / limits[label][k])}<small>{v:.3g}</small></div>'
                for k, v in enumerate(whole)
            )
            cols.append(f'<td data-method="{on_page(label)}">{bars}</td>')
        name = f"{len(others)} others" if n is None else on_page(called[n])
        rows.append(f"<tr><td>{name} {value}</td>{''.join(cols)}</tr>")
    return (
        f'<div class="wide"><table class="features"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _limit(method: Method, k: int, i: int) -> float:
    """The largest magnitude in a method's maps of all inputs of a sample: a whole bar."""
    largest = [np.abs(np.nan_to_num(a[k][i])).max(initial=0.0) for a in method.attributions.values()]
    return float(max(largest)) or 1.0
