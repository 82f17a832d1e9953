"""Maps of many samples in one file, a run that may be interrupted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.config import Configured
from innspect.checks import AnyOf, Boolean, File, Integer, OneOf
from innspect.inputs.contrast import Contrast
from innspect.inputs.passing import Channels
from innspect.types import Neuron, Path

if TYPE_CHECKING:
    from innspect.stores.store import Store


class Storing(Configured):
    """Part of `Analyzer`: what fills a store."""

    def store(
        self,
        data: Any,
        path: Path,
        neuron_selection: Neuron = None,
        *,
        labels: Any = None,
        resume: bool = True,
        dtype: str = "float32",
        compression: str | None = "gzip",
        first_id: int = 0,
        steps: int | None = None,
        batch_size: int | None = None,
        output: int | str = 0,
        verbose: int = 0,
        neurons: Sequence[Neuron] | None = None,
        contrast: Contrast = None,
        through: Channels = None,
    ) -> "Store":
        """Explain many samples into one HDF5 file, in the layout that virelay reads; a run may be interrupted and gone on with.

        What is done is in the file some seconds later, and stays there whatever happens: the process may be killed at any
        moment. The same call then goes on, and the file ends up equal, to the bit, to that of a run that was not interrupted.

        Args:
            data: As `x` of `analyze`: an array, a list or a dict of arrays, which are in memory; or a stream of batches, of any
                length, the same in the same order when a run goes on. Batches that are done are drawn and left aside.
            path: The file. See `innspect.open_store`.
            neuron_selection, batch_size, output, neurons, contrast, through: As for `analyze`.
            labels: The class of each sample, integers (samples,), or for several classes ones and zeros (samples, classes); a
                stream may bring them, (inputs, labels). Or the names of the classes, as for `explain`.
            resume: Whether to go on where the file is there already. False begins anew, and gives up what is there.
            dtype: Of the maps in the file: "float32", "float16" (half the size, 3 digits) or "float64".
            compression: "gzip", lossless; or None, which is faster and a tenth larger, more where maps hold zeros.
            first_id: The number of the first sample. Shards need it, so that they can be merged.
            steps: Take so many batches at most; an endless generator needs it.
            verbose: 1 shows progress.

        Returns:
            The `Store`, for reading.

        Raises:
            ValueError: An argument does not fit; the file was begun with other settings, another model, other weights or other
                data; or the data ended early, where what came is kept.
            UnreadableFileError: There is a file at `path`, and it is damaged, or no store.
            BlockingIOError: It is open elsewhere.

        Examples:
            >>> analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", model)
            >>> store = analyzer.store(x, "maps.h5", labels=y, verbose=1)
            >>> store[10:20].attributions.shape, store.labels[10:20]
        """
        from innspect.stores.labels import split
        from innspect.stores.store import Store
        from innspect.stores.writing import run

        File().check("path", path)
        Boolean().check("resume", resume)
        OneOf("float32", "float16", "float64").check("dtype", dtype)
        OneOf("gzip", None).check("compression", compression)
        Integer(0, 1 << 62).check("first_id", first_id)
        Integer(1).check_given("steps", steps)
        AnyOf(Integer(), Boolean()).check("verbose", verbose)
        names, classes = split(labels)
        asked = Asked(neuron_selection, neurons, batch_size, output, verbose, contrast, through)
        run(
            self,  # type: ignore[arg-type]
            data,
            path,
            asked,
            names=names,
            classes=classes,
            resume=resume,
            dtype=dtype,
            compress=compression is not None,
            first_id=first_id,
            steps=steps,
        )
        return Store(path)
