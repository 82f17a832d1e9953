"""Arguments as attributes: what an analyzer was created with can be read from its signatures, and given to another.

Requirements of the design:

- Each argument of a constructor is an attribute of that name, so nothing has to be remembered beside it. An argument that is
  None may stand for the class's `default_<argument>`, and the attribute is then that.
- `type(a)(model, **a.get_config())` gives the same maps, whoever made `a`.
- A copy explains its own model: `copy.copy` the same one, `copy.deepcopy` a copy of it, a pickle carries it.
"""

import copy

from innspect.analyzers.base.parameters import parameters, same_value
from innspect.analyzers.base.registry import fixed_arguments


class Configured:
    """Base of `Analyzer`: its configuration, and copies made from that.

    Attributes:
        without: Names of arguments of a base class that a class does not take.
        learned: Names of arguments whose values `state` holds.
    """

    without: tuple = ()
    learned: tuple = ()

    @classmethod
    def defaults(cls):
        """Dict from each argument to its default, or to what that stands for; without those that must be given."""
        given = {k: p.default for k, p in parameters(cls).items() if p.default is not p.empty}
        return {k: getattr(cls, f"default_{k}", None) if v is None else v for k, v in given.items()}

    def get_config(self):
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

    def arguments(self):
        """The arguments that differ from the defaults of this analyzer's name, which `create_analyzer` takes beside it."""
        told = type(self).defaults() | fixed_arguments(type(self), self.name) | {"name": self.name}
        return {k: v for k, v in self.untaught().items() if k not in told or not same_value(v, told[k])}

    def untaught(self):
        """The configuration without what the analyzer has learned, which `state` returns."""
        return {k: v for k, v in self.get_config().items() if k not in self.learned}

    def __copy__(self):
        made = type(self)(self.opened or self.model, **self.untaught())
        made.set_state(self.state())
        return made

    def __deepcopy__(self, memo):
        model = copy.deepcopy(self.model, memo)
        made = type(self)(model, **{k: copy.deepcopy(v, memo) for k, v in self.untaught().items()})
        made.set_state(copy.deepcopy(self.state(), memo))
        return made
