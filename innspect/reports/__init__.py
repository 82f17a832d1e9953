"""Reports: several methods on some inputs, as one HTML page that needs nothing else."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from innspect.reports.document import Page

if TYPE_CHECKING:
    import keras

    from innspect.evaluation.choosing.choice import Choice
    from innspect.graph.opened.opened_model import OpenedModel
    from innspect.study import Study
    from innspect.types import Nest


@dataclass(repr=False)
class Report(Page):
    """A finished report.

    Attributes:
        html: The page.
        explained: The numbers in it, see `innspect.study.Study`.
    """

    explained: "Study"

    def __repr__(self) -> str:
        return f"Report({len(self.explained.outputs)} inputs, methods {list(self.explained.methods)})"


def report(
    model: "keras.Model | OpenedModel",
    x: "Nest",
    methods: "Sequence[Any] | dict[str, Any] | Choice | str | None" = None,
    *,
    path: str | os.PathLike[str] | None = None,
    top: int = 3,
    neurons: Sequence[int | str] | None = None,
    names: Sequence[str] | None = None,
    images: Any = None,
    labels: Any = None,
    title: str | None = None,
    batch_size: int | None = None,
    output: int | str = 0,
    features: Any = None,
    tokens: Any = None,
) -> Report:
    """Explain inputs with several methods, and put everything in one HTML page.

    The page shows each input with the model's prediction and a map for each method, with controls for methods, class
    and blending with the input; how well each method's numbers add up; and the settings. It loads nothing from elsewhere.

    Args:
        model: A built Keras model, or what `innspect.open_model` made of it. It is only read.
        x: Inputs, as for `analyze`, in an array or in batches. Every sample takes room in the page.
        methods: What `innspect.list_analyzers()` names: a list of names, or of pairs (name, arguments); or a dict from
            label to such a name, a pair, or an analyzer that exists already. None takes `innspect.default_methods`. "choose"
            takes the best, at most three, that `innspect.choose` finds with `x` in its ten minutes, and the default ones where
            nothing beats random maps or samples are too few to say; a `Choice` takes those that it has. The page says which.
        path: A file to write the page to.
        top: How many of the largest outputs are explained for each input.
        neurons: The outputs to explain instead, a list of integers, or of names that `labels` has.
        names: What each input is called.
        images: The inputs as they should be shown, (samples, height, width[, 1 or 3]), where `x` is preprocessed.
        labels: Names of the classes: a list, a file, or another form that `innspect.labels.read` takes. None takes
            those of the analyzers, where they know some.
        title: Heading of the page.
        batch_size, output: As for `analyze`.
        features: The names of the features of a table, or of the channels of a series, a list; for several inputs a dict of
            lists by the input's name. None takes the columns of a table such as a DataFrame.
        tokens: The words of texts, for an input of ids: a list of tokens for each sample; for several such inputs a dict.

    Returns:
        A `Report`: `report.html`, `report.save(path)`; shown in notebooks.

    Raises:
        ValueError: An argument does not fit the model or the inputs.
        KeyError: An unknown method; near matches are offered.

    Examples:
        >>> innspect.report(model, x[:8], ["lrp.epsilon", "grad_cam"], path="report.html")
    """
    import keras

    from innspect import study
    from innspect.analyzers.defaults import default_methods
    from innspect.evaluation.choosing import choose as choosing
    from innspect.evaluation.choosing.choice import Choice
    from innspect.files import write
    from innspect.graph.opened.opened_model import model_of, opened_if_possible
    from innspect.labels import number_of, read
    from innspect.reports.arguments import (
        check_arguments,
        check_entries,
        check_features,
        check_neurons,
        check_tokens,
        columns_of,
    )
    from innspect.reports.page import page

    check_arguments(path=path, top=top, names=names, title=title, batch_size=batch_size)
    opened = opened_if_possible(model)  # once, for all methods
    columns = columns_of(x)
    model, x = model_of(opened), study.samples(opened, x)
    named: dict[str, Any] = {"features": check_features(features, x) or columns, "tokens": check_tokens(tokens, x)}
    lead: list[str] = []
    if isinstance(methods, Choice) or (isinstance(methods, str) and methods == "choose"):
        made = methods if isinstance(methods, Choice) else choosing.choose(opened, x, batch_size=batch_size, output=output)
        methods, lead = made.methods or None, made.text
    analyzers = study.make_analyzers(opened, default_methods(opened, x, output=output) if methods is None else methods)
    count = len(keras.tree.flatten(x)[0])
    images = check_entries(count, names, images)
    size = study.at_once(opened, x, batch_size)
    batches = [slice(i, i + size) for i in range(0, count, size)]
    parts = [keras.tree.map_structure(lambda a, r=rows: a[r], x) for rows in batches]
    outputs = study.predict(opened, parts, output)
    known = read(study.labels_of(analyzers) if labels is None else labels, study.classes(outputs))
    if neurons is None:
        chosen = study.most_likely(outputs, top)
    else:
        try:
            numbers = [number_of(n, known) for n in neurons] if isinstance(neurons, list | tuple) else neurons
        except ValueError as error:
            raise ValueError(f"`neurons`: {error}") from None
        check_neurons(numbers, outputs.shape)
        chosen = study.same_for_all(numbers, count)
    explained = study.explain(analyzers, x, outputs, chosen, batch_size=batch_size, output=output, books=True)
    names = [f"input {i}" for i in range(count)] if names is None else list(names)
    html = page(explained, names, known, title or f"What {model.name} looks at", images=images, lead=lead, **named)
    if path is not None:
        write(path, html)
    return Report(html, explained)
