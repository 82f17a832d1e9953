"""What is known of a method: on its class, since a method is one class.

Attributes of a class say what family it is of, whose paper it follows, what it needs besides a model, in which range its
arguments are, and which arguments ask for little work. Where that depends on the arguments, it is a property or a function of
them.
"""

import types
from typing import Any

from innspect.analyzers.base.config import Configured
from innspect.checks import Boolean, Elsewhere, OneOf, Range, Text
from innspect.inputs.targets import MODES
from innspect.types import Nest


class Facts(Configured):
    """Base of `Analyzer`: what is known of a method.

    Attributes:
        family: Such as "relevance propagation"; methods are listed by it.
        paper: Authors and year.
        needs: What must be given, or what the model must have; "" for nothing.
        ranges: Dict from argument to a `Range` of `innspect.checks`, for those of the class itself: every argument has one.
            None passes where it is the default.
        small: Arguments that ask for little work, for those of the class itself.
        scale: How pictures scale a map: "pixels", whose few largest values are cut off; "regions", smooth or of patches, as
            it is; "above_lowest", what is above the lowest value.
        replaced: Dict from arguments that iNNvestigate's class of this method takes, and it does not, to what replaces them.
        moves_inputs: Whether it multiplies with what an input holds, or moves it, which ids do not allow.
        linear_seed: Whether it starts from a weighted sum of outputs, or of their values, as `contrast` asks.
        masks: Whether it sends signals back that `through` can mask.
        one_graph: Whether `explain_batch` is a single graph of tensors, so that it can be exported.
    """

    family: str = ""
    paper: str = ""
    needs: str = ""
    ranges: dict[str, Range] = {
        "name": Text(),
        "neuron_selection_mode": OneOf(*MODES),
        "disable_model_checks": Boolean(),
        "labels": Elsewhere("innspect.labels.read"),
    }
    small: dict[str, Any] = {}
    scale: str = "pixels"
    replaced: dict[str, str] = {}
    moves_inputs: bool = False
    linear_seed: bool = True
    masks: bool = False
    one_graph: bool = False

    @property
    def signed(self) -> bool:
        """Whether the sign of a map's values tells something, with these arguments: for or against."""
        return True

    @property
    def rates(self) -> bool:
        """Whether a map says how much the output answers to a change of each element, as gradients do, not what it adds."""
        return False

    @classmethod
    def told_with(cls, fact: str, **arguments: Any) -> Any:
        """`signed` or `scale` of an analyzer with these arguments, all of them, without making one."""
        told: Any = getattr(cls, fact)  # a property, or what a subclass says once and for all
        return told.__get__(types.SimpleNamespace(**arguments)) if isinstance(told, property) else told

    @classmethod
    def describe(cls, **fixed: Any) -> dict[str, str]:
        """Dict with "family", "paper" and "needs", for a name that fixes some arguments."""
        return {"family": cls.family, "paper": cls.paper, "needs": cls.needs}

    @classmethod
    def all_ranges(cls) -> dict[str, Range]:
        """`ranges` of the class and its bases, for the arguments that it takes."""
        return {k: v for k, v in _merged(cls, "ranges").items() if k not in cls.without}

    @classmethod
    def example(cls, x: Nest, **fixed: Any) -> dict[str, Any]:
        """Arguments that ask for little work on inputs `x`, with all that must be given; see `needed`."""
        small = {k: v for k, v in _merged(cls, "small").items() if k not in cls.without and k not in fixed}
        return cls.needed(x, **fixed) | small

    @classmethod
    def needed(cls, x: Nest, **fixed: Any) -> dict[str, Any]:
        """What must be given, chosen to suit inputs `x`.

        Args:
            x: Arrays as for `analyze`.
            **fixed: Arguments that are given already.
        """
        return {}

    @classmethod
    def cautions(cls, **arguments: Any) -> list[str]:
        """What a user is warned of who creates the method by name with these arguments."""
        return []

    @classmethod
    def check_given(cls, arguments: dict[str, Any]) -> None:
        """Raise where one of some arguments is out of its range.

        Raises:
            ValueError: The message tells the range.
        """
        defaults, ranges = cls.defaults(), cls.all_ranges()
        for argument, given in arguments.items():
            allowed = ranges.get(argument)
            if allowed is None or (given is None and defaults.get(argument, 0) is None) or allowed.holds(given):
                continue
            none = ", or None" if argument in defaults and defaults[argument] is None and not allowed.holds(None) else ""
            raise ValueError(f"`{argument}` must be {allowed.wanted(given)}{none}. Received: {given!r}")

    def check_arguments(self) -> None:
        """Raise where an argument, as it is kept, is out of its range, or does not go with another one."""
        type(self).check_given(self.get_config())


def _merged(cls: type, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base).get(name, {})
    return found
