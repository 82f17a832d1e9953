"""What is known of every method in a line: its family, its paper, and what it needs besides a model."""

from innspect.analyzers.registry import find


def describe(name):
    """Family, paper and needs of a registered method, as its class says; see `innspect.analyzers.facts`.

    Returns:
        A dict with the keys "name", "family", "paper" and "needs"; what is not known, or not needed, is "".
    """
    cls, fixed = find(name)
    return {"name": name, **cls.describe(**fixed)}
