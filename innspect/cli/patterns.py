"""`innspect patterns fit | merge | show`."""

import argparse

from innspect.cli import cluster, early, models, options
from innspect.files import readable
from innspect.tables import printable

_FIT = "Learn the patterns of every layer of a model from data, for pattern.net and pattern.attribution."
_FIT_MORE = """\
large data, in parts and resumed:
  innspect patterns fit model.keras train.npy --checkpoint part0.h5 --shard 0/4      (and 1/4, 2/4, 3/4)
  innspect patterns merge part*.h5 --out model.patterns.h5
A run that was interrupted goes on from its --checkpoint.
"""


def add(commands, common):
    text = "Learn, join and look at patterns: what the signal looks like that each neuron responds to."
    parser = commands.add_parser("patterns", parents=[common], help="learn, join and show patterns", description=text)
    parser.set_defaults(parser=parser)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    _add_fit(actions, common)
    _add_merge(actions, common)
    _add_show(actions, common)


def _add_fit(actions, common):
    parser = actions.add_parser(
        "fit",
        parents=[common],
        help="learn patterns from data",
        description=_FIT,
        epilog="\n".join([options.INPUTS, options.PREPROCESSING, _FIT_MORE]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_model(parser)
    options.add_inputs(parser, "data", "DATA", "what the model was trained on: images, folders, globs, or arrays; see below")
    types = ("auto", "linear", "relu", "relu.positive", "relu.negative")
    parser.add_argument(
        "--type", action="append", choices=types, help="may be given several times, the first is shown first (default: auto)"
    )
    parser.add_argument("--gate", default="activation", choices=("activation", "bias_free"), help="when a neuron is active")
    parser.add_argument("--checkpoint", metavar="FILE.h5", help="keep statistics here: to go on later, or to merge")
    parser.add_argument("--every", type=options.positive, default=100, metavar="N", help="batches between checkpoints")
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only every N-th batch, from the I-th; needs --checkpoint")
    parser.add_argument("--out", metavar="FILE.h5", help="where the patterns go; needless where a shard is to be merged")
    cluster.add(parser)
    options.add_force(parser)
    parser.set_defaults(run=_fit, check=_check_fit)


def _shard(text):
    """I/N with 0 <= I < N."""
    first, _, count = text.partition("/")
    shard = int(first), int(count)
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(text)
    return shard


_shard.__name__ = "shard I/N with 0 <= I < N"  # argparse shows it


def _check_fit(given):
    if not given.out and not given.checkpoint:
        raise ValueError("Give --out FILE for the patterns, or --checkpoint FILE for the statistics. Received: neither")
    if given.shard and not given.checkpoint:
        raise ValueError(
            "--shard needs --checkpoint FILE, which `innspect patterns merge` joins with those of the other shards"
        )
    cluster.check(given, "checkpoint", "shard")
    options.refuse_existing([given.out] if given.out else [], given.force)
    for file in filter(None, (given.out, given.checkpoint)):
        options.check_file(file)
    early.check(given, given.data, methods=False)


def _fit(given):
    from innspect import patterns
    from innspect.inputs.sizes import USUAL

    model = models.load_model(given)
    source = options.read_inputs(given, given.data, model)
    # Arrays go in whole, so that their batch size is kept in the checkpoint; images are read batch by batch.
    if given.ray is not None:
        fitted = _on_a_cluster(given, source, model)
    else:
        fitted = patterns.fit(
            model,
            source[:] if source.arrays else Batches(source, given.batch_size or USUAL),
            given.type or "auto",
            batch_size=given.batch_size,
            gate=given.gate,
            checkpoint=given.checkpoint,
            every=given.every,
            shard=given.shard,
        )
    if given.out:
        fitted.save(given.out)
    fitted.summary()
    print(f"written to {printable(given.out or given.checkpoint)}")
    options.say_what_pixels_were(given, source, model)
    return options.exit_code(source)


def _on_a_cluster(given, source, model):
    from innspect.graph.opened.opened_model import open_model
    from innspect.ray import fit_patterns

    opened = open_model(model)
    with cluster.shared_out(given, source, opened) as (dataset, how):
        return fit_patterns(dataset, opened, given.type or "auto", gate=given.gate, batch_size=given.batch_size, **how)


class Batches:
    """Batches that are read when their turn comes; with a length, for the progress bar."""

    def __init__(self, source, batch_size):
        self._source, self._size = source, batch_size

    def __len__(self):
        return -(-len(self._source) // self._size)

    def __iter__(self):
        return self._source.batches(self._size)


def _add_merge(actions, common):
    text = "Join the statistics of shards into patterns; the order of the files does not matter."
    parser = actions.add_parser("merge", parents=[common], help="join shards", description=text)
    parser.add_argument("files", nargs="+", metavar="FILE.h5", help="what `innspect patterns fit --checkpoint` wrote")
    parser.add_argument("--out", required=True, metavar="FILE.h5", help="where the joined statistics and patterns go")
    options.add_force(parser)
    parser.set_defaults(run=_merge, check=_check_merge)


def _check_merge(given):
    from innspect.cli.inputs import expand

    early.check_out(given, given.out)
    given.files = expand(given.files)


def _merge(given):
    from innspect import patterns

    files = given.files
    merged = patterns.merge(files)
    merged.save(given.out)
    merged.patterns().summary()
    print(f"{len(files)} file{'s' * (len(files) > 1)}: written to {printable(given.out)}")


def _add_show(actions, common):
    text = "A line for each layer: its kernel, neurons that are never active or have no pattern, samples."
    parser = actions.add_parser("show", parents=[common], help="what a file of patterns holds", description=text)
    parser.add_argument("file", metavar="FILE.h5", help="what `innspect patterns fit` or `merge` wrote")
    parser.add_argument("--model", metavar="MODEL", help="fail if the patterns are of another model than this")
    parser.set_defaults(run=_show, check=_check_show, code=[], trust=False)


def _check_show(given):
    readable(given.file)
    if given.model:
        models.check_model(given)


def _show(given):
    from innspect import patterns

    model = models.load_model(given) if given.model else None
    patterns.load(given.file, model).summary()
    if model is not None:
        print(f"fitted on {printable(given.model)}")
