"""What an iNNvestigate script may call on any analyzer, besides what analyzers here have anyway."""

import os
from typing import TYPE_CHECKING, Any, Self

from innspect.analyzers.base.storage import Stored, load_analyzer, loaded
from innspect.types import Path

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


class Migrated(Stored):
    """Base of `Analyzer` with iNNvestigate's ways to train, save and load."""

    def fit(self, *_: Any, **__: Any) -> Self:
        """Nothing to learn: returns the analyzer itself, so that a script may call it for every method."""
        return self

    def fit_generator(self, generator: Any, *_: Any, **__: Any) -> Self:
        """As `fit`."""
        return self

    def create_analyzer_model(self) -> None:
        """Nothing: what an analysis compiles it compiles when it is asked for the first time."""

    def save_npz(self, fname: Path) -> None:
        """As `save`, with iNNvestigate's ending: ".npz" is added where it is missing."""
        self.save(_with_ending(fname))

    @staticmethod
    def load(class_name: str, state: bytes) -> "Analyzer":
        """The analyzer of which `save()` gave this name and state.

        Raises:
            UnreadableFileError: The state is damaged.
            ValueError: The state was saved by iNNvestigate, or is of another analyzer.
        """
        if not isinstance(state, bytes):
            raise ValueError(
                "`state` must be what `analyzer.save()` of innspect returned; create and fit anew what iNNvestigate saved. "
                f"Received: {type(state).__name__}"
            )
        analyzer = loaded(state)
        if analyzer.name != class_name:
            raise ValueError(f"`class_name` must be the state's, {analyzer.name!r}. Received: {class_name!r}")
        return analyzer

    @staticmethod
    def load_npz(fname: Path) -> "Analyzer":
        """The analyzer that `save_npz` or `save` wrote.

        Raises:
            UnreadableFileError: The file is damaged, or no saved analyzer.
        """
        return load_analyzer(fname if os.path.exists(fname) else _with_ending(fname))


def _with_ending(fname: Path) -> str:
    return str(fname) if str(fname).endswith(".npz") else f"{fname}.npz"
