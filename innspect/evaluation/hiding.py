"""What stands where an input is hidden (METRICS 1.10): made once, from the clean sample, never from a half-hidden one."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from innspect.checks import Finite, Integer
from innspect.evaluation.imputation import imputed
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import Units
from innspect.graph.keras_internals import layers_of
from innspect.inputs.batches import as_numbers
from innspect.inputs.masking import fill as given_fill
from innspect.types import Array

WORDS = ("mean", "blur", "noise", "region_mean", "road")
_SIGMA, _REACH = 5.0, 5  # of the blur, in positions

Fill = Callable[[Array, Array, list[Array]], Array]  # from samples, versions, masks to (versions or 1, samples or 1, ...)


class Hiding:
    """Fills of every input.

    Args:
        trial: The `Trial`.
        hide: What the user gave; for several inputs a list with one for each.
        units: The `Units`, for "region_mean".
        background: Samples over which columns of a table have their means; None: the trial's own.
        value_range: (low, high) of the noise; None: each channel's own of the sample.
        mask_id: The id that hides a token; None: 0 where the model's embedding masks zero.
        repeats: How many noise images there are; one of anything else.
        solves: Whether something is imputed.
        road_noise: Deviation of the noise after an imputation, in units of the sample's range.
        apart: Whether every element is a position.
        default: What stands for columns and ids where the default is a blur.

    Attributes:
        repeats: How many fills each sample has.
        repeat: Which of them stands there now.
        said: What was done, for the settings.
    """

    def __init__(
        self,
        trial: Trial,
        hide: Any,
        units: Units,
        *,
        background: Any = None,
        value_range: tuple[float, float] | None = None,
        mask_id: int | None = None,
        repeats: int = 10,
        apart: bool = False,
        road_noise: float = 0.01,
    ):
        self.trial, self.units, self.apart = trial, units, apart
        self.value_range, self._background, self._mask_id = value_range, background, mask_id
        self.road_noise = road_noise
        given = _per_input(hide, len(trial.arrays))
        words = [h for h in given if isinstance(h, str)]
        self.solves = "road" in words
        self.repeats, self.repeat = int(Integer(1).check("repeats", repeats)) if "noise" in words else 1, 0
        self._fills = [self._of(given[i], i) for i in range(len(given))]
        self.said = {"hide": hide if not callable(hide) else getattr(hide, "__name__", repr(hide))}
        tables = [i for i, h in enumerate(given) if trial.is_table(i) and h in (("mean", "blur") if isinstance(h, str) else ())]
        if tables:
            self.said["background"] = "x" if background is None else f"{len(self._backgrounds[0])} samples"

    def fills(self, rows: Array, numbers: Array, masks: list[Array]) -> list[Array]:
        """What hides each input; see `versions.Fills`."""
        return [fill(rows, numbers, masks) for fill in self._fills]

    def mean(self, look: Callable[[], Array]) -> Array:
        """The mean over the repeats of what is looked at, one noise image after the other."""
        total: Array = np.zeros(())
        for repeat in range(self.repeats):
            self.repeat = repeat
            total = total + look()
        return total / self.repeats

    # ------------------------------------------------------------------ of one input
    def _of(self, hide: Any, i: int) -> Fill:
        trial, x, axes = self.trial, self.trial.arrays[i], self.trial.axes[i]
        if trial.ids[i]:
            return _constant(np.full((1,) * x.ndim, mask_id(trial, self._mask_id if isinstance(hide, str) else hide)))
        if x.dtype.kind in "OSU":
            raise ValueError("`x` must hold numbers for this metric: text cannot be hidden. Received: strings")
        if callable(hide):
            return lambda rows, numbers, masks: self._asked(hide, i, rows, masks)
        if not isinstance(hide, str):
            if hide is None or not Finite().holds(hide):
                raise _wrong(hide)
            try:
                return _constant(given_fill(hide, x[:1], axes, ()))
            except ValueError as error:
                raise ValueError(str(error).replace("`value`", "`hide`")) from error
        if hide not in WORDS:
            raise _wrong(hide)
        if hide in ("mean", "blur") and trial.is_table(i):
            return _constant(self._backgrounds[i].mean(axis=0, keepdims=True))
        if hide == "mean":
            return lambda rows, numbers, masks: x[rows].mean(axis=axes.spatial, keepdims=True, dtype="float64")[None]
        if hide == "blur":
            last = trial.kept.setdefault(("blur", i), {})  # the same for every method
            return _of_batch(lambda rows: blurred(x[rows], axes.spatial), last)
        if hide == "region_mean":
            if self.units.of.shape[1] == self.units.counts.max():
                raise ValueError(
                    "hide='region_mean' needs units larger than one position, by `region` or `groups`. Received: none"
                )
            return _of_batch(lambda rows: self._unit_means(rows, i), {})
        if hide == "noise":
            return self._noise(i)
        if trial.is_table(i):
            raise ValueError("hide='road' needs inputs with neighbours: images, series, volumes. Received: columns of a table")
        return lambda rows, numbers, masks: self._imputed(rows, numbers, masks[i], i)

    def _imputed(self, rows: Array, numbers: Array, masks: Array, i: int) -> Array:
        """What neighbours say, and a little noise, the same for each version of a sample (METRICS 2, road)."""
        x, channel = self.trial.arrays[i], self.trial.axes[i].channel
        if masks.dtype != bool:
            raise ValueError("hide='road' needs positions that are hidden or not: it has no meaning where they are dimmed")
        _, row, again = np.unique(rows, return_index=True, return_inverse=True)  # batches are padded by repetition
        _, version, once_more = np.unique(numbers, return_index=True, return_inverse=True)
        found = imputed(x[rows[row]], masks[version][:, row], channel)
        if self.road_noise:
            for n, sample in enumerate(rows[row]):
                generator = self.trial.generator("noise", int(sample))
                for before in self.trial.arrays[:i]:
                    generator.standard_normal(before.shape[1:])
                width = self.road_noise * np.ptp(x[sample])
                found[:, n] += width * generator.standard_normal(x.shape[1:])
        return found[once_more][:, again]

    def _noise(self, i: int) -> Fill:
        trial, x, axes = self.trial, self.trial.arrays[i], self.trial.axes[i]
        sizes = [int(np.prod(a.shape[1:])) for a in trial.arrays]

        def image(row: int, repeat: int) -> Array:
            generator = trial.generator("noise", row)
            # (repeats, ...) of each input in turn would come from one generator: go on to this one's.
            generator.bit_generator.advance(self.repeats * sum(sizes[:i]) + repeat * sizes[i])  # type: ignore[attr-defined]
            spatial = tuple(a - 1 for a in axes.spatial)
            low, high = x[row].min(axis=spatial, keepdims=True), x[row].max(axis=spatial, keepdims=True)
            if self.value_range is not None:
                low, high = (np.asarray(v, "float64") for v in self.value_range)
            return low + generator.random(x.shape[1:]) * (high - low)

        return lambda rows, numbers, masks: np.stack([image(int(row), self.repeat) for row in rows])[None]

    def _unit_means(self, rows: Array, i: int) -> Array:
        """Each unit's own mean of each channel of the i-th input, in the input's shape."""
        trial, axes = self.trial, self.trial.axes[i]
        start = sum(int(np.prod(size)) for size in trial.sizes[:i])
        stop = start + int(np.prod(axes.size))
        x = trial.arrays[i][rows].astype("float64")
        moved = x[..., None] if axes.channel is None else np.moveaxis(x, axes.channel, -1)
        flat = moved.reshape(len(rows), stop - start, -1)
        result = np.zeros_like(flat)
        for n, row in enumerate(rows):
            unit = self.units.row(int(row))[start:stop]
            inside = unit >= 0
            size = np.bincount(unit[inside], minlength=self.units.count(int(row)))
            for channel in range(flat.shape[-1]):
                sums = np.bincount(unit[inside], flat[n, inside, channel], len(size))
                result[n, inside, channel] = (sums / np.maximum(size, 1))[unit[inside]]
        shaped = result.reshape(moved.shape)
        return shaped[..., 0] if axes.channel is None else np.moveaxis(shaped, -1, axes.channel)

    def _asked(self, function: Callable[..., Any], i: int, rows: Array, masks: list[Array]) -> Array:
        """What the user's function says of hidden positions, version by version."""
        x, made = self.trial.arrays[i][rows], []
        for hidden in masks[i]:
            found = np.asarray(function(x.copy(), hidden))
            if found.shape != x.shape or found.dtype.kind not in "fiu":
                raise ValueError(
                    f"A callable `hide` must return numbers of the shape it is given, {x.shape}. "
                    f"Received: shape {found.shape}, dtype {found.dtype}"
                )
            made.append(found)
        return np.stack(made)

    @functools.cached_property
    def _backgrounds(self) -> list[Array]:
        if self._background is None:
            return self.trial.arrays
        return [a[:, None] if a.ndim == 1 else a for a in self.trial.predictor.inputs(self._background).arrays]


