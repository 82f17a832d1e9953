"""`innspect explain --store`: the maps of many inputs in one HDF5 file, in a run that may be interrupted."""

import json
import os
import shlex

from innspect.cli import options
from innspect.files import write
from innspect.tables import printable

HELP = """\
--store FILE, for many inputs and one method, takes the place of all these: an HDF5 file with maps, predictions and targets,
which `innspect.open_store` reads; FILE.json names the input of each row. Killed, it goes on with --resume and the same words
"""


def add(parser):
    """The options `--store`, `--resume` and `--dtype`."""
    parser.add_argument("--store", metavar="FILE", help="write the maps to one HDF5 file, and nothing else; see below")
    parser.add_argument("--resume", action="store_true", help="go on with the file of --store where a run was interrupted")
    parser.add_argument("--dtype", choices=("float32", "float16"), help="of the maps in --store (default: float32)")


def check(given):
    """Raise for words that do not go together, or a file that would be overwritten.

    Raises:
        ValueError, OSError: The message says which.
    """
    if given.store is None:
        for option in ("resume", "dtype"):
            if getattr(given, option):
                raise ValueError(f"--{option} is of a store: give --store FILE, too")
        return
    if len(given.method or ()) != 1:
        raise ValueError(
            f"--store holds the maps of one method: give --method once. Received: {len(given.method or ())} methods"
        )
    for option, value in (("top", given.top), ("format", given.format)):
        if value:
            raise ValueError(f"--{option} does not go with --store, which writes one file. Received: {value!r}")
    if not given.resume:
        options.refuse_existing([given.store, _names(given)], given.force, "--resume to go on with it")
    options.check_file(given.store)


def fill(given, source, analyzers, labels):
    """Run the one analyzer over all inputs; the exit code."""
    ((label, analyzer),) = analyzers.items()
    selected = {}
    if given.neuron:
        selected = {"neuron_selection": given.neuron[0]} if len(given.neuron) == 1 else {"neurons": given.neuron}
    data = source[:] if source.arrays else source.batches(given.batch_size)
    store = analyzer.store(
        data,
        given.store,
        labels=labels,
        resume=given.resume,
        dtype=given.dtype or "float32",
        batch_size=given.batch_size,
        output=given.output,
        contrast=given.contrast,
        verbose=1,
        **selected,
    )
    skipped = dict(source.skipped)
    kept = [(name, path) for name, path in zip(source.names, source.files, strict=True) if path not in skipped]
    told = {"names": [n for n, _ in kept], "files": [p for _, p in kept], "skipped": skipped, "settings": store.settings}
    told["command"] = shlex.join(["innspect", *given.words])
    write(_names(given), json.dumps(told, indent=1, default=repr))
    print(f"{len(store)} inputs, {printable(label)}: written to {printable(given.store)}")
    return options.exit_code(source)


def _names(given):
    return f"{os.fspath(given.store)}.json"
