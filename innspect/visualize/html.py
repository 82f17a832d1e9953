"""Explanations in notebooks. Needs NumPy only: the pictures are PNG files written here and put into the page."""

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.labels import Labels
from innspect.tables import on_page
from innspect.types import Array, Nest
from innspect.visualize.colours import channel_axis, colours, heatmap, scaled
from innspect.visualize.uncertainty import error_text

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

MAX_SAMPLES, _MAX_FEATURES, _MAX_NEURONS = 16, 24, 4
_CELL = "border:1px solid #ddd;padding:2px 6px;text-align:right;color:{ink};background:rgb({r},{g},{b})"


def explanation_html(explanation: "Explanation") -> str:
    """An `Explanation` as HTML: pictures of image-shaped attributions, coloured tables of the others.

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
    blocks, shares = [f"<div>{heading}</div>"], getattr(explanation, "relative_error", None)
    for name, array in named(explanation.attributions):
        neurons = list(array[:_MAX_NEURONS]) if several else [array]
        for number, attribution in enumerate(neurons):
            targets = explanation.targets[number] if several else explanation.targets
            label = ", ".join(part for part in (name, f"neuron {number + 1} of {len(array)}" if several else "") if part)
            error = shares[number] if several and shares is not None else shares
            captions = _captions(explanation, targets, len(attribution), error)
            blocks.append(maps_html(label, attribution, captions, explanation))
    return f'<div style="font-family:sans-serif;font-size:13px">{"".join(blocks)}</div>'


def named(attributions: Nest) -> list[tuple[str, Array]]:
    """(name, array) for every input; a single one needs no name."""
    if isinstance(attributions, dict):
        return [(str(k), np.asarray(v)) for k, v in attributions.items()]
    if isinstance(attributions, list | tuple):
        return [(f"input {i}", np.asarray(v)) for i, v in enumerate(attributions)]
    return [("", np.asarray(attributions))]


def _captions(explanation: "Explanation", targets: Array, samples: int, shares: Array | None) -> list[str]:
    """What is known of each sample in a few words: the predicted class, the explained value, and an error that is not small."""
    outputs = np.asarray(explanation.outputs)
    classes = outputs.argmax(-1) if outputs.ndim == 2 and outputs.shape[1] > 1 and len(outputs) == samples else None
    names = explanation.settings.get("labels")
    labels = None if names is None or len(names) != outputs.shape[-1] else Labels(names)
    called = (lambda c: f"class {c}") if labels is None else labels.short
    predictions = [""] * samples if classes is None else [f"{called(c)}, " for c in classes]
    errors = [""] * samples if shares is None else [error_text(share, _kind(explanation)) for share in shares]
    said = zip(predictions, np.ravel(targets), errors, strict=True)
    return [f"{p}target {t:.4g}" + (f", {error}" if error else "") for p, t, error in said]


def _kind(explanation: "Explanation") -> str:
    return "sampling" if "draws" in explanation.details else "numerical"


def maps_html(label: str, attribution: Array, captions: list[str], of: Any) -> str:
    """Maps (rows, ...) as pictures or a table, with a caption each."""
    if attribution.size == 0:
        content = f"nothing to show, shape {attribution.shape}"
    elif attribution.ndim in (3, 4):
        content = _pictures(attribution, captions, of)
    else:
        content = _table(attribution.reshape(len(attribution), -1), captions)
    title = f"<div style='margin-top:6px'>{on_page(label)}</div>" if label else ""
    return title + content


def _pictures(attribution: Array, captions: list[str], of: Any) -> str:
    images = heatmap(attribution[:MAX_SAMPLES], channel_axis=channel_axis(attribution), of=of)
    figures = "".join(
        '<figure style="display:inline-block;margin:4px;text-align:center">'
        f'<img alt="attribution" src="data:image/png;base64,{base64.b64encode(png(image)).decode()}" '
        f'style="width:{_width(image)}px;image-rendering:pixelated;border:1px solid #ccc">'
        f"<figcaption>{on_page(caption)}</figcaption></figure>"
        for image, caption in zip(images, captions, strict=False)
    )
    return f"<div>{figures}</div>" + more_html(len(attribution), MAX_SAMPLES, "samples")


def _width(image: Array) -> int:
    """Pixels on the screen: small maps enlarged by a whole factor, so that every pixel stays a square."""
    height, width = image.shape[:2]
    return width * max(1, round(128 / max(height, width)))


def _table(attribution: Array, captions: list[str]) -> str:
    shown = attribution[:MAX_SAMPLES, :_MAX_FEATURES]
    shades = colours(scaled(attribution, 100)[:MAX_SAMPLES, :_MAX_FEATURES])
    head = "".join(f"<th>{i}</th>" for i in range(shown.shape[1]))
    rows = "".join(
        f"<tr><td>{on_page(caption)}</td>" + "".join(map(_cell, values, row)) + "</tr>"
        for caption, values, row in zip(captions, shown, shades, strict=False)
    )
    table = f'<table style="border-collapse:collapse"><tr><th></th>{head}</tr>{rows}</table>'
    left_out = more_html(len(attribution), MAX_SAMPLES, "samples") + more_html(attribution.shape[1], _MAX_FEATURES, "features")
    return table + left_out


def _cell(value: Any, shade: Array) -> str:
    r, g, b = (int(c) for c in shade)
    ink = "#fff" if 0.3 * r + 0.6 * g + 0.1 * b < 128 else "#000"
    return f'<td style="{_CELL.format(ink=ink, r=r, g=g, b=b)}">{value:.3g}</td>'


def more_html(count: int, shown: int, what: str) -> str:
    """What is said of those that are not shown."""
    return f"<div>... and {count - shown} more {what}</div>" if count > shown else ""


def png(image: Array) -> bytes:
    """The bytes of a PNG file with an RGB or RGBA image, uint8 (height, width, 3 or 4)."""
    height, width, channels = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(image, "uint8"))  # 0: the row is not filtered
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 6, 0, 0, 0)  # 8 bits, RGB or RGBA
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
