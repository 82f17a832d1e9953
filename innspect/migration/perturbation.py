"""Pixel flipping (Bach et al. 2015, section 4; region perturbation, Samek et al. 2017): is what is relevant needed?

The regions of an image are replaced in the order of their relevance, and the model is scored after each step: the
sooner its score falls, the better the relevance found what the model used.
"""

import time

import keras
import numpy as np

from innspect.graph.opened.opened_model import model_of

FUNCTIONS = ("zeros", "gaussian", "mean", "invert")
_NOISE = 0.3  # standard deviation of "gaussian", as in iNNvestigate
_GONE = -np.inf  # relevance of a region that was replaced before


class Perturbation:
    """Replaces the most relevant regions of images.

    Args:
        perturbation_function: "zeros", "mean" (of the region), "invert" (the sign), "gaussian" (noise of standard
            deviation 0.3); or a function that is given a region of one channel, (height, width), and returns one.
        num_perturbed_regions: How many regions of each image are replaced.
        region_shape: (height, width) of a region in pixels.
        reduce_function: Takes the channels of an analysis together: called with `axis` and `keepdims`.
        aggregation_function: Takes the pixels of a region together: called with `axis`.
        pad_mode: How images are enlarged that regions do not divide, as for `numpy.pad`; the result is cut back.
        in_place: Whether `x` itself is changed as well.
        value_range: (low, high), what perturbed images are clipped to.
        seed: For "gaussian"; the same integer gives the same noise.
    """

    def __init__(
        self,
        perturbation_function,
        num_perturbed_regions=0,
        region_shape=(9, 9),
        reduce_function=np.mean,
        aggregation_function=np.mean,
        pad_mode="reflect",
        in_place=False,
        value_range=None,
        seed=0,
    ):
        self._random = np.random.default_rng(seed)
        self.perturbation_function = self._function(perturbation_function)
        self.num_perturbed_regions, self.region_shape = num_perturbed_regions, tuple(region_shape)
        self.reduce_function, self.aggregation_function = reduce_function, aggregation_function
        self.pad_mode, self.in_place, self.value_range = pad_mode, in_place, value_range

    def _function(self, function):
        if callable(function):
            return function
        if not isinstance(function, str):
            raise TypeError(
                f"`perturbation_function` must be a function or one of {FUNCTIONS}. Received: {type(function).__name__}"
            )
        if function not in FUNCTIONS:
            raise ValueError(f"`perturbation_function` must be a function or one of {FUNCTIONS}. Received: {function!r}")
        return {
            "zeros": np.zeros_like,
            "gaussian": lambda region: self._random.normal(0.0, _NOISE, region.shape),
            "mean": np.mean,
            "invert": np.negative,
        }[function]

    def perturbate_on_batch(self, x, analysis):
        """Replace the `num_perturbed_regions` most relevant regions of each image.

        Args:
            x: Images in the layout of Keras' data format, (samples, height, width, channels) by default.
            analysis: Their attributions: the same shape, or without the channels.

        Returns:
            Perturbed images, an array of x's shape.

        Raises:
            ValueError: The shapes do not fit, or an image has fewer regions.
        """
        relevance = self.region_relevance(x, analysis)
        chosen = self.compute_perturbation_mask(self.compute_region_ordering(relevance), self.num_perturbed_regions)
        result = self.replace(x, chosen)
        if self.in_place:
            x[...] = result
        return result

    def region_relevance(self, x, analysis):
        """The relevance of each region, (samples, rows, columns)."""
        x, analysis = np.asarray(x), np.asarray(analysis)
        shape = _channels_first(x).shape if x.ndim == 4 else None
        if shape is None or analysis.shape not in (x.shape, (shape[0], *shape[2:])):
            raise ValueError(
                "`x` must have the shape (samples, height, width, channels), and `analysis` the same, with or without "
                f"channels. Received: {x.shape} and {analysis.shape}"
            )
        analysis = _channels_first(analysis) if analysis.ndim == 4 else analysis[:, None]
        reduced = self.reduce_function(analysis, axis=1, keepdims=True)
        return self.aggregation_function(self._regions(reduced), axis=(3, 5))[:, 0]

    @staticmethod
    def compute_region_ordering(relevance):
        """The rank of each region, 0 for the most relevant; of equal ones the first in row-major order comes first.

        Args:
            relevance: (samples, rows, columns).
        """
        flat = np.reshape(relevance, (len(relevance), -1))
        order = np.argsort(-flat, axis=-1, kind="stable")
        return np.argsort(order, axis=-1, kind="stable").reshape(np.shape(relevance))

    @staticmethod
    def compute_perturbation_mask(ranks, num_perturbed_regions):
        """Which regions have one of the first ranks: booleans of the shape of `ranks`, (samples, rows, columns)."""
        regions = int(np.prod(ranks.shape[1:]))
        if not 0 <= num_perturbed_regions <= regions:
            raise ValueError(
                f"`num_perturbed_regions` must be between 0 and {regions}, the number of regions of an image. "
                f"Received: {num_perturbed_regions}"
            )
        return ranks < num_perturbed_regions

    def replace(self, x, chosen):
        """Replace chosen regions, never in place.

        Args:
            x: Images in the layout of Keras' data format.
            chosen: Booleans, (samples, rows, columns).

        Returns:
            An array of x's shape and floating type.
        """
        x = np.asarray(x)
        images = _channels_first(x if x.dtype.kind == "f" else x.astype("float32"))
        regions = self._regions(images)
        for sample, row, column in zip(*np.nonzero(chosen), strict=True):
            for channel in regions[sample, :, row, :, column, :]:  # views
                channel[...] = self._replaced(channel)
        height, width = images.shape[2:]
        (top, _), (left, _) = self._padding(height, width)
        whole = regions.reshape(*regions.shape[:2], regions.shape[2] * regions.shape[3], -1)
        return _as_before(whole[:, :, top : top + height, left : left + width])

    def _replaced(self, region):
        new = self.perturbation_function(region.copy())
        return new if self.value_range is None else np.clip(new, *self.value_range)

    def _regions(self, images):
        """(samples, channels, rows, region height, columns, region width), a copy, padded where regions do not fit."""
        padded = np.pad(images, ((0, 0), (0, 0), *self._padding(*images.shape[2:])), self.pad_mode)
        (h, w), (samples, channels, height, width) = self.region_shape, padded.shape
        return np.array(padded).reshape(samples, channels, height // h, h, width // w, w)

    def _padding(self, *sizes):
        missing = [-size % region for size, region in zip(sizes, self.region_shape, strict=True)]
        return [(m // 2, m - m // 2) for m in missing]


class PerturbationAnalysis:
    """Scores a model while more and more of its inputs is perturbed in the order of an analyzer's relevance.

    Args:
        analyzer: The analyzer whose relevance orders the regions.
        model: A compiled Keras model: `model.evaluate` gives the scores.
        generator: Batches (x, y), such as `innspect.utils.BatchSequence([x, y])`; they are read once.
        perturbation: A `Perturbation`.
        steps: How many times the perturbed inputs are scored.
        regions_per_step: How many regions are added at each step after the first, which perturbs one.
        recompute_analysis: Whether the perturbed inputs are analyzed anew at each step (Montavon et al. 2018, section
            7.2); regions that were replaced are not replaced again.
        verbose: Whether to print the progress.
    """

    def __init__(
        self,
        analyzer,
        model,
        generator,
        perturbation,
        steps=1,
        regions_per_step=1,
        recompute_analysis=False,
        verbose=False,
    ):
        self.analyzer, self.model, self.generator, self.perturbation = analyzer, model_of(model), generator, perturbation
        self.steps, self.regions_per_step = steps, regions_per_step
        self.recompute_analysis, self.verbose = recompute_analysis, verbose

    def compute_on_batch(self, x, analysis=None, return_analysis=False):
        """Perturbed inputs: `num_perturbed_regions` of the perturbation, in the order of `analysis`, made if None."""
        analysis = self.analyzer.analyze(x) if analysis is None else analysis
        perturbed = self.perturbation.perturbate_on_batch(x, analysis)
        return (perturbed, analysis) if return_analysis else perturbed

    def evaluate_on_batch(self, x, y, analysis=None, sample_weight=None):
        """What `model.evaluate` says of the perturbed inputs."""
        x = self.compute_on_batch(x, analysis)
        return self.model.evaluate(x, y, batch_size=len(x), sample_weight=sample_weight, verbose=0)

    def evaluate_generator(self, generator, steps=None, **ignored):
        """As `evaluate_on_batch`, for batches (x, y) or (x, y, analysis), taken together.

        Args:
            generator: The batches.
            steps: How many are read; None: all.
            **ignored: iNNvestigate's settings of queues and workers.
        """
        unknown = set(ignored) - {"max_queue_size", "workers", "use_multiprocessing"}
        if unknown:
            raise TypeError(f"`evaluate_generator` takes no argument {sorted(unknown)[0]!r}")
        batches = list(_batches(generator, steps))
        x = np.concatenate([self.compute_on_batch(b[0], b[2] if len(b) > 2 else None) for b in batches])
        return self._score(x, np.concatenate([np.asarray(b[1]) for b in batches]), len(batches[0][0]))

    def compute_perturbation_analysis(self):
        """Score the inputs as they are, then perturbed by 1, 1 + regions_per_step, 1 + 2 regions_per_step ... regions.

        Returns:
            A list of steps + 1 scores, each what `model.evaluate` returns.
        """
        batches = list(_batches(self.generator, None))
        x, y = (np.concatenate([np.asarray(b[i]) for b in batches]) for i in (0, 1))
        size, started = len(batches[0][0]), time.monotonic()
        scores = [self._score(x, y, size)]
        for number, perturbed in enumerate(self._perturbed(x), 1):
            scores.append(self._score(perturbed, y, size))
            if self.verbose:
                print(f"Step {number} of {self.steps}: {time.monotonic() - started:.1f} s")
        return scores

    def _perturbed(self, x):
        """The inputs of each step, the regions of the steps before included."""
        current, gone = x, None
        for step in range(self.steps):
            if step == 0 or self.recompute_analysis:
                relevance = self.perturbation.region_relevance(current, self.analyzer.analyze(current))
            gone = np.zeros(relevance.shape, bool) if gone is None else gone
            ranks = self.perturbation.compute_region_ordering(np.where(gone, _GONE, relevance))
            count = 1 if step == 0 else self.regions_per_step
            if count > (~gone[0]).sum():
                raise ValueError(
                    f"`steps` and `regions_per_step` ask for more regions than the {gone[0].size} of an image. "
                    f"Received: steps={self.steps}, regions_per_step={self.regions_per_step}"
                )
            chosen = self.perturbation.compute_perturbation_mask(ranks, count)
            gone = gone | chosen
            current = (
                self.perturbation.replace(current, chosen) if self.recompute_analysis else self.perturbation.replace(x, gone)
            )
            yield current

    def _score(self, x, y, batch_size):
        return self.model.evaluate(x, y, batch_size=batch_size, verbose=0)


def _batches(generator, steps):
    if hasattr(generator, "__getitem__") and hasattr(generator, "__len__"):
        stream = map(generator.__getitem__, range(len(generator)))
    else:
        stream = iter(generator)
    for number, batch in enumerate(stream):
        if number == steps:
            return
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise ValueError(f"`generator` must yield (x, y) or (x, y, analysis). Received: {type(batch).__name__}")
        yield batch


def _channels_first(images):
    return images if keras.config.image_data_format() == "channels_first" else np.moveaxis(images, -1, 1)


def _as_before(images):
    return images if keras.config.image_data_format() == "channels_first" else np.moveaxis(images, 1, -1)
