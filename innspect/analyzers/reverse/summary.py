"""What an analyzer decided, layer by layer."""

from typing import TYPE_CHECKING

from innspect.layers.base import ReverseLayer
from innspect.layers.program import Segment
from innspect.tables import Table

if TYPE_CHECKING:
    from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
    from innspect.analyzers.reverse.passes import Runs


class Summary:
    """The layers of an analyzer from input to output with their rules.

    Attributes:
        rows: Tuples of path, layer kind, rule, form.
    """

    def __init__(self, analyzer: "ReverseAnalyzer", program: "Runs"):
        self.title = f"{analyzer.name} on {analyzer.model.name}: {analyzer.form} form"
        self.rows: list[tuple[str, str, str, str]] = []
        for step in program.steps:
            if isinstance(step, ReverseLayer):
                notes = [step.rule.describe(step), "with its ReLU" if step.gated else ""]
                notes += ["batch normalization folded in"] if type(step.view).__name__ == "Folded" else []
                form = ", ".join(n for n in notes if n)
                self.rows.append((step.path, step.node.operation or step.node.kind, repr(step.rule), form))
            elif isinstance(step, Segment):
                self.rows += [(n.path, n.operation or n.kind, "Gradient()", "") for n in step.nodes]

    def __str__(self) -> str:
        return str(Table(["layer", "kind", "rule", "form"], self.rows, self.title, left=4))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return Table(["layer", "kind", "rule", "form"], self.rows, self.title, left=4).html()
