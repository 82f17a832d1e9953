"""`Gallery`: the reference samples of the channels of some layers, which can be merged, kept and shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from innspect.analyzers.base.analyzer import Analyzer
from innspect.concepts import files
from innspect.concepts.maps import reference_maps
from innspect.concepts.references import References
from innspect.errors import PlainKeyError, suggest
from innspect.files import reading
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.patterns.fingerprint import (
    Fingerprints,
    check_of_one_model,
    check_same_settings,
    first_difference,
    layer_fingerprints,
)
from innspect.types import Nest, Path

if TYPE_CHECKING:
    from innspect.reports.document import Page

Seen = list[tuple[int, int]]  # parts of the running numbers, in order, each from its first up to its last and one


class Gallery(Mapping[str, References]):
    """Reference samples of the channels of some layers, by the layer's path. `innspect.concepts.collect` makes it.

    Attributes:
        layers: Dict from path to `References`.
        settings: What they were collected with: method, its arguments, by, reduce, normalize, target and so on.
        model_name: Name of the model.
        fingerprints: Layer path -> digest of the model.
        samples: How many samples were seen.
        seen: Their ids, as pairs (first, last + 1).
        progress: How far the run came that made it.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        model_name: str,
        fingerprints: Fingerprints,
        layers: Mapping[str, References] | None = None,
        samples: int = 0,
        seen: Seen | None = None,
        progress: Mapping[str, Any] | None = None,
    ):
        self.settings, self.model_name, self.fingerprints = dict(settings), model_name, dict(fingerprints)
        self.layers, self.samples, self.seen = dict(layers or {}), int(samples), list(seen or [])
        self.progress = dict(progress or {})

    def __getitem__(self, path: str) -> References:
        if path not in self.layers:
            raise PlainKeyError(f"Nothing was collected at {path!r}. {suggest(path, self.layers)}")
        return self.layers[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"Gallery({list(self.layers)}, by {self.settings['by']}, {self.samples} samples)"

    # ------------------------------------------------------------------ merging
    def take(self, first: int, count: int) -> None:
        """Take notice of samples that are seen.

        Raises:
            ValueError: Some of them were seen before.
        """
        self.samples, self.seen = self.samples + count, _joined(self.seen, [(first, first + count)])

    def merge(self, other: "Gallery") -> "Gallery":
        """The reference samples of both sets of samples together; neither operand changes.

        It does not matter which is merged with which first, nor in which order: of equal values that of the smaller id is
        before.

        Raises:
            ValueError: `other` is of another model, was collected with other settings, or has seen the same samples.
        """
        self.check_mergeable(other)
        layers = {path: each.merged(other.layers[path]) for path, each in self.layers.items()}
        samples, seen = self.samples + other.samples, _joined(self.seen, other.seen)
        return Gallery(self.settings, self.model_name, self.fingerprints, layers, samples, seen)

    def check_mergeable(self, other: "Gallery") -> None:
        """Raise where the two are not of one model, or were not collected alike."""
        check_same_settings("Reference samples", "put together", self.settings, other.settings)
        models = [(each.model_name, each.fingerprints) for each in (self, other)]
        check_of_one_model("Reference samples", "put together", *models)

    # ------------------------------------------------------------------ files
    def save(self, path: Path) -> None:
        """Write to an HDF5 file, whole or not at all: a file that was there stays until the new one is complete."""
        header = {
            name: getattr(self, name) for name in ("settings", "progress", "fingerprints", "model_name", "samples", "seen")
        }
        files.write(path, header, self.layers)

    @staticmethod
    def load(path: Path, model: keras.Layer | OpenedModel | None = None) -> "Gallery":
        """Read what `save` wrote; see `innspect.concepts.load`."""
        return load(path, model)

    # ------------------------------------------------------------------ looking at it
    def maps(
        self,
        analyzer: Analyzer,
        data: Any,
        layer: str,
        channel: int,
        *,
        target: Any = None,
        top: int | None = None,
        batch_size: int | None = None,
    ) -> tuple[Nest, Nest]:
        """The reference samples of a channel, and a map of each: what in them the channel answers to.

        By relevance it is the relevance that passes the channel on its way from the sample's target; by activation that of the
        channel itself, as a unit.

        Args:
            analyzer: The analyzer; by relevance it must send a signal that can be masked.
            data: What was collected from, again, in the same order.
            layer, channel: Which channel.
            target: As for `collect`.
            top: How many samples; None: all that are kept.
            batch_size: Samples computed at once; None: by their size and the model's.

        Returns:
            The samples and the maps, (samples, ...), in descending order of the channel's values.

        Raises:
            KeyError: Nothing was collected at the layer, or `data` has not all of the samples.
            ValueError: There is no such channel, or another argument does not fit.
        """
        return reference_maps(self, analyzer, data, layer, channel, target, top, batch_size)

    def html(
        self,
        path: Path | None = None,
        *,
        layers: Sequence[str] | None = None,
        channels: Sequence[int] | None = None,
        top: int = 8,
        most: int = 40,
        labels: Any = None,
        names: Any = None,
        title: str | None = None,
    ) -> "Page":
        """One HTML page that loads nothing from elsewhere: a row for each channel with what it sees of its best samples.

        Args:
            path: A file to write it to.
            layers: Paths of layers; None: all.
            channels: Numbers of channels; None: those with the largest mean values by size, at most `most` of each layer.
            top: How many samples of each, of those whose crops were kept.
            most: How many channels of a layer where none are named.
            labels: The names of the classes, in any form that `innspect.labels.read` takes.
            names: What each sample is called: a list by id, a dict, or a function of the id.
            title: Heading.

        Returns:
            A `Page`: `page.html`, `page.save(path)`; shown in notebooks.

        Raises:
            KeyError: Nothing was collected at one of `layers`.
            ValueError: A layer has no such channel, or another argument is out of its range.
        """
        from innspect.reports.references import references_page

        page = references_page(self, layers, channels, top, most, labels, names, title)
        if path is not None:
            page.save(path)
        return page


def load(path: Path, model: keras.Layer | OpenedModel | None = None) -> Gallery:
    """Read reference samples from an HDF5 file.

    Args:
        path: A file that `collect` or `Gallery.save` wrote.
        model: The model they are of; without it nothing is compared.

    Returns:
        A `Gallery`.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, holds no reference samples, or is of a newer version.
        ValueError: It is of another model; the message names the first layer that differs.
    """
    header, layers = files.read(path)
    with reading(path):
        gallery = Gallery(layers=layers, **header)
    if model is not None:
        opened = open_model(model)
        different = first_difference(layer_fingerprints(opened.graph), gallery.fingerprints)
        if different is not None:
            raise ValueError(
                f"The reference samples are of another model: the first layer that differs is {different!r}. "
                f"Received: the model {opened.model.name!r}, reference samples of {gallery.model_name!r}"
            )
    return gallery


def merge(galleries: Iterable[Gallery | Path]) -> Gallery:
    """Put the reference samples of shards together, one after the other.

    Args:
        galleries: `Gallery` objects, or paths of their files, in any order.

    Returns:
        A `Gallery` like that of all the samples in one run.

    Raises:
        ValueError: There are none, they are of different models or settings, or a sample is in two of them.
    """
    result: Gallery | None = None
    for each in galleries:
        other = each if isinstance(each, Gallery) else load(each)
        result = other if result is None else result.merge(other)
    if result is None:
        raise ValueError("`galleries` must hold at least one gallery, or a path of one. Received: none")
    return result


def _joined(first: Seen, second: Seen) -> Seen:
    """The parts of both, neighbours put together."""
    result: Seen = []
    for start, end in sorted(part for part in (*first, *second) if part[0] < part[1]):
        if result and start < result[-1][1]:
            raise ValueError(
                f"The samples {start} to {min(end, result[-1][1]) - 1} would be counted twice. Give each shard the number of "
                "its first sample, `first_id`."
            )
        if result and start == result[-1][1]:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result
