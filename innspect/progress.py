"""Progress of long work."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

LOG = logging.getLogger("innspect.progress")
LONG = 10.0  # seconds: less is not worth a word


class Progress:
    """A line that fills up in a terminal; four plain lines elsewhere.

    Args:
        what: The work, in a word.
        total: How many steps it has.
    """

    def __init__(self, what: str, total: int):
        self.what, self.total, self.done, self.note = what, total, 0, ""
        self._live = sys.stdout.isatty()

    def __enter__(self) -> "Progress":
        self._show()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            print()

    def say(self, note: str) -> None:
        self.note = note
        self._show()

    def tell(self, note: str) -> None:
        """As `say`; where no line fills up, a line of its own."""
        self.say(note)
        if not self._live:
            print(note, flush=True)

    def advance(self, steps: int = 1) -> None:
        before, self.done = self.done, self.done + steps
        self._show()
        if not self._live and self.done * 4 // self.total > before * 4 // self.total:
            print(f"{self.what}: {self.done} of {self.total}", flush=True)

    def _show(self) -> None:
        if self._live:
            filled = 24 * self.done // max(self.total, 1)
            bar = "=" * filled + "." * (24 - filled)
            print(f"\r\033[K{self.what:<10} [{bar}] {self.done}/{self.total}  {self.note}", end="", flush=True)


class Quiet:
    """What shows no progress, with the methods of `Progress`."""

    def say(self, note: str) -> None:
        """Take notice of what is done next."""

    def advance(self, steps: int = 1) -> None:
        """Take notice of steps that are done."""


def duration(seconds: float) -> str:
    """A time in words."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 9.95 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextlib.contextmanager
def estimates(say: Callable[[str], object]) -> Iterator[None]:
    """While it lasts, `say` is told the estimates."""
    handler, level = logging.Handler(), LOG.level
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign, assignment]
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
