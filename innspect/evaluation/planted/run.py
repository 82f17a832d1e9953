"""`innspect.evaluation.benchmark`: methods on tasks with planted truth, by networks that are trained on the spot."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from innspect import study
from innspect._version import __version__
from innspect.analyzers.base.registry import describe
from innspect.checks import Count, Integer
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.planted import distractor, stamps, tetrominoes  # noqa: F401  (they register themselves)
from innspect.evaluation.planted.result import Benchmark, label_of, mean_of
from innspect.evaluation.planted.tasks import Planted, Task, find, list_tasks
from innspect.evaluation.scores import Scores
from innspect.progress import Progress, Quiet
from innspect.spelling import pair, several
from innspect.tables import printable
from innspect.types import Nest

# Some of every family, cheap enough for hundreds of samples.
METHODS = [
    *"gradient smoothgrad input_t_gradient integrated_gradients deconvnet guided_backprop".split(),
    *"pattern.net pattern.attribution lrp.epsilon lrp.alpha_2_beta_1 lrp.epsilon_plus_flat lrp.w_square".split(),
    *"deep_taylor deep_lift deep_shap grad_cam layer_cam occlusion".split(),
    ("rise", {"num_masks": 500}),
]
_BACKGROUND = 32  # samples
_KEPT = 100  # warnings


def benchmark(
    tasks: Any = None,
    methods: Any = None,
    seeds: int | list[int] = 5,
    *,
    model: Any = None,
    x: Nest | None = None,
    samples: int = 32,
    judged: int = 512,
    batch_size: int | None = None,
    verbose: int = 0,
) -> Benchmark:
    """Score methods where it is known what is right: on networks that were trained, here, to use what was planted.

    Tasks are a linear distractor (Kindermans et al. 2018), tetrominoes on white and on correlated noise (XAI-TRIS, Clark et al.
    2024), and stamps on samples of your own, for a copy of your own network. For each seed a network is trained, and judged on
    held-out samples: below 80 % (tetrominoes) or 95 % (stamps, distractor) it is refused, since it need not use what was
    planted. Of the others the samples that it gets right are explained, for their class.

    Args:
        tasks: Names that `list_tasks()` has, "xor" being both "xor.white" and "xor.correlated", pairs (name, arguments), and
            `Task` objects, in a list. None: all, "stamps" where `model` and `x` are given.
        methods: Names and pairs (name, arguments), in a list; or a dict from label to one of these, or to a function of a
            network that returns an analyzer. What they must learn, they learn from samples of training; so bounds of the input
            (low, high) and a background are given to those that need them. None: some of every family.
        seeds: How many networks of each task, or the seeds of these, a list of integers.
        model: For "stamps": a built Keras model. It is copied, and stays as it is.
        x: For "stamps": samples as the model takes them, best a hundred or more.
        samples: How many are explained of each network, at most.
        judged: How many held-out samples a network is judged by.
        batch_size: Samples that are explained at once; None: by their size and the model's.
        verbose: 1 shows progress.

    Returns:
        A `Benchmark`: `relevance_mass`, `relevance_rank`, `emd`, `sign_accuracy` and `suppressor_share` of those that a task's
        truth allows, with a row "random". A value is the mean over a network's samples; intervals are over networks.

    Raises:
        KeyError: An unknown task or method; near matches are offered.
        ValueError: An argument does not fit; the message names it.

    Examples:
        >>> found = innspect.evaluation.benchmark(["xor"], ["lrp.epsilon", "gradient", "pattern.attribution"], seeds=3)
        >>> print(found)
        >>> found.plot().savefig("known_truth.png")
    """
    run = Benchmarking(tasks, methods, seeds, model=model, x=x, samples=samples, judged=judged, batch_size=batch_size)
    if not verbose:
        return run.run()
    with Progress("Benchmark", run.cells) as progress:
        return run.run(progress)


@dataclass
class _Network:
    """What was found of a network: its accuracy, and the scores of methods, where it was not refused."""

    seed: int
    accuracy: float
    samples: int = 0
    scores: Scores | None = None


@dataclass
class _Done:
    """A task with the networks that were trained so far."""

    task: Task
    networks: list[_Network] = field(default_factory=list)


class Benchmarking:
    """A benchmark that can be interrupted: `result()` has what was done so far. Arguments as of `benchmark`."""

    def __init__(
        self,
        tasks: Any = None,
        methods: Any = None,
        seeds: Any = 5,
        *,
        model: Any = None,
        x: Any = None,
        samples: int = 32,
        judged: int = 512,
        batch_size: int | None = None,
    ):
        self.samples, self.judged = int(Count().check("samples", samples)), int(Count().check("judged", judged))
        self._batch_size = Integer(1, or_none=True).check("batch_size", batch_size)
        self.seeds = _seeds(seeds)
        self._methods = study.named(METHODS if methods is None else methods)
        for chosen in self._methods.values():
            if isinstance(chosen, tuple):
                describe(chosen[0])  # raises for a name that is unknown, before anything is trained
            elif hasattr(chosen, "explain") or not callable(chosen):
                raise ValueError(
                    "`methods` must hold names, pairs (name, arguments), and functions from a network to an analyzer. "
                    f"Received: {chosen!r}"
                )
        self._told: dict[str, None] = {}
        self._done = {task.name: _Done(task) for task in _chosen(tasks, model, x)}

    @property
    def cells(self) -> int:
        """How many steps the work has: each network's training, and each method's scores."""
        steps = [1 + len(_scores_of(done.task)) * (len(self._methods) + 1) for done in self._done.values()]
        return len(self.seeds) * sum(steps)

    def run(self, progress: Progress | Quiet | None = None) -> Benchmark:
        """Train and score, a network after the other."""
        progress = progress or Quiet()
        for name, done in self._done.items():
            for number, seed in enumerate(self.seeds, 1):
                progress.say(f"{printable(name)}, network {number} of {len(self.seeds)}")
                done.networks.append(self._network(done.task, seed, progress))
        return self.result()

    def _network(self, task: Task, seed: int, progress: Progress | Quiet) -> _Network:
        network = task.trained(seed)
        judged = task.held_out(network, seed, self.samples, self.judged)
        progress.advance()
        if judged.accuracy < task.accuracy:
            progress.advance(len(_scores_of(task)) * (len(self._methods) + 1))
            return _Network(seed, judged.accuracy)
        planted = judged.planted
        seen = task.draw(task.fitted, seed, "training, for methods")
        with warnings.catch_warnings(record=True) as told:  # dozens of networks would say the same
            warnings.simplefilter("always")
            scores = self._scored(task, network, seed, planted, seen, progress)
        self._told.update(dict.fromkeys(str(w.message) for w in told))
        return _Network(seed, judged.accuracy, len(planted.y), scores)

    def _scored(
        self, task: Task, network: Any, seed: int, planted: Planted, seen: Planted, progress: Progress | Quiet
    ) -> Scores:
        evaluation = Evaluation(
            network,
            planted.x,
            {label: _made(chosen, network, seen) for label, chosen in self._methods.items()},
            _scores_of(task),
            targets=planted.y if planted.y.dtype.kind == "i" else None,
            known=planted.known,
            fit_data=seen.x,
            examples=0,
            seed=seed,
            batch_size=self._batch_size,
        )
        return evaluation.run(_Only(progress))

    def result(self) -> Benchmark:
        """What was found so far."""
        results: dict[str, Any] = {}
        failed: dict[str, dict[str, str]] = {}
        networks = {}
        for name, done in self._done.items():
            needs = {"needs": done.task.accuracy}
            networks[name] = [
                {"seed": n.seed, "accuracy": n.accuracy, "refused": n.scores is None, "samples": n.samples} | needs
                for n in done.networks
            ]
            scored = [n.scores for n in done.networks if n.scores is not None]
            for score in _scores_of(done.task) if scored else ():
                label = label_of(name, score)
                for method in [*self._methods, "random"]:
                    found = [s.results.get(score, {}).get(method) for s in scored]
                    whole = [r for r in found if r is not None]
                    if len(whole) == len(found):
                        results.setdefault(label, {})[method] = mean_of(whole)
                    else:
                        why = next(s.failed[score][method] for s in scored if method in s.failed.get(score, {}))
                        failed.setdefault(label, {})[method] = why
        settings: dict[str, Any] = {
            "networks": networks,
            "methods": list(self._methods),
            "seeds": self.seeds,
            "innspect": __version__,
        }
        settings |= {"unit": "trained network", "samples": len(self.seeds), "explained samples": self.samples}
        settings["warnings"] = list(self._told)[:_KEPT]
        return Benchmark(results=results, failed=failed, settings=settings)


class _Only(Quiet):
    """Progress of a part: it advances, and says nothing, since the whole says which network it is."""

    def __init__(self, progress: Progress | Quiet):
        self._whole = progress

    def advance(self, steps: int = 1) -> None:
        """Advance the whole."""
        self._whole.advance(steps)


def _scores_of(task: Task) -> dict[str, tuple[str, dict[str, Any]]]:
    """The scores that a task's truth allows, as `Evaluation` takes them."""
    one = task.draw(1)
    sign: dict[str, Any] = {} if task.sign is None else {"sign": task.sign}
    scores: dict[str, dict[str, Any]] = {"relevance_mass": sign, "relevance_rank": sign}
    scores |= {"emd": {}} if task.distances else {}
    scores |= {} if one.truth is None else {"sign_accuracy": {}}
    scores |= {} if one.distractors is None else {"suppressor_share": {}}
    return {name: (name, arguments) for name, arguments in scores.items()}


