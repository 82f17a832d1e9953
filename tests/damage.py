"""Saved files, damaged in ten ways: what comes of loading them.

    KERAS_BACKEND=torch python damage.py 250 0      250 files for each way and kind of file, drawn from the seed 0

Runs as a process of its own, which may be stopped: a damaged file can make the HDF5 library hang.
"""

import collections
import json
import os
import random
import sys
import tempfile
import warnings

import keras
import numpy as np
from keras import layers as L

import innspect
from innspect import patterns as P

NAMELESS = "an error without the file's name"


# ------------------------------------------------------------------ ten ways
def _range(chance, data):
    """The bounds of up to a tenth of some bytes."""
    start = chance.randrange(len(data))
    return start, start + chance.randint(1, max(1, len(data) // 10))


def one_byte(chance, data):
    data[chance.randrange(len(data))] ^= chance.randrange(1, 256)


def one_bit(chance, data):
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def many_bytes(chance, data):
    for _ in range(chance.randint(2, 50)):
        data[chance.randrange(len(data))] = chance.randrange(256)


def cut(chance, data):
    del data[chance.randrange(len(data)) :]


def longer(chance, data):
    data.extend(chance.randbytes(chance.randint(1, 5000)))


def inserted(chance, data):
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randint(1, 600))


def left_out(chance, data):
    start, end = _range(chance, data)
    del data[start:end]


def zeroed(chance, data):
    start, end = _range(chance, data)
    data[start:end] = bytes(len(data[start:end]))


def repeated(chance, data):
    start, end = _range(chance, data)
    place = chance.randrange(len(data))
    piece = data[start:end]
    data[place : place + len(piece)] = piece


def noise(chance, data):
    start, end = _range(chance, data)
    data[start:end] = chance.randbytes(len(data[start:end]))


WAYS = (one_byte, one_bit, many_bytes, cut, longer, inserted, left_out, zeroed, repeated, noise)


def damaged(sound, way, seed):
    """Bytes that are not the sound ones."""
    chance = random.Random(seed)
    while True:
        data = bytearray(sound)
        way(chance, data)
        if data != sound:
            return bytes(data)


# ------------------------------------------------------------------ files, and what is in them
def saved(folder):
    """Dict from a kind of file to a path, and the function that loads it."""
    model = keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu", name="d1"), L.Dense(3, name="d2")])
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    analyzer, statistics = innspect.create_analyzer("gradient", model), P.PatternStatistics(model)
    statistics.update(x)
    kinds = {
        "patterns": (statistics.patterns().save, P.load),
        "statistics": (statistics.save, P.PatternStatistics.load),
        "explanation": (analyzer.explain(x[:2], 1).save, innspect.Explanation.load),
        "analyzer": (analyzer.save, innspect.load_analyzer),
    }
    for kind, (save, _) in kinds.items():
        save(os.path.join(folder, kind))
    return {kind: (os.path.join(folder, kind), load) for kind, (_, load) in kinds.items()}


def contents(value):
    """All that an object holds, in a form that can be compared."""
    if isinstance(value, innspect.Analyzer):
        return contents([value.name, value.arguments(), value.model.get_weights()])
    if isinstance(value, np.ndarray | np.generic):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(key, contents(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [contents(each) for each in value]
    if type(value).__name__ == "Accumulator":
        return None
    return contents(vars(value)) if hasattr(value, "__dict__") else value


def fate(load, path, known):
    try:
        return "same" if contents(load(path)) == known else "other contents"
    except Exception as error:
        return type(error).__name__ if os.path.basename(path) in str(error) else f"{NAMELESS}: {type(error).__name__}: {error}"


def fates(count, seed):
    """Dict from kind of file to how often what came of its damaged copies."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (path, load) in saved(folder).items():
            with open(path, "rb") as file:
                sound = file.read()
            known, copy = contents(load(path)), os.path.join(folder, "damaged copy")
            found[kind] = collections.Counter()
            for number in range(count * len(WAYS)):
                with open(copy, "wb") as file:
                    file.write(damaged(sound, WAYS[number % len(WAYS)], f"{kind} {seed} {number}"))
                found[kind][fate(load, copy, known)] += 1
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(fates(int(sys.argv[1]), sys.argv[2])))