def _wrong(hide: Any) -> ValueError:
    words = ", ".join(map(repr, WORDS))
    return ValueError(
        f"`hide` must be a finite number, one for each channel, an array of a sample's shape, a callable, or one of {words}. "
        f"Received: {hide!r}"
    )


def _per_input(hide: Any, count: int) -> Sequence[Any]:
    if count == 1 or not isinstance(hide, list):
        return [hide] * count
    if len(hide) != count:
        raise ValueError(
            f"`hide` must be one for all, or a list with one for each of the {count} inputs. Received: {len(hide)}"
        )
    return hide


def _constant(array: Array) -> Fill:
    return lambda rows, numbers, masks: array[None]


def _of_batch(make: Callable[[Array], Array], last: dict[bytes, Array]) -> Fill:
    """A fill that is made once for the samples of a batch, whatever the version; `last` keeps it."""

    def fill(rows: Array, numbers: Array, masks: list[Array]) -> Array:
        key = rows.tobytes()
        if key not in last:
            last.clear()
            last[key] = make(rows)
        return last[key][None]

    return fill


def blurred(x: Array, axes: tuple[int, ...]) -> Array:
    """Samples smoothed along some axes: a Gaussian of sigma 5 positions, cut at 5; weights at the border sum to 1."""
    y = x.astype("float64")
    for axis in axes:
        places = np.arange(x.shape[axis])
        apart = places[:, None] - places
        weights = np.where(np.abs(apart) <= _REACH, np.exp(-0.5 * (apart / _SIGMA) ** 2), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        y = np.moveaxis(np.tensordot(weights, y, axes=(1, axis)), 0, axis)
    return y


def embeddings_mask_zero(trial: Trial) -> bool:
    """Whether an embedding of the model takes 0 for padding."""
    opened = trial.predictor.opened
    layers = [] if opened is None else layers_of(opened.model)
    return any(getattr(layer, "mask_zero", False) for layer in layers)


def mask_id(trial: Trial, given: Any) -> int:
    """The id that hides a token.

    Raises:
        ValueError: It must be given, and is not.
    """
    if given is None and embeddings_mask_zero(trial):
        return 0
    if given is None:
        raise ValueError(
            "`mask_id` must be given for inputs that hold ids of an embedding that does not mask zero: the id of the mask or "
            "padding token. Received: None"
        )
    return int(Integer().check("mask_id", given))


def unhidable(trial: Trial, keep: Any = None) -> Array | None:
    """Positions that are no units, booleans (samples, positions), or None: padding ids, and those that hold ids of `keep`.

    Args:
        trial: The `Trial`.
        keep: A list of ids, such as special tokens, or booleans of the positions' shape, for all samples or for each.
    """
    kept = None if keep is None else as_numbers(keep, "keep")
    if kept is not None and (kept.dtype.kind not in "iub" or (kept.dtype.kind != "b" and not any(trial.ids))):
        raise ValueError(
            "`keep` must be a list of ids that are never hidden, for inputs of ids, or booleans over positions. "
            f"Received: {keep!r:.100}"
        )
    parts = []
    for x, size, ids in zip(trial.arrays, trial.sizes, trial.ids, strict=True):
        never = np.zeros((trial.samples, *size), bool)
        if ids and embeddings_mask_zero(trial):
            never |= x == 0
        if kept is not None and kept.dtype.kind == "b":
            if kept.shape not in (size, never.shape):
                raise ValueError(f"`keep` must have the positions' shape {size}, or {never.shape}. Received: {kept.shape}")
            never |= kept
        elif kept is not None and ids:
            never |= np.isin(x, kept)
        parts.append(never.reshape(trial.samples, -1))
    whole = np.concatenate(parts, axis=1)
    return whole if whole.any() else None
