"""What people answered, counted: accuracy, mean trust, votes; with intervals over raters."""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.checks import Integer
from innspect.evaluation.intervals import interval
from innspect.evaluation.people.questions import POINTS, QUESTIONS, SAME
from innspect.files.reading import readable, reading
from innspect.tables import Table
from innspect.types import Path

_FORMAT = "innspect-answers"
_LARGEST = 64 * 2**20  # bytes of a file of answers
_RANGES = {"class": (0.0, 1.0), "trust": (-2.0, 2.0), "prefer": (0.0, 1.0)}
_HEADS = {"class": "told the class", "trust": "trust, from -2 to 2", "prefer": "share of votes"}


@dataclass(frozen=True)
class Rated:
    """What people said of one method.

    Attributes:
        mean: "class": right / answered. "trust": the mean from -2 to 2, above 0 where the first model is trusted more.
            "prefer": the mean over pictures of the share of votes.
        low, high: Its 95 % interval, over raters where there are several, else over pictures; NaN where there is one.
        answered: How many answers it is made of.
        votes: "prefer": votes, normalised to 1 for each picture, summed over pictures; else None.
    """

    mean: float
    low: float
    high: float
    answered: int
    votes: float | None = None


@dataclass(frozen=True)
class SheetScores:
    """The scores of a sheet. Printed it is a table.

    Attributes:
        question: "class", "trust" or "prefer".
        results: Dict from label to `Rated`: of methods; for "prefer" of "both alike", too.
        raters: Their names, or "rater 1" and so on.
        pictures: How many samples were answered for.
        asked: How many items the sheet has.
        models: Labels of the models; for "trust" the first is the one that is trusted more where the mean is above 0.
        sheet: What identifies the sheet.
    """

    question: str
    results: dict[str, Rated]
    raters: list[str]
    pictures: int
    asked: int
    models: list[str]
    sheet: str

    def table(self) -> Table:
        """A `Table` of the scores, a row for each method."""
        votes = self.question == "prefer"
        head = ["", _HEADS[self.question], "95 % interval", *(["votes"] if votes else []), "answers"]
        rows = []
        for label, r in self.results.items():
            told = "-" if np.isnan(r.low) else f"{r.low:.2f} to {r.high:.2f}"
            rows.append([label, f"{r.mean:.2f}", told, *([f"{r.votes:.2f}"] if votes else []), str(r.answered)])
        whose = "raters" if len(self.raters) > 1 else "pictures"
        note = f"{len(self.raters)} raters, {self.pictures} pictures; intervals over {whose}."
        if self.question == "trust":
            note += f" Above 0: {self.models[0]!r} is trusted more; below: {self.models[1]!r}."
        if self.question == "class":
            note += " 0.5 is guessing."
        return Table(head, rows, note, left=1)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().html()


def sheet_scores(*paths: Path) -> SheetScores:
    """Score the answers to a sheet (Selvaraju et al. 2017, sec. 5; Chattopadhay et al. 2018, sec. 4.2).

    "class" gives the share of right answers, "trust" the mean from -2 to 2 between the two models. "prefer" normalises the
    votes for each picture to sum to 1, over all pairs of methods and raters, "both alike" among them, as the paper does. What
    a rater left out does not count.

    Args:
        *paths: Files of answers, one for each rater, all of the same sheet.

    Returns:
        `SheetScores`, which prints as a table.

    Raises:
        ValueError: There is no file; files are of different sheets; one rater comes twice; or nothing was answered.
        UnreadableFileError: A file is no file of answers, or what it says was shown is not what the sheet has.
    """
    if not paths:
        raise ValueError("`paths` must be files of answers, one for each rater. Received: none")
    read = [_read(path) for path in paths]
    others = [n for n, answers in enumerate(read) if answers["sheet"] != read[0]["sheet"]]
    if others:
        raise ValueError(
            f"`paths` must hold answers to one sheet. Received: {str(paths[0])!r} to the sheet {read[0]['sheet']}, "
            f"{str(paths[others[0]])!r} to the sheet {read[others[0]]['sheet']}"
        )
    named = [answers["rater"] for answers in read]
    twice = [name for name in named if name and named.count(name) > 1]
    if twice:
        raise ValueError(
            f"`paths` must hold one file for each rater. Received: {twice[0]!r} comes {named.count(twice[0])} times"
        )
    raters = [name or f"rater {n + 1}" for n, name in enumerate(named)]
    key, question = read[0]["key"], read[0]["key"]["question"]
    said = [(rater, key["items"][each["item"]], each["answer"]) for rater, r in enumerate(read) for each in r["answers"]]
    if not said:
        raise ValueError(f"`paths` must hold answers. Received: none to any of {len(key['items'])} pictures")
    results = _preferred(said, key["methods"]) if question == "prefer" else _rated(said, key, question)
    pictures = len({item["sample"] for _, item, _ in said})
    return SheetScores(question, results, raters, pictures, len(key["items"]), key["models"], read[0]["sheet"])


