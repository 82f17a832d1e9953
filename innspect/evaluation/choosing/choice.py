"""What `innspect.choose` gives: a method, how sure that is, and what it cannot see."""

from dataclasses import asdict, dataclass, field
from typing import Any

from innspect.evaluation.choosing.decision import Decision, mean_ranks
from innspect.evaluation.choosing.words import sentences, summary_table
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.storing import read_parts, write_parts
from innspect.tables import on_page
from innspect.types import Path

_FORMAT = "innspect-choice"


@dataclass
class Choice:
    """The method to take for a model and samples like these, and all that speaks for it.

    Attributes:
        method: The name of the method, for `innspect.create_analyzer(choice.method, model, **choice.arguments)`; None where
            none is better than random maps, or it cannot be said.
        arguments: Its arguments, where it was tried with some.
        label: What it is called in the scores.
        decision: The `Decision`: metrics used, which methods are better than random maps, mean ranks.
        pick: `Scores` of all methods tried, on the samples that decided.
        confirm: `Scores` of the best and of random maps on samples that had no part in it; None below 16 samples.
        offers: Dict from each method tried to a dict with its "name", "arguments", "signed", "scale" and "cost", in gradients.
        left: Dict from each method that was not tried to the reason.
        shown: The labels of the methods that were looked at more closely, the best first.
        examples: The numbers of the samples that are kept with their maps, to be shown.
        settings: What was done: time, samples, steps, seed, version.
    """

    method: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    decision: Decision = field(default_factory=Decision)
    pick: Scores = field(default_factory=Scores)
    confirm: Scores | None = None
    offers: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The best methods, at most three, as `innspect.report` and `innspect.evaluate` take them; empty without any."""
        best = [label for label in self.shown if label in self.decision.ranks]
        return {label: (self.offers[label]["name"], self.offers[label]["arguments"]) for label in best}

    @property
    def final(self) -> Scores:
        """The scores that say how sure it is: of the reporting half, or, where there is none, those that decided."""
        return self.pick if self.confirm is None else self.confirm

    @property
    def order(self) -> list[str]:
        """The methods tried: those better than random maps by their mean rank, then the others by theirs."""
        others = mean_ranks(self.pick, self.decision.used)
        tried = [m for m in self.pick.methods if m != RANDOM]
        return [m for m in dict.fromkeys([*self.decision.ranks, *others, *tried]) if m not in self.left]

    @property
    def text(self) -> list[str]:
        """It in plain words, a sentence or two in each string: what to take, how sure that is, what it cannot see."""
        return sentences(self)

    def __str__(self) -> str:
        table = summary_table(self)
        return "\n".join([*self.text, *(["", str(table)] if table.rows else [])])

    def __repr__(self) -> str:
        return f"Choice(method={self.method!r}, {len(self.order)} methods tried)"

    def _repr_html_(self) -> str:
        first, *others = self.text
        told = "".join(f"<p>{on_page(text)}</p>" for text in others)
        return f"<p><b>{on_page(first)}</b></p>{told}{summary_table(self).html()}"

    def report(self, path: Path | None = None, **arguments: Any) -> Any:
        """One HTML page: the answer on top, then curves, and maps of the best three and random ones on a few samples.

        Args:
            path: A file to write it to.
            **arguments: `title`; `names`, what each of all the samples is called; `images`, all samples as they should be seen,
                (samples, height, width[, 1 or 3]), where they are preprocessed.

        Returns:
            A `Page`: `page.html`, `page.save(path)`; shown in notebooks.
        """
        from innspect.reports.choices import choice_report

        return choice_report(self, path, **arguments)

    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        parts |= {"decision": asdict(self.decision), "pick": self.pick.parts()}
        write_parts(path, _FORMAT, parts | {"confirm": None if self.confirm is None else self.confirm.parts()})

    @classmethod
    def load(cls, path: Path) -> "Choice":
        """Read what `save` wrote. What no file can hold, such as functions among the arguments, comes back as text.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: It is damaged, no saved choice, or of a newer version.
        """
        parts = read_parts(path, _FORMAT, "choice")
        parts |= {"decision": Decision(**parts["decision"]), "pick": Scores.from_parts(parts["pick"])}
        return cls(**parts | {"confirm": None if parts["confirm"] is None else Scores.from_parts(parts["confirm"])})
