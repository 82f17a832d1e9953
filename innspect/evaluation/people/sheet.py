"""A page that asks people whether maps tell the class, which of two models to trust, or which method they prefer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.checks import Integer, OneOf, Texts
from innspect.errors import NotAnalyzeableModelError
from innspect.evaluation.draws import generator
from innspect.evaluation.people.questions import QUESTIONS, Item, draw_items
from innspect.graph.opened.opened_model import open_model
from innspect.inputs.batches import as_numbers
from innspect.labels import name_of, read
from innspect.study import make_analyzers
from innspect.types import Array, Nest, Path
from innspect.visualize import overlay
from innspect.visualize.forms import input_pictures

if TYPE_CHECKING:
    from innspect.reports.document import Page


def sheet(
    model: Any,
    x: Nest,
    methods: Any,
    path: Path | None = None,
    question: str = "class",
    *,
    targets: Any = None,
    labels: Any = None,
    names: Any = None,
    images: Any = None,
    title: str = "Which explanation helps?",
    seed: int = 0,
) -> "Page":
    """Write a page on which people say what explanations tell them (Selvaraju et al. 2017, sec. 5; Chattopadhay et al. 2018).

    The page is one file that loads nothing and sends nothing. One picture comes after the other, in an order, and with sides,
    that are drawn from the seed; number keys answer, arrow keys go back and forth. In the end the browser saves a JSON file
    with the answers, for `sheet_scores`. What was shown where is in the page and in that file, encoded but not secret.

    Args:
        model: A built Keras model; for "trust" a list of two, or a dict from label to model. They take the same samples.
        x: Pictures, as the model takes them, (samples, height, width[, channels]).
        methods: Whose maps are shown: names, names with arguments and pairs, or a dict by label. For "prefer" at least two, of
            which every pair is asked about.
        path: A file to write the page to.
        question: "class": one map of one of two classes; which of the two is it? "trust": the maps of two models for the same
            class; which model is to be relied on, from -2 to 2? "prefer": the maps of two methods; which lets trust the model?
        targets: The explained class of each sample, (samples,); for "class" the two that are offered, (samples, 2), of which
            one is drawn. None: the largest output, or the two largest. For "trust" None takes the class that both models
            say, and leaves out the samples of which they say different ones.
        labels: Names of the classes, in any form that `report` takes.
        names: What the samples are called, a list; raters do not see it.
        images: The samples as they should be seen, (samples, height, width[, 1 or 3]), where x is preprocessed.
        title: Heading.
        seed: Of order, sides and drawn classes.

    Returns:
        A `Page`: `page.html`, `page.save(path)`; shown in notebooks.

    Raises:
        ValueError: An argument does not fit; the samples are no pictures; or two models agree on none.

    Examples:
        >>> innspect.evaluation.sheet(model, x, ["grad_cam", "grad_cam_plus_plus"], "ask.html", "prefer")
        >>> print(innspect.evaluation.sheet_scores("ann.json", "bob.json"))
    """
    OneOf(*QUESTIONS).check("question", question)
    Integer().check("seed", seed)
    models = _models(model, question)
    analyzers = {label: make_analyzers(open_model(m), methods) for label, m in models.items()}
    chosen = list(next(iter(analyzers.values())))
    if question == "prefer" and len(chosen) < 2:
        raise ValueError(f"`methods` must be two at least for question='prefer'. Received: {chosen}")
    x = as_numbers(x)
    pictures = input_pictures(x if images is None else np.asarray(images))
    if pictures is None or len(pictures) != len(x):
        shown, given = ("x", x) if images is None else ("images", np.asarray(images))
        raise ValueError(
            f"`{shown}` must be pictures, (samples, height, width[, 1 or 3]), one for each sample; of other inputs a sheet has "
            f"none to show. Received: shape {given.shape} for {len(x)} samples"
        )
    names = [str(i) for i in range(len(x))] if names is None else list(map(str, Texts(len(x)).check("names", names)))
    outputs = [np.asarray(next(iter(each.values())).explain(x).outputs) for each in analyzers.values()]
    known = read(labels, outputs[0].shape[-1])
    classes, kept = _classes(question, targets, outputs, len(x))
    x, pictures, names = x[kept], pictures[kept], [names[i] for i in kept]
    items = draw_items(question, chosen, list(models), names, classes, generator(seed, "sheet"))
    maps = {label: _maps(each, x, items, question, pictures) for label, each in analyzers.items()}
    return _page(title, question, items, maps, pictures, known, list(models), kept, seed, path)


def _models(model: Any, question: str) -> dict[str, Any]:
    if isinstance(model, Mapping):
        models = {str(label): m for label, m in model.items()}
    elif isinstance(model, list | tuple):
        names = [str(getattr(m, "name", "")) for m in model]
        several = len(set(names)) < len(names)
        models = {f"model {i + 1}" if several else name: m for i, (name, m) in enumerate(zip(names, model, strict=True))}
    else:
        models = {str(getattr(model, "name", "model")): model}
    wanted = 2 if question == "trust" else 1
    if len(models) != wanted:
        words = "two models, a list or a dict by label," if wanted == 2 else "one model"
        raise ValueError(f"`model` must be {words} for question={question!r}. Received: {len(models)}")
    return models


def _classes(question: str, targets: Any, outputs: list[Array], samples: int) -> tuple[Array, list[int]]:
    """The classes of every sample that is asked about, and the numbers of these samples."""
    counts = {y.shape[-1] if y.ndim == 2 else 1 for y in outputs}
    if 1 in counts or len(counts) != 1:
        raise NotAnalyzeableModelError(
            "`model` must tell classes, an output (samples, classes) with two at least, and two models as many. "
            f"Received: outputs of shapes {[y.shape for y in outputs]}"
        )
    (count,) = counts
    several = 2 if question == "class" else 1
    if targets is None:
        found = [np.argsort(-y, axis=1, kind="stable")[:, :several] for y in outputs]
        agree = [i for i in range(samples) if all((each[i] == found[0][i]).all() for each in found)]
        if not agree:
            raise ValueError("`targets` must be given where two models say the same class of no sample. Received: None")
        return found[0][agree], agree
    given = np.asarray(targets)
    given = given[:, None] if given.ndim == 1 else given
    fits = given.shape == (samples, several) and given.dtype.kind in "iu" and (given >= 0).all() and (given < count).all()
    if not fits or (several == 2 and (given[:, 0] == given[:, 1]).any()):
        words = (
            "two different classes for each sample, (samples, 2)," if several == 2 else "a class for each sample, (samples,),"
        )
        raise ValueError(
            f"`targets` must be {words} from 0 to {count - 1}, for {samples} samples. Received: shape {np.shape(targets)}, "
            f"{np.asarray(targets).reshape(-1)[:8].tolist()}"
        )
    return given, list(range(samples))


def _maps(
    analyzers: dict[str, Any], x: Array, items: list[Item], question: str, pictures: Array
) -> dict[tuple[str, int, int], Array]:
    """The pictures under their maps, by method, sample and class: uint8 (height, width, 3)."""
    found = {}
    for method, analyzer in analyzers.items():
        wanted = {(i.sample, i.target) for i in items if question == "trust" or method in i.sides}
        rows = np.array(sorted(wanted))
        explanation = analyzer.explain(x[rows[:, 0]], rows[:, 1])
        (attributions,) = keras.tree.flatten(explanation.attributions)
        last = attributions.shape[1:3] == pictures.shape[1:3]
        drawn = overlay(
            np.moveaxis(attributions, 1, -1) if not last and attributions.ndim == 4 else attributions,
            pictures[rows[:, 0]],
            of=explanation.settings,
        )
        found.update({(method, int(s), int(t)): drawn[n] for n, (s, t) in enumerate(rows)})
    return found


def _page(
    title: str,
    question: str,
    items: list[Item],
    maps: Mapping[str, Mapping[tuple[str, int, int], Array]],
    pictures: Array,
    labels: Any,
    models: list[str],
    kept: list[int],
    seed: int,
    path: Path | None,
) -> "Page":
    from innspect.reports.document import Page
    from innspect.reports.sheets import sheet_page

    shown = []
    for item in items:
        if question == "trust":
            found = [maps[model][item.method, item.sample, item.target] for model in item.sides]
        else:
            found = [maps[models[0]][method, item.sample, item.target] for method in item.sides]
        words = [name_of(c, labels) for c in item.offered]
        shown.append((found, words, name_of(item.target, labels)))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for found, *_ in shown for p in found)).hexdigest()
    methods = list(dict.fromkeys(m for item in items for m in ((item.method,) if question == "trust" else item.sides)))
    key = {
        "question": question,
        "title": title,
        "methods": methods,
        "models": models,
        "seed": seed,
        "pictures": digest,
        "items": [asdict(item) | {"sample": kept[item.sample]} for item in items],
    }
    page = Page(sheet_page(title, QUESTIONS[question], shown, pictures, [i.sample for i in items], json.dumps(key)))
    if path is not None:
        page.save(path)
    return page
