"""Progress of long work."""

import sys


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

    def advance(self) -> None:
        self.done += 1
        self._show()
        if not self._live and self.done * 4 // self.total > (self.done - 1) * 4 // self.total:
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

    def advance(self) -> None:
        """Take notice of a step that is done."""
