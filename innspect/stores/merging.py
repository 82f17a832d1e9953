"""Stores of parts of the data as one."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import h5py
import numpy as np

from innspect.files import replacing
from innspect.files.growing import Growing
from innspect.patterns.fingerprint import check_of_one_model, check_same_settings
from innspect.stores.chunks import deflated
from innspect.stores.file import HDF5, arrays_of, compressed, create, opened, resize, shapes_of, write_chunks
from innspect.stores.store import Store
from innspect.types import Array, Path

OWN = ("samples", "batches", "first", "first_id", "selected", "labels", "merged")  # of a run's own data: shards differ


def merge_stores(stores: Iterable[Path | Store], path: Path) -> Store:
    """Put the stores of shards together in one file, its samples in the order of their numbers.

    Args:
        stores: Files, or opened stores, in any order. Each run was given `first_id`, the number of its first sample.
        path: The file to write, whole or not at all. The stores remain.

    Returns:
        The merged `Store`.

    Raises:
        ValueError: There are none; they are of different models or settings, have a sample twice, or are not complete.
        UnreadableFileError: One of them is damaged, or no store.

    Examples:
        >>> analyzer.store(x[:500], "a.h5")
        >>> analyzer.store(x[500:], "b.h5", first_id=500)
        >>> store = innspect.merge_stores(["b.h5", "a.h5"], "maps.h5")
    """
    if isinstance(stores, str | os.PathLike | Store) or not isinstance(stores, Iterable):
        raise ValueError(f"`stores` must be a list of files. Received: {stores!r}")
    parts = [each if isinstance(each, Store) else Store(each) for each in stores]
    if not parts:
        raise ValueError("`stores` must name at least one file. Received: none")
    for part in parts:
        _check_mergeable(parts[0], part)
    index = np.concatenate([part.index for part in parts])
    places = np.concatenate([np.stack([np.full(len(part), n), np.arange(len(part))], 1) for n, part in enumerate(parts)])
    order = np.argsort(index, kind="stable")
    twice = np.flatnonzero(np.diff(index[order]) == 0)
    if len(twice):
        sample, (one, other) = int(index[order][twice[0]]), places[order][twice[0] : twice[0] + 2, 0]
        raise ValueError(
            f"A sample must be in one store only: give `first_id` to the runs of shards. Received: sample {sample} in "
            f"{parts[one].path!r} and {parts[other].path!r}"
        )
    with replacing(path) as partial:
        growing = Growing(partial, fresh=True)
        try:
            _write(growing, parts, places[order])
        finally:
            growing.close()
    return Store(path)


def _check_mergeable(first: Store, part: Store) -> None:
    if not part.complete:
        raise ValueError(f"Stores can only be merged that are complete: end the run of {part.path!r} first. Received: {part!r}")
    mine, theirs = first.header, part.header
    check_of_one_model("Stores", "merged", (mine["model"], mine["layers"]), (theirs["model"], theirs["layers"]))
    runs = [{k: v for k, v in header["run"].items() if k not in OWN} for header in (mine, theirs)]
    check_same_settings("Stores", "merged", *runs)
    forms = [{"form": header["form"], "shapes": _of_rows(store)} for header, store in ((mine, first), (theirs, part))]
    check_same_settings("Stores", "merged", *forms)


def _of_rows(store: Store) -> dict[str, Any]:
    return {path: shape[1:] for path, shape in store.shapes.items()}


def _write(growing: Growing, parts: list[Store], places: Array) -> None:
    """Write rows, told by the number of their store and their place in it, a chunk after the other."""
    total, header = len(places), dict(parts[0].header)
    header["run"] = {**header["run"], **dict.fromkeys(OWN), "samples": total, "merged": len(parts)}
    with ExitStack() as stack:
        files = [stack.enter_context(opened(part.path)) for part in parts]
        sources = [arrays_of(file) for file in files]
        with growing.changing() as pages:
            create(pages, header, shapes_of(files[0]), total)
            with h5py.File(pages, "r+", **HDF5) as file:
                resize(file, total)
                for name, dataset in arrays_of(file).items():
                    _fill(dataset, [source[name] for source in sources], places, compressed(name))
                file.attrs.modify("rows", total)
                file.attrs.modify("complete", True)


def _fill(dataset: h5py.Dataset, sources: list[h5py.Dataset], places: Array, chunks: bool) -> None:
    step = dataset.chunks[0]
    for start in range(0, len(places), step):
        some = places[start : start + step]
        if chunks and step == 1:  # as it is
            where = (int(some[0, 1]), *[0] * (dataset.ndim - 1))
            write_chunks(dataset, [(start, sources[some[0, 0]].id.read_direct_chunk(where)[1])])
            continue
        rows = _gathered(sources, some)
        if chunks:
            missing = np.zeros((step - len(rows), *rows.shape[1:]), rows.dtype)
            write_chunks(dataset, [(start, deflated(np.concatenate([rows, missing]), compress=True))])
        else:
            dataset[start : start + len(rows)] = rows


def _gathered(sources: list[h5py.Dataset], places: Array) -> Array:
    """Rows of several arrays, what lies together read at once."""
    ends = np.flatnonzero((np.diff(places[:, 0]) != 0) | (np.diff(places[:, 1]) != 1)) + 1
    runs = np.split(places, ends)
    return np.concatenate([sources[run[0, 0]][int(run[0, 1]) : int(run[-1, 1]) + 1] for run in runs])
