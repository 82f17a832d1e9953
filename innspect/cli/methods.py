"""`innspect methods`."""

_DESCRIPTION = (
    "List the names that innspect.create_analyzer knows, with family, paper, and what a method needs besides a model. "
    "With a whole NAME, show all about that method: what it computes and its arguments."
)


def add(commands, common):
    parser = commands.add_parser("methods", parents=[common], help="list the methods", description=_DESCRIPTION)
    parser.add_argument("name", nargs="?", metavar="NAME", help="only the methods with this in their name or family")
    parser.add_argument("--names", action="store_true", help="only the names, one a line")
    parser.set_defaults(run=_run)


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
        listed = [m for m in listed if given.name in m["name"] or given.name in m["family"]]
    if not listed:
        raise PlainKeyError(f"There is no method {given.name!r}. {suggest(given.name, list_analyzers())}")
    if given.names:
        print("\n".join(m["name"] for m in listed))
        return
    columns = ["name", "family", "paper", "needs"]
    print(Table(columns, [[m[c] or "-" for c in columns] for m in listed], left=len(columns)))


def _manual(name):
    """What the documentation of a method's class says, and all arguments with their defaults."""
    import inspect

    from innspect.analyzers.base.registry import accepted_arguments, describe, find

    cls, fixed = find(name)
    known = describe(name)
    head = [name, ", ".join(v for v in (known["family"], known["paper"]) if v), ""]
    defaults, ranges = cls.defaults(), cls.all_ranges()
    taken = sorted(accepted_arguments(name))
    arguments = [f"{a}={_shown(defaults, a)}" for a in taken]
    within = [f"`{a}` must be {ranges[a]}" for a in taken if a in ranges]
    own = [f"Fixed here: {', '.join(f'{k}={v!r}' for k, v in fixed.items())}.", ""] if fixed else []
    ranged = ["", "Of these " + "; ".join(within) + "."] if within else []
    return "\n".join([*head, inspect.getdoc(cls) or "", "", *own, "All arguments: " + ", ".join(arguments), *ranged])


def _shown(defaults, argument):
    return repr(defaults[argument]) if argument in defaults else "..."
