"""What would a model like to see: images that drive a neuron, a class or a unit."""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from innspect import backend
from innspect._version import __version__
from innspect.backend.weights import steadily
from innspect.checks import Count, Integer, Number, OneOf, Positive, Sizes
from innspect.errors import some_of
from innspect.graph.ir import is_float
from innspect.graph.opened.layer_paths import tensors_of
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.graph.precision import PreciseCompiler
from innspect.labels import read
from innspect.progress import Progress, Quiet
from innspect.synthesis import regularizers as regularizing
from innspect.synthesis import spaces as moved
from innspect.synthesis import starting
from innspect.synthesis import transformations as transforming
from innspect.synthesis.ascent import OPTIMIZERS, Climb, Recipe, StartIsFlat, beginning, run
from innspect.synthesis.network import Source, nearest
from innspect.synthesis.result import Synthesis
from innspect.synthesis.wanted import Wanted, listed
from innspect.types import Array

_STEP = 0.05  # of Adam; of pixels as a share of their range


def synthesize(
    model: Any,
    target: Any,
    *,
    start: Any = "zeros",
    steps: int = 512,
    objective: str = "logit",
    regularizers: dict[Any, Any] | None = None,
    transformations: Any = None,
    generator: Any = None,
    density: Any = None,
    data: ArrayLike | None = None,
    mean: Any = None,
    low: Any = None,
    high: Any = None,
    size: int | Sequence[int] | None = None,
    space: str | None = None,
    decay: float = 1.0,
    optimizer: str = "adam",
    step_size: float | None = None,
    shrink: float = 1.0,
    output: int | str = 0,
    labels: Any = None,
    batch_size: int = 32,
    seed: int | Sequence[int] = 0,
    verbose: int = 0,
) -> Synthesis:
    """Images that a target responds to most: class models, prototypes, activation maximization, code space, MACO.

    What is maximized is the target, plus the log-density where there is a `density`, less the penalties; of each image by itself,
    so that an image does not depend on those beside it.

    Args:
        model: A built Keras model, or an opened one; its weights are only read.
        target: What is wanted: the number of a neuron; its name, where there are `labels`; `innspect.unit(...)`;
            `innspect.synthesis.neuron(...)`; sums and differences of these; else what `analyze` takes: a tuple, weights, a
            function. A list, or an array of integers, holds one for each image; "all" is every neuron of the output.
        start: "zeros"; "noise"; "fourier", Fourier coefficients in place of pixels; "maco", phases in place of pixels; or
            images, (samples, ...) or one alone: the model's inputs. With `generator=` codes.
        steps: How many.
        objective: What is made of an output's neuron: "logit", or "log_probability"; or another of `list_objectives()`.
        regularizers: A dict from names to strengths, or to dicts of "strength" and arguments: "l2", "lp", "total_variation",
            "blur", "features", or others of `list_regularizers()`; functions in place of names are penalties, too. The penalty
            is the strength times the plain sum over one image; with `generator=` over the code.
        transformations: A list of names, or of pairs (name, arguments): "jitter", "scale", "rotation", "crop", "blur",
            "noise", or others of `list_transformations()`. They are drawn for each step, and alike for all images of a seed.
        generator: A Keras model from codes to images, in whose code space the image is looked for.
        density: A function from a tensor of images (samples, ...) to their log-densities (samples,), such as a
            `innspect.synthesis.Gaussian`; or a Keras model.
        data: Samples, (samples, ...), whose mean spectrum and colours "maco" takes, and whose colours "fourier" takes. Without
            them the spectrum falls as 1/f, and the colours are those of natural images.
        mean: What penalties are about, an array that broadcasts to a sample: of the code with `generator=`.
        low, high: What an image is kept in, numbers or arrays that broadcast to a sample; with `generator=` the code. "fourier"
            and "maco" take 0 and 1 unless told.
        size: Lengths of the axes that the model leaves open, such as (224, 224).
        space: What is moved from a start image: "pixels" (default), "fourier" or "maco".
        decay: Of "fourier": the power by which coefficients are smaller for shorter waves.
        optimizer: "adam", whose steps fall to 0 along a cosine; "normalized", the gradient over its mean magnitude, along a
            line.
        step_size: The length of the first steps. None: 0.05; for pixels with a range 0.05 of that; 1 for "normalized".
        shrink: What is moved is multiplied with it after each step.
        output: Number or name of the output that neurons belong to.
        labels: Names of its neurons, as for `create_analyzer`.
        batch_size: How many images at once.
        seed: Of all that is drawn; or one for each image.
        verbose: 1 shows progress.

    Returns:
        A `Synthesis`, with `images`, `codes`, `curve`, `values`.

    Raises:
        KeyError: No layer, regularizer, transformation or objective has this name; near matches are offered.
        ValueError: An argument out of its range; a target that does not depend on the input; a generator that does not fit.
        NotAnalyzeableModelError: The model cannot be opened, or takes nothing that can be synthesized.

    Examples:
        >>> prototypes = innspect.synthesize(model, [0, 1, 2], objective="log_probability", regularizers={"l2": 0.1})
        >>> innspect.synthesize(model, innspect.unit("conv5", 12), start="fourier", transformations=["jitter", "scale"])
        >>> innspect.synthesize(model, "tabby", labels=names, start="maco", data=x, transformations=[("crop", {"count": 8})])

    References:
        Simonyan, Vedaldi, Zisserman (2014), section 2. Nguyen et al. (2016). Montavon, Samek, Mueller (2018), section 3.
        Olah, Mordvintsev, Schubert (2017). Fel et al. (2023), MACO. Hamblin et al. (2024), feature accentuation.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("model", "verbose")}
    _check(arguments)
    with backend.inference():
        return _Request(model, arguments, verbose).answered()


def _check(given: dict[str, Any]) -> None:
    ranges = {
        "steps": Count(),
        "optimizer": OneOf(*OPTIMIZERS),
        "shrink": Number(1.0),
        "decay": Number(),
        "batch_size": Count(),
        "space": OneOf(None, *moved.SPACES),
    }
    for name, allowed in ranges.items():
        allowed.check(name, given[name])
    Positive().check_given("step_size", given["step_size"])
    Sizes().check_given("size", given["size"])
    seeds = given["seed"]
    if not all(map(Integer().holds, np.atleast_1d(np.asarray(seeds, object)))):
        raise ValueError(f"`seed` must be an integer that is not negative, or a list of these. Received: {seeds!r}")


class _Request:
    """What `synthesize` was asked, checked, and how it is answered."""

    def __init__(self, model: Any, given: dict[str, Any], verbose: int):
        self._given, self._verbose, self._notes = given, verbose, []
        self._opened = open_model(model)
        self._opened.verify()
        self._generator = None if given["generator"] is None else _opened(given["generator"], "generator")
        self._density, known = _density(given["density"])
        variables = {id(v): v for each in (self._opened, self._generator, known) if each is not None for v in each.variables()}
        self._call = PreciseCompiler(list(variables.values()))
        self._source = Source(self._opened)
        self._settle()

    def _settle(self) -> None:
        """Everything about the ascent but the weights of the targets."""
        given, source = self._given, self._source
        in_code = self._generator is not None
        if in_code and len(source.opened.specs) > 1:
            raise ValueError("`generator` needs a model of one input. Received: a model of " + str(len(source.opened.specs)))
        self._start = self._code_start() if in_code else starting.start_of(given["start"], source, self._looked_up)
        words = starting.Start("zeros") if in_code else self._start
        shapes = [starting.shape_of(source, n, words, given["size"]) for n in source.free]
        self._layouts = starting.layouts(source, shapes)
        self._spaces = self._code_space(shapes[0]) if in_code else self._input_spaces()
        self._regularizers, self._features = regularizing.chosen(given["regularizers"], [s.layout for s in self._spaces])
        alone = self._layouts[0] if len(self._layouts) == 1 else None
        chosen = transforming.chosen(given["transformations"], alone)
        self._stages = transforming.Stages(chosen, alone) if chosen and alone is not None else None
        self._chosen = chosen
        if self._features and self._start.kind != "image":
            raise ValueError("The regularizer 'features' compares with a start image. Received: start=" + repr(given["start"]))

    # ------------------------------------------------------------------ what is moved
    def _looked_up(self, number: int, ids: Array) -> Array:
        """The vectors of ids."""
        look_up = self._source.look_up
        found = self._call(("look up", number), lambda ids: look_up(number, ids), ops.convert_to_tensor(ids))
        return starting.to_array(found)

    def _code_start(self) -> starting.Start:
        start = self._given["start"]
        if isinstance(start, str):
            return starting.Start(OneOf("zeros", "noise").check("start", start))
        shape, array = moved.code_shape(self._generator), np.asarray(start, "float64")
        array = array[None] if array.shape == shape else array
        if array.shape[1:] != shape or not len(array) or not np.isfinite(array).all():
            raise ValueError(f"`start` must hold finite codes of the shape {shape}. Received: shape {np.shape(start)}")
        return starting.Start("image", [array], {}, len(array))

    def _code_space(self, image: tuple[int, ...]) -> list[Any]:
        given, generator = self._given, self._generator
        assert generator is not None
        if given["data"] is not None or given["space"] is not None:
            raise ValueError("`data` and `space` are not used in code space. Give `generator` without them")
        shape = moved.code_shape(generator)
        return [moved.Code(generator, shape, moved.Range(given["low"], given["high"], shape), image)]

    def _input_spaces(self) -> list[Any]:
        given, kind = self._given, self._start.kind
        space = given["space"] or (kind if kind in moved.SPACES else "pixels")
        alone = len(self._layouts) == 1
        spaces = []
        for layout in self._layouts:
            name = space if layout.axes else "pixels"
            data = given["data"]
            if data is not None:
                data = starting.check_data(data, layout.shape)
            if name == "maco" and data is None:
                self._notes.append("Without `data` the spectrum falls as 1/f, with the colours of natural images.")
            within = moved.Range(given["low"], given["high"], layout.shape)
            if name != "pixels" and (within.low is None) != (within.high is None):
                raise ValueError(f"{name!r} needs both `low` and `high`, or neither. Received: one of them")
            if name != "pixels" and not within.given:
                self._notes.append("Images are within 0 and 1, since no `low` and `high` were given.")
            spaces.append(starting.space_of(name, layout, within, given["decay"], data))
        names = {s.name for s in spaces}
        if space != "pixels" and names == {"pixels"}:
            raise ValueError(f"{space!r} needs spatial axes. Received: inputs of shapes {[la.shape for la in self._layouts]}")
        if given["data"] is not None and (not alone or names == {"pixels"}):
            raise ValueError(
                "`data` is used by start='fourier' and start='maco' of a model of one input alone. Received: "
                f"start={given['start']!r:.50}"
            )
        return spaces

    def _means(self) -> dict[str, Array]:
        mean = self._given["mean"]
        if mean is None:
            return {}
        if len(self._spaces) > 1:
            raise ValueError("`mean` is of a model of one input. Received: several inputs")
        if not any(not r.smooths for r in self._regularizers):
            raise ValueError("`mean` is what penalties are about, so give `regularizers`, such as {'l2': 0.01}. Received: none")
        shape = self._spaces[0].layout.shape
        array = moved.Range(mean, None, shape).low
        return {"0": array[None]}

    # ------------------------------------------------------------------ targets
    def _shapes(self) -> Callable[[Any], tuple[int, ...]]:
        """The shapes of tensors of the graph, for samples of this size."""
        source, found = self._source, {}

        def shape(tensor: Any) -> tuple[int, ...]:
            known = tensor.shape[1:]
            if None not in known:
                return tuple(known)
            if id(tensor) not in found:
                read_it = source.reader([tensor])
                zeros = [ops.zeros((1, *la.shape), source.dtype(n)) for la, n in zip(self._layouts, source.free, strict=True)]
                given = {int(k): v[:1] for k, v in self._fixed().items()}

                def look(free: Any, fixed: Any) -> Any:
                    return read_it(source.given(free, {int(k): v for k, v in fixed.items()}))

                fixed = {str(k): ops.convert_to_tensor(v) for k, v in given.items()}
                (value,) = self._call(("shape", id(tensor)), look, zeros, fixed)
                found[id(tensor)] = tuple(value.shape[1:])
            return found[id(tensor)]

        return shape

    def _fixed(self) -> dict[int, Array]:
        """The inputs that are not synthesized; of ids that have no start the first that pads nothing."""
        fixed = dict(self._start.fixed)
        for number in self._source.embeddings:
            if number not in fixed:
                tensor = self._opened.graph.inputs[number]
                shape = self._layouts[self._source.free.index(number)].shape[:-1]
                dtype = tensor.dtype if is_float(tensor.dtype) else "int32"
                fixed[number] = np.full((1, *shape), min(1, self._source.vocabulary(number) - 1), dtype)
        return fixed

    # ------------------------------------------------------------------ answering
    def answered(self) -> Synthesis:
        given = self._given
        labels = read(given["labels"], self._opened.graph.outputs[self._opened.number(given["output"])].shape[-1])
        targets = listed(given["target"], self._opened, given["output"])
        count = max(len(targets), self._start.samples, np.size(given["seed"]))
        targets = self._each(targets, count, "target")
        seeds = [int(s) for s in self._each(list(np.atleast_1d(given["seed"])), count, "seed")]
        images = [self._each(list(a), count, "start") for a in self._start.images]
        wanted = Wanted(self._opened, targets, given["output"], given["objective"], labels, self._shapes())
        recipe = self._recipe(wanted)
        climb = Climb(recipe)
        size = min(given["batch_size"], count)
        progress = (
            Progress("synthesis", given["steps"] * -(-count // size)) if self._verbose else contextlib.nullcontext(Quiet())
        )
        parts = []
        with progress as shown:
            for first in range(0, count, size):
                rows = [min(r, count - 1) for r in range(first, first + size)]
                begin = [np.stack([a[r] for r in rows]) for a in images]
                part = steadily(
                    lambda rows=rows, begin=begin: self._climbed(climb, recipe, rows, [seeds[r] for r in rows], begin, shown)
                )
                parts.append([keras.tree.map_structure(lambda a: a[: count - first], p) for p in part])
        joined = [keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *each) for each in zip(*parts, strict=True)]
        return self._result(wanted, seeds, *joined)

    def _each(self, values: list[Any], count: int, name: str) -> list[Any]:
        if len(values) not in (1, count):
            raise ValueError(
                f"`target`, `start` and `seed` must hold one each, or as many as the others. Received: {len(values)} of `{name}` for "
                f"{count} images"
            )
        return values * count if len(values) == 1 else values

    def _recipe(self, wanted: Wanted) -> Recipe:
        given, space = self._given, self._spaces[0]
        features = None
        if self._features:
            made = [t for t in tensors_of(self._opened.graph, self._features["layer"]) if is_float(t.dtype)]
            features = float(self._features["strength"]), made
        step = given["step_size"]
        if step is None and given["optimizer"] == "normalized":
            step = 1.0
        elif step is None:
            step = _STEP * float(np.mean(space.within.width)) if space.name == "pixels" else _STEP
        return Recipe(
            self._source,
            wanted,
            self._spaces,
            self._regularizers,
            self._stages,
            self._density,
            features,
            given["optimizer"],
            float(step),
            float(given["shrink"]),
            given["steps"],
        )

    def _climbed(
        self, climb: Climb, recipe: Recipe, rows: list[int], seeds: list[int], images: list[Array], shown: Any
    ) -> list[Any]:
        """For some targets: the images, codes, curve, values, and how much each position was moved by."""
        dtypes = [self._source.dtype(n) for n in self._source.free]
        kind = self._start.kind
        first = [
            space.of_image(image) if images else space.start(kind, seeds)
            for space, image in zip(self._spaces, images or self._spaces, strict=True)
        ]
        cast = lambda arrays: [np.asarray(a, d) for a, d in zip(arrays, dtypes, strict=True)]  # noqa: E731
        given = self._handed(recipe, rows, cast(images) if self._features else [], dtypes)
        seen = self._layouts[0].sizes if self._spaces[0].name == "maco" else None
        begin = beginning(recipe, cast(first), None if seen is None else (*seen, self._layouts[0].channels))
        try:
            state, curve = run(self._call, "climb", climb, recipe, begin, given, seeds, shown)
        except StartIsFlat as flat:
            self._say_flat(flat.rows, [recipe.wanted.names[rows[r]] for r in flat.rows], len(rows))
            again = [space.start("noise", seeds) for space in self._spaces]
            for row in range(len(rows)):
                if row not in flat.rows:
                    for a, f in zip(again, first, strict=True):
                        a[row] = f[row]
            begin["z"] = begin["before"] = [ops.convert_to_tensor(a) for a in cast(again)]
            try:
                state, curve = run(self._call, "climb", climb, recipe, begin, given, seeds, shown)
            except StartIsFlat as still:
                raise ValueError(
                    f"The target {recipe.wanted.names[rows[still.rows[0]]]!r} has no gradient, neither at the start nor at a drawn "
                    "one: it does not depend on the input there. Give another `start`, such as an image"
                ) from None
        self._say_stopped(curve, len(rows))
        xs, values, total = self._call("look", climb.look, state["z"], given)
        curve = np.concatenate([curve.T, backend.to_numpy(total)[:, None]], axis=1)
        codes = [starting.to_array(state["z"][0])] if recipe.in_code else []
        moves = [starting.to_array(state["seen"]).sum(-1)] if "seen" in state else []
        return [[starting.to_array(x) for x in xs], codes, curve, starting.to_array(values), moves]

    def _handed(self, recipe: Recipe, rows: list[int], images: list[Array], dtypes: list[str]) -> dict[str, Any]:
        """What the programs are handed, as tensors."""
        tensor = ops.convert_to_tensor
        bounds = [dict(zip(("low", "high"), s.bounds(), strict=True)) for s in self._spaces]
        fixed = {k: (np.stack([v[r] for r in rows]) if len(v) > 1 else v) for k, v in self._fixed().items()}
        return {
            "constants": [[tensor(c.astype(d)) for c in s.constants] for s, d in zip(self._spaces, dtypes, strict=True)],
            "weights": [tensor(w) for w in recipe.wanted.weights(rows)],
            "fixed": {str(k): tensor(v) for k, v in fixed.items()},
            "bounds": [
                {k: tensor(b.astype(d)) for k, b in each.items() if b is not None}
                for each, d in zip(bounds, dtypes, strict=True)
            ],
            "means": {k: tensor(v.astype(dtypes[0])) for k, v in self._means().items()},
            "starting": [tensor(i) for i in images],
        }

    def _say_flat(self, rows: list[int], names: list[str], count: int) -> None:
        note = f"No gradient at the start for {some_of(rows, count)}, such as {names[0]!r}, so a drawn start was taken there."
        self._notes.append(note)
        warnings.warn(note, stacklevel=6)

    def _say_stopped(self, curve: Array, count: int) -> None:
        stopped = np.flatnonzero(np.isnan(curve).any(0))
        if stopped.size:
            step = int(np.isnan(curve[:, stopped[0]]).argmax())
            note = f"Stopped at the last finite image: {some_of(map(int, stopped), count)}, the first after {step} steps."
            self._notes.append(note)
            warnings.warn(note, stacklevel=6)

    def _result(
        self, wanted: Wanted, seeds: list[int], xs: Any, codes: Any, curve: Array, values: Array, moves: Any
    ) -> Synthesis:
        source, given = self._source, self._given
        free = dict(zip(source.free, xs, strict=True))
        others = {
            k: np.broadcast_to(v, (len(values), *v.shape[1:])) if len(v) == 1 else v for k, v in self._start.fixed.items()
        }
        tokens = {self._opened.names[n]: nearest(free[n], self._table(n)) for n in source.embeddings}
        space, layout = self._spaces[0], self._layouts[0]
        bounded = space.within if space.name != "code" else None
        low, high = (
            (None, None) if bounded is None or bounded.low is None or bounded.high is None else (bounded.low, bounded.high)
        )
        settings = self._settings(seeds, space, layout)
        notes = list(dict.fromkeys(self._notes))
        return Synthesis(
            starting.packed(source, {**others, **free}),
            codes[0] if codes else None,
            curve,
            values,
            wanted.names,
            settings,
            notes,
            tokens,
            moves[0] if moves else None,
            low,
            high,
        )

    def _table(self, number: int) -> Array:
        return self._looked_up(number, np.arange(self._source.vocabulary(number), dtype="int32")[None])[0]

    def _settings(self, seeds: list[int], space: Any, layout: Any) -> dict[str, Any]:
        told = {name: _told(value) for name, value in self._given.items()}
        told["regularizers"] = regularizing.described(self._regularizers) | (
            {"features": self._features} if self._features else {}
        )
        told["transformations"] = [[t.name, dict(t.arguments)] for t in self._chosen]
        told |= {"seed": self._given["seed"] if np.ndim(self._given["seed"]) == 0 else seeds, "space": space.name}
        told |= {"axes": layout.axes, "channels_first": layout.channels_first, "gray": layout.gray}
        return told | {"model": self._opened.model.name, "backend": keras.backend.backend(), "innspect": __version__}


def _opened(model: Any, name: str) -> OpenedModel:
    if not isinstance(model, keras.Layer | OpenedModel):
        raise TypeError(f"`{name}` must be a Keras model. Received: {type(model).__name__}")
    opened = open_model(model)
    opened.verify()
    return opened


def _density(given: Any) -> tuple[Callable[..., Any] | None, OpenedModel | None]:
    """A function of images, and the opened model that it is, if it is one."""
    if isinstance(given, keras.Layer):
        from innspect.graph.interpreter import Interpreter

        opened = _opened(given, "density")
        run_it = Interpreter.of(opened.graph, opened.graph.outputs[0])
        return lambda x: run_it([x])[0], opened
    if given is not None and not callable(given):
        raise TypeError(
            f"`density` must be a function from images to log-densities, or a Keras model. Received: {given!r:.100}"
        )
    return given, None


def _told(value: Any) -> Any:
    """An argument as JSON can hold it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 20 else f"array {value.shape} {value.dtype}"
    if isinstance(value, dict):
        return {str(k): _told(v) for k, v in value.items()}
    if isinstance(value, list | tuple | range):
        return [_told(v) for v in value] if len(value) <= 100 else f"{len(value)} values"
    if isinstance(value, str | int | float | bool | None):
        return value
    return str(value) if not hasattr(value, "shape") else f"array {tuple(value.shape)}"
