"""What people are asked about maps, and what their answers are worth."""

from dataclasses import dataclass

import numpy as np

from innspect.types import Array


@dataclass(frozen=True)
class Question:
    """A question of a sheet.

    Attributes:
        text: What is asked.
        answers: What is offered, in the order of the keys 1, 2, ...; "{0}" and "{1}" stand for what an item offers.
        source: Where the question comes from.
    """

    text: str
    answers: tuple[str, ...]
    source: str


QUESTIONS = {
    "class": Question("What is marked in this picture?", ("{0}", "{1}"), "Selvaraju et al. 2017, sec. 5.1"),
    "trust": Question(
        "Two models say the same of this picture, each for its own reasons. Which one would you rather rely on?",
        ("Clearly left", "Rather left", "Both alike", "Rather right", "Clearly right"),
        "Selvaraju et al. 2017, sec. 5.2",
    ),
    "prefer": Question(
        "Two explanations of the same answer. Which one lets you trust the model more?",
        ("Left", "Both alike", "Right"),
        "Chattopadhay et al. 2018, sec. 4.2",
    ),
}
SAME = "both alike"
POINTS = (2, 1, 0, -1, -2)  # of the answers of "trust", for the model on the left


@dataclass(frozen=True)
class Item:
    """One picture that is asked about.

    Attributes:
        sample: Number of the sample.
        name: What it is called.
        sides: What is shown, from left to right: labels of methods or of models; for "class" the one method.
        offered: For "class" the numbers of the two classes, in the order in which they are offered.
        target: The number of the class that is explained.
        method: Whose maps they are, for "trust".
    """

    sample: int
    name: str
    sides: tuple[str, ...]
    offered: tuple[int, ...]
    target: int
    method: str


def draw_items(
    question: str, methods: list[str], models: list[str], names: list[str], classes: Array, random: np.random.Generator
) -> list[Item]:
    """The items of a sheet, shuffled, their sides drawn.

    Args:
        question: A key of `QUESTIONS`.
        methods: Labels.
        models: Labels, two for "trust".
        names: Of the samples.
        classes: The explained class of each sample, (samples, 1), and for "class" another that is offered, (samples, 2).
        random: A `numpy.random.Generator`.
    """
    items = []
    for i, name in enumerate(names):
        if question == "class":
            for method in methods:
                target = classes[i][random.integers(2)]
                items.append(Item(i, name, (method,), tuple(map(int, random.permutation(classes[i]))), int(target), method))
            continue
        if question == "trust":
            pairs = [(tuple(models), method) for method in methods]
        else:
            pairs = [((a, b), "") for n, a in enumerate(methods) for b in methods[n + 1 :]]
        for pair, method in pairs:
            sides = pair if random.integers(2) else pair[::-1]
            items.append(Item(i, name, sides, (), int(classes[i][0]), method))
    return [items[n] for n in random.permutation(len(items))]
