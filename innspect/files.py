"""Writing files: whole or not at all, with the rights that the file has, or that any new file has."""

import contextlib
import os
import secrets
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """The name of an empty file beside `path` to write to, which takes its place once all went well.

    Where an error is raised within, the file that was there stays as it was, and nothing is left beside it.
    """
    path = os.path.abspath(path)
    partial = os.path.join(os.path.dirname(path), f".innspect-{secrets.token_hex(8)}")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the system takes what the umask forbids
    try:
        yield partial
        with open(partial, "rb") as complete:
            os.fsync(complete.fileno())
        if os.path.exists(path):
            os.chmod(partial, os.stat(path).st_mode & 0o777)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write bytes or text to a file, whole or not at all."""
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
