"""Why weights are not explanations: the toy example of Kindermans et al. 2017, section 2.

    python examples/linear_distractor.py

Data x = s + d: the signal s = (1, 0) y carries the target y, the distractor d = (1, 1) e carries none. A linear model
that filters the target out must cancel the distractor, so its weights are (1, -1): they say how to filter, not where the
signal is. The pattern, learned from data, is (1, 0). Writes linear_distractor.png; needs matplotlib.
"""

import keras
import numpy as np
from matplotlib.figure import Figure

import innspect

SIGNAL, DISTRACTOR = np.array([1.0, 0.0]), np.array([1.0, 1.0])


def draw(samples, random):
    """Inputs (samples, 2) and targets (samples,)."""
    y, e = random.uniform(-1, 1, samples), random.normal(0, 1, samples)
    return (np.outer(y, SIGNAL) + np.outer(e, DISTRACTOR)).astype("float32"), y.astype("float32")


# 1. A linear model learns the target to the last digit, and its weights are orthogonal to the distractor.
random = np.random.default_rng(0)
keras.utils.set_random_seed(0)
x, y = draw(100_000, random)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name="neuron")])
model.compile(keras.optimizers.SGD(0.2), "mse")
model.fit(x, y, batch_size=1000, epochs=3, verbose=0)
w = model.get_weights()[0][:, 0]
print(f"weights    w = ({w[0]:+.3f}, {w[1]:+.3f})    w . signal = {w @ SIGNAL:+.3f}   w . distractor = {w @ DISTRACTOR:+.3f}")

# 2. The pattern points along the signal, whatever the distractor.
patterns = innspect.patterns.fit(model, x, ["linear", "relu", "relu.negative"], batch_size=1000)
for shown in patterns.pattern_types:
    a = patterns.select(shown)["neuron"][:, 0]
    print(f"{shown:13} a = ({a[0]:+.3f}, {a[1]:+.3f})    w . a = {w @ a:.6f}")

# 3. How much of the target is left in what an estimator calls distraction? rho = 1: nothing.
quality = innspect.patterns.quality(model, None, x, draw(100_000, random)[0], patches=100_000)
quality.summary()

# 4. One point, y = 0.5 and e = 2: the z-rule explains the distractor too, PatternAttribution the signal alone.
point = (0.5 * SIGNAL + 2.0 * DISTRACTOR).astype("float32")[None]
methods = {
    "LRP-0, $S_x$": innspect.create_analyzer("lrp.z", model),
    "$w^2$ rule, $S_w$": innspect.create_analyzer("lrp.w_square", model),
    "PatternAttribution, $S_a$": innspect.create_analyzer("pattern.attribution", model, patterns=patterns),
}
for name, analyzer in methods.items():
    r = analyzer.analyze(point)[0]
    print(f"{name:24} ({r[0]:+.3f}, {r[1]:+.3f})    sum {r.sum():+.3f}")

# 5. The figure.
figure = Figure(figsize=(7.6, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
shown = x[:1500]
dots = left.scatter(*shown.T, c=y[:1500], cmap="coolwarm", s=5, linewidths=0)
figure.colorbar(dots, ax=left, label="target y", shrink=0.8)
arrows = {"signal": (SIGNAL, "#222222"), "distractor": (DISTRACTOR, "#9b9b9b"), "weights w": (w, "#e07b54")}
arrows["pattern a"] = (patterns.select("linear")["neuron"][:, 0], "#3a9e75")
for place, (name, (direction, colour)) in enumerate(arrows.items()):
    width = 0.02 if name == "signal" else 0.011  # the pattern lies on the signal
    left.quiver(
        0, 0, *direction, angles="xy", scale_units="xy", scale=1 / 2.2, color=colour, width=width, zorder=3 + place, label=name
    )
left.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="what is learned")
left.legend(loc="upper left", fontsize="small", frameon=True, framealpha=0.9)
for name, analyzer in methods.items():
    r = analyzer.analyze(shown)
    right.scatter(y[:1500], r[:, 0], s=4, linewidths=0, alpha=0.6, label=name)
right.set(xlabel="target y", ylabel="attribution of $x_1$", title="what explains the target", ylim=(-3.2, 3.2))
right.legend(loc="upper left", fontsize="small", markerscale=3)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("linear_distractor.png", dpi=150)
print("written: linear_distractor.png")
