"""Pictures of attributions: positive red, negative blue, zero white."""

from innspect.visualize.colours import heatmap
from innspect.visualize.figures import grid
from innspect.visualize.html import explanation_html

__all__ = ["explanation_html", "grid", "heatmap"]
