"""What rules and passes need to know of ids, the numbers of categories."""


class Lookup:
    """The view of a node that gives an id for every value."""
