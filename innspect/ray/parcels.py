"""A model and its methods as they travel to workers: the model once, as the bytes of its `.keras` file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from innspect import study
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.storage import saved_model
from innspect.errors import NotAnalyzeableModelError, said
from innspect.files import scratch
from innspect.graph.opened.opened_model import OpenedModel, model_of, open_model
from innspect.spelling import pair


@dataclass(frozen=True)
class _Method:
    """An analyzer without its model."""

    cls: type
    config: dict[str, Any]
    state: Any

    @classmethod
    def of(cls, analyzer: Configured) -> "_Method":
        return cls(type(analyzer), {k: _within(v, _packed) for k, v in analyzer.untaught().items()}, analyzer.state())

    def made(self, opened: OpenedModel) -> Any:
        config = {k: _within(v, lambda one: _unpacked(one, opened)) for k, v in self.config.items()}
        analyzer: Any = self.cls(opened, **config)
        analyzer.set_state(self.state)
        return analyzer


def _packed(value: Any) -> Any:
    return _Method.of(value) if isinstance(value, Configured) else value


def _unpacked(value: Any, opened: OpenedModel) -> Any:
    return value.made(opened) if isinstance(value, _Method) else value


def _within(value: Any, change: Any) -> Any:
    """A value with what is in its lists, tuples and dicts changed."""
    if type(value) in (list, tuple):
        return type(value)(_within(v, change) for v in value)
    return {k: _within(v, change) for k, v in value.items()} if type(value) is dict else change(value)


@dataclass(frozen=True)
class Parcel:
    """What a worker is made of.

    Attributes:
        model: The `.keras` file.
        methods: Dict from label to an analyzer without its model; or to a name and its arguments, where there is none for the
            model.
        custom_objects: As for `keras.saving.load_model`.
    """

    model: bytes
    methods: dict[str, Any] = field(default_factory=dict)
    custom_objects: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: Any, methods: Mapping[str, Any] | None = None, custom_objects: Mapping[str, Any] | None = None
    ) -> "Parcel":
        """Of a built Keras model, or its opened form, and analyzers."""
        with scratch() as work, open(saved_model(model_of(model), work), "rb") as file:
            data = file.read()
        return cls(data, {label: _packed(one) for label, one in (methods or {}).items()}, dict(custom_objects or {}))

    def opened(self) -> tuple[OpenedModel, dict[str, Any]]:
        """The opened model, and the methods by label.

        Raises:
            ValueError: The model cannot be made here, such as for want of a class of its own.
        """
        with scratch() as work:
            path = os.path.join(work, "model.keras")
            with open(path, "wb") as file:
                file.write(self.model)
            try:  # safe_mode: it comes from who sends the work
                model = keras.saving.load_model(path, self.custom_objects, compile=False, safe_mode=False)
            except Exception as error:  # of whatever kind: Keras has many
                *_, why = said(error).rpartition("Exception encountered: ")
                raise ValueError(
                    "The model could not be made in a worker. Put layers and functions of its own into a module that workers "
                    f"can import, or give `custom_objects={{'Name': Class}}`. Received: {why[:500]}"
                ) from error
        opened = open_model(model)
        return opened, {label: _unpacked(one, opened) for label, one in self.methods.items()}


def method_of(model: Any, method: Any) -> Any:
    """The analyzer of a method; an analyzer must be one of the model.

    Raises:
        ValueError: It is of another model.
    """
    made = study.make(model, method if hasattr(method, "explain") else pair(method, "method"))
    if model_of(made.opened) is not model_of(model):
        raise ValueError(f"`method` must be a name, or an analyzer of the model that is given. Received: {made!r}")
    return made


def methods_of(model: Any, methods: Any) -> dict[str, Any]:
    """Methods by label, as analyzers; a name with arguments stays one where there is none for the model.

    Raises:
        KeyError: There is no such method.
        ValueError: There is none, or one label occurs twice.
    """
    found = {}
    for label, one in study.named(methods).items():
        try:
            found[label] = method_of(model, one)
        except NotAnalyzeableModelError:
            found[label] = one
    return found
