"""Nests put together batch by batch: as if concatenated, and no batch is held beside the whole."""

import types
import weakref

import keras
import numpy as np
import pytest

from innspect.analyzers.base.assembly import assembled
from innspect.nests import Gathered, joined

RNG = np.random.default_rng(0)


def nests(axis, sizes, *dtypes):
    def part(count, dtype):
        shape = (2, count, 3) if axis else (count, 3)
        return {
            "maps": [RNG.normal(size=shape).astype("float32")],
            "tells": RNG.integers(9, size=shape).astype(dtype),
            "no": {},
        }

    return [part(count, dtype) for count, dtype in zip(sizes, dtypes, strict=True)]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtypes", [("int32", "int32"), ("int32", "float64"), ("bool", "int32"), ("U1", "U3")])
def test_gathered_is_joined(axis, dtypes):
    parts, gathered = nests(axis, (3, 2), *dtypes), Gathered(5, axis)
    for part, count in zip(parts, (3, 2), strict=True):
        gathered.add(part, count)
    expected = joined(parts, axis)
    keras.tree.map_structure(np.testing.assert_array_equal, gathered.whole, expected)
    assert [a.dtype for a in keras.tree.flatten(gathered.whole)] == [a.dtype for a in keras.tree.flatten(expected)]


def test_what_one_lacks_all_lack():
    lacking = Gathered(3)
    for nest, count in ((np.ones(1), 1), (None, 1), (np.ones(1), 1)):
        lacking.add(nest, count)
    assert lacking.whole is None


def test_one_batch_is_copied():
    part, gathered = np.ones((2, 3)), Gathered(2)
    gathered.add(part, 2)
    part[:] = 0
    assert gathered.whole.min() == 1


def test_no_more_than_a_batch_is_held():
    class Request:
        several, at = False, ()

        inputs = types.SimpleNamespace(samples=6)

    held = []

    def parts():
        for number in range(3):
            assert sum(each() is not None for each in held) <= 1
            maps = np.full((3, 4), number, "float32")  # the third row is padding
            held.append(weakref.ref(maps))
            yield {"attributions": [maps], "outputs": np.ones((3, 2)), "targets": np.arange(3.0), "count": 2}
            del maps

    found = assembled(Request, parts(), {})
    assert found.attributions[0][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert found.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert (found.delta, found.signals, found.details) == (None, {}, {})