def _made(chosen: Any, network: Any, seen: Planted) -> Any:
    """A method, with what it needs of the data; a function of the network is asked for its analyzer."""
    if callable(chosen):
        return chosen(network)
    name, arguments = chosen
    needs = describe(name)["needs"]
    given: dict[str, Any] = {}
    if needs == "low, high":
        given = {"low": float(seen.x.min()), "high": float(seen.x.max())}
    elif needs == "background":
        given = {"background": seen.x[:_BACKGROUND]}
    return name, given | arguments


def _seeds(given: Any) -> list[int]:
    if Integer(1, 10_000).holds(given):
        return list(range(int(given)))
    listed = list(given) if isinstance(given, list | tuple | range | np.ndarray) else []
    if not listed or not all(map(Integer().holds, listed)) or len(set(map(int, listed))) < len(listed):
        raise ValueError(f"`seeds` must be a positive integer, or a list of integers that differ. Received: {given!r}")
    return list(map(int, listed))


def _chosen(given: Any, model: Any, x: Any) -> list[Task]:
    """The tasks that were asked for."""
    own = {"model": model, "x": x}
    if (model is None) != (x is None):
        raise ValueError(f"`model` and `x` must be given together. Received: {'model' if x is None else 'x'} alone")
    if given is None:
        names: Any = [name for name in list_tasks() if name != "stamps" or model is not None]
    else:
        found = several(given, "tasks", lambda one: isinstance(one, Task))
        names = list(found.values()) if isinstance(found, dict) else found
    tasks = [task for one in names for task in _tasks_of(one, own)]
    labels = [task.name for task in tasks]
    if len(set(labels)) < len(labels):
        raise ValueError(f"`tasks` must differ from each other. Received: {labels}")
    if model is not None and "stamps" not in labels:
        raise ValueError(f"`model` and `x` are for the task 'stamps' alone. Received: tasks {labels}")
    return tasks


def _tasks_of(given: Any, own: dict[str, Any]) -> list[Task]:
    if isinstance(given, Task):
        return [given]
    name, arguments = pair(given, "tasks")
    names = [f"{name}.{b}" for b in tetrominoes.BACKGROUNDS] if name in tetrominoes.KINDS else [name]
    makers = [find(one) for one in names]
    arguments = (own if name == "stamps" else {}) | arguments
    return [make(**arguments) for make in makers]
