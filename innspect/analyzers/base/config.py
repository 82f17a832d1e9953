"""Arguments as attributes: what an analyzer was created with can be read from its signatures, and given to another.

Requirements of the design:

- Each argument of a constructor is an attribute of that name, so nothing has to be remembered beside it. An argument that is
  None may stand for the class's `default_<argument>`, and the attribute is then that.
- `type(a)(model, **a.get_config())` gives the same maps, whoever made `a`.
- A copy explains its own model: `copy.copy` the same one, `copy.deepcopy` a copy of it, a pickle carries it.
"""

import copy
import reprlib
from typing import Any, Self

import keras

from innspect.analyzers.base.parameters import parameters, same_value
from innspect.analyzers.base.registry import fixed_arguments, name_of
from innspect.graph.opened.opened_model import OpenedModel
from innspect.types import Nest


class Configured:
    """Base of `Analyzer`: its configuration, and copies made from that.

    Attributes:
        without: Names of arguments of a base class that a class does not take.
        learned: Names of arguments whose values `state` holds.
        opened: The opened form of the user's model.
    """

    without: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    opened: OpenedModel
    _name: str | None

    @property
    def name(self) -> str:
        """The name given, or that of `list_analyzers` under which this class, with these arguments, is registered."""
        return self._name or name_of(self)

    @property
    def model(self) -> keras.Layer:
        """The user's model."""
        return self.opened.model

    def state(self) -> Nest | None:
        """What the analyzer has learned, as a nest of arrays, strings and numbers; None where there is nothing."""
        return None

    def set_state(self, state: Nest | None) -> None:
        """Take back what `state` returned."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Dict from each argument to its default, or to what that stands for; without those that must be given."""
        given = {k: p.default for k, p in parameters(cls).items() if p.default is not p.empty}
        return {k: getattr(cls, f"default_{k}", None) if v is None else v for k, v in given.items()}

    def get_config(self) -> dict[str, Any]:
        """Every argument by name, `name` among them: `type(a)(model, **a.get_config())` is the same analyzer.

        Raises:
            AttributeError: A constructor does not keep one of its arguments as an attribute.
        """
        config = {}
        for argument in parameters(type(self)):
            try:
                config[argument] = getattr(self, argument)
            except AttributeError as error:
                raise AttributeError(
                    f"{type(self).__name__} takes the argument {argument!r} and has no attribute of this name. Keep it in the "
                    f"constructor, after `super().__init__(model, **arguments)`: self.{argument} = {argument}"
                ) from error
        return config

    def arguments(self) -> dict[str, Any]:
        """The arguments that differ from the defaults of this analyzer's name, which `create_analyzer` takes beside it."""
        told = type(self).defaults() | fixed_arguments(type(self), self.name) | {"name": self.name}
        return {k: v for k, v in self.untaught().items() if k not in told or not same_value(v, told[k])}

    def untaught(self) -> dict[str, Any]:
        """The configuration without what the analyzer has learned, which `state` returns."""
        return {k: v for k, v in self.get_config().items() if k not in self.learned}

    def __repr__(self) -> str:
        """Name, arguments and model, such as `<lrp.epsilon, epsilon=0.1, of the model 'vgg16'>`."""
        try:
            given = [f"{k}={_short(v)}" for k, v in self.arguments().items()]
        except AttributeError:  # a constructor that does not keep its arguments, or one that has not ended
            given = []
        of = None if getattr(self, "opened", None) is None else getattr(self.model, "name", None)
        return f"<{', '.join([self.name, *given])}" + (f", of the model {of!r}>" if of else ">")

    def __copy__(self) -> Self:
        return self._made_anew(self.opened or self.model, self.untaught(), self.state())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        model = copy.deepcopy(self.model, memo)
        arguments = {k: copy.deepcopy(v, memo) for k, v in self.untaught().items()}
        return self._made_anew(model, arguments, copy.deepcopy(self.state(), memo))

    def _made_anew(self, model: Any, arguments: dict[str, Any], state: Nest | None) -> Self:
        create: Any = type(self)
        made = create(model, **arguments)
        made.set_state(state)
        return made


def _short(value: Any) -> str:
    """An argument as it is told: arrays by their shape."""
    if hasattr(value, "shape") and getattr(value, "ndim", False):
        return f"array{tuple(value.shape)}"
    return reprlib.repr(value)
