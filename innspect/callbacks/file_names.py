"""Names of files with the epoch and the logs of training in them, such as "net.{epoch:02d}-{val_loss:.2f}.h5"."""

import os
import string
from typing import Any

from innspect.checks import File
from innspect.files import check_folder, target_of


class FileName:
    """A name with fields, read when it is given, so that none fails after hours.

    Args:
        path: The name; a field is `{epoch}`, or the name of a log, with a format of numbers perhaps.
        argument: What it was given as, for errors.

    Attributes:
        logs: The names of the logs in it.

    Raises:
        ValueError: It is no path, or a field is none.
    """

    def __init__(self, path: Any, argument: str = "path"):
        self.text, self.argument = str(File().check(argument, path)), argument
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.text) if field is not None]
            self.logs = tuple(dict.fromkeys(field for field in fields if field != "epoch"))
            self.text.format(epoch=1, **dict.fromkeys(self.logs, 0.5))
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(
                f"`{argument}` must be the name of a file, in which {{epoch}} and names of logs such as {{val_loss:.2f}} may "
                f"stand. Received: {self.text!r} ({error})"
            ) from None

    def prepare(self) -> None:
        """Make the folder, as far as its name is known.

        Raises:
            OSError: The folder cannot be made, or written to; or the name is that of a folder.
        """
        folder = os.path.dirname(self.text.partition("{")[0]) or "."
        check_folder(folder)
        if "{" not in self.text:
            target_of(self.text)
        os.makedirs(folder, exist_ok=True)

    def at(self, epoch: int, logs: dict[str, Any]) -> tuple[str, list[str]]:
        """The name at an epoch, whose folder is made, and the logs that are missing, for which "none" stands."""
        missing = [name for name in self.logs if name not in logs]
        place = self.text.format(epoch=epoch, **{**logs, **dict.fromkeys(missing, _None())})
        os.makedirs(os.path.dirname(os.path.abspath(place)), exist_ok=True)
        return place, missing


class _None:
    """What stands for a log that there is not, whatever its format."""

    def __format__(self, form: str) -> str:
        return "none"
