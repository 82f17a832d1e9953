"""How many batches data will come in, where that can be told."""

from typing import Any

import keras

from innspect.inputs.batches import is_stream


def number_of_batches(data: Any, batch_size: int | None, steps: int | None) -> int | None:
    """How many batches there will be, or None."""
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
    elif is_stream(data):
        try:
            count = int(data.cardinality()) if hasattr(data, "cardinality") else len(data)
        except TypeError:
            count = None
        count = None if count is None or count < 0 else count
    else:
        leaves = keras.tree.flatten(data)
        count = -(-len(leaves[0]) // max(batch_size or 1, 1)) if leaves and hasattr(leaves[0], "__len__") else None
    return steps if count is None else count if steps is None else min(count, steps)
