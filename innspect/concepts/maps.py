"""What of its reference samples a channel responds to: a map of each."""

from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.checks import Integer
from innspect.concepts.targets import Targets
from innspect.errors import PlainKeyError
from innspect.inputs.batches import Inputs, called, is_stream, labelled_batches, of_a_stream
from innspect.inputs.units import unit
from innspect.types import Array, Nest

if TYPE_CHECKING:
    from innspect.concepts.gallery import Gallery


def reference_maps(
    gallery: "Gallery",
    analyzer: Analyzer,
    data: Any,
    layer: str,
    channel: int,
    target: Any,
    top: int | None,
    batch_size: int | None,
) -> tuple[Nest, Nest]:
    """See `Gallery.maps`."""
    found = gallery[layer]
    Integer(1).check_given("top", top)
    Integer(0, found.channels - 1).check("channel", channel)
    ids = [int(i) for i in found.samples[channel][:top] if i >= 0]
    wanted = Targets(analyzer, target, gallery.settings["output"])
    told = Integer().check("first_id", gallery.progress.get("first_id", gallery.seen[0][0] if gallery.seen else 0))
    rows, targets, inputs = _picked(data, analyzer, wanted, [i - told for i in ids], batch_size)
    x = inputs.pack(rows)
    if gallery.settings["by"] == "activation":
        asked: Any = unit(layer, channel, reduce=gallery.settings["reduce"])
        return x, analyzer.analyze(x, asked, batch_size=batch_size)
    through = {"through": {layer: [channel]}, "batch_size": batch_size, "output": gallery.settings["output"]}
    return x, analyzer.analyze(x, targets, **through)


def _picked(
    data: Any, analyzer: Analyzer, wanted: Targets, numbers: list[int], batch_size: int | None
) -> tuple[list[Array], Any, Inputs]:
    """Some samples of the data by their place in it, flat arrays in the order asked for, and their targets."""
    kept: dict[int, tuple[list[Array], Any]] = {}
    start, inputs = 0, None
    for x, labels in labelled_batches(data) if is_stream(data) else [(data, None)]:
        with called("data"), of_a_stream():
            inputs = Inputs(x, analyzer.opened)
        target, _ = wanted.of(start, inputs.samples, labels)
        for number in numbers:
            if start <= number < start + inputs.samples:
                at = number - start
                own = target[at] if isinstance(target, np.ndarray) and target.ndim and len(target) == inputs.samples else target
                kept[number] = [a[at] for a in inputs.given], own
        start += inputs.samples
        if len(kept) == len(set(numbers)):
            break
    missing = [n for n in numbers if n not in kept]
    if inputs is None or missing:
        raise PlainKeyError(
            f"`data` must hold the samples that were collected. Received: {start} samples, without number {missing[:3]}"
        )
    rows = [np.stack([kept[n][0][i] for n in numbers]) for i in range(len(inputs.given))]
    own = [kept[n][1] for n in numbers]
    return rows, np.array(own) if own and isinstance(own[0], np.integer) else own[0], inputs
