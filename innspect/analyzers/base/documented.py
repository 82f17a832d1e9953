"""What the documentation of a method's class says of its arguments, those of its bases included."""

import inspect
import re
import textwrap

from innspect.analyzers.base.parameters import parameters

_MORE = "More arguments:"
_ENTRY = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*): ?(.*)$")


def explained(cls: type) -> dict[str, str]:
    """Dict from each argument that a class takes to what is said of it, its own documentation before that of its bases."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for argument, text in _arguments(vars(base).get("__doc__") or "").items():
            if found.get(argument, "See `").startswith("See `"):  # which sends to a base
                found[argument] = text
    return {argument: found[argument] for argument in parameters(cls) if argument in found}


def document(cls: type) -> None:
    """Have `help` show the arguments of the bases, too, below the class's own text."""
    text = vars(cls).get("__doc__")
    if not text or _MORE in text:  # none under `python -OO`
        return
    own = _arguments(text)
    others = [f"{argument}: {told}" for argument, told in explained(cls).items() if argument not in own]
    if others:
        lines = "\n".join(textwrap.fill(line, 120, initial_indent="    ", subsequent_indent="        ") for line in others)
        cls.__doc__ = f"{inspect.cleandoc(text)}\n\n{_MORE}\n{lines}"


def without_arguments(cls: type) -> str:
    """A class's documentation but for its arguments."""
    text = inspect.getdoc(cls) or ""
    for head in ("Args:", _MORE):
        text = re.sub(rf"^{head}\n(?:(?: .*)?\n)*(?: .*)?", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _arguments(text: str) -> dict[str, str]:
    """Dict from argument to its text, of the section "Args" of a docstring, on one line each."""
    lines = inspect.cleandoc(text).split("\n")
    if "Args:" not in lines:
        return {}
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        entry = _ENTRY.match(line[4:]) if not line.startswith("     ") else None
        if entry is not None:
            current = [entry[2]]
            found |= dict.fromkeys(entry[1].split(", "), current)
        elif line.strip():
            current.append(line.strip())
    return {argument: " ".join(told).strip() for argument, told in found.items()}
