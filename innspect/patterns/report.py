"""What `innspect.patterns.quality` found: numbers, a table and a figure."""

import io
import os
from collections.abc import Mapping

import numpy as np

from innspect.files import write
from innspect.tables import Table

LABELS = {
    "random": "random",
    "identity": "$S_x$ (identity)",
    "filter": "$S_w$ (filter)",
    "linear": "$S_a$ (linear)",
    "two_component": "$S_{a+-}$ (two-component)",
}
_COLOURS = {"random": "#9b9b9b", "identity": "#d8b365", "filter": "#e07b54", "linear": "#5b8fc9", "two_component": "#3a9e75"}


class Quality(Mapping):
    """rho per layer, estimator and neuron: `result["conv1"]["linear"]` is an array in the shape of the neurons.

    Attributes:
        degenerate: The same with booleans: True where rho is 1 only because the residual, or the neuron, is constant.
    """

    def __init__(self, rho, degenerate):
        self._rho, self.degenerate = rho, degenerate

    def __getitem__(self, path):
        return self._rho[path]

    def __iter__(self):
        return iter(self._rho)

    def __len__(self):
        return len(self._rho)

    @property
    def estimators(self):
        """The estimators that were measured."""
        return list(next(iter(self._rho.values())))

    def mean(self, path, estimator):
        """Mean over the neurons that are not degenerate; 1 where all are."""
        values = self._rho[path][estimator][~self.degenerate[path][estimator]]
        return float(values.mean()) if values.size else 1.0

    def summary(self, print_fn=print):
        """Print the mean over the neurons of every layer and estimator, and return the text."""
        head = ["layer", *self.estimators]
        rows = [[path, *[f"{self.mean(path, e):.3f}" for e in self.estimators]] for path in self]
        text = str(Table(head, rows, left=1))
        if print_fn is not None:
            print_fn(text)
        return text

    def __repr__(self):
        return self.summary(None)

    def plot(self, path=None):
        """Draw rho for every layer, as in Fig. 3 of Kindermans et al. 2017: means, and the middle half of the neurons.

        Args:
            path: A file to write the figure to.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from innspect.visualize.charts import new_figure

        names = [e for e in self.estimators if e != "identity"]  # it leaves no residual: rho is 1 by definition
        layers = list(self)
        figure = new_figure(max(5.0, 1.6 + 0.32 * len(layers) * (len(names) + 1)), 3.6)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        width = 0.8 / max(1, len(names))
        for number, name in enumerate(names):
            at = np.arange(len(layers)) + (number - (len(names) - 1) / 2) * width
            means = np.array([self.mean(layer, name) for layer in layers])
            quarters = [np.quantile(self._rho[layer][name], [0.25, 0.75]) for layer in layers]
            axes.bar(at, means, width * 0.92, color=_COLOURS.get(name), label=LABELS.get(name, name))
            axes.vlines(at, [q[0] for q in quarters], [q[1] for q in quarters], color="#222222", linewidth=1.2)
        axes.set_xticks(np.arange(len(layers)), layers, rotation=30 if max(map(len, layers)) > 8 else 0, ha="center")
        axes.set_ylim(0, 1.02)
        axes.set_ylabel(r"quality of the signal estimator $\rho$")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")
        if path is not None:
            _write(figure, os.fspath(path))
        return figure


def _write(figure, path):
    """Write a figure in the format of the path's ending, png where it has none, as matplotlib does; whole or not at all."""
    ending = os.path.splitext(path)[1][1:]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending or "png", dpi=150)
    write(path if ending else f"{path}.png", buffer.getvalue())
