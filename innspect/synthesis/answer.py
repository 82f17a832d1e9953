"""How a request is answered: batch by batch, and again from a drawn start where nothing moves."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect._version import __version__
from innspect.backend.weights import steadily
from innspect.errors import some_of
from innspect.graph.ir import is_float
from innspect.graph.opened.layer_paths import tensors_of
from innspect.labels import read
from innspect.progress import Progress, Quiet
from innspect.synthesis import starting
from innspect.synthesis.ascent import Climb, Recipe
from innspect.synthesis.network import nearest
from innspect.synthesis.regularizers import described
from innspect.synthesis.request import Request
from innspect.synthesis.result import Synthesis
from innspect.synthesis.running import StartIsFlat, beginning, run
from innspect.synthesis.wanted import Wanted, listed
from innspect.types import Array, Tensors

_STEP = 0.05  # of Adam; of pixels as a share of their range
_SPREADS = (1.0, 1.0, 10.0, 10.0, 100.0, 100.0)  # of drawn starts, in those of "noise", until something moves


def answer(request: Request, verbose: int) -> tuple[Synthesis, list[str]]:
    """What was synthesized, and what is surprising about it."""
    given, start = request.given, request.start
    labels = read(given["labels"], request.opened.graph.outputs[request.opened.number(given["output"])].shape[-1])
    targets = listed(given["target"], request.opened, given["output"])
    count = max(len(targets), start.samples, np.size(given["seed"]))
    targets = _each(targets, count, "target")
    seeds = [int(s) for s in _each(list(np.atleast_1d(given["seed"])), count, "seed")]
    images = [_each(list(a), count, "start") for a in start.images]
    wanted = Wanted(request.opened, targets, given["output"], given["objective"], labels, request.shapes())
    ascent = _Ascent(request, _recipe(request, wanted))
    size = request.at_once(count)
    progress = Progress("synthesis", given["steps"] * -(-count // size)) if verbose else contextlib.nullcontext(Quiet())
    parts = []
    with progress as shown:
        for first in range(0, count, size):
            rows = [min(r, count - 1) for r in range(first, first + size)]  # as many in each batch: one program

            def climbed(rows: list[int] = rows) -> list[Any]:
                return ascent.climbed(rows, [seeds[r] for r in rows], [np.stack([a[r] for r in rows]) for a in images], shown)

            parts.append([keras.tree.map_structure(lambda a, n=count - first: a[:n], p) for p in steadily(climbed)])
    joined = [keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *each) for each in zip(*parts, strict=True)]
    request.notes += ascent.surprises(joined[2])
    return _result(request, wanted, seeds, *joined), ascent.surprises(joined[2])


def _each(values: list[Any], count: int, name: str) -> list[Any]:
    if len(values) not in (1, count):
        raise ValueError(
            f"`target`, `start` and `seed` must hold one each, or as many as the others. Received: {len(values)} of `{name}` "
            f"for {count} images"
        )
    return values * count if len(values) == 1 else values


def _recipe(request: Request, wanted: Wanted) -> Recipe:
    given, space, features = request.given, request.spaces[0], None
    if request.features:
        pulled = [t for t in tensors_of(request.opened.graph, request.features["layer"]) if is_float(t.dtype)]
        features = float(request.features["strength"]), pulled
    step = given["step_size"]
    if step is None and given["optimizer"] == "normalized":
        step = 1.0
    elif step is None:
        step = _STEP * float(np.mean(space.within.width)) if space.name == "pixels" else _STEP
    return Recipe(
        request.source,
        wanted,
        request.spaces,
        request.regularizers,
        request.stages,
        request.density,
        features,
        given["optimizer"],
        float(step),
        float(given["shrink"]),
        given["steps"],
    )


class _Ascent:
    """The ascent of batches of images by one recipe."""

    def __init__(self, request: Request, recipe: Recipe):
        self._request, self._recipe, self._climb = request, recipe, Climb(recipe)
        self._dtypes = [request.source.dtype(n) for n in request.source.free]
        self._flat: dict[int, str] = {}  # number of a target -> its name

    def climbed(self, rows: list[int], seeds: list[int], images: list[Array], shown: Any) -> list[Any]:
        """For some targets: images, codes, curves, values, and how much each position was moved by."""
        recipe, request = self._recipe, self._request
        first = [
            space.of_image(image) if images else space.start(request.start.kind, seeds)
            for space, image in zip(request.spaces, images or request.spaces, strict=True)
        ]
        given = self._handed(rows, images if request.features else [])
        state, curve = self._run(rows, first, seeds, given, shown)
        xs, values, total = request.call("look", self._climb.look, state["z"], given)
        curve = np.concatenate([curve.T, backend.to_numpy(total)[:, None]], axis=1)
        codes = [starting.to_array(state["z"][0])] if recipe.in_code else []
        moves = [starting.to_array(state["seen"]).sum(-1)] if "seen" in state else []
        return [[starting.to_array(x) for x in xs], codes, curve, starting.to_array(values), moves]

    def _run(self, rows: list[int], first: list[Array], seeds: list[int], given: dict[str, Any], shown: Any) -> Any:
        """The end of the ascent; rows with no gradient at the start begin at a drawn one."""
        request, layout = self._request, self._request.layouts[0]
        seen = (*layout.sizes, layout.channels) if request.spaces[0].name == "maco" else None
        flat: list[int] = []
        for attempt, spread in enumerate((0.0, *_SPREADS)):
            if attempt:
                for values, space in zip(first, request.spaces, strict=True):
                    values[flat] = space.start("noise", [seeds[r] for r in flat], spread, attempt)
            try:
                begin = beginning(self._recipe, self._cast(first), seen)
                return run(request.call, self._climb, self._recipe, begin, given, seeds, shown)
            except StartIsFlat as error:
                flat = error.rows
                self._flat |= {rows[r]: self._recipe.wanted.names[rows[r]] for r in flat}
        raise ValueError(
            f"The target {self._recipe.wanted.names[rows[flat[0]]]!r} has no gradient, neither at the start nor at drawn ones: "
            "it does not depend on the input there. Give another `start`, such as an image"
        )

    def surprises(self, curves: Array) -> list[str]:
        """What is surprising, in sentences; curves (targets, steps + 1)."""
        found, count = [], len(curves)
        if self._flat:
            name = next(iter(self._flat.values()))
            found.append(
                f"No gradient at the start for {some_of(self._flat, count)}, such as {name!r}, so a drawn start was taken "
                "there."
            )
        broken = np.isnan(curves[:, :-1])
        stopped = np.flatnonzero(broken.any(1))
        if stopped.size:
            steps = int(broken[stopped[0]].argmax())
            found.append(f"Stopped at the last finite image: {some_of(map(int, stopped), count)}, the first at step {steps}.")
        return found

    def _cast(self, arrays: list[Array]) -> list[Array]:
        return [np.asarray(a, d) for a, d in zip(arrays, self._dtypes, strict=True)]

    def _handed(self, rows: list[int], images: list[Array]) -> dict[str, Any]:
        """What the programs are handed, as tensors."""
        request, tensor = self._request, ops.convert_to_tensor
        spaces = list(zip(request.spaces, self._dtypes, strict=True))
        fixed = {k: (np.stack([v[r] for r in rows]) if len(v) > 1 else v) for k, v in request.fixed().items()}

        def bounds(space: Any, dtype: str) -> dict[str, Any]:
            named = zip(("low", "high"), space.bounds(), strict=True)
            return {name: tensor(bound.astype(dtype)) for name, bound in named if bound is not None}

        def constants(space: Any, dtype: str) -> Tensors:
            return [tensor(constant.astype(dtype)) for constant in space.constants]

        return {
            "constants": [constants(*each) for each in spaces],
            "bounds": [bounds(*each) for each in spaces],
            "weights": [tensor(w) for w in self._recipe.wanted.weights(rows)],
            "fixed": {str(k): tensor(v) for k, v in fixed.items()},
            "means": {k: tensor(v.astype(self._dtypes[0])) for k, v in request.means().items()},
            "starting": [tensor(i) for i in self._cast(images)] if images else [],
        }


def _result(
    request: Request, wanted: Wanted, seeds: list[int], xs: Any, codes: Any, curve: Array, values: Array, moves: Any
) -> Synthesis:
    source, space = request.source, request.spaces[0]
    free = dict(zip(source.free, xs, strict=True))
    others = {
        k: np.broadcast_to(v, (len(values), *v.shape[1:])) if len(v) == 1 else v
        for k, v in request.start.fixed.items()
        if k not in free
    }
    within = None if space.name == "code" else space.within
    bounded = within is not None and within.low is not None and within.high is not None
    return Synthesis(
        images=starting.packed(source, {**others, **free}),
        codes=codes[0] if codes else None,
        curve=curve,
        values=values,
        names=wanted.names,
        settings=_settings(request, seeds),
        notes=list(dict.fromkeys(request.notes)),
        tokens={request.opened.names[n]: nearest(free[n], _table(request, n)) for n in source.embeddings},
        transparency=moves[0] if moves else None,
        low=within.low if within is not None and bounded else None,
        high=within.high if within is not None and bounded else None,
    )


def _table(request: Request, number: int) -> Array:
    """The vectors of all ids of an input."""
    ids = np.arange(request.source.vocabulary(number), dtype="int32")[None]
    found: Array = request.looked_up(number, ids)[0]
    return found


def _settings(request: Request, seeds: list[int]) -> dict[str, Any]:
    layout, told = request.layouts[0], {name: _told(value) for name, value in request.given.items()}
    told["regularizers"] = described(request.regularizers) | ({"features": request.features} if request.features else {})
    told["transformations"] = [[t.name, dict(t.arguments)] for t in request.chosen]
    told |= {"seed": request.given["seed"] if np.ndim(request.given["seed"]) == 0 else seeds, "space": request.spaces[0].name}
    told |= {"axes": layout.axes, "channels_first": layout.channels_first, "gray": layout.gray}
    return told | {"model": request.opened.model.name, "backend": keras.backend.backend(), "innspect": __version__}


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
