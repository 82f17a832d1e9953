"""Pictures of attributions: positive red, negative blue, zero white.

Arrays or explanations in; arrays of bytes, matplotlib figures, or strings out; `to_pil` makes PIL images of the first two.
Every sample has a scale of its own, and nothing that is given is changed. Which scale and which palette suit a method is
decided in `palettes`.
"""

from innspect.visualize.charts import series, table
from innspect.visualize.colours import colours, heatmap, reduce, scaled
from innspect.visualize.concept_rows import concepts
from innspect.visualize.figures import grid
from innspect.visualize.forms import slices
from innspect.visualize.html import explanation_html
from innspect.visualize.images import overlay, pictures, signal, to_pil
from innspect.visualize.palettes import PALETTES, palette_of, scale_of
from innspect.visualize.showing import show
from innspect.visualize.tokens import text

__all__ = [
    "PALETTES",
    "colours",
    "concepts",
    "explanation_html",
    "grid",
    "heatmap",
    "overlay",
    "palette_of",
    "pictures",
    "reduce",
    "scale_of",
    "scaled",
    "series",
    "show",
    "signal",
    "slices",
    "table",
    "text",
    "to_pil",
]
