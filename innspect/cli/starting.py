"""Starting Keras for a command."""

import contextlib
import importlib.util
import os

from innspect.cli.quiet import silent_stderr

_BACKENDS = ("tensorflow", "jax", "torch")


def start_keras(debug):
    """Import Keras with a backend that is installed, without the frameworks' greetings."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # PyTorch's threads would else wait busily, many times slower on busy cores
    installed = [name for name in _BACKENDS if importlib.util.find_spec(name)]
    if not installed:
        raise ImportError(f"Keras needs a backend, and none of {', '.join(_BACKENDS)} is installed: pip install tensorflow")
    if len(installed) == 1:
        os.environ.setdefault("KERAS_BACKEND", installed[0])
    with contextlib.nullcontext() if debug else silent_stderr():
        import keras  # noqa: F401
