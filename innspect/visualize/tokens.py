"""Tokens coloured by their attributions, for pages and for terminals. Needs NumPy only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import OneOf, Text
from innspect.tables import on_page, printable
from innspect.types import Array
from innspect.visualize.colours import colours, inputs_of, numeric, reduce, scaled, told
from innspect.visualize.palettes import palette_of

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

_HTML = (
    '<span style="color:{ink};background:rgb({r},{g},{b});padding:1px 2px;border-radius:2px" title="{value:.4g}">{token}</span>'
)
_ANSI = "\x1b[38;2;{ink};48;2;{r};{g};{b}m{token}\x1b[0m"
_LUMINANCE = (0.299, 0.587, 0.114)


def text(
    tokens: "Sequence[Any] | Explanation",
    attribution: "ArrayLike | Explanation | None" = None,
    *,
    of: Any = None,
    form: str = "html",
    separator: str = " ",
    reduce: str = "sum",
    percentile: float | None = None,
    gamma: float = 1.0,
    palette: str | None = None,
    ground: str = "light",
) -> Any:
    """Tokens on the colour of their attributions: positive red, negative blue, scaled text by text.

    Args:
        tokens: A list of tokens with attributions (tokens,); or a list of such lists with (samples, tokens). A list may
            be shorter than the attributions, which then end in padding: that is not shown and leaves the scale alone.
            Or an `Explanation` of ids, then alone: its ids are shown without the zeros of their padding.
            What is no string is shown as `str` shows it; control characters and marks of direction as Python escapes them.
        attribution: As above, or (1, tokens) for one text; or (samples, tokens, embedding), whose last axis is taken together
            by `reduce`. Or an `Explanation`.
        of: Whose they are where `attribution` is an array, as for `heatmap`.
        form: "html", one element that needs nothing from elsewhere, or "ansi", for a terminal of 24-bit colours.
        separator: What stands between tokens; "" where tokens hold their spaces.
        reduce, percentile, gamma, palette, ground: As for `heatmap`.

    Returns:
        A string; a list of them for a list of texts.

    Raises:
        ValueError: An unknown form, or shapes that do not fit.

    Examples:
        >>> print(innspect.visualize.text(["not", "bad"], np.array([-0.4, 1.2]), form="ansi"))
    """
    OneOf(*_WRITERS).check("form", form)
    Text().check("separator", separator)
    if attribution is None:
        tokens, attribution = [ids_shown(row)[0] for row in np.asarray(inputs_of("attribution", tokens))], tokens
    attribution, of = told("attribution", attribution, of)
    palette = palette_of(of) if palette is None else palette
    values = numeric("attribution", attribution)
    if not isinstance(tokens, list | tuple | np.ndarray) or np.ndim(tokens if isinstance(tokens, np.ndarray) else [0]) != 1:
        raise ValueError(f"`tokens` must be a list of tokens, or a list of such lists. Received: {tokens!r:.80}")
    several = bool(len(tokens)) and all(isinstance(line, list | tuple | np.ndarray) for line in tokens)
    if not several:
        if values.ndim != 1 and values.shape[:1] != (1,):
            raise ValueError(
                "`attribution` must have the shape (tokens,), or (1, tokens), for one text, a list of tokens. Of "
                "several texts give a list of lists, such as `[line.split() for line in lines]`; of one with an embedding "
                f"`attribution[None]`. Received: shape {values.shape} for {len(tokens)} tokens"
            )
        tokens, values = [tokens], values[None] if values.ndim == 1 else values
    values = _reduced(values, reduce)
    if len(values) != len(tokens) or any(len(line) > values.shape[1] for line in tokens):
        raise ValueError(
            "`attribution` must hold a value for every token. "
            f"Received: {[len(line) for line in tokens]} tokens and attributions of shape {values.shape}"
        )
    scale, look = {"percentile": percentile, "gamma": gamma, "of": of}, {"palette": palette, "ground": ground}
    texts = [_one(line, row[: len(line)], form, separator, scale, look) for line, row in zip(tokens, values, strict=True)]
    return texts if several else texts[0]


def ids_shown(ids: Array) -> tuple[list[str], int]:
    """The ids of a text as tokens, without the zeros of its padding, and how many those are."""
    used = np.flatnonzero(np.asarray(ids) != 0)
    last = int(used[-1]) + 1 if len(used) else 1
    return [str(token) for token in np.asarray(ids)[:last]], len(ids) - last


def _reduced(values: Array, how: str) -> Array:
    if values.ndim not in (2, 3):
        raise ValueError(
            "`attribution` must have the shape (samples, tokens) or (samples, tokens, embedding). "
            f"Received: shape {values.shape}"
        )
    return values if values.ndim == 2 else reduce(values, how)


def _one(tokens: Sequence[Any], values: Array, form: str, separator: str, scale: dict[str, Any], look: dict[str, Any]) -> str:
    shades = colours(scaled(values[None], **scale)[0], **look)
    return _WRITERS[form](tokens, values, shades, separator)


def _is_dark(shade: Array) -> bool:
    return float(np.dot(shade, _LUMINANCE)) < 128


def _as_html(tokens: Sequence[Any], values: Array, shades: Array, separator: str) -> str:
    spans = [
        _HTML.format(
            ink="#fff" if _is_dark(shade) else "#000",
            r=shade[0],
            g=shade[1],
            b=shade[2],
            value=value,
            token=on_page(token),
        )
        for token, value, shade in zip(tokens, values, shades, strict=True)
    ]
    return f'<div style="font-family:sans-serif;line-height:1.7;white-space:pre-wrap">{on_page(separator).join(spans)}</div>'


def _as_ansi(tokens: Sequence[Any], _: Array, shades: Array, separator: str) -> str:
    return separator.join(
        _ANSI.format(
            ink="255;255;255" if _is_dark(shade) else "0;0;0", r=shade[0], g=shade[1], b=shade[2], token=printable(token)
        )
        for token, shade in zip(tokens, shades, strict=True)
    )


_WRITERS = {"html": _as_html, "ansi": _as_ansi}
