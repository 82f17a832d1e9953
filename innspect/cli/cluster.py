"""`--ray`: a command's work on a cluster, see `innspect.ray`."""

import contextlib

from innspect.cli import models, options

NUMBER = "innspect number"  # the column of the samples' numbers
_WHY = {
    "store": "is written by one process: give a part of the inputs to each and merge the files by `innspect.merge_stores`, or "
    "take `innspect.ray.explain` in Python, whose dataset writes itself"
}


def add(parser):
    """The options; they stand behind the inputs, since `--ray` takes the word that follows it."""
    told = "share the work out by Ray, on this machine or on the cluster at ADDRESS; needs innspect[ray]; give it last"
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=told)
    parser.add_argument("--workers", type=options.positive, metavar="N", help="how many processes; with --ray")


def check(given, *refused):
    """Raise for what cannot be given together with `--ray`, options by name, and for `--workers` without it."""
    if given.ray is None and given.workers is not None:
        raise ValueError("--workers needs --ray. Received: --workers alone")
    for name in refused if given.ray is not None else ():
        if getattr(given, name):
            why = _WHY.get(name, "is not needed, since workers replace each other by themselves")
            raise ValueError(f"--{name} cannot be given with --ray: it {why}. Received: both")


@contextlib.contextmanager
def started(given):
    """Ray, and the argument `custom_objects` of the functions of `innspect.ray`; Ray is left afterwards."""
    from innspect.ray.cluster import installed

    ray = installed()
    ray.init(**({"address": given.ray} if given.ray else {"include_dashboard": False}), log_to_driver=False)
    try:
        yield ray, models.objects_of(given.code)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def shared_out(given, source, opened):
    """A dataset of Ray's with the inputs, and arguments for the functions of `innspect.ray`; Ray is left afterwards.

    Args:
        given: The parsed arguments.
        source: The `Source`; what it reads goes into Ray's store batch by batch.
        opened: The opened model.
    """
    from innspect.inputs.sizes import USUAL

    with started(given) as (ray, objects):
        first, *others = _parts(ray, source, given.batch_size or USUAL, opened.names)
        how = {"inputs": opened.names, "workers": given.workers, "custom_objects": objects}
        yield first.union(*others) if others else first, how


@contextlib.contextmanager
def shared(given, analyzers):
    """What takes the place of some analyzers in a study: with `--ray` what asks workers, else themselves.

    Args:
        given: The parsed arguments.
        analyzers: Dict from label to analyzer.
    """
    if given.ray is None:
        yield analyzers
        return
    with started(given) as (_, objects):
        from innspect.ray.cluster import Workers
        from innspect.ray.sharing import Shared

        hired = Workers(given.workers)
        yield {label: Shared(analyzer, hired, objects, given.batch_size) for label, analyzer in analyzers.items()}


def _parts(ray, source, batch_size, names):
    """Datasets of a batch each: a column for each input, and one with the samples' numbers."""
    number = 0
    for batch in source.batches(batch_size):
        columns = batch if isinstance(batch, dict) else {names[0]: batch}
        count = len(columns[names[0]])
        rows = [{name: array[i] for name, array in columns.items()} | {NUMBER: number + i} for i in range(count)]
        yield ray.data.from_items(rows)
        number += count
