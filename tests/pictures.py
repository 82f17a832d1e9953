"""What the tests of pictures draw and read: colours, maps, the texts of a figure, and the elements of a page."""

from html.parser import HTMLParser

import matplotlib.backends.backend_agg
import numpy as np

WHITE, GREY, RED, BLUE = (255, 255, 255), (128, 128, 128), (120, 0, 20), (10, 24, 120)


def maps(names, samples=3, size=8):
    random = np.random.default_rng(0)
    return {name: random.normal(size=(samples, size, size, 1)) for name in names}


def texts(figure):
    """Every text of the figure with its box in pixels."""
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    renderer = figure.canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts if t.get_text()]


def shown(figure):
    """The pictures of the figure, in order."""
    return [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]


class Balance(HTMLParser):
    """Checks that every element is closed, and counts them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
