"""Which metrics are asked, with which arguments."""

from typing import Any

from innspect.evaluation.registry import TRUTH, Metric, find, metrics
from innspect.evaluation.trial import Trial
from innspect.spelling import pair, several

DEFAULT = ("srg", "insertion", "mprt.efficient", "collage")
Asked = dict[str, tuple[Metric, dict[str, Any]]]  # label -> metric and arguments


def labelled(given: Any) -> dict[str, Any]:
    """Metrics by label: pairs of a name and its arguments.

    Args:
        given: Names, names with arguments and pairs, one of them or a list; or a dict by label; see `innspect.spelling`.

    Raises:
        ValueError: It is none of these, or one occurs twice.
    """
    found = several(given, "metrics")
    if isinstance(found, dict):
        return found
    labels = [name for name, _ in found]
    if len(set(labels)) < len(labels):
        raise ValueError(f"`metrics` must differ, or be a dict that gives each its label. Received: {labels}")
    return dict(zip(labels, found, strict=True))


def asked_of(trial: Trial, given: Any, known: dict[str, Any]) -> tuple[Asked, dict[str, str]]:
    """The metrics, and why some of the default ones are left out.

    Args:
        trial: The `Trial`.
        given: As for `labelled`; None: the default ones that these samples can be asked for.
        known: What is known of the samples besides, for the metrics that take it.

    Raises:
        ValueError: An argument does not fit, or none of the metrics uses what is known.
        KeyError: An unknown metric.
    """
    left_out = {} if given is not None else {name: why for name in DEFAULT if (why := _unfit(name, trial))}
    names = [n for n in DEFAULT if n in metrics() and n not in left_out] if given is None else given
    asked: Asked = {}
    for label, chosen in labelled(names).items():
        name, arguments = pair(chosen, "metrics")
        metric = find(name)
        asked[label] = metric, {k: v for k, v in known.items() if k in metric.defaults} | arguments
        metric.check(asked[label][1])
    unused = [n for n in known if n in TRUTH and not any(n in metric.defaults for metric, _ in asked.values())]
    if unused and given is not None:
        takers = sorted(n for n, m in metrics().items() if unused[0] in m.defaults)
        raise ValueError(f"`{unused[0]}` is used by none of the metrics {list(asked)}; it is by: {', '.join(takers)}")
    return asked, left_out


def _unfit(name: str, trial: Trial) -> str | None:
    return metrics()[name].unfit(trial) if name in metrics() else None
