"""What is asked of an ascent, checked against the model: what is moved, from where, and what keeps it plausible."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.checks import OneOf
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import is_float
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.graph.precision import PreciseCompiler
from innspect.inputs import sizes
from innspect.synthesis import regularizers as regularizing
from innspect.synthesis import spaces as moved
from innspect.synthesis import starting
from innspect.synthesis import transformations as transforming
from innspect.synthesis.network import Source
from innspect.types import Array


class Request:
    """What `synthesize` was asked, checked against the model.

    Args:
        model: What the user gave.
        given: The arguments of `synthesize`, by name.

    Attributes:
        given: As above.
        notes: What should be known of the result.
        opened: The model.
        source: It with its free inputs.
        start: Where the ascent begins.
        layouts: Of each free input.
        spaces: What is moved of each.
        regularizers, features, stages, chosen: What keeps images plausible, and what is done to them.
        density: A function of images, or None.
        call: What compiles, and hands the weights.
    """

    def __init__(self, model: Any, given: dict[str, Any]):
        self.given = given
        self.notes: list[str] = []
        self.opened = open_model(model)
        self.opened.verify()
        self._generator = None if given["generator"] is None else _opened(given["generator"], "generator")
        self.density, known = _density(given["density"])
        variables = {id(v): v for each in (self.opened, self._generator, known) if each is not None for v in each.variables()}
        self.call = PreciseCompiler(list(variables.values()))
        self.source = Source(self.opened)
        self._settle()

    def _settle(self) -> None:
        """Everything about the ascent but the weights of the targets."""
        given, source = self.given, self.source
        in_code = self._generator is not None
        if in_code and len(source.opened.specs) > 1:
            raise ValueError("`generator` needs a model of one input. Received: a model of " + str(len(source.opened.specs)))
        self.start = self._code_start() if in_code else starting.start_of(given["start"], source, self.looked_up)
        words = starting.Start("zeros") if in_code else self.start
        shapes = [starting.shape_of(source, n, words, given["size"]) for n in source.free]
        self.layouts = starting.layouts(source, shapes)
        self.spaces = self._code_space(shapes[0]) if in_code else self._input_spaces()
        self.regularizers, self.features = regularizing.chosen(given["regularizers"], [s.layout for s in self.spaces])
        alone = self.layouts[0] if len(self.layouts) == 1 else None
        chosen = transforming.chosen(given["transformations"], alone)
        self.stages = transforming.Stages(chosen, alone) if chosen and alone is not None else None
        self.chosen = chosen
        if self.features and self.start.kind != "image":
            raise ValueError("The regularizer 'features' compares with a start image. Received: start=" + repr(given["start"]))

    # ------------------------------------------------------------------ what is moved
    def looked_up(self, number: int, ids: Array) -> Array:
        """The vectors of ids."""
        look_up = self.source.look_up
        found = self.call(("look up", number), lambda ids: look_up(number, ids), ops.convert_to_tensor(ids))
        return starting.to_array(found)

    def _code_start(self) -> starting.Start:
        start = self.given["start"]
        if isinstance(start, str):
            return starting.Start(OneOf("zeros", "noise").check("start", start))
        assert self._generator is not None
        shape, array = moved.code_shape(self._generator), np.asarray(start, "float64")
        array = array[None] if array.shape == shape else array
        if array.shape[1:] != shape or not len(array) or not np.isfinite(array).all():
            raise ValueError(f"`start` must hold finite codes of the shape {shape}. Received: shape {np.shape(start)}")
        return starting.Start("image", [array], {}, len(array))

    def _code_space(self, image: tuple[int, ...]) -> list[Any]:
        given, generator = self.given, self._generator
        assert generator is not None
        if given["data"] is not None or given["space"] is not None:
            raise ValueError("`data` and `space` are not used in code space. Give `generator` without them")
        shape = moved.code_shape(generator)
        return [moved.Code(generator, shape, moved.Range(given["low"], given["high"], shape), image)]

    def _input_spaces(self) -> list[Any]:
        given, kind = self.given, self.start.kind
        space = given["space"] or (kind if kind in moved.SPACES else "pixels")
        alone = len(self.layouts) == 1
        spaces = []
        for layout in self.layouts:
            name = space if layout.axes else "pixels"
            data = given["data"]
            if data is not None:
                data = starting.check_data(data, layout.shape)
            if name == "maco" and data is None:
                self.notes.append("Without `data` the spectrum falls as 1/f, with the colours of natural images.")
            within = moved.Range(given["low"], given["high"], layout.shape)
            if name != "pixels" and (within.low is None) != (within.high is None):
                raise ValueError(f"{name!r} needs both `low` and `high`, or neither. Received: one of them")
            if name != "pixels" and not within.given and not (name == "maco" and data is not None):
                self.notes.append("Images are within 0 and 1, since no `low` and `high` were given.")
            spaces.append(starting.space_of(name, layout, within, given["decay"], data))
        names = {s.name for s in spaces}
        if space != "pixels" and names == {"pixels"}:
            raise ValueError(f"{space!r} needs spatial axes. Received: inputs of shapes {[la.shape for la in self.layouts]}")
        if given["data"] is not None and (not alone or names == {"pixels"}):
            raise ValueError(
                "`data` is used by start='fourier' and start='maco' of a model of one input alone. Received: "
                f"start={given['start']!r:.50}"
            )
        return spaces

    def means(self) -> dict[str, Array]:
        mean = self.given["mean"]
        if mean is None:
            return {}
        if len(self.spaces) > 1:
            raise ValueError("`mean` is of a model of one input. Received: several inputs")
        if not any(not r.smooths for r in self.regularizers):
            raise ValueError("`mean` is what penalties are about, so give `regularizers`, such as {'l2': 0.01}. Received: none")
        shape = self.spaces[0].layout.shape
        array = moved.Range(mean, None, shape).lowest
        return {"0": array[None]}

    def at_once(self, count: int) -> int:
        """How many of some images are synthesized at once; where nobody says, batches of one size, since they are padded."""
        if self.given["batch_size"] is not None:
            return min(int(self.given["batch_size"]), count)
        graph, shapes = self.opened.graph, dict(zip(self.source.free, (la.shape for la in self.layouts), strict=True))
        elements = sizes.of_shapes(graph, tuple(shapes.get(i, t.shape[1:]) for i, t in enumerate(graph.inputs)))
        elements *= self.stages.copies if self.stages is not None else 1
        if self._generator is not None:
            elements += sizes.of_shapes(self._generator.graph, (moved.code_shape(self._generator),))
        batches = -(-count // sizes.fitting(elements))
        return -(-count // batches)

    # ------------------------------------------------------------------ targets
    def shapes(self) -> Callable[[Any], tuple[int, ...]]:
        """The shapes of tensors of the graph, for samples of this size."""
        source, found = self.source, {}

        def shape(tensor: Any) -> tuple[int, ...]:
            known = tensor.shape[1:]
            if None not in known:
                return tuple(known)
            if id(tensor) not in found:
                read_it = source.reader([tensor])
                zeros = [ops.zeros((1, *la.shape), source.dtype(n)) for la, n in zip(self.layouts, source.free, strict=True)]
                given = {int(k): v[:1] for k, v in self.fixed().items()}

                def look(free: Any, fixed: Any) -> Any:
                    return read_it(source.given(free, {int(k): v for k, v in fixed.items()}))

                fixed = {str(k): ops.convert_to_tensor(v) for k, v in given.items()}
                (value,) = self.call(("shape", id(tensor)), look, zeros, fixed)
                found[id(tensor)] = tuple(value.shape[1:])
            return found[id(tensor)]

        return shape

    def fixed(self) -> dict[int, Array]:
        """The inputs that are not synthesized; of ids that have no start the first that pads nothing."""
        fixed = dict(self.start.fixed)
        for number in self.source.embeddings:
            if number not in fixed:
                tensor = self.opened.graph.inputs[number]
                shape = self.layouts[self.source.free.index(number)].shape[:-1]
                dtype = tensor.dtype if is_float(tensor.dtype) else "int32"
                fixed[number] = np.full((1, *shape), min(1, self.source.vocabulary(number) - 1), dtype)
        return fixed


def _opened(model: Any, name: str) -> OpenedModel:
    if not isinstance(model, keras.Layer | OpenedModel):
        raise TypeError(f"`{name}` must be a Keras model. Received: {type(model).__name__}")
    opened = open_model(model)
    opened.verify()
    return opened


def _density(given: Any) -> tuple[Callable[..., Any] | None, OpenedModel | None]:
    """A function of images, and the opened model that it is, if it is one."""
    if isinstance(given, keras.Layer):
        opened = _opened(given, "density")
        run_it = Interpreter.of(opened.graph, opened.graph.outputs[0])
        return lambda x: run_it([x])[0], opened
    if given is not None and not callable(given):
        raise TypeError(
            f"`density` must be a function from images to log-densities, or a Keras model. Received: {given!r:.100}"
        )
    return given, None
