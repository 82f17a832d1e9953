"""Concept relevance: how much of what is explained passes each channel of a layer, and where in the input that comes from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.analyzers.base.asked import Asked
from innspect.checks import Boolean, Integer
from innspect.inputs.passing import Passing, through_sites
from innspect.nests import joined
from innspect.types import Array, Nest

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer

TINY = 1e-10  # beside the sum of magnitudes that shares are taken of


@dataclass
class Concepts:
    """What `analyzer.concepts` returns: the channels of a layer that weigh most in what is explained, for each sample.

    Attributes:
        at: The layer's path.
        ids: The numbers of the channels, the largest relevance first, (samples, top).
        relevances: Their relevance, the signed sum over all positions, (samples, top).
        maps: For each of them what passes it alone, (samples, top, ...), in the structure of the inputs.
        channels: The relevance of every channel, (samples, channels), as `relevances`.
        targets: The explained values, (samples,).
        outputs: The model's output, (samples, ...).
        settings: What is needed to compute the same again.
    """

    at: str
    ids: Array
    relevances: Array
    maps: Nest
    channels: Array
    targets: Array
    outputs: Array
    settings: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def join(cls, parts: Iterable["Concepts"]) -> "Concepts":
        """Those of several batches as one.

        Raises:
            ValueError: There are none.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("`parts` must hold at least one batch. Received: none")
        names = ("ids", "relevances", "maps", "channels", "targets", "outputs")
        return replace(parts[0], **{name: joined([getattr(part, name) for part in parts], 0) for name in names})

    def plot(self, x: Any = None, sample: int = 0, **arguments: Any) -> Any:
        """A picture of one sample: a row for each concept, with its map; see `innspect.visualize.concepts`.

        Args:
            x: The sample's input, or all samples', to be shown beside.
            sample: Its number.
            **arguments: Of `innspect.visualize.concepts`, such as `references`, crops that show what each concept means.
        """
        from innspect.visualize.concept_rows import concepts

        return concepts(self, x, sample, **arguments)

    def _repr_html_(self) -> str:
        from innspect.visualize.concept_rows import concepts_html

        return concepts_html(self)

    def __repr__(self) -> str:
        method, (samples, top) = self.settings.get("method", "?"), self.ids.shape
        return f"Concepts({method!r}, at={self.at!r}, samples={samples}, top={top}, channels={self.channels.shape[1]})"


def ordered(relevance: Array) -> Array:
    """The channels of each sample, the largest relevance first, the smaller number first at ties; what is no number last."""
    known = np.where(np.isnan(relevance), -np.inf, relevance)
    return np.argsort(-known, axis=1, kind="stable")


def concepts_of(analyzer: "Analyzer", x: Nest, asked: Asked, at: str, top: int, normalize: bool) -> Concepts:
    """See `Analyzer.concepts`, of arrays."""
    from innspect.analyzers.base.described import settings_of

    if not analyzer.masks:
        raise ValueError(
            f"{analyzer.name!r} sends no signal back through layers, so none passes a channel. Received: at={at!r}"
        )
    Boolean().check("normalize", normalize)
    sites = through_sites(analyzer.opened.graph, at, "at")
    count = sites[0].channels or 0
    Integer(1, count).check("top", top)
    found = analyzer.concepts_found(x, asked, Passing(at, sites), top)
    scale = np.abs(found["channels"]).sum(axis=1, keepdims=True) + TINY if normalize else 1.0
    ids, channels = found["ids"][:, :top].astype("int64"), found["channels"] / scale
    settings = settings_of(analyzer, asked) | {"at": at, "normalize": normalize}
    relevances = np.take_along_axis(channels, ids, axis=1)
    return Concepts(at, ids, relevances, found["maps"], channels, found["targets"], found["outputs"], settings)


def one_by_one(analyzer: "Analyzer", x: Nest, asked: Asked, layer: Passing, top: int) -> dict[str, Any]:
    """What `concepts_of` needs, of any method that sends signals: the signals at the layer, then a map through each channel.

    Returns:
        Dict of arrays: "ids" and "channels" (samples, channels), "maps" (samples, top, ...), "targets", "outputs".
    """
    explanation = analyzer._run(x, replace(asked, at=layer.sites))
    samples = len(explanation.targets)
    signals: dict[Any, Array] = explanation.signals
    sums = [_of_channels(site, signals[site], samples) for site in layer.sites]
    channels = np.sum(sums, axis=0)
    ids = ordered(channels)
    maps = []
    for k in range(top):
        mask = np.zeros(channels.shape, "float32")
        np.put_along_axis(mask, ids[:, k : k + 1], 1.0, axis=1)
        maps.append(analyzer._run(x, replace(asked, through={layer.path: replace(layer, mask=mask)})).attributions)
    stacked = keras.tree.map_structure(lambda *m: np.stack(m, axis=1), *maps)
    found = {"ids": ids, "channels": channels, "maps": stacked}
    return found | {"targets": explanation.targets, "outputs": explanation.outputs}


def _of_channels(site: Any, signal: Array, samples: int) -> Array:
    from keras import ops

    from innspect import backend

    with backend.inference():
        return backend.to_numpy(site.of_channels(ops.convert_to_tensor(signal), samples))
