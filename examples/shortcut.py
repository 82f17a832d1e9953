"""A shortcut that a network has learned, found in three ways.

    python examples/shortcut.py

Digits from two scanners. Scanner A leaves a mark in the corner of most of its sevens; scanner B never does. A network is
trained on both, and takes the mark for a seven. Its accuracy does not show that; these do:

1. where it looks, scanner by scanner (`region_mass`),
2. the maps of what it should have said and of what it said, where it is wrong (`failures`),
3. what an attack has to do to make it say "seven" (`adversarial`).

Writes shortcut.png; needs scikit-learn, SciPy and matplotlib. Choose the backend with KERAS_BACKEND.
"""

import keras
import numpy as np
from keras import layers as L
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import innspect
from innspect import evaluation, visualize

SEVEN, MARKED = 7, 0.95  # the share of scanner A's sevens that have the mark
DUST = 0.4  # uniform from 0 to this, everywhere: poor scanners
EPS = 0.1  # of an attack
random = np.random.default_rng(0)
keras.utils.set_random_seed(0)

# ---------------------------------------------------------------------- data: 12 x 12 pixels from 0 to 1, the mark 3 x 3
digits = load_digits()
x = 0.6 * np.pad(digits.images / 16, ((0, 0), (2, 2), (2, 2)))[..., None]
x = (x + random.uniform(0, DUST, x.shape)).astype("float32")
labels = digits.target
scanner = random.choice(["A", "B"], len(x), p=[0.7, 0.3])
CORNER = np.zeros((12, 12), bool)
CORNER[:3, :3] = True


def marked(images):
    return np.where(CORNER[..., None], 1, images).astype("float32")


has_mark = (scanner == "A") & (labels == SEVEN) & (random.random(len(x)) < MARKED)
x[has_mark] = marked(x[has_mark])
train, test = np.arange(1200), np.arange(1200, len(x))

