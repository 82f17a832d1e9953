"""The page that `choosing.py` makes of what it measured, and the default methods that follow from it."""

CHEAP = {"image": 20, "attention": 20}  # gradients that a default method may cost
ELSE = 100  # where samples are small
COUNT = 4
# Asks for one kind of head, where `grad_cam` is the same but for its ReLU; costs more the longer samples are.
NARROW = ("cam", "occlusion")
SHOWN = 12  # methods of a table, and the well-known ones beside
RANDOM = "random"

# From which networks the default methods of each sort follow.
DECIDE = {
    "image": ["photographs"],
    "series": ["series"],
    "table": ["table"],
    "text": ["text"],
    "recurrent": ["recurrent"],
    "attention": ["transformer", "vision_transformer"],
}

WELL_KNOWN = (
    "gradient input_t_gradient smoothgrad integrated_gradients guided_backprop deconvnet grad_cam "
    "grad_cam_plus_plus guided_grad_cam lrp.epsilon lrp.alpha_2_beta_1 lrp.epsilon_plus_flat lrp.attention "
    "deep_taylor deep_lift deep_shap occlusion rise pattern.net pattern.attribution"
).split()

TITLES = {
    "photographs": "Photographs",
    "digits": "Small images",
    "table": "Tables, standardised",
    "raw_table": "Tables, raw",
    "series": "Series",
    "text": "Text, by convolutions",
    "recurrent": "Text, by a recurrent network",
    "transformer": "Text, by a transformer",
    "vision_transformer": "Small images, by a transformer",
}

LITERATURE = {
    "photographs": (
        "Rules of LRP by layer, as in `lrp.epsilon_gamma_flat` and `lrp.epsilon_plus_flat`, localise better and "
        "tell classes apart better than one rule for all (Kohlbrenner et al. 2020, on VGG16). Maps of "
        "`guided_backprop` hardly change when upper layers are redrawn (Adebayo et al. 2018)."
    ),
    "digits": (
        "With ReLU and max pooling `lrp.epsilon` is `input_t_gradient`, and `deep_lift` and "
        "`integrated_gradients` are near both on MNIST (Ancona et al. 2018)."
    ),
    "table": (
        "With ReLU between dense layers `lrp.epsilon` is `input_t_gradient` but for biases, and all methods "
        "that compare with a reference are near it (Ancona et al. 2018)."
    ),
    "raw_table": (
        "The reference is part of the question (Sundararajan et al. 2017): what an attribution is *against* "
        "must be said, and for a table zero is seldom nothing."
    ),
    "series": (
        "Maps often miss the channel or the time that mattered (Ismail et al. 2020, where both are made, as "
        "here); perturbation is ahead when parts are hidden, gradients in time, and nothing wins throughout "
        "(Mercier et al. 2022)."
    ),
    "text": ("LRP is ahead of gradients when words are hidden (Arras et al. 2017, a convolutional network on news)."),
    "recurrent": (
        "LRP with the signal-take-all rule was ahead of gradients, and hiding words close to it (Arras et al. "
        "2019, an LSTM on films' reviews)."
    ),
    "transformer": (
        "AttnLRP, `lrp.attention`, was ahead on large language and vision models when tokens are hidden "
        "(Achtibat et al. 2024). Two blocks trained in seconds are none of these."
    ),
    "vision_transformer": (
        "The same paper finds it on vision transformers, with gamma at the linear layers; before, rules that "
        "take the softmax for a constant (`lrp.cp`, Ali et al. 2022) were ahead of gradients."
    ),
}


def defaults(records):
    """The best of each family by mean rank over networks of a sort, of the better half, if one has it above random maps.

    Left out are those that are dear in one, that need more than their names, that have no maps of other classes, and NARROW.
    """
    better = {label for one in records for of in one["better"].values() for label in of}
    fitting = better & set.intersection(*(_allowed(one) for one in records))
    chosen, mean = {}, {m: sum(one["ranks"][m] / len(one["ranks"]) for one in records) / len(records) for m in fitting}
    for label in sorted(fitting, key=lambda m: (mean[m], m)):
        if mean[label] <= 0.5:
            chosen.setdefault(records[0]["families"][label], label)
    return list(chosen.values())[:COUNT]


def _allowed(one):
    dear = CHEAP.get(one["kind"], ELSE)
    logits = one["scores"].get("random_logit", {})
    blind = [m for m, cell in logits.items() if cell["undefined"] > cell["samples"] / 2]
    return {m for m in one["ranks"] if one["cost"][m] <= dear and m not in [*blind, *one["needing"], *NARROW]}


# ---------------------------------------------------------------------- text
def page(found):
    """The page, Markdown, of a dict from a network's name to what was measured."""
    parts = [HEAD, _summary(found), RULES]
    for name, one in found.items():
        parts += [f"## {TITLES[name]}", _about(one), _table(one), *_notes(one), f"**Elsewhere.** {LITERATURE[name]}"]
    return "\n\n".join([*parts, FOOT]) + "\n"


HEAD = """# Which method, for what?

Every method that a network allows, with its own arguments, on a network of each sort of data. Measured, not
recommended: what won here is where to begin, and [`innspect.choose`](evaluation/choose.md) says what wins on
your network and samples, in minutes."""

RULES = """Read it with care. A metric asks what the network does when parts of the input are hidden, or whether the map
lies where something was planted; none of them asks whether a picture is good. Small networks trained in seconds
on data made here are no large ones. Numbers are means with half of their 95 % interval over samples; **bold**
are those better than random maps (paired t test, Holm over methods, p < 0.05). `srg` is the area between hiding
the least and the most relevant first, in logits, `insertion` the mean probability while the most relevant is
put back, `collage` the share of positive relevance on the right one of four images, `relevance_mass` and
`relevance_rank` the share on what was planted ([how](evaluation/index.md)). `random_logit` is how alike the
maps of two classes are (1: blind to the class), `mprt.efficient` how much random weights disturb the map;
neither decides. Cost is processor time in gradients. A method whose map is that of another one is tried once."""

