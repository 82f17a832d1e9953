"""Training goes on, whatever becomes of a file."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """A file that cannot be written, such as on a full disk, is warned about: hours of training are worth more."""
    try:
        yield
    except OSError as error:
        warnings.warn(f"{what} could not be written; the training goes on. Received: {error}", stacklevel=2)
