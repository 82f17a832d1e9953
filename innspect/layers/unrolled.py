"""One cell's walk through all steps, forward and back.

With R what arrives at the state of a step (see `cells` for the names),

    s = made / stab(sum) R / stab(pre)        R(x) = x (W s)        R(h) = given (U s)        R(kept) = kept / stab(sum) R

The factors of R are known for all steps before the walk back, so that it is one small matrix product a step, and the
product with W is one for all steps.
"""

from typing import TYPE_CHECKING, Any

from keras import ops

from innspect import backend
from innspect.graph.views.cells import Cell
from innspect.layers.base import safe_divide, stabilised
from innspect.types import BackendTensor, Signals, Tensors

if TYPE_CHECKING:
    from innspect.layers.recurrent import Recurrent

Item = dict[str, BackendTensor]  # what one step is given, or keeps
Carry = tuple[BackendTensor, BackendTensor]  # the relevance of the state, and of the cell's sum
Back = tuple[BackendTensor, Tensors, BackendTensor | None]


class Walk:
    """One cell's way through all steps, forward, as its relevance needs it: (steps, batch, units) each."""

    def __init__(self, cell: Cell, xs: BackendTensor, states: Tensors, valid: BackendTensor | None):
        self.cell, self.xs, self.valid = cell, xs, valid
        step = cell.stepper()

        def advance(states: Tensors, item: Item) -> tuple[Tensors, Item]:
            new, saved = step(item["drive"], states)
            if valid is not None:
                new = [ops.where(item["valid"], a, b) for a, b in zip(new, states, strict=True)]
            return new, {**saved, "h": new[0]}

        items = {"drive": cell.drive(xs)} | ({} if valid is None else {"valid": valid})
        self.states, self.saved = backend.recur(advance, list(states), items)

    @property
    def hidden(self) -> BackendTensor:
        return self.saved["h"]


def send_back(rule: "Recurrent", walk: Walk, arriving: BackendTensor | None, given: Signals, _: bool) -> Back:
    """The relevance of a walk's input, its first states, and what arrived at the state of every step."""
    sums, units = rule.sums(walk), walk.cell.units
    part, items = 1.0, {"given": sums["given"]}
    if "sum" in sums:
        moved = stabilised(sums["sum"], rule.epsilon)
        part, items["keep"] = safe_divide(sums["made"], moved), safe_divide(sums["kept"], moved)
    new = safe_divide(part * ops.ones_like(sums["pre"]), stabilised(sums["pre"], rule.epsilon))
    if walk.valid is not None:
        items["valid"], new = walk.valid, ops.where(walk.valid, new, ops.zeros_like(new))
    items["sent"] = new
    if "inner" in sums:
        inner = sums["inner"]
        items["sent"] = new * sums["reset"] * safe_divide(inner, stabilised(inner, rule.epsilon))
    if arriving is not None:
        items["arriving"] = arriving
    back = ops.transpose(walk.cell.recurrent_kernel())

    def step(carry: Carry, item: Item) -> tuple[Carry, BackendTensor]:
        to_hidden, to_sum = carry
        if "arriving" in item:
            to_hidden = to_hidden + item["arriving"]
        total = to_hidden + to_sum
        hidden = item["given"] * backend.matmul(item["sent"] * total, back)
        kept = item["keep"] * total if "keep" in item else to_sum
        if "valid" in item:
            hidden, kept = ops.where(item["valid"], hidden, to_hidden), ops.where(item["valid"], kept, to_sum)
        return (hidden, kept), total

    carry, totals = backend.recur(step, _start(given, sums["given"][0], units), items, reverse=True)
    messages = backend.matmul(new * totals, ops.transpose(walk.cell.kernel()))
    return walk.xs * messages, _states(walk.cell, *carry), totals


def _start(given: Signals, like: BackendTensor, units: int) -> tuple[BackendTensor, BackendTensor]:
    """The relevance that arrives at the last states, h and the other."""
    ends = [ops.zeros((like.shape[0], units), like.dtype) if g is None else g for g in given]
    return (ends[0], ends[1] if len(ends) > 1 else ops.zeros_like(ends[0]))