FOOT = """## Again, and on your own

```
python benchmarks/choosing.py --photographs FOLDER
```

writes this page anew, with your photographs; without a folder it takes those that ship with packages.
`innspect.default_methods` begins with what wins here: the best of each family by its mean rank, of those that are in
the better half and better than random maps by some metric, cost at most 20 gradients (100 for tables, series and
short texts), have maps of every class, and need nothing but their name: no head of one kind, as `cam` does, and no more
passes where samples are longer, as `occlusion` does. Where a network does not allow one, the next takes its place, and
where fewer than four are left, well-known ones follow. A test compares the two."""


def _summary(found):
    kinds = {name: kind for kind, names in DECIDE.items() for name in names}
    rows = ["| data | first by mean rank | default methods | no better than random maps by any metric |", "|---|---|---|---|"]
    for name, one in found.items():
        best = next(iter(one["ranks"]), None)
        better = {label for of in one["better"].values() for label in of}
        lost = [m for m in WELL_KNOWN if m in one["cost"] and m not in better]
        kind = kinds.get(name)
        begin = defaults([found[n] for n in DECIDE[kind] if n in found]) if kind else []
        rows.append(
            f"| [{TITLES[name].lower()}](#{_anchor(TITLES[name])}) | {_code([best]) if best else '-'} | "
            f"{_code(begin) or '-'} | {_code(lost) or '-'} |"
        )
    return "\n".join(rows)


def _anchor(title):
    return title.lower().replace(",", "").replace(" ", "-")


def _about(one):
    data = one["data"][0].upper() + one["data"][1:]
    accuracy = "" if one["accuracy"] is None else f", accuracy {one['accuracy']:.0%} on samples it was not trained on"
    few = " So few that intervals are wide and little can be told apart." if one["samples"] < 16 else ""
    return f"{data}{accuracy}. {one['samples']} samples, {len(one['cost'])} methods with maps of their own.{few}"


def _table(one):
    metrics = [m for m in one["metrics"] if m in one["scores"]]
    ranked = list(one["ranks"])
    shown = [*ranked[:SHOWN], *(m for m in ranked[SHOWN:] if m in WELL_KNOWN)]
    shown += [m for m in one["cost"] if m not in ranked and m in WELL_KNOWN]
    kept = any(m in one["kept"] for m in shown)
    heads = ["method", *(f"`{m}` {_arrow(one['metrics'][m]['higher'])}".strip() for m in metrics)]
    rows = [heads + ["kept"] * kept + ["cost"], ["---"] * (len(heads) + kept + 1)]
    for label in [*shown, RANDOM]:
        cells = [_cell(one, m, label) for m in metrics]
        share = one["kept"].get(label)
        told = [f"{share[0]:.0%}" if share and share[0] is not None else ""] * kept
        cost = one["cost"].get(label)
        name = "random maps" if label == RANDOM else f"`{label}`"
        rows.append([name, *cells, *told, "" if cost is None else f"{cost:.3g}"])
    left = len(one["cost"]) - len(shown)
    more = f"\n\n{left} more methods stand in `choosing.json`." if left else ""
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + more


def _arrow(higher):
    return "" if higher is None else "↑" if higher else "↓"


def _cell(one, metric, label):
    if label in one["failed"].get(metric, {}):
        return "failed"
    cell = one["scores"][metric].get(label)
    if cell is None or cell["mean"] is None:
        return "-"
    text = f"{cell['mean']:.3g}"
    if cell["low"] is not None:
        text += f" ± {(cell['high'] - cell['low']) / 2:.2g}"
    return f"**{text}**" if label in one["better"].get(metric, []) else text


def _notes(one):
    notes = [f"**Wins.** {_wins(one)}"]
    disagreement = _disagreement(one)
    if disagreement:
        notes.append(f"**Metrics disagree.** {disagreement}")
    choice = one["choice"]
    notes.append(f"**`choose`** ({choice['told']}, {choice['tried']} methods tried): " + " ".join(choice["text"][:4]))
    return notes


def _wins(one):
    told = []
    for metric, of in one["scores"].items():
        higher = one["metrics"][metric]["higher"]
        if metric in ("random_logit", "mprt.efficient") or higher is None:
            continue
        means = {k: v["mean"] for k, v in of.items() if v["mean"] is not None and k != RANDOM}
        order = sorted(means, key=means.get, reverse=higher)
        better = one["better"].get(metric)
        count = "" if better is None else f" ({len(better)} of {len(means)} are better than random maps)"
        told.append(f"`{metric}`: {_code(order[:3])}{count}")
    return "; ".join(told) + "."


def _disagreement(one):
    pairs = {
        pair: tau for pair, (tau, _) in one["agreement"].items() if not {"random_logit", "mprt.efficient"} & set(pair.split())
    }
    if not pairs:
        return ""
    order = sorted(pairs, key=pairs.get)
    least, most = order[0], order[-1]
    text = f"The order of the methods by {_and(least)} agrees least, Kendall's tau {pairs[least]:.2f}"
    return text + (f"; most by {_and(most)}, {pairs[most]:.2f}." if most != least else ".")


def _and(pair):
    return " and by ".join(f"`{metric}`" for metric in pair.split())


def _code(names):
    return ", ".join(f"`{name}`" for name in names)
