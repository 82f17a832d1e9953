"""What a method makes of a model before it runs: a graph, and a rule for each of its nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from innspect.graph.ir import Graph, Rewritten, Tensor
from innspect.graph.passes.nonnegativity import nonnegative
from innspect.layers.rule_table import Rows, RuleTable


@dataclass(frozen=True)
class Plan:
    """What a method makes of a model: a graph, and the rules of its nodes.

    Attributes:
        written: The `Rewritten` graph that signals are sent through.
        table: The `RuleTable`.
        nonnegative: The tensors proven to be >= 0.
    """

    written: Rewritten
    table: RuleTable
    nonnegative: frozenset[Tensor]

    @classmethod
    def of(cls, written: Rewritten, rows: Rows) -> "Plan":
        return cls(written, RuleTable(rows), frozenset(nonnegative(written.graph)))

    @property
    def graph(self) -> Graph:
        return self.written.graph

    def rewritten(self, rewrite: Callable[..., Rewritten], *args: Any) -> "Plan":
        """The plan for a graph that another pass makes of its own."""
        return Plan.of(self.written.then(rewrite, *args), self.table.rows)
