"""Arguments as attributes: what an analyzer was created with can be read from its signatures, and given to another.

Requirements of the design:

- Each argument of a constructor is an attribute of that name, so nothing has to be remembered beside it. An argument that is
  None may stand for the class's `default_<argument>`, and the attribute is then that.
- `type(a)(model, **a.get_config())` gives the same maps, whoever made `a`.
- A copy explains its own model: `copy.copy` the same one, `copy.deepcopy` a copy of it, a pickle carries it.
"""

import copy
import inspect
import os
import tempfile
import weakref

import numpy as np

_parameters: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def parameters(cls):
    """Dict from each argument of an analyzer's class, but the model, to its `inspect.Parameter`; bases first."""
    if cls not in _parameters:
        _parameters[cls] = _read(cls)
    return _parameters[cls]


def _read(cls):
    found: dict = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = inspect.signature(base.__init__).parameters
            found = {**own, **found}
            if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
                break  # it hands nothing on to its bases
    named = {k: p for k, p in found.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return {k: p for k, p in named.items() if k not in ("self", "model", *cls.without)}


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
        from innspect.analyzers.registry import fixed_arguments

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

    def __reduce__(self):
        return loaded, (self.to_bytes(),)

    def to_bytes(self):
        """What `save` writes."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "analyzer")
            self.save(path)
            with open(path, "rb") as file:
                return file.read()


def loaded(data):
    """The analyzer of which `to_bytes` gave the data."""
    from innspect.analyzers.storage import load_analyzer

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "analyzer")
        with open(path, "wb") as file:
            file.write(data)
        return load_analyzer(path)


def same_value(a, b):
    """Whether two arguments are equal, arrays by their elements."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and np.array_equal(a, b)
    if type(a) is not type(b) and not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_value(a[k], b[k]) for k in a)
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
