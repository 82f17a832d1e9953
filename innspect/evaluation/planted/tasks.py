"""What a task with planted truth is: samples of which it is known what decides, and a network that is trained on them.

All samples are drawn by NumPy from the seed, what they are for, and nothing else: they are the same on every backend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from innspect.errors import PlainKeyError, suggest
from innspect.evaluation.draws import generator
from innspect.types import Array

_CHUNK = 32  # held-out samples that are drawn at once
_OFTEN = 25  # steps after which it is asked whether they are enough


@dataclass(frozen=True)
class Planted:
    """Samples with what is known of them.

    Attributes:
        x: (samples, ...), float32.
        y: What a network learns of each: a class, int32 (samples,), or a number, float32 (samples,).
        masks: The positions that decide, booleans (samples, *positions).
        truth: What each position really does to the explained output, signed numbers (samples, *positions); None where a
            sign means nothing.
        distractors: Where something stands that says nothing of the class itself but goes with what does, booleans (samples,
            *positions); None where there is nothing of this kind.
    """

    x: Array
    y: Array
    masks: Array
    truth: Array | None = None
    distractors: Array | None = None

    def at(self, rows: Array) -> "Planted":
        """Some of the samples."""
        return Planted(*(None if v is None else v[rows] for v in vars(self).values()))  # type: ignore[arg-type]

    @property
    def known(self) -> dict[str, Any]:
        """What metrics take of it, by their arguments' names."""
        given = {"masks": self.masks, "truth": self.truth, "distractors": self.distractors}
        return {name: value for name, value in given.items() if value is not None}


class Task:
    """Base of all tasks.

    Attributes:
        name: By which it is found.
        asks: What it is, in a sentence.
        accuracy: The least share of held-out samples that a network must get right; below it there is no truth, since the
            network does not use what was planted.
        steps: Steps of training, at most.
        batch: Fresh samples of a step.
        fitted: Samples of training that methods learn from which must.
        sign: What of a map `relevance_mass` and `relevance_rank` look at; None for their own, R+ and signed.
        distances: Whether positions have distances, which `emd` needs.
    """

    name: str
    asks: str
    accuracy: float
    steps: int
    batch = 64
    fitted = 4096
    sign: str | None = None
    distances = True

    def draw(self, samples: int, seed: int = 0, purpose: str = "held out") -> Planted:
        """Samples of a seed; those of another purpose, such as "training 3", are others.

        Args:
            samples: How many.
            seed: An integer that is not negative.
            purpose: What they are for.
        """
        return self._drawn(samples, generator(seed, f"{self.name}: {purpose}"))

    def _drawn(self, samples: int, random: np.random.Generator) -> Planted:
        raise NotImplementedError

    def network(self, seed: int) -> keras.Model:
        """A new, compiled network, whose first weights depend on the seed alone."""
        raise NotImplementedError

    def right(self, network: keras.Model, planted: Planted) -> Array:
        """Which samples a network gets right, booleans (samples,)."""
        return np.asarray(predicted(network, planted.x)[:, :2].argmax(axis=1) == planted.y)

    def held_out(self, network: keras.Model, seed: int, samples: int, judged: int, purpose: str = "held out") -> "Judged":
        """How often a network is right on held-out samples, and the first of those that it gets right.

        Args:
            network: From `trained`.
            seed: Of the samples.
            samples: How many of those that it gets right are returned, at most.
            judged: How many it is asked about.
            purpose: What they are for.
        """
        count, kept, found = 0, 0, []
        for start in range(0, judged, _CHUNK):
            planted = self.draw(min(_CHUNK, judged - start), seed, f"{purpose} {start}")
            rows = np.flatnonzero(self.right(network, planted))
            count += len(rows)
            found.append(planted.at(rows[: samples - kept]))
            kept += len(found[-1].y)
        return Judged(count / judged, joined(found))

    def enough(self, network: keras.Model, seed: int) -> bool:
        """Whether training may end before its last step; asked after every few."""
        return False

    def trained(self, seed: int) -> keras.Model:
        """A network, trained on fresh samples; training draws nothing from Keras' or NumPy's own state."""
        return self._taught(self.network(seed), seed)

    def _taught(self, network: keras.Model, seed: int) -> keras.Model:
        for step in range(1, self.steps + 1):
            batch = self.draw(self.batch, seed, f"training {step}")
            network.train_on_batch(batch.x, batch.y)
            if step % _OFTEN == 0 and self.enough(network, seed):
                break
        return network


@dataclass(frozen=True)
class Judged:
    """What a network made of held-out samples.

    Attributes:
        accuracy: The share that it got right.
        planted: The first of those.
    """

    accuracy: float
    planted: Planted


def predicted(network: keras.Model, x: Array) -> Array:
    """A network's outputs, (samples, units)."""
    return np.asarray(network.predict_on_batch(x))


def joined(parts: list[Planted]) -> Planted:
    """Samples one after the other."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Planted(*(None if column[0] is None else np.concatenate(column) for column in columns))  # type: ignore[arg-type]


_tasks: dict[str, Callable[..., Task]] = {}


def register(name: str, made: Callable[..., Task]) -> None:
    """Make a task known by a name: `made(**arguments)` is one."""
    _tasks[name] = made


def list_tasks() -> list[str]:
    """The names of all tasks with planted truth that `benchmark` knows."""
    return list(_tasks)


def find(name: Any) -> Callable[..., Task]:
    """What makes the task of a name.

    Raises:
        KeyError: There is none; the message has those with names like it.
    """
    if not isinstance(name, str) or name not in _tasks:
        raise PlainKeyError(f"Unknown task: {name!r}. {suggest(name, _tasks)}")
    return _tasks[name]


def task(name: str, **arguments: Any) -> Task:
    """A task with planted truth, to look at its samples or to train its network.

    Args:
        name: One that `list_tasks` has.
        **arguments: Its own: see the page on known truth.

    Returns:
        A `Task`: `task.draw(samples, seed)` has `x`, `y`, `masks`, `truth` and `distractors`; `task.trained(seed)` is a
        network.

    Raises:
        KeyError: There is no such task.
    """
    return find(name)(**arguments)
