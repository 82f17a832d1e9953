"""The support table: which method explains which network, found out by running every pair.

    python benchmarks/support.py            # writes docs/support.md and docs/support.json
    python benchmarks/support.py --only MLP VGG16
    KERAS_BACKEND=jax python benchmarks/support.py --check --only VGG16 --methods deep_lift smoothgrad

A cell is "works", or the reason why the method does not apply, in the words of the error that innspect raises. Any other
failure stops the run: it is a fault to mend, not a cell. The numbers in a map are checked elsewhere, by the tests.

With --check nothing is written: what another backend finds is compared with the stored table, method by method.
"""

import argparse
import functools
import json
import re
import time
from itertools import groupby
from pathlib import Path

import keras
import zoo

import innspect
from innspect import backend
from innspect.analyzers.base.registry import describe
from innspect.graph.opened.opened_model import open_model
from innspect.testing import support

DOCS = Path(__file__).parent.parent / "docs"


def networks():
    """Names of all rows."""
    return [*zoo.APPLICATIONS, *zoo.SMALL]


def run(name, methods=None):
    """Try methods on a network: dict from method to "" or the reason, without the names of this network's layers."""
    found = _tried(name, methods)
    return {method: _of_any_network(reason) for method, reason in found.items()}


def _of_any_network(reason):
    reason = re.sub(r"'[^']+' \(an? (\w+)\)", r"\1", reason)
    return re.sub(r"(the layer) '[^']+'", r"\1", reason)


def _tried(name, methods):
    if name in zoo.SMALL:
        return support(*zoo.small(name), methods)
    found = {}
    for method in innspect.list_analyzers() if methods is None else methods:
        # From the smallest images the maps before global pooling are single numbers, of which CAM can tell nothing.
        model, x, few = _application(name, 2 if method == "cam" else 1)
        found |= support(model, x, [method], arguments=few)
    return found


@functools.lru_cache(maxsize=2)
def _application(name, times):
    """A network, images for it, and arguments for methods that run it many times."""
    model, x = zoo.application(name, times=times)
    # Methods that run the network once for every channel are tried at its first convolution, which has few.
    first = next(p for p, layer in open_model(model).graph.layers.items() if isinstance(layer, keras.layers.Conv2D))
    few = {"score_cam": {"layer": first}, "ablation_cam": {"layer": first}, "occlusion": {"window": 16, "stride": 16}}
    return model, x, few


# ---------------------------------------------------------------------- the page
_HEAD = """# Which methods explain my model?

Find the network that is most like yours: every method explains it, but those of its row. A number is the reason, which stands
below in the words of the error. {tried}

Made by running `python benchmarks/support.py`: {methods} methods on {networks} networks, with random weights; a method
explains a network if its maps are finite and depend on the explained neuron. As data: [support.json](support.json). Networks of
`keras.applications` are one of each family; the others are small ones of a kind.
"""


def page(table):
    """The table in Markdown: a row for each network, with the methods that do not apply."""
    reasons = {}
    methods = sorted({m for row in table.values() for m in row}, key=lambda m: (describe(m)["family"], m))
    lines = ["| my model is like | methods | all but |", "|---|---:|---|"]
    for network, row in table.items():
        lines.append(f"| {network} | {sum(not reason for reason in row.values())} | {_refused(row, methods, reasons)} |")
    missing = any(m not in row for row in table.values() for m in methods)
    head = _HEAD.format(
        methods=len(methods),
        networks=len(table),
        tried="Where the count and the row do not add up, some were not tried yet." if missing else "All were tried.",
    )
    told = "\n".join(f"{n}. {reason}" for reason, n in reasons.items())
    families = "\n".join(
        f"- {family}: {', '.join(f'`{m}`' for m in members)}"
        for family, members in groupby(methods, key=lambda m: describe(m)["family"])
    )
    return "\n".join([head, *lines, f"\n## Reasons\n\n{told}\n\n## The methods\n\n{families}"]) + "\n"


def _refused(row, methods, reasons):
    """The methods that do not apply to a network, together where the reason is the same."""
    groups = {}
    for method in methods:
        if row.get(method):
            groups.setdefault(reasons.setdefault(row[method], len(reasons) + 1), []).append(f"`{method}`")
    return "; ".join(f"{', '.join(members)} ({number})" for number, members in groups.items()) or "none"


def check(name, methods):
    """Compare this backend with the stored cells of a network, and print each. Returns how many are worse."""
    stored, worse = json.loads((DOCS / "support.json").read_text(encoding="utf-8"))[name], 0
    for method in methods or stored:
        start = time.perf_counter()
        try:
            reason = run(name, [method])[method]
        except AssertionError as fault:
            reason = str(fault)
        lost = bool(reason) and not stored[method]
        worse += lost
        mark = "WORSE" if lost else "better" if stored[method] and not reason else "as stored"
        print(f"{name:20}{method:32}{time.perf_counter() - start:7.1f} s  {mark:10}{reason}", flush=True)
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=networks(), default=networks(), metavar="NETWORK")
    parser.add_argument("--eager", action="store_true", help="run step by step: sooner for small networks, not on JAX")
    parser.add_argument("--check", action="store_true", help="compare with the stored table, write nothing")
    parser.add_argument("--methods", nargs="+", choices=innspect.list_analyzers(), metavar="METHOD", help="only these")
    arguments = parser.parse_args()
    if arguments.eager:
        backend.compile = lambda function: function
    if arguments.check:
        worse = sum(check(name, arguments.methods) for name in arguments.only)
        raise SystemExit(f"{worse} cells are worse than the stored table says" if worse else 0)
    path = DOCS / "support.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in arguments.only:
        print(name, flush=True)
        known[name] = known.get(name, {}) | run(name, arguments.methods)
        table = {name: known[name] for name in networks() if name in known}
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (DOCS / "support.md").write_text(page(table), encoding="utf-8")
    methods = innspect.list_analyzers()
    works = sum(not reason for row in table.values() for reason in row.values())
    print(f"{len(table)} networks, {len(methods)} methods, {works} cells work")


if __name__ == "__main__":
    main()
