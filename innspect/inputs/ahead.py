"""Streams that take their time, such as photographs that are decoded: the next batch is read while one is explained.

Requirements of the design:

- Order is kept, an error of the stream's comes where its batch would have come, and at most one batch is read too many.
- The stream is used by one thread at a time, and none is left behind: not after an error, nor when the caller stops.
- What is read quickly is read in step, since a thread would cost more than it saves.
"""

import contextvars
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from innspect.inputs.batches import batches_of
from innspect.types import Nest

T = TypeVar("T")

_LONG = 0.005  # seconds
_END: Any = object()


def batches_ahead(stream: Any, whole: bool = True) -> Iterator[Nest]:
    """As `batches_of`, read ahead where that takes long.

    Args:
        stream: The stream.
        whole: Whether all of it is read in any case. Where the caller may stop, what is an iterator itself is read in step:
            others may go on with it.
    """
    batches = batches_of(stream)
    return ahead(batches) if whole or not hasattr(stream, "__next__") else batches


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each read while the caller works with the one before, from the first on that takes long to read."""
    iterator = iter(items)
    while True:
        began = time.perf_counter()
        item = next(iterator, _END)
        if item is _END:
            return
        if time.perf_counter() - began > _LONG:
            break
        yield item
    with ThreadPoolExecutor(1, "innspect-reads") as reader:  # waits for the thread, however it is left
        context = contextvars.copy_context()
        while item is not _END:
            coming = reader.submit(lambda: context.run(next, iterator, _END))
            yield item
            item = coming.result()
