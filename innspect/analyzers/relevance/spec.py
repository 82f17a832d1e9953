"""The rule argument of "lrp" in every form: one rule, a mapping, a rule for each layer, or rules with conditions."""

import inspect

from innspect.analyzers.relevance.composites import Composite, layer_key, layer_order, until_layer
from innspect.layers.base import Rule
from innspect.layers.names import make_rule, rule_beside, settings_beside, settings_of
from innspect.layers.rule_table import names_of


def composite_of(rule, first, until_index, until_rule, settings):
    """The `Composite` of the arguments of "lrp"; the `settings` go to the rules that take them."""
    if rule is None:
        raise ValueError(
            "`rule` must be given: a rule's name, a `Rule` class or instance, a mapping, or a list. Received: None"
        )
    beside = {
        "first": rule_beside(first, settings, "input_layer_rule"),
        "until": until_layer(until_index, until_rule, settings),
    }
    if _is_list(rule):
        # Epsilon is for what a list does not speak of: recurrent layers, and the second half of a separable first layer.
        return Composite(default=make_rule("Epsilon", **settings), listed=_listed(rule, settings), **beside)
    mapping = dict(rule) if isinstance(rule, dict) else {"default": rule}
    default = mapping.pop("default", None)
    return Composite(
        default=make_rule(default if default is not None else "Epsilon", **settings),
        convolution=rule_beside(mapping.pop("convolution", None), settings),
        dense=rule_beside(mapping.pop("dense", None), settings),
        named={name: rule_beside(r, settings) for name, r in mapping.items()},
        **beside,
    )


def rules_in_use(rule, first, until_rule):
    """What is given as a rule anywhere, with the names of the settings that it takes there: a list of pairs."""
    beside = [first, until_rule]
    if _is_list(rule):
        main = ["Epsilon", *([r for _, r in rule] if _are_pairs(rule) else rule)]
    else:
        mapping = dict(rule) if isinstance(rule, dict) else {"default": rule}
        default = mapping.pop("default", None)
        main, beside = ["Epsilon" if default is None else default], [*beside, *mapping.values()]
    return [(r, settings_of(r)) for r in main] + [(r, settings_beside(r)) for r in beside if r is not None]


def is_in_order(rule):
    """Whether rules are given as a list with one for each layer."""
    return _is_list(rule) and not _are_pairs(rule)


class InOrder:
    """One rule for each kernel layer, in the model's order; those that the input's rule serves may be left out."""

    def __init__(self, rules):
        self.rules = rules

    def assign(self, nodes, served):
        order = layer_order(nodes)
        rest = [key for key in order if key not in served]
        layers = list(order) if len(self.rules) == len(order) else rest
        if len(self.rules) != len(layers):
            names = list(dict.fromkeys(names_of(n)[-1] for n in nodes))
            less = f", or {len(rest)} less those that `input_layer_rule` serves" if served else ""
            raise ValueError(
                f"`rule` as a list must hold a rule for each of the {len(order)} kernel layers {names}{less}. "
                f"Received: {len(self.rules)} rules"
            )
        return dict(zip(layers, self.rules, strict=True))


class ByCondition:
    """(condition, rule) pairs: a layer gets the rule of the first condition that holds for it."""

    def __init__(self, pairs):
        self.pairs = pairs

    def assign(self, nodes, served):
        rules = {}
        for node in nodes:
            found = next((rule for holds, rule in self.pairs if holds(node.layer)), None)
            if found is None and layer_key(node) not in served:
                raise ValueError(
                    f"`rule` must have a condition that holds for every kernel layer; a last pair (lambda layer: True, "
                    f"'Epsilon') serves the rest. Received: none that holds for {node.path!r}"
                )
            rules[layer_key(node)] = found
        return rules


def _is_list(rule):
    """A list of rules or pairs; two numbers or arrays are the bounds of one rule."""
    return isinstance(rule, list | tuple) and not (len(rule) == 2 and all(_is_bound(r) for r in rule))


def _is_bound(value):
    return value is None or hasattr(value, "__array__") or isinstance(value, int | float | list)


def _listed(rules, settings):
    if not rules:
        raise ValueError(f"`rule` as a list must not be empty. Received: {rules!r}")
    if _are_pairs(rules):
        return ByCondition([(_of_layer(holds), make_rule(r, **settings)) for holds, r in rules])
    if any(map(_is_pair, rules)):
        raise ValueError(f"`rule` must be a list of rules or a list of (condition, rule) pairs. Received: a mix, {rules!r}")
    return InOrder([make_rule(r, **settings) for r in rules])


def _are_pairs(rules):
    return all(map(_is_pair, rules))


def _is_pair(rule):
    return isinstance(rule, tuple) and len(rule) == 2 and callable(rule[0]) and not isinstance(rule[0], type | Rule)


def _of_layer(condition):
    """The condition as a function of the layer; those of iNNvestigate 1 take a state besides."""
    try:
        inspect.signature(condition).bind(None)
    except TypeError:
        return lambda layer: condition(layer, {"layer": layer})
    return condition