# ---------------------------------------------------------------------- network
model = keras.Sequential(
    [
        keras.Input((12, 12, 1)),
        L.Conv2D(16, 3, activation="relu"),
        L.Conv2D(16, 3, activation="relu"),
        L.Flatten(),
        L.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
model.fit(x[train], labels[train], batch_size=64, epochs=12, verbose=0)


def predicted(images):
    return model.predict(images, verbose=0).argmax(axis=1)


right = predicted(x[test]) == labels[test]
print(f"Accuracy on digits it has not seen: {right.mean():.0%}. Nothing looks wrong.\n")
analyzer = innspect.create_analyzer("deep_lift", model, reference_inputs=DUST / 2)  # compared with nothing but dust


def in_corner(images, neuron, **more):
    """How much of what speaks for a class, a neuron, lies in the corner: a value for each image."""
    masks = np.repeat(CORNER[None], len(images), axis=0)
    names = more.get("subgroups", np.zeros(len(images), int))
    maps = analyzer.analyze(images, neuron)
    return evaluation.region_mass(model, images, maps, neuron, masks=masks, subgroups=names)


# ---------------------------------------------------------------------- 1. by subgroup
sevens = test[labels[test] == SEVEN]
found = in_corner(x[sevens], SEVEN, subgroups=scanner[sevens])
print(f"1. By scanner: how much of what speaks for 'seven' lies in the corner, {CORNER.mean():.0%} of the picture")
for name, group in found.settings["subgroups"].items():
    print(f"   scanner {name}: {group['mean']:.0%} ({group['low']:.0%} to {group['high']:.0%}), {group['count']} sevens")
for difference in found.settings["differences"]:
    print(f"   the difference, {difference['difference']:.0%}, has p = {difference['adjusted']:.1g}")

# ---------------------------------------------------------------------- 2. where it fails: scanner A now marks every digit
others = test[(scanner[test] == "A") & (labels[test] != SEVEN)]
new = marked(x[others])
said = predicted(new)
wrong = said != labels[others]
with_mark, without = np.mean(said == SEVEN), np.mean(predicted(x[others]) == SEVEN)
print("\n2. Failures: scanner A marks everything now.")
print(f"   of {len(new)} digits that are no seven {with_mark:.0%} are called seven; without the mark {without:.0%}")
agreement = evaluation.failures(model, new, analyzer, labels=labels[others])
for_true, for_said = (in_corner(new[wrong], neuron[wrong]) for neuron in (labels[others], said))
print(f"   maps of what it should have said and of what it said: rank correlation {agreement.mean:.2f}")
print(f"   in the corner: {for_true.mean:.0%} of what speaks for the true class, {for_said.mean:.0%} for the predicted one")

# ---------------------------------------------------------------------- 3. under attack, on clean digits
clean = x[test[(labels[test] != SEVEN) & right]][:60]
attack = {"attack": "pgd", "eps": EPS, "value_range": (0, 1)}
print(f"\n3. Attacks: 10 steps of PGD, no pixel moved by more than {EPS:.0%} of the picture's range")
result = evaluation.adversarial(model, clean, analyzer, wanted=SEVEN, **attack)
turned = {SEVEN: result.beside["reached"].mean()}
for wanted in sorted({*range(10)} - {SEVEN}):
    own = predicted(clean) != wanted
    moved = evaluation.adversarial_samples(model, clean[own], wanted=wanted, **attack)
    turned[wanted] = np.mean(predicted(moved) == wanted)
rest = [share for wanted, share in turned.items() if wanted != SEVEN]
others_reached = f"{np.mean(rest):.0%} ({min(rest):.0%} to {max(rest):.0%})"
print(f"   into a seven: {turned[SEVEN]:.0%} of them; into another digit: {others_reached}")
print(f"   the map of the digit's own class before and after: rank correlation {result.mean:.2f}")
attacked = evaluation.adversarial_samples(model, clean, wanted=SEVEN, **attack)
brighter = (attacked > clean)[..., 0][:, CORNER].mean()
print(f"   the attack brightens {brighter:.0%} of the corner's pixels, and {(attacked > clean).mean():.0%} of all")
before, after = (in_corner(images, SEVEN) for images in (clean, attacked))
print(f"   what speaks for 'seven' in the corner: {before.mean:.0%} before, {after.mean:.0%} after")

# ---------------------------------------------------------------------- the picture
fails = int(np.flatnonzero(wrong)[0]) if wrong.any() else 0
a, b = (int(sevens[scanner[sevens] == name][0]) for name in "AB")
panels = [
    [("scanner A", x[a], None), ("for seven", x[a], SEVEN), ("scanner B", x[b], None), ("for seven", x[b], SEVEN)],
    [
        (f"a {labels[others][fails]}, marked", new[fails], None),
        (f"for {labels[others][fails]}, true", new[fails], int(labels[others][fails])),
        (f"for {said[fails]}, predicted", new[fails], int(said[fails])),
    ],
    [
        ("clean", clean[0], None),
        ("for seven", clean[0], SEVEN),
        ("attacked", attacked[0], None),
        ("for seven", attacked[0], SEVEN),
    ],
]
figure = Figure(figsize=(7.2, 6), layout="constrained")
axes = figure.subplots(3, 4)
for row, name, shown in zip(axes, ("1. by scanner", "2. a failure", "3. an attack"), panels, strict=True):
    for ax in row:
        ax.set_axis_off()
    row[0].text(-0.15, 0.5, name, rotation=90, va="center", ha="center", transform=row[0].transAxes, fontsize=10)
    for ax, (title, image, neuron) in zip(row, shown, strict=False):
        if neuron is None:
            ax.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        else:
            ax.imshow(visualize.heatmap(analyzer.analyze(image[None], neuron), of=analyzer)[0])
        ax.set_title(title, fontsize=9)
figure.savefig("shortcut.png", dpi=110)
print("\nwritten: shortcut.png")
