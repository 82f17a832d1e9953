"""Which method wins at what: every method that a network allows, on a network of each sort of data, by `evaluate` and `choose`.

    python benchmarks/choosing.py                          # writes docs/choosing.json and docs/choosing.md
    python benchmarks/choosing.py --only table text        # measures these again, and keeps what is known of the others
    python benchmarks/choosing.py --photographs FOLDER     # with photographs of your own, at best a hundred
    python benchmarks/choosing.py --page                   # writes the page anew from what was measured

Without a folder the photographs are those that ship with packages (extra `demo`): few, so their intervals are wide, and the
page says how many there were. Needs the extra `evaluation`. With --keep FOLDER what is finished is kept there, and a run that
was interrupted goes on. Costs are processor time, in gradients of the same samples.
"""

import argparse
import contextlib
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from choosing_networks import NETWORKS
from choosing_page import DECIDE, defaults, page

import innspect
from innspect.analyzers.base.registry import describe
from innspect.evaluation import decide
from innspect.evaluation.choosing.decision import mean_ranks
from innspect.evaluation.choosing.offers import offers
from innspect.evaluation.registry import metrics as known_metrics
from innspect.evaluation.results import RANDOM

DOCS = Path(__file__).parent.parent / "docs"
BESIDE = ("random_logit", "mprt.efficient")
LONG = 5  # seconds, above which a cost is measured once
DEAR = 100  # gradients, above which a method is not asked for what stands beside
CROPS = 4  # of each photograph, for `choose`


