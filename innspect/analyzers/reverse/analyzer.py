"""Methods that send a signal back through the model: a plan of rules, and passes that are compiled from it."""

import functools
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.concepts import one_by_one
from innspect.analyzers.base.request import Batch, Request, Result, few_at_once
from innspect.analyzers.reverse.concepts import found_in_one_run
from innspect.analyzers.reverse.passes import Pass, Passage, Runs, tensors_at
from innspect.analyzers.reverse.plan import Plan
from innspect.analyzers.reverse.refusals import no_rule
from innspect.checks import Elsewhere, OneOf
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.activity import sends_nothing
from innspect.graph.heads import is_head, without_head
from innspect.graph.ir import Graph, Node, Rewritten, Tensor, is_float
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.passing import Passing
from innspect.inputs.sites import UnitSite
from innspect.inputs.targets import weighed
from innspect.layers.base import Rule
from innspect.layers.guarded import Guarded, numbers
from innspect.layers.program import Program, per_sample
from innspect.layers.rule_table import Made, Row, Rows, RuleTable, anything, rows_for
from innspect.layers.weightless import Proportional
from innspect.types import BackendTensor, Nest

if TYPE_CHECKING:
    from innspect.analyzers.reverse.summary import Summary


class ReverseAnalyzer(Analyzer):
    """Base of the methods that send a signal back through the model.

    Args:
        head: "logit" explains what a final softmax or sigmoid is given; "output" what it returns.
        start: "value" seeds the explained value itself, "one" seeds 1, None what the method prescribes.
        rules: Rules of one's own, a `RuleTable` or pairs of a condition and a rule, which are tried before the method's; see
            `innspect.layers.rule_table`.

    Attributes:
        form: "relevance" or "gradient": what the signal is, and so the rules.
        composable: Whether `attributed` is the whole method, so that it can be asked at many points in one compiled call. A
            class that overrides `explain_batch` is not, unless it says so.
    """

    form: str = "gradient"
    default_head: str = "logit"
    default_start: str = "one"
    conserves: bool = False
    composable: bool = True
    one_graph = True
    masks = True
    takes: type[Rule] = Rule
    ranges = {"head": OneOf("logit", "output"), "start": OneOf("value", "one"), "rules": Elsewhere("RuleTable")}

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "explain_batch" in own:
            cls.composable, cls.one_graph = own.get("composable", False), own.get("one_graph", False)
            cls.masks = own.get("masks", False)

    def __init__(
        self,
        model: keras.Layer | OpenedModel,
        *,
        head: str | None = None,
        start: str | None = None,
        rules: Rows | None = None,
        **arguments: Any,
    ):
        super().__init__(model, **arguments)
        self.head = self.default_head if head is None else head
        self.start = self.default_start if start is None else start
        self.rules = rules
        self._passes: dict[Hashable, Pass] = {}
        self.guards = False  # whether this is what `guarded` made

    def ready(self) -> None:
        """Raise, for the first output's reason, where the method can explain none of the model's outputs."""
        self.opened.verify()
        problems = []
        for number in range(len(self.opened.graph.outputs)):
            try:
                return self.check_output(number)
            except (KeyError, ValueError) as problem:
                problems.append(problem)
        raise problems[0]

    def check_output(self, output: int | str) -> None:
        self.rules_for(self._output_number(output))

    # ------------------------------------------------------------------ what a method decides
    def rewrite(self, graph: Graph) -> Rewritten:
        """The graph that rules are given to, as a `Rewritten`."""
        return Rewritten(graph)

    def rows(self, graph: Graph) -> Rows:
        """The rows of the method's `RuleTable` for a graph; a node without a rule is refused."""
        return [(anything, Made(type(self).__name__, self.rule))]

    def rule(self, node: Node) -> Rule | None:
        """In the place of `rows`: the rule of a node that a signal flows through, or None where the method has none."""
        raise NotImplementedError(f"`{type(self).__name__}` must have `rule` or `rows`, as docs/extending.md tells.")

    def seed(self, weights: BackendTensor, y: BackendTensor) -> BackendTensor:
        """The signal at the explained tensor."""
        return weighed(weights, y) if self.start == "value" else weights

    def finish(self, signal: BackendTensor, x: BackendTensor) -> BackendTensor:
        """The attribution of one input from the signal that arrived there."""
        return signal

    def program(self, graph: Graph, output: Tensor, rules: Mapping[Node, Rule], /, **settings: Any) -> Runs:
        """The `Program` that runs a graph."""
        return Program(graph, output, rules, **settings)

    # ------------------------------------------------------------------ the plan
    @functools.cached_property
    def plan(self) -> Plan:
        """The `Plan` for the model."""
        written = self.rewrite(self.opened.graph)
        return Plan.of(written, [*self.given_rows, *self.rows(written.graph)])

    @property
    def table(self) -> RuleTable:
        """The rules for this model, in the order in which they are tried: a `RuleTable`, which prints itself."""
        return self.plan.table

    @functools.cached_property
    def given_rows(self) -> tuple[Row, ...]:
        """The rows of the user's own rules."""
        rows = rows_for(() if self.rules is None else self.rules, self.opened.graph)
        for row in rows:
            rule = row.rule
            if isinstance(rule, Rule) and not (isinstance(rule, self.takes) and rule.form == self.form):
                raise ValueError(
                    f"`rules` of {self.name!r} must be in {self.form} form, a `{self.takes.__name__}` of "
                    f"`innspect.layers`. Received: {rule!r}, in {rule.form} form"
                )
        return rows

    def _explained(self, number: int) -> Tensor:
        tensor = self.opened.graph.outputs[number]
        return without_head(self.opened.graph, tensor) if self.head == "logit" else tensor

    def rules_for(self, number: int, plan: Plan | None = None) -> dict[Node, Rule]:
        """Dict from every node that a signal flows through, for an output, to its rule.

        Raises:
            NotAnalyzeableModelError: A node has none; or no signal reaches an input.
        """
        plan, explained = plan or self.plan, self._explained(number)
        if self.head == "logit" and number in self.opened.hidden_softmax:
            raise NotAnalyzeableModelError(
                f"The layer {self.opened.hidden_softmax[number]!r} at the end of the model returns probabilities, but its "
                "softmax cannot be seen, so it cannot be stripped. Write it with `keras.ops.softmax` or a Softmax layer, or "
                'explain the probabilities with head="output".'
            )
        if explained not in plan.graph.active:
            name = f"The output {self.opened.output_names[number]!r} of the model {self.model.name!r}"
            raise NotAnalyzeableModelError(name + sends_nothing(self.opened.graph, explained))
        nodes = plan.graph.ancestors([explained])
        rules: dict[Node, Rule] = {}
        for node in nodes:
            if node.kind == "constant":
                continue
            rule = plan.table.rule_of(node)
            if rule is None and not self.disable_model_checks:
                raise NotAnalyzeableModelError(self._no_rule(node))
            rules[node] = rule or Proportional()
        return rules

    def _no_rule(self, node: Node) -> str:
        return no_rule(self.name, self.opened, node)

    # ------------------------------------------------------------------ passes
    def way(self, request: Request) -> Pass:
        """The `Pass` for a request's output and layers; it is made once."""
        sites = tuple((p.path, p.sites) for p in request.through)
        return self._kept((request.output, request.at, sites), self.make_pass, request.output, request.at, None, dict(sites))

    def _kept(self, key: Hashable, make: Callable[..., Pass], *arguments: Any) -> Pass:
        """The pass of a key, made when it is first asked for."""
        if key not in self._passes:
            self._passes[key] = make(*arguments)
        return self._passes[key]

    def make_pass(
        self,
        number: int,
        at: Iterable[Any] = (),
        plan: Plan | None = None,
        through: Mapping[str, tuple[UnitSite, ...]] = types.MappingProxyType({}),
    ) -> Pass:
        """A `Pass` for an output that stops, too, at some layers, and whose signals must pass some, each at its sites."""
        plan = plan or self.plan
        layers = {path: [self._stand_in(t, plan) for t in tensors_at(self.opened, path)] for path in at}
        passed = {path: ([self._stand_in(s.tensor, plan) for s in sites], sites[0]) for path, sites in through.items()}
        stops = [t for tensors in (*layers.values(), *(tensors for tensors, _ in passed.values())) for t in tensors]
        program = self.make_program(number, list(dict.fromkeys(stops)), plan)
        return Pass(program, self.variables, self._head(number), layers, passed)

    def make_program(self, number: int, stops: list[Tensor], plan: Plan) -> Runs:
        """The program of an output, with signals at some tensors."""
        rules = self.rules_for(number, plan)
        return self.program(
            plan.graph,
            self._explained(number),
            {node: Guarded(rule) for node, rule in rules.items()} if self.guards else rules,
            nonnegative=plan.nonnegative,
            keep=stops,
            seed_support=self.start == "value",
        )

    def guarded(self) -> "ReverseAnalyzer | None":
        return None if self.guards else self._guarded

    @functools.cached_property
    def _guarded(self) -> "ReverseAnalyzer":
        made = type(self)(self.opened, **self.get_config())
        made.set_state(self.state())
        made.guards = True
        return made

    @property
    def variables(self) -> list[keras.Variable]:
        """What the passes read."""
        return self.opened.variables()

    def _head(self, number: int) -> Callable[[BackendTensor], BackendTensor] | None:
        """A function from the explained tensor to the model's own output."""
        output = self.opened.graph.outputs[number]
        if output is self._explained(number):
            return None
        head = self.opened.graph.producers[output]
        return lambda y: head(y)[0]

    def _stand_in(self, tensor: Tensor, plan: Plan) -> Tensor:
        """The tensor of a plan's graph that carries the signal of one of the model's."""
        graph = self.opened.graph
        explained, node = {self._explained(i) for i in range(len(graph.outputs))}, graph.producer(tensor)
        if is_head(node) and node.inputs[0] in explained:  # behind the head there is no signal
            return node.inputs[0]
        return plan.written.find(tensor)

    def summary(self, output: int | str = 0) -> "Summary":
        """The rule, and the form of it, that was chosen for every layer: a table that prints itself."""
        from innspect.analyzers.reverse.summary import Summary

        number = self._output_number(output)
        return Summary(self, self._kept((number, (), ()), self.make_pass, number).program)

    # ------------------------------------------------------------------ running
    def concepts_found(self, x: Nest, asked: Asked, layer: Passing, top: int) -> dict[str, Any]:
        find = found_in_one_run if self.composable else one_by_one
        return find(self, x, asked, layer, top)

    @few_at_once
    def explain_batch(self, batch: Batch) -> Result:
        return self.way(batch.request).explain(batch, self.attributed)

    def attributed(self, passage: Passage, weights: BackendTensor) -> Result:
        """What one target's signal tells: "attributions", one for each input, and "delta" and "signals".

        Args:
            passage: A `Passage`.
            weights: Of the elements of the explained tensor.
        """
        seed = self.seed(weights, passage.y)
        signals = passage.back(seed)
        arrived = passage.at_inputs(signals)
        numbers = [self._as_number(t, x) for t, x in zip(self.opened.graph.inputs, passage.xs, strict=False)]
        result: Result = {"attributions": [self.finish(s, x) for s, x in zip(arrived, numbers, strict=False)]}
        if self.conserves:
            result["delta"] = sums(seed) - sum(sums(s) for s in arrived)
        if passage.request.at:
            result["signals"] = passage.at_layers(signals)
        return result

    def _as_number(self, tensor: Tensor, x: BackendTensor) -> BackendTensor:
        """Ids as integers, also those given as fractions or strings; all else, such as pixels, in floating point."""
        if self.opened.takes_ids(tensor):
            return ops.cast(x, "int32") if is_float(x.dtype) else x
        x = x if is_float(x.dtype) else ops.cast(x, self.opened.dtype)
        return numbers(x) if self.guards else x


def sums(tensor: BackendTensor) -> BackendTensor:
    """Sums over everything but the samples: (batch,)."""
    return per_sample(tensor, tensor.shape[0])
