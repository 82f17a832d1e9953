"""What signals may pass on their way back: channels of layers, from what the user says to a mask for each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from innspect.checks import Integer
from innspect.graph.ir import Graph
from innspect.inputs.sites import UnitSite, mask_of, sites_of
from innspect.types import Array

Channels: TypeAlias = "Mapping[str, int | Sequence[int] | Passing] | None"
"""For each layer, by path, the channels that signals may pass."""


@dataclass(frozen=True)
class Passing:
    """The channels of one layer that signals may pass.

    Attributes:
        path: The layer's, as the user says it.
        sites: Where its channels are, for each of its uses.
        mask: For each sample, (samples, channels), 1 or 0; None where only the form matters.
    """

    path: str
    sites: tuple[UnitSite, ...]
    mask: Array | None = None

    def of(self, samples: Array) -> "Passing":
        """The same for some samples, by number."""
        return self if self.mask is None else replace(self, mask=self.mask[samples])


def passing(graph: Graph, through: Any, samples: int) -> tuple[Passing, ...]:
    """The argument `through` of `analyze`, checked.

    Args:
        graph: The model's graph.
        through: Dict from a layer's path to a channel, or a list of channels.
        samples: Number of samples.

    Raises:
        TypeError: It is no dict.
        KeyError: No layer has a path.
        ValueError: It names no layer, or for one no channel, or a channel that there is not.
    """
    if through is None:
        return ()
    if not isinstance(through, Mapping):
        raise TypeError(
            '`through` must be a dict from the path of a layer to its channels, such as {"block4_conv3": [12, 57]}. '
            f"Received: {through!r}"
        )
    if not through:
        raise ValueError("`through` must name at least one layer. Received: an empty dict")
    found = []
    for path, channels in through.items():
        if isinstance(channels, Passing):  # a mask for each sample
            found.append(channels)
            continue
        sites = through_sites(graph, path, "through")
        mask = mask_of(sites[0], _checked(path, channels, sites[0]))
        found.append(Passing(path, sites, np.broadcast_to(mask, (samples, len(mask)))))
    return tuple(found)


def through_sites(graph: Graph, path: str, argument: str) -> tuple[UnitSite, ...]:
    """Where the channels of a layer are, for each of its uses; their number must be known."""
    sites = tuple(sites_of(graph, path, argument))
    counts = {site.channels for site in sites}
    if len(counts) > 1 or None in counts:
        raise ValueError(
            f"`{argument}` must name a layer whose number of channels is known, and the same wherever it is used. Received: "
            f"{path!r}, of shapes {[site.tensor.shape for site in sites]}"
        )
    return sites


def _checked(path: str, channels: Any, site: UnitSite) -> Array:
    given = np.asarray(channels)
    listed = given.reshape(1) if given.ndim == 0 else given
    if listed.ndim != 1 or (listed.size and not all(map(Integer().holds, np.ravel(np.asarray(channels, object))))):
        raise ValueError(
            f"`through` must hold the number of a channel, or a list of numbers, for each layer; it has {site.channels} in "
            f"{path!r}. Received: {channels!r}"
        )
    if not listed.size:
        raise ValueError(f"`through` must name at least one channel of {path!r}. Received: an empty list")
    outside = listed[(listed < 0) | (listed >= (site.channels or 0))]
    if outside.size:
        raise ValueError(
            f"`through` must name channels between 0 and {(site.channels or 0) - 1} of {path!r}. Received: {int(outside[0])}"
        )
    return listed