def _states(cell: Cell, to_hidden: BackendTensor, to_sum: BackendTensor) -> Tensors:
    return [to_hidden, to_sum] if cell.states > 1 else [to_hidden + to_sum]


def send_back_all(rule: "Recurrent", walk: Walk, arriving: BackendTensor | None, given: Signals, zero_start: bool) -> Back:
    """As `send_back`, with what biases and stabilisers take shared among the units that enter each sum."""
    saved, units, features = walk.saved, walk.cell.units, walk.xs.shape[-1]
    beside, behind = walk.cell.biases()
    pre = saved["pre"]
    items = {"given": saved["given"], "over_pre": safe_divide(ops.ones_like(pre), stabilised(pre, rule.epsilon))}
    items["lost"] = stabilised(pre, rule.epsilon) - pre + (0 if beside is None else beside)
    live = items["live"] = _live(walk, zero_start)
    if "sum" in saved:
        moved = stabilised(saved["sum"], rule.epsilon)
        items["keep"], items["part"] = safe_divide(saved["kept"], moved), safe_divide(saved["made"], moved)
        items["slack"] = safe_divide(moved - saved["sum"], moved)
    if "inner" in saved:
        gated, moved = saved["reset"] * saved["inner"], stabilised(saved["inner"], rule.epsilon)
        items["lost"] = items["lost"] + (1 - live) * gated  # of no input, it is a bias
        items["gated"], items["over_inner"] = live * gated, safe_divide(ops.ones_like(moved), moved)
        items["lost_inner"] = moved - saved["inner"] + (0 if behind is None else behind)
    if walk.valid is not None:
        items["valid"] = walk.valid
    if arriving is not None:
        items["arriving"] = arriving
    back = ops.transpose(walk.cell.recurrent_kernel())

    def shared(tensor: BackendTensor, count: Any) -> BackendTensor:
        return ops.sum(tensor, axis=-1, keepdims=True) / count

    def step(carry: Carry, item: Item) -> tuple[Carry, Carry]:
        to_hidden, to_sum = carry
        if "arriving" in item:
            to_hidden = to_hidden + item["arriving"]
        live, made, kept = item["live"], to_hidden + to_sum, to_sum
        if "keep" in item:
            equal = shared(item["slack"] * made, units * (1 + live))
            made, kept = item["part"] * made + equal, item["keep"] * made + equal * live
        s = made * item["over_pre"]
        equal = shared(s * item["lost"], features + units * live)
        if "gated" in item:
            inner = (s * item["gated"] + equal * live) * item["over_inner"]
            hidden = item["given"] * backend.matmul(inner, back) + shared(inner * item["lost_inner"], units)
        else:
            hidden = item["given"] * backend.matmul(s, back) + equal * live
        if "valid" in item:
            hidden, kept = ops.where(item["valid"], hidden, to_hidden), ops.where(item["valid"], kept, to_sum)
            s, equal = (ops.where(item["valid"], t, ops.zeros_like(t)) for t in (s, equal))
        return (hidden, kept), (s, equal)

    carry, (s, equal) = backend.recur(step, _start(given, pre[0], units), items, reverse=True)
    return walk.xs * backend.matmul(s, ops.transpose(walk.cell.kernel())) + equal, _states(walk.cell, *carry), None


def _live(walk: Walk, zero_start: bool) -> BackendTensor:
    """1 where the state before a step is an input of it, 0 where it is the zeros that the layer starts with."""
    steps, batch = walk.xs.shape[:2]
    if not zero_start:
        return ops.ones((steps, batch, 1), walk.xs.dtype)
    valid = ops.ones((steps, batch, 1), "bool") if walk.valid is None else walk.valid
    return ops.cast(ops.cumsum(ops.cast(valid, "int32"), axis=0) - ops.cast(valid, "int32") > 0, walk.xs.dtype)
