"""Rules as a table: rows of a condition on a node and a rule, of which the first that holds decides.

A method's table can be printed, read, combined with others (`table + table`) and put before another method's own, for every
kind of node: layers with kernels, additions, pooling, activations, products.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras

from innspect.errors import suggest
from innspect.graph.capture.operations import OPERATIONS
from innspect.graph.ir import KINDS, Graph, Node
from innspect.graph.views.ids import Lookup
from innspect.layers.base import Rule
from innspect.layers.names import RuleLike, make_rule
from innspect.layers.weightless import Passed
from innspect.tables import Table

_FAMILIES = ("convolution", "dense")
_OF_IDS = Passed()


@dataclass(frozen=True)
class When:
    """A condition on a node, with the words that a table prints for it."""

    text: str
    holds: Callable[[Node], Any]

    def __call__(self, node: Node) -> bool:
        return bool(self.holds(node))


class Word(When):
    """A condition given as a word: a name, or a sort of node."""


@dataclass(frozen=True)
class Made:
    """A rule that depends on the node: a function from a node to its rule, or to None where it has none."""

    text: str
    function: Callable[[Node], Rule | None]

    def __call__(self, node: Node) -> Rule | None:
        return self.function(node)


def kind(name: str) -> When:
    """The condition that a node is of a kind."""
    return When(name, lambda node: node.kind == name)


anything = When("anything else", lambda node: True)


def relevance_rule(node: Node) -> Rule | None:
    """The rule in relevance form that a node brings: its layer's class was registered with it, or it gives ids. Or None."""
    return _brought(node, "relevance_rule")


def gradient_rule(node: Node) -> Rule | None:
    """As `relevance_rule`, in gradient form."""
    return _brought(node, "gradient_rule")


def _brought(node: Node, form: str) -> Rule | None:
    return _OF_IDS if isinstance(node.view, Lookup) else getattr(node.view, form, None)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        when: The `When`.
        rule: A `Rule`, or a function from a node to one.
    """

    when: When
    rule: Rule | Callable[[Node], Rule | None]

    def of(self, node: Node) -> Rule | None:
        """The rule for a node, or None, also where the rule is not for its kind."""
        if not self.when(node):
            return None
        rule = self.rule if isinstance(self.rule, Rule) else self.rule(node)
        return rule if rule is None or node.kind in (rule.kinds or KINDS) else None


Condition: TypeAlias = str | type[keras.Layer] | When | Callable[[Node], Any]


class RuleTable:
    """Rules in the order in which they are tried.

    Args:
        rows: Pairs of a condition and a rule. A condition is a string: the path or name of a layer or node, "convolution"
            or "dense", a kind of node ("affine", "sum", "pass", "reindex", "winner", "product", ...) or the name of a
            Keras layer or operation ("Add", "MaxPool", "Softmax"); a Keras layer class; or a function from a node to
            whether it holds. A rule is a `Rule`, or a function from a node to one, or to None, which leaves the node to
            the rows below.

    Examples:
        >>> table = RuleTable([("Add", Proportional(0.1)), ("block1_conv1", "Flat")])
        >>> innspect.create_analyzer("lrp.epsilon", model, rules=table)
    """

    def __init__(self, rows: "Rows" = ()):
        if not isinstance(rows, Iterable):
            raise TypeError(f"`rules` must be a `RuleTable`, or pairs of a condition and a rule. Received: {rows!r}")
        self.rows: tuple[Row, ...] = tuple(map(_row, rows))

    def rule_of(self, node: Node) -> Rule | None:
        """The rule of the first row that has one for the node, or None."""
        return next((rule for row in self.rows if (rule := row.of(node)) is not None), None)

    def __add__(self, other: "Rows") -> "RuleTable":
        return RuleTable([*self.rows, *RuleTable(other).rows])

    def __radd__(self, other: "Rows") -> "RuleTable":
        return RuleTable(other) + self

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _table(self) -> Table:
        return Table(["where", "rule"], [[row.when.text, _shown(row.rule)] for row in self.rows], left=2)

    def __str__(self) -> str:
        return str(self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table().html()


Rows: TypeAlias = RuleTable | Iterable[Row | tuple[Condition, RuleLike | Callable[[Node], Rule | None]]]


def _shown(rule: Rule | Callable[[Node], Rule | None]) -> str:
    if isinstance(rule, Rule | Made):
        return rule.text if isinstance(rule, Made) else repr(rule)
    return getattr(rule, "__name__", type(rule).__name__).strip("_").replace("_", " ")


def _rule(rule: Any) -> Rule | Callable[[Node], Rule | None]:
    return rule if isinstance(rule, Rule) or (callable(rule) and not isinstance(rule, type)) else make_rule(rule, "rules")


def _row(given: Any) -> Row:
    if isinstance(given, Row):
        return given
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"`rules` must hold pairs of a condition and a rule. Received: {given!r}")
    return Row(_when(given[0]), _rule(given[1]))


def _when(condition: Condition) -> When:
    if isinstance(condition, When):
        return condition
    if isinstance(condition, str):
        return Word(condition, lambda node: condition in {*names_of(node), *sorts_of(node)})
    if isinstance(condition, type) and issubclass(condition, keras.Layer):
        return When(condition.__name__, lambda node: isinstance(node.layer, condition))
    if callable(condition):
        return When(getattr(condition, "__name__", "a function").strip("<>"), condition)
    raise TypeError(
        "A condition of a rule must be a string, a Keras layer class, or a function of a node. "
        f"Received: {condition!r} in `rules`"
    )


def names_of(node: Node) -> list[str]:
    """What may name a node: its path, its layer's path, its layer's name."""
    parts = node.path.split("/")
    layer = getattr(node.layer, "name", None)
    return [node.path, "/".join(parts[:-1]), parts[-1]] + ([layer] if layer else [])


def sorts_of(node: Node) -> set[str]:
    """The words for what a node is: its family, kind, operation, and its layer's class."""
    family = getattr(node.view, "family", None) if node.kind == "affine" else None
    layer = type(node.layer).__name__ if node.layer is not None else None
    return {word for word in (family, node.kind, node.operation, layer) if word}


def rows_for(table: Rows, graph: Graph) -> tuple[Row, ...]:
    """The rows of a table with the words of their conditions read for one model, where a name goes before a sort.

    Raises:
        ValueError: A word means nothing, for this model nor for any other; near matches are offered.
    """
    names = {name for node in graph.nodes for name in names_of(node)}
    sorts = {word for node in graph.nodes for word in sorts_of(node)} | set(_FAMILIES) | KINDS | OPERATIONS | _layer_names()

    def read(row: Row) -> Row:
        word = row.when.text
        if not isinstance(row.when, Word):
            return row
        own = {node.path for node in graph.nodes if word in (node.path, getattr(node.layer, "name", None))}
        if word in names:  # of a layer that was opened, every step
            return Row(When(repr(word), lambda node: node.path in own if own else word in names_of(node)), row.rule)
        if word in sorts:
            return Row(When(word, lambda node: word in sorts_of(node)), row.rule)
        raise ValueError(f"No layer, kind or operation is called {word!r}, as `rules` say. {suggest(word, names | sorts)}")

    return tuple(map(read, RuleTable(table).rows))


def _layer_names() -> set[str]:
    return {name for name in dir(keras.layers) if isinstance(getattr(keras.layers, name), type)}
