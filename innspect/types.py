"""Words for signatures: arrays, tensors, nests of them, and functions of tensors.

The tensors of TensorFlow, JAX and PyTorch have no class in common. So a type checker takes a `BackendTensor` for anything, but
still sees where it may be None. Who reads a signature learns what is meant; the docstring tells the shape.
"""

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

Array: TypeAlias = np.ndarray

BackendTensor: TypeAlias = Any
"""A tensor of the backend that Keras runs on."""

Tensors: TypeAlias = list[BackendTensor]
"""One for each input, output or target, in their order."""

Signals: TypeAlias = list[BackendTensor | None]
"""One for each input; None for an input that gets none."""

Pullback: TypeAlias = Callable[[Tensors], Signals]
"""From the signals at the outputs to those at the inputs."""

Nest: TypeAlias = Any
"""An array, or lists, tuples and dicts of arrays, in the structure that the user gave or the model has."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of the axes, None where one is not known before the input is."""

Neuron: TypeAlias = ArrayLike | Callable[[BackendTensor], BackendTensor] | None
"""What is explained, as users say it; see `Analyzer.analyze`."""

Path: TypeAlias = str | os.PathLike[str]
"""A file or folder, as users say it."""
