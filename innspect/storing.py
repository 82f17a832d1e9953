"""Files of results, such as scores: everything in one npz file, whole or not at all."""

import json
from typing import Any

import numpy as np

from innspect.files import UnreadableFileError, replacing
from innspect.files.archives import arrays_of, opened_archive
from innspect.files.seals import seal_end
from innspect.nests import packed, unpacked
from innspect.types import Path

VERSION = 1


def write_parts(path: Path, form: str, parts: dict[str, Any]) -> None:
    """Write a dict of arrays, numbers, texts and nests of these; what is none of these is kept as text.

    Args:
        path: The file.
        form: What it holds, such as "innspect-scores".
        parts: The dict.
    """
    arrays: dict[str, Any] = {}
    described = packed(parts, arrays, lambda value: {"text": repr(value)[:200]})
    header = {"format": form, "version": VERSION, "tree": described}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), "uint8")
    with replacing(path) as partial:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
        seal_end(partial)


def read_parts(path: Path, form: str, what: str) -> dict[str, Any]:
    """What `write_parts` wrote.

    Args:
        path: The file.
        form: As it was written.
        what: It in words, such as "scores".

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, holds something else, or is of a newer version.
    """
    with opened_archive(path, f"saved {what}") as archive:
        arrays = arrays_of(archive)
        header = json.loads(arrays["header"].tobytes()) if "header" in arrays else {}
        if header.get("format") != form or header["version"] > VERSION:
            raise UnreadableFileError(
                f"{str(path)!r} holds no {what} that this version can read: expected {form} of version {VERSION}. "
                f"Received: {header.get('format')} {header.get('version')}"
            )
        parts: dict[str, Any] = unpacked(header["tree"], arrays, lambda told: told["text"])
    return parts
