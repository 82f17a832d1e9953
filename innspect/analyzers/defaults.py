"""Which methods to begin with: what suits a model, in the order in which it is tried.

Measured on a network of each sort, by how well maps foretell what the output does when parts of the input are hidden
(docs/choosing.md, made by benchmarks/choosing.py): first what won there, the best of each family, then what is well known.
"""

from typing import Any

import keras

from innspect.analyzers.base.registry import create_analyzer
from innspect.graph.opened.opened_model import OpenedModel, opened_if_possible
from innspect.inputs.predictor import black_box
from innspect.types import Nest

COUNT = 4  # so many methods side by side can still be looked at

# Where one does not apply, the next one takes its place.
SUITED = {
    "attention": ("integrated_gradients", "lrp.alpha_1_beta_0", "lrp.attention", "grad_cam", "input_t_gradient", "gradient"),
    "recurrent": ("integrated_gradients", "lrp.epsilon", "hires_cam", "input_t_gradient", "gradient"),
    "image": ("grad_cam", "lrp.epsilon_plus", "deep_lift", "integrated_gradients", "input_t_gradient", "gradient"),
    "series": ("deep_lift", "lrp.gamma", "integrated_gradients", "input_t_gradient", "grad_cam", "gradient"),
    "text": ("integrated_gradients", "lrp.gamma", "deep_lift", "input_t_gradient", "gradient"),
    "table": ("integrated_gradients", "deep_lift", "input_t_gradient", "lrp.epsilon_alpha_2_beta_1", "lrp.epsilon", "gradient"),
    "function": ("occlusion", "rise"),
}


def default_methods(model: Any, x: Nest | None = None, *, output: int | str = 0) -> list[str]:
    """The names of a few methods that suit a model and that it allows: what reports, comparisons and callbacks begin with.

    Args:
        model: A built Keras model, what `innspect.open_model` made of it, or a function from inputs to outputs.
        x: Inputs as for `analyze`; only for a function, whose maps have spatial axes where its inputs are images.
        output: Number or name of the output that is to be explained.

    Returns:
        At most four names.

    Raises:
        ValueError: The model allows none; the message has the first one's reason.

    Examples:
        >>> for name in innspect.default_methods(model, x):
        ...     maps = innspect.create_analyzer(name, model).analyze(x)
    """
    opened = opened_if_possible(model) if isinstance(model, keras.Layer | OpenedModel) else model
    fitting: list[str] = []
    problem: ValueError | None = None
    for name in _suited(opened, x):
        if len(fitting) == COUNT:
            break
        try:
            create_analyzer(name, opened).check_output(output)
        except ValueError as reason:  # no rule for a layer, or no layer with spatial axes
            problem = problem or reason
            continue
        fitting.append(name)
    if problem is not None and not fitting:
        raise problem
    return fitting


def _suited(model: Any, x: Nest | None) -> tuple[str, ...]:
    if isinstance(model, OpenedModel):
        return SUITED[kind_of(model)]
    images = x is not None and any(a.ndim >= 4 for a in black_box(model).inputs(x).arrays)
    return SUITED["function"] if images else SUITED["function"][:1]


def kind_of(opened: OpenedModel) -> str:
    """What sort of network a model is: "attention", "recurrent", "image", "series", "text" or "table"."""
    graph = opened.graph
    heads = {graph.producer(t) for t in graph.outputs}
    kinds = {node.kind for node in graph.nodes if node not in heads}
    for kind, sort in (("softmax", "attention"), ("recurrent", "recurrent")):
        if kind in kinds:
            return sort
    if any(opened.takes_ids(t) for t in graph.inputs):
        return "text"
    if any(node.kind == "affine" and node.view.family == "convolution" for node in graph.nodes):
        return "image" if any(len(t.shape) >= 4 for t in graph.inputs) else "series"
    return "table"
