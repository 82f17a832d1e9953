"""The signal family: what in the input the network reacted to."""

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.gradient import prescribed
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.graph.views.activations import Rectifier, Unopened
from innspect.layers.gradient import Gradient, Rectified
from innspect.layers.rule_table import Made, When, anything, kind
from innspect.layers.weightless import WinnerOfAxes, WinnerOfOperands

rectifier = When("ReLU", lambda node: isinstance(node.view, Rectifier))


def rectified_rows(guided):
    """The gradient with another rule at every ReLU, whether it is a layer, a fused activation or an operation."""
    return [
        *prescribed(),
        (rectifier, Rectified(guided)),
        (kind("winner"), Made("winner takes all", winner_rule)),
        (anything, Made("Gradient(), of what can be seen", _seen)),
    ]


def _seen(node):
    """The gradient; no rule for what may hide a ReLU."""
    return None if isinstance(node.view, Unopened) else Gradient()


class _RectifiedAnalyzer(ReverseAnalyzer):
    """The gradient with another rule at every ReLU.

    Args:
        start: "value" seeds the explained value, "one" seeds 1.
    """

    family = "signal"
    rates = True
    default_start = "value"
    guided = False

    def rows(self, graph):
        return rectified_rows(self.guided)


def winner_rule(node):
    """The rule by which the winner takes all, the first on ties, or None for other nodes and for pooling windows.

    Windows are left to the gradient, which gives all to the first winner on every backend.
    """
    if node.kind != "winner" or node.operation in ("MaxPool", "AdaptiveMaxPool"):
        return None
    return WinnerOfOperands() if node.view is None else WinnerOfAxes()


def winner_or_gradient(node):
    """`winner_rule`, or the gradient."""
    return winner_rule(node) or Gradient()


@register_analyzer("deconvnet")
class Deconvnet(_RectifiedAnalyzer):
    """DeconvNet (Zeiler and Fergus 2014): only positive signals pass a ReLU, whatever its input was."""

    paper = "Zeiler and Fergus 2014"


@register_analyzer("guided_backprop")
class GuidedBackprop(_RectifiedAnalyzer):
    """Guided backpropagation (Springenberg et al. 2014): only positive signals pass, and only an open ReLU."""

    paper = "Springenberg et al. 2014"
    guided = True
