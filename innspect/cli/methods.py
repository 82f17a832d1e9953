"""`innspect methods`."""

import textwrap

from innspect.errors import bare

_DESCRIPTION = (
    "List the names that innspect.create_analyzer knows, with family, paper, and what a method needs besides a model. "
    "With a whole NAME, show all about that method: what it computes and its arguments."
)


def add(commands, common):
    parser = commands.add_parser("methods", parents=[common], help="list the methods", description=_DESCRIPTION)
    parser.add_argument("name", nargs="?", metavar="NAME", help="only the methods with this in their name or family")
    parser.add_argument("--names", action="store_true", help="only the names, one a line")
    parser.set_defaults(run=_run, check=_check, parser=parser)


def _run(given):
    from innspect.analyzers import list_analyzers
    from innspect.analyzers.base.registry import describe
    from innspect.errors import PlainKeyError, suggest
    from innspect.tables import Table

    if given.name in list_analyzers() and not given.names:
        print(_manual(given.name))
        return
    listed = [describe(name) for name in list_analyzers()]
    if given.name:
        word = bare(given.name)
        listed = [m for m in listed if word in bare(m["name"]) or word in bare(m["family"])]
    if not listed:
        raise PlainKeyError(f"There is no method {given.name!r}. {suggest(given.name, list_analyzers())}")
    if given.names:
        print("\n".join(m["name"] for m in listed))
        return
    columns = ["name", "family", "paper", "needs"]
    print(Table(columns, [[m[c] or "-" for c in columns] for m in listed], left=len(columns)))


def _check(given):
    if given.name == "help":
        given.parser.print_help()
        raise SystemExit(0)
    if given.name is not None and not bare(given.name):
        raise ValueError(f"NAME must have letters in it. Received: {given.name!r}")


def _manual(name):
    """What the documentation of a method's class says, and all arguments with their defaults and what they mean."""
    from innspect.analyzers.base.documented import explained, without_arguments
    from innspect.analyzers.base.registry import accepted_arguments, describe, find
    from innspect.checks import Elsewhere

    cls, fixed = find(name)
    known = describe(name)
    head = [name, ", ".join(v for v in (known["family"], known["paper"]) if v), "", without_arguments(cls), ""]
    own = [f"Fixed here: {', '.join(f'{k}={v!r}' for k, v in fixed.items())}.", ""] if fixed else []
    taken, told, defaults, ranges = accepted_arguments(name), explained(cls), cls.defaults(), cls.all_ranges()
    mine = [vars(base).get("ranges", {}) for base in cls.__mro__]  # the method's own arguments before those of its bases
    order = sorted(taken, key=lambda a: (next((i for i, of in enumerate(mine) if a in of), 0), a))
    lines = []
    for argument in order:
        lines.append(f"  {argument}={defaults[argument]!r}" if argument in defaults else f"  {argument}, which must be given")
        text = told.get(argument, "").strip()
        text += f" Must be {ranges[argument]}." if argument in ranges and not isinstance(ranges[argument], Elsewhere) else ""
        lines += textwrap.wrap(text.strip(), 110, initial_indent="      ", subsequent_indent="      ")
    return "\n".join([*head, *own, "Arguments:", *lines])