# ------------------------------------------------------------------ counting
Said = tuple[int, dict[str, Any], int]  # number of the rater, item, answer


def _rated(said: list[Said], key: dict[str, Any], question: str) -> dict[str, Rated]:
    """Accuracy or trust, by method."""

    def value(item: dict[str, Any], answer: int) -> float:
        if question == "class":
            return float(item["offered"][answer] == item["target"])
        return float(POINTS[answer] * (1 if item["sides"][0] == key["models"][0] else -1))

    results = {}
    for method in key["methods"]:
        own = [(rater, item["sample"], value(item, answer)) for rater, item, answer in said if item["method"] == method]
        if own:
            mean = float(np.mean([v for _, _, v in own]))
            low, high = _interval(own, question)
            results[method] = Rated(mean, low, high, len(own))
    return results


def _interval(own: list[tuple[int, int, float]], question: str) -> tuple[float, float]:
    by_rater = _means((rater, v) for rater, _, v in own)
    if len(by_rater) > 1:
        return interval(by_rater, range=_RANGES[question])
    by_picture = _means((sample, v) for _, sample, v in own)
    return interval(by_picture, "wilson" if question == "class" else "t", range=_RANGES[question])


def _means(pairs: Iterable[tuple[int, float]]) -> list[float]:
    found: dict[int, list[float]] = defaultdict(list)
    for group, v in pairs:
        found[group].append(v)
    return [float(np.mean(values)) for values in found.values()]


def _preferred(said: list[Said], methods: list[str]) -> dict[str, Rated]:
    """Votes, normalised for each picture."""
    labels = [*methods, SAME]
    votes = [(rater, item["sample"], [item["sides"][0], SAME, item["sides"][1]][answer]) for rater, item, answer in said]
    whole = _shares(votes, labels)
    raters = {rater for rater, _, _ in votes}
    by_rater: dict[str, list[float]] = {label: [] for label in labels}
    for rater in raters:
        own = _shares([v for v in votes if v[0] == rater], labels)
        for label in labels:
            by_rater[label].append(float(np.mean(own[label])))
    results = {}
    for label in labels:
        low, high = interval(by_rater[label] if len(raters) > 1 else whole[label], range=_RANGES["prefer"])
        count = sum(choice == label for _, _, choice in votes)
        results[label] = Rated(float(np.mean(whole[label])), low, high, count, float(np.sum(whole[label])))
    return results


def _shares(votes: list[tuple[int, int, str]], labels: list[str]) -> dict[str, list[float]]:
    """The share of each label among the votes for every picture."""
    pictures = list(dict.fromkeys(sample for _, sample, _ in votes))
    chosen = {p: [choice for _, sample, choice in votes if sample == p] for p in pictures}
    return {label: [chosen[p].count(label) / len(chosen[p]) for p in pictures] for label in labels}


# ------------------------------------------------------------------ reading
def _read(path: Path) -> dict[str, Any]:
    """A file of answers, whole and of one sheet."""
    path = readable(path)
    with reading(path, "file of answers to a sheet"), open(path, encoding="utf-8") as file:
        text = file.read(_LARGEST + 1)
        _expect(len(text) <= _LARGEST, f"more than {_LARGEST} characters")
        content = json.loads(text)
        _expect(isinstance(content, dict) and content.get("format") == _FORMAT, "another format")
        _expect(content.get("version") == 1, f"version {content.get('version')!r}, and this innspect reads version 1")
        held, sheet, rater = content["key"], content["sheet"], content["rater"]
        _expect(hashlib.sha256(held.encode()).hexdigest()[:16] == sheet, "what was shown is not what the sheet has")
        key = json.loads(base64.b64decode(held, validate=True))
        _expect(key["question"] in QUESTIONS and isinstance(rater, str), "another question")
        offered = len(QUESTIONS[key["question"]].answers)
        answers = [{"item": a["item"], "answer": a["answer"]} for a in content["answers"]]
        for answer in answers:
            _expect(Integer(0, len(key["items"]) - 1).holds(answer["item"]), f"an answer to the picture {answer['item']!r}")
            _expect(Integer(0, offered - 1).holds(answer["answer"]), f"the answer {answer['answer']!r}, of {offered}")
        numbers = [answer["item"] for answer in answers]
        _expect(len(set(numbers)) == len(numbers), "two answers to one picture")
    return {"sheet": sheet, "rater": rater.strip(), "key": key, "answers": answers}


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
