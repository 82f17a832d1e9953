"""One map of an array as a PNG file: images and slices of volumes as they are, series, tables and tokens as figures."""

import importlib.util
import io

import numpy as np

from innspect.reports.pictures import enlarged
from innspect.tables import printable
from innspect.visualize import colours, palette_of
from innspect.visualize.forms import MOST_CURVES, picture_shades
from innspect.visualize.png import png
from innspect.visualize.tokens import ids_shown

_DOTS = 130  # an inch
_LONGEST = 2000  # steps of a strip


def picture(form, i, caption, settings):
    """The bytes of a PNG file.

    Args:
        form: A `Form`.
        i: Number of the sample.
        caption: What stands above a figure.
        settings: Of the method.
    """
    palette = palette_of(settings)
    if form.flat:
        return png(enlarged(colours(picture_shades(form)[i], palette)))
    shades = form.shades[i].reshape(len(form.shades[i]), -1)
    if importlib.util.find_spec("matplotlib") is None or shades.shape[1] > MOST_CURVES:
        return png(_strip(colours(shades[:: -(-len(shades) // _LONGEST)].T, palette)))
    figure = {"series": _series, "tokens": _tokens}.get(form.kind, _table)(form, i, printable(caption), palette, settings)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS)
    return buffer.getvalue()


def _strip(image):
    """Steps from left to right, channels downwards, each high and wide enough to be seen."""
    high, wide = (max(1, -(-least // n)) for n, least in zip(image.shape[:2], (96, 512), strict=True))
    return image.repeat(high, 0).repeat(wide, 1)


def _known(form, i):
    """The sample itself, where it has the map's positions."""
    fits = form.x is not None and form.x.shape[1:2] == form.values.shape[1:2] and form.x.dtype.kind in "fiub"
    return np.asarray(form.x[i], "float64").reshape(len(form.x[i]), -1) if fits else None


def _series(form, i, caption, palette, settings):
    from innspect.visualize import series

    values, attribution = _known(form, i), form.values[i]
    if values is None or attribution.shape[1] not in (1, values.shape[1]):
        values = np.zeros_like(attribution)
    attribution = attribution[:, 0] if attribution.shape[1] == 1 else attribution
    return series(values[None], attribution[None], of=settings, captions=[caption], palette=palette)


def _tokens(form, i, caption, palette, settings):
    from innspect.visualize.charts import words

    ids = form.x[i] if form.x is not None and form.x.shape == form.values.shape else np.arange(form.values.shape[1])
    shown, _ = ids_shown(ids)
    return words(shown, form.shades[i, : len(shown)], caption=caption, palette=palette)


def _table(form, i, caption, palette, settings):
    from innspect.visualize import table

    known, row = _known(form, i), form.values[i].reshape(1, -1)
    values = None if known is None or known.size != row.size else known.reshape(1, -1)
    return table(row, values=values, captions=[caption], most=24, palette=palette)
