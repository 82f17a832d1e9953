"""Values that no argument expects, and what has to happen to them."""

import re

import numpy as np

NAN, INF = float("nan"), float("inf")
HOSTILE = {
    "nan": NAN, "inf": INF, "-1": -1, "2**70": 2**70, "1e300": 1e300, "nonsense": "nonsense", "None": None, "[]": [],
    "object": object(), "dict": {}, "array of nan": np.full((2, 8, 8, 1), NAN, "float32"), "strings": ["a", "b"],
    "complex": 1j, "bytes": b"x", "ragged": [[1], [1, 2]], "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
}  # fmt: skip

# What a value is that is given in an argument's place: a pair of bounds for a rule, a name for a list of methods.
NAMED_AS = {"methods": "methods|analyzer", **dict.fromkeys(("rule", "first", "input_layer_rule"), r"\w*rule|first|low|high")}


def swallows(name, call):
    """Why an outcome is neither a result nor an error of innspect's own that names the argument, or None."""
    try:
        call()
    except (TypeError, ValueError, KeyError, FileNotFoundError) as error:
        text, own = str(error), _raised_by_us(error)
        missing = isinstance(error, FileNotFoundError) and name in ("patterns", "labels")
        named = missing or re.search(rf"\b({NAMED_AS.get(name, re.escape(name))})\b", text)
        return None if own and named else f"{name}: {type(error).__name__}: {text[:120]}"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {str(error)[:120]}"
    return None


def _raised_by_us(error):
    """Whether the last line before an error is innspect's own."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return "innspect" in trace.tb_frame.f_globals.get("__name__", "").split(".")[0]
