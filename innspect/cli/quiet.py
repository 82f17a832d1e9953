"""What frameworks write to the terminal while they start."""

import contextlib
import os
import sys


@contextlib.contextmanager
def silent_stderr():
    """Nothing that is written to stderr is seen, from C++ neither: TensorFlow logs there before its log level counts."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
