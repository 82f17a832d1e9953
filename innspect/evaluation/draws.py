"""Draws that depend on the seed, on what is drawn and on the sample, and on nothing else (METRICS 1.8).

So a sample's draws are the same in any batch and for every method, and on every backend.
"""

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np

from innspect.types import Array


def sample_keys(arrays: Sequence[Array]) -> list[int]:
    """A key for each sample of the model's inputs, arrays (samples, ...): what its numbers hash to."""
    return [_key([array[i] for array in arrays]) for i in range(len(arrays[0]))]


def _key(sample: list[Array]) -> int:
    digest = hashlib.sha256()
    for array in sample:
        if array.dtype.kind in "OSU":
            digest.update("\0".join(map(str, array.reshape(-1))).encode())
        else:
            digest.update(array.astype("<f4" if array.dtype.kind == "f" else "<i8", order="C").tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def generator(seed: int, purpose: str, key: int | None = None) -> np.random.Generator:
    """The generator for a purpose, and for the sample of a key; without one it serves all samples."""
    entropy = [seed, zlib.crc32(purpose.encode())]
    return np.random.default_rng(entropy if key is None else [*entropy, key])
