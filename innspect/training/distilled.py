"""Distillation with an interpretability loss: the student's maps are drawn to the teacher's."""

from typing import Any

import keras
from keras import ops

from innspect.analyzers import create_analyzer
from innspect.analyzers.base.registry import accepted_arguments
from innspect.analyzers.differentiable import check_formula
from innspect.checks import Number, OneOf, Positive
from innspect.graph.keras_promotion import keeping_float64
from innspect.graph.opened.opened_model import open_model
from innspect.inputs.upsampling import resized
from innspect.spelling import pair
from innspect.training.labels import Knowledge, classes_of, true_class
from innspect.training.maps import HeldMap, Seed, TrainedMap
from innspect.training.second_order import check_second_order
from innspect.types import BackendTensor, Nest, Tensors

_FORM = {"upsample": False, "relu": True}  # of a layer's maps: as they are, after ReLU


class Distilled(keras.Model):
    """A student that learns where its teacher looks (Chattopadhay et al. 2018, sec. 5).

    It trains with `compile` and `fit` like any model. The loss is the one that `compile` is given plus `alpha` times the mean
    over the batch of the sum over positions of (L_student - L_teacher)^2, where L is a map of the true class, after ReLU, not
    normalised; the student's is resized bilinearly to the teacher's. Both maps are those that `analyze` shows: without dropout,
    with the moving statistics of batch normalization. With gradient maps it is the idea of Ross et al. 2017, with a teacher.

    The terms are shown beside the loss: "task_loss", the loss of `compile` with the student's regularizers, "map_loss", before
    it is multiplied with `alpha`, and "knowledge_loss". Sample weights weigh all of them.

    What is trained is `student` itself, an ordinary model. `save` writes it, also from callbacks such as `ModelCheckpoint`.

    Args:
        student: A built Keras model with one output, (batch, classes).
        teacher: Another, which takes the same inputs and has as many classes. It gets no gradient and is never changed; what it
            was when this was made is what it teaches.
        layer: Path of the student's layer; None as for `create_analyzer`. Not for gradient maps.
        teacher_layer: Path of the teacher's.
        alpha: Factor of the maps' term, not negative. With 0 no map is made, and training is plain training to the bit.
        method: Whose maps: a name, one with arguments ("grad_cam_plus_plus:normalize_alpha=True"), or a pair. One whose map
            is a formula of values and plain gradients: "grad_cam_plus_plus", "grad_cam", "layer_cam", "hires_cam", "xgrad_cam",
            "cam", "grad_cam.counterfactual", "gradient", "input_t_gradient", "saliency", or a class of your own that has a
            `formula`.
        base: "knowledge" adds what the teacher knows of the other classes (Hinton et al. 2015): T^2 times the divergence of the
            student's probabilities from the teacher's, both softened with the temperature T.
        temperature: T, above 0.
        name: Of the model.

    Raises:
        ValueError: A layer has no spatial axes, or the maps cannot be matched; or `method` has no such map.
        NotAnalyzeableModelError: A model cannot be opened, or is no classifier; or a layer's gradient has no derivative on this
            backend. The message names the layer.

    Examples:
        >>> distilled = innspect.training.Distilled(student, teacher, layer="conv2", teacher_layer="conv4")
        >>> distilled.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> distilled.fit(x, y, epochs=5)
        >>> distilled.student.save("student.keras")
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        layer: Any = None,
        teacher_layer: Any = None,
        alpha: float = 0.01,
        method: Any = "grad_cam_plus_plus",
        base: str | None = None,
        temperature: float = 4.0,
        name: str | None = None,
    ):
        Number().check("alpha", alpha)
        OneOf(None, "knowledge").check("base", base)
        Positive().check("temperature", temperature)
        learning, teaching = open_model(student), open_model(teacher)
        counts = classes_of(learning, "student"), classes_of(teaching, "teacher")
        if counts[0] != counts[1]:
            raise ValueError(f"`teacher` must have as many classes as the student. Received: {counts[0]} and {counts[1]}")
        knowledge = Knowledge(learning, float(temperature)) if base else None
        learnt = TrainedMap(_analyzer(method, learning, layer, "layer"))
        taught = HeldMap(_analyzer(method, teaching, teacher_layer, "teacher_layer"))
        _check_match(learnt, taught.trained)
        if alpha:
            check_second_order(learnt)
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        self.student = student
        self._learnt, self._taught, self._knowledge = learnt, taught, knowledge
        self.alpha, self.method, self.base, self.temperature = float(alpha), method, base, float(temperature)
        self._task_term = keras.metrics.Mean(name="task_loss")
        self._map_term = keras.metrics.Mean(name="map_loss") if alpha else None
        self._knowledge_term = keras.metrics.Mean(name="knowledge_loss") if base else None
        self.built = True

    @property
    def teacher(self) -> keras.Model:
        """The teacher. It is no part of this model, whose variables are the student's."""
        return self._taught.trained.opened.model

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """The student's, and what the teacher was: so that JAX is handed its values at every step."""
        held = self._taught.copies if hasattr(self, "_taught") else []
        return [*super().non_trainable_variables, *held]

    def call(self, inputs: Nest, training: bool | None = None) -> Nest:
        return self.student(inputs, training=training)

    def compute_loss(
        self, x: Nest = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> BackendTensor:
        """The loss of `compile`, and the terms of the teacher."""
        total = task = super().compute_loss(x, y, y_pred, sample_weight, training)
        count = ops.shape(y_pred)[0]
        self._task_term.update_state(task, sample_weight=count)
        if not (self.alpha or self._knowledge):
            return total
        with keeping_float64(self._learnt.float64):
            made: dict[str, BackendTensor] = {}

            def seed(explained: BackendTensor) -> BackendTensor:
                dtype = keras.backend.standardize_dtype(explained.dtype)
                return made[dtype] if dtype in made else made.setdefault(dtype, true_class(y, explained))

            maps, logits = self._taught(x, seed)
            if self._map_term is not None:
                term = _mean(self._distance(x, maps, seed), sample_weight)
                self._map_term.update_state(term, sample_weight=count)
                total = total + self.alpha * ops.cast(term, total.dtype)
            if self._knowledge is not None and self._knowledge_term is not None:
                term = _mean(self._knowledge(y_pred, logits), sample_weight)
                self._knowledge_term.update_state(term, sample_weight=count)
                total = total + ops.cast(term, total.dtype)
        return total

    def _distance(self, x: Nest, taught: Tensors, seed: Seed) -> BackendTensor:
        """The squared distance of the maps, summed over positions: (batch,)."""
        learnt, _ = self._learnt(x, seed, self._learnt.values())
        distance: Any = 0
        for mine, wanted in zip(learnt, taught, strict=True):
            moved = resized(mine, wanted.shape[1:]) if self._learnt.formula.where is not None else mine
            apart = ops.square(moved - ops.cast(wanted, moved.dtype))
            distance = distance + ops.sum(apart, axis=tuple(range(1, len(apart.shape))))
        return distance

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Write the student, as its own `save` does: an ordinary model, that loads without innspect."""
        self.student.save(filepath, *args, **kwargs)


def _analyzer(method: Any, opened: Any, layer: Any, argument: str) -> Any:
    name, given = pair(method, "method")
    check_formula(name)
    accepted = accepted_arguments(name)
    if "layer" in accepted:
        return create_analyzer(name, opened, **{**_FORM, "layer": layer, **given})
    if layer is not None:
        raise ValueError(f"`{argument}` must be None for {name!r}, whose map is of the input. Received: {layer!r}")
    return create_analyzer(name, opened, **given)


def _check_match(learnt: TrainedMap, taught: TrainedMap) -> None:
    """Raise where the maps of two models cannot be compared, position by position."""
    ours, theirs = learnt.formula, taught.formula
    if ours.where is not None:
        fit = len(ours.shapes[0]) == len(theirs.shapes[0])
        whose = f"`layer` {ours.where!r} and `teacher_layer` {theirs.where!r}"
    else:
        fit = len(ours.shapes) == len(theirs.shapes) and all(
            len(a) == len(b) and all(None in (n, m) or n == m for n, m in zip(a, b, strict=True))
            for a, b in zip(ours.shapes, theirs.shapes, strict=True)
        )
        whose = "The inputs of `student` and `teacher`"
    if not fit:
        raise ValueError(
            f"{whose} must have maps with as many axes, so that one can be resized to the other. "
            f"Received: maps of shapes {ours.shapes} and {theirs.shapes}"
        )


def _mean(each: BackendTensor, sample_weight: Any) -> BackendTensor:
    """The mean over the batch, of samples that may have weights, (batch,)."""
    if sample_weight is None:
        return ops.sum(each) / ops.cast(ops.shape(each)[0], each.dtype)
    weights = ops.cast(ops.reshape(ops.convert_to_tensor(sample_weight), (-1,)), each.dtype)
    return ops.sum(each * weights) / ops.cast(ops.shape(each)[0], each.dtype)
