"""Arguments of iNNvestigate's classes that have no meaning here, with what replaces them."""

_OF_SIGNALS = "explain(at=...) returns signals, conservation() checks them"

# argument -> what is said; "" where nothing is to be said
REPLACED = {
    "allow_lambda_layers": "",  # accepted: Lambda layers are opened
    "bn_layer_rule": "batch normalization is folded or answered exactly",
    "bn_layer_fuse_mode": "batch normalization is folded or answered exactly",
    "reverse_project_bottleneck_layers": "maps keep the output's units, pictures are scaled when they are drawn",
}


def replacement(argument: str, more: dict[str, str]) -> str | None:
    """What is to be said of an argument that a method does not take; None where it is none of iNNvestigate's.

    Args:
        argument: Its name.
        more: As `REPLACED`, for one method.
    """
    if argument in more:
        return more[argument]
    return REPLACED.get(argument, _OF_SIGNALS if argument.startswith("reverse_") else None)