def measure(network, seconds, keep=None):
    """All that the page says of a network, a dict for JSON."""
    opened, x = innspect.open_model(network.model), network.x
    methods, left = _different(opened, network)
    asked = _asked(opened, network)
    known = {k: v for k, v in (("masks", network.masks), ("background", network.metrics.get("background"))) if v is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        costs = _costs(opened, methods, x)
        scores = innspect.evaluate(opened, x, methods, asked, resume=keep, verbose=1, **known)
        few = {label: analyzer for label, analyzer in methods.items() if costs[label] <= DEAR}
        kept_beside = None if keep is None else keep.with_stem(f"{keep.stem}_beside")
        scores.results |= innspect.evaluate(opened, x, few, BESIDE, resume=kept_beside, verbose=1).results
        chosen = _chosen(opened, network, seconds)
    summary = scores.summary()
    decision = decide(scores)
    ranks = mean_ranks(scores, decision.used or [m for m in ("srg", "insertion") if m in summary])
    needing = [*network.arguments, *(label for label, analyzer in methods.items() if getattr(analyzer, "learned", ()))]
    return {
        "kind": network.kind,
        "data": network.data,
        "samples": len(x),
        "accuracy": network.accuracy,
        "backend": keras.backend.backend(),
        "metrics": {m: {"higher": known_metrics()[scores.results[m][RANDOM].metric].higher_is_better} for m in scores.metrics},
        "scores": {m: {k: _rounded(v) for k, v in of.items()} for m, of in summary.items()},
        "failed": scores.failed,
        "families": {label: _family(label) for label in methods},
        "cost": costs,
        "kept": _kept(methods, x),
        "left": left,
        "better": decision.better,
        "used": decision.used,
        "ranks": {k: round(v, 2) for k, v in ranks.items()},
        "agreement": _agreement(scores),
        "needing": needing,  # more than their names
        "choice": chosen,
    }


def _different(opened, network):
    """Analyzers by label, but those with the maps of another one, and why others are left out."""
    found, left = offers(opened, None, network.fit_data, 0)
    given, _ = offers(opened, network.arguments, network.fit_data, 0) if network.arguments else ({}, {})
    analyzers = {label: offer.analyzer for label, offer in (found | given).items()}
    methods, seen = {}, {}
    for label, analyzer in analyzers.items():
        left.pop(label, None)
        try:
            with _quiet():
                few = np.asarray(analyzer.analyze(network.x[:2]), "float64")
        except Exception as error:  # what a page should say, not a reason to stop
            left[label] = str(error).splitlines()[0]
            continue
        few /= max(np.abs(few).max(), np.finfo("float64").tiny)
        same = next((k for k, m in seen.items() if m.shape == few.shape and np.abs(m - few).max() < 1e-5), None)
        if same:
            left[label] = f"its maps are those of `{same}`"
        else:
            methods[label], seen[label] = analyzer, few
    return methods, left


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _asked(opened, network):
    """The metrics that decide and that these samples can be asked for."""
    asked = {name: (name, network.metrics.get(name, {})) for name in ("srg", "insertion")}
    if network.x.ndim == 4 and network.x.shape[1] > 100:
        asked["collage"] = ("collage", {"confidence": 0.2})
    if network.masks is not None:
        asked |= {name: name for name in ("relevance_mass", "relevance_rank")}
    return asked


def _costs(opened, methods, x):
    """Processor time of an explanation of some samples, in gradients; the faster of two where they do not take long."""
    x = x[: 2 if x.ndim == 4 and x.shape[1] > 100 else 32]
    gradient = innspect.create_analyzer("gradient", opened)
    unit = min(_seconds(gradient, x) for _ in range(6))
    found = {}
    for label, analyzer in methods.items():
        once = _seconds(analyzer, x)
        found[label] = round((once if once > LONG else min(once, _seconds(analyzer, x))) / unit, 2)
    return found


def _seconds(analyzer, x):
    began = time.process_time()
    analyzer.analyze(x)
    return time.process_time() - began


def _kept(methods, x):
    """The share of the explained value that reaches the map, of the methods that share one out: mean, lowest, highest."""
    found = {}
    for label, analyzer in methods.items():
        if not getattr(analyzer, "conserves", False):
            continue
        with _quiet(), contextlib.suppress(TypeError, ValueError):
            books = analyzer.conservation(x[:8])
            shares = np.asarray(books.kept / books.explained, "float64")
            found[label] = [_rounded(float(v)) for v in (books.summary(layers=0).kept, shares.min(), shares.max())]
    return found


def _agreement(scores):
    """Kendall's tau of the order of methods by each pair of metrics, with how many methods both order."""
    from scipy.stats import kendalltau

    found, names = {}, [m for m in scores.metrics if m in scores.results]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pairs = [
                [_good(scores.results[m][k]) for m in (first, second)]
                for k in scores.results[first]
                if k != RANDOM and k in scores.results[second]
            ]
            pairs = np.array([p for p in pairs if np.isfinite(p).all()])
            if len(pairs) > 3:
                found[f"{first} {second}"] = [round(float(kendalltau(*pairs.T).statistic), 2), len(pairs)]
    return found


def _good(result):
    return result.mean if result.higher_is_better else -result.mean


def _family(label):
    return describe(label.split(",")[0])["family"]


def _chosen(opened, network, seconds):
    """What `choose` says; of a few photographs, of crops of them."""
    x = network.x
    crops = len(x) < 16 and x.ndim == 4
    if crops:
        x = np.concatenate([_crops(image) for image in x])
    given = {"fit_data": network.fit_data, "background": network.metrics.get("background")}
    if "srg" in network.metrics:
        given["metrics"] = {name: (name, {"steps": 16, **network.metrics[name]}) for name in ("srg", "insertion")}
    choice = innspect.choose(opened, x, time=seconds, verbose=1, **given)
    told = f"{len(x)} {'crops of the photographs' if crops else 'samples'}, {round(choice.settings.get('spent', seconds))} s"
    return {
        "method": choice.method,
        "arguments": choice.arguments,
        "told": told,
        "text": choice.text,
        "tried": len(choice.order),
    }


def _crops(image, part=0.8):
    """Four corners of an image, each brought back to its size."""
    height, width, _ = image.shape
    h, w = int(height * part), int(width * part)
    corners = [image[a : a + h, b : b + w] for a in (0, height - h) for b in (0, width - w)]
    return keras.ops.convert_to_numpy(keras.ops.image.resize(np.stack(corners), (height, width)))


def _rounded(value):
    """Numbers of four digits, in whatever holds them."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--photographs", metavar="FOLDER", help="in the place of those that ship")
    parser.add_argument("--time", type=float, default=300, help="seconds that `choose` has for photographs; a fifth for others")
    parser.add_argument("--keep", metavar="FOLDER", help="where finished results are kept")
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page and its numbers are")
    given = parser.parse_args()
    stored = given.docs / "choosing.json"
    found = json.loads(stored.read_text())["networks"] if stored.exists() else {}
    for name in () if given.page else given.only:
        print(f"== {name}", flush=True)
        network = NETWORKS[name](given.photographs) if name == "photographs" else NETWORKS[name]()
        keep = Path(given.keep) / f"{name}.npz" if given.keep else None
        found[name] = measure(network, given.time if name == "photographs" else given.time / 5, keep)
        found = {name: found[name] for name in NETWORKS if name in found}
        begin = {kind: defaults([found[n] for n in names]) for kind, names in DECIDE.items() if all(n in found for n in names)}
        kept = {"defaults": begin, "networks": found}
        stored.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(found[name]["choice"]["text"], flush=True)
    (given.docs / "choosing.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
