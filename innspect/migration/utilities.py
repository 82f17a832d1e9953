"""The helpers of `innvestigate.utils`, by the same names and arguments, for scripts that were written with it.

What they do better here, and why, is told in docs/migrating.md.
"""

import numpy as np
from keras import config
from keras.utils import PyDataset

from innspect.checks import Integer
from innspect.graph.opened.logits import model_wo_output_activation, model_wo_softmax

__all__ = [
    "BatchSequence",
    "TargetAugmentedSequence",
    "model_wo_output_activation",
    "model_wo_softmax",
    "postprocess_images",
    "preprocess_images",
    "to_list",
]

_CODINGS = (None, "RGBtoBGR", "BGRtoRGB")


def to_list(l):  # noqa: E741  (iNNvestigate's name)
    """The list itself, or a list that holds what is none."""
    return l if isinstance(l, list) else [l]


class BatchSequence(PyDataset):
    """Batches of arrays that belong together.

    Args:
        Xs: An array, or a list of arrays with the same number of samples.
        batch_size: Samples in a batch; the last may hold fewer.

    A batch of a single array is an array, one of several a tuple.
    """

    def __init__(self, Xs, batch_size=32):
        super().__init__()
        self.Xs, self.batch_size = to_list(Xs), batch_size
        self.single_tensor = len(self.Xs) == 1
        if len({len(x) for x in self.Xs}) > 1:
            raise ValueError(f"`Xs` must hold the same number of samples. Received: {[len(x) for x in self.Xs]}")
        Integer(1).check("batch_size", batch_size)

    def __len__(self):
        return -(-len(self.Xs[0]) // self.batch_size)

    def __getitem__(self, idx):
        if not 0 <= idx < len(self):  # so that a `for` over the batches ends
            raise IndexError(f"There are {len(self)} batches. Received: {idx}")
        rows = slice(idx * self.batch_size, (idx + 1) * self.batch_size)
        batch = tuple(x[rows] for x in self.Xs)
        return batch[0] if self.single_tensor else batch


class TargetAugmentedSequence(PyDataset):
    """Batches of inputs with targets that are computed for each.

    Args:
        sequence: Batches by index, such as a `BatchSequence` of one array.
        augment_f: Takes the list of a batch's inputs, returns its targets.
    """

    def __init__(self, sequence, augment_f):
        super().__init__()
        self.sequence, self.augment_f = sequence, augment_f

    def __len__(self):
        return len(self.sequence)

    def __getitem__(self, idx):
        if not 0 <= idx < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {idx}")
        inputs = self.sequence[idx]
        if isinstance(inputs, tuple):
            if len(inputs) != 1:
                raise ValueError(f"`sequence` must yield inputs only. Received: batches of {len(inputs)} arrays")
            inputs = inputs[0]
        return inputs, self.augment_f(to_list(inputs))


def preprocess_images(images, color_coding=None):
    """Images in the layout of Keras' data format and in the coding of a model.

    Args:
        images: (samples, height, width, channels) or (samples, channels, height, width) with 1 or 3 channels; where
            both would fit, channels are taken to be first.
        color_coding: None, "RGBtoBGR" or "BGRtoRGB", which do the same.

    Returns:
        A view or copy of the images; the images themselves are left alone.
    """
    _check_images(images, color_coding)
    is_first, wants_first = images.shape[1] in (1, 3), _keras_has_channels_first()
    moved = _moved(images, is_first, wants_first)
    return moved if color_coding is None else _flipped(moved, wants_first)


def postprocess_images(images, color_coding=None, channels_first=None):
    """The way back from `preprocess_images`: from Keras' data format to the layout that is asked for.

    Args:
        images: In the layout of Keras' data format, four axes.
        color_coding: As it was given to `preprocess_images`; either coding swaps red and blue.
        channels_first: Whether the result has its channels first; None and False: last.
    """
    _check_images(images, color_coding)
    is_first = _keras_has_channels_first()
    coded = images if color_coding is None else _flipped(images, is_first)
    return _moved(coded, is_first, bool(channels_first))


def _keras_has_channels_first():
    return config.image_data_format() == "channels_first"


def _moved(images, is_first, wants_first):
    if is_first == wants_first:
        return images
    return images.transpose((0, 3, 1, 2) if wants_first else (0, 2, 3, 1))


def _flipped(images, is_first):
    return images[:, ::-1] if is_first else images[..., ::-1]


def _check_images(images, color_coding):
    if np.ndim(images) != 4:
        raise ValueError(f"`images` must have four axes, samples first. Received: shape {np.shape(images)}")
    if color_coding not in _CODINGS:
        raise ValueError(f"`color_coding` must be None, 'RGBtoBGR' or 'BGRtoRGB'. Received: {color_coding!r}")
