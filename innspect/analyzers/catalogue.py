"""What is known of every method in a line: its family, its paper, and what it needs besides a model."""

from innspect.analyzers.registry import _ANALYZERS

# By the module that a method's class is defined in.
_FAMILIES = {
    "gradient": "gradient",
    "path": "averaged gradient",
    "noise": "averaged gradient",
    "signal": "signal",
    "pattern": "patterns",
    "lrp": "relevance propagation",
    "presets": "relevance propagation",
    "transformer": "relevance propagation",
    "deep_taylor": "Taylor decomposition",
    "taylor": "Taylor decomposition",
    "deep_lift": "difference to a reference",
    "cam": "class activation",
    "cam_guided": "class activation",
    "cam_path": "class activation",
    "cam_pooled": "class activation",
    "cam_scores": "class activation",
    "occlusion": "perturbation",
    "rise": "perturbation",
}

_BASELINES = ("input", "random")

# Names that stand for a rule with a paper of its own.
_PAPERS = {
    "excitation_backprop": "Zhang et al. 2016",
    "lrp.gamma": "Montavon et al. 2019",
    "lrp.w_square": "Montavon et al. 2017",
    "lrp.z_plus": "Montavon et al. 2017",
    "lrp.z_plus_fast": "Montavon et al. 2017",
    "lrp.flat": "Lapuschkin et al. 2019",
}

_NEEDS = {
    "cam": "global average pooling before a dense layer",
    "deep_shap": "background",
    "deep_taylor.bounded": "low, high",
    "lrp": "rule",
    "lrp.epsilon_gamma_box": "low, high",
    "pattern.attribution": "patterns",
    "pattern.net": "patterns",
}


def describe(name):
    """Family, paper and needs of a registered method; a class may say its own as `family`, `paper` and `needs`.

    Returns:
        A dict with the keys "name", "family", "paper" and "needs"; what is not known, or not needed, is "".
    """
    cls, _ = _ANALYZERS[name]
    ours = cls.__module__.startswith("innspect.analyzers.")
    module = cls.__module__.rpartition(".")[2]
    family = getattr(cls, "family", "") or ("baseline" if name in _BASELINES else _FAMILIES.get(module, "") if ours else "")
    needs = _NEEDS.get(name, "a layer with spatial axes" if family == "class activation" else "")
    return {
        "name": name,
        "family": family,
        "paper": _PAPERS.get(name, cls.paper),
        "needs": getattr(cls, "needs", "") or needs,
    }
