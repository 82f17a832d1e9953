"""Where in a photograph a network looks: what of it becomes the network's input, and how maps find their way back."""

from dataclasses import dataclass

import numpy as np

_SQUARES = 64  # pixels a side: below it, a map's pixels stay squares when they are enlarged


@dataclass(frozen=True)
class Frame:
    """The edges of a network's input, in widths and heights of the photograph that it is cut from.

    Attributes:
        left, top, right, bottom: 0 and 1 are the photograph's own edges; beyond them the input is padded.
        shape: The input's height and width in pixels.
    """

    left: float
    top: float
    right: float
    bottom: float
    shape: tuple[int, int]

    def cut(self, image):
        """What the network is given: a picture of Pillow's in the input's height and width, black where it is padded."""
        from PIL import Image

        height, width = self.shape
        if image.size == (width, height) and self._whole():
            return image
        if self._inside():
            box = tuple(np.multiply((self.left, self.top, self.right, self.bottom), image.size * 2))
            return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        left, top, right, bottom = self._of_the_photograph()
        canvas = Image.new(image.mode, (width, height))
        canvas.paste(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
        return canvas

    def place(self, picture, size, fill):
        """A picture of the input, such as a map, as one of the photograph.

        Args:
            picture: uint8 (height, width, channels) in the input's height and width.
            size: The photograph's width and height in pixels.
            fill: What stands where the network did not look, a number, or one a channel.

        Returns:
            uint8 (height, width, channels), of that size.
        """
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(picture))
        if self._whole() and image.size == tuple(size):
            return np.asarray(picture)
        span_x, span_y = self.right - self.left, self.bottom - self.top
        seen = np.clip((self.left, self.top, self.right, self.bottom), 0, 1)
        source = (seen - (self.left, self.top) * 2) / ((span_x, span_y) * 2) * (image.size * 2)
        source = np.clip(source, 0, image.size * 2)  # but for rounding it is inside
        left, top, right, bottom = np.round(seen * (tuple(size) * 2)).astype(int)
        inner = max(right - left, 1), max(bottom - top, 1)
        squares = max(image.size) < _SQUARES and inner[0] >= image.width and inner[1] >= image.height
        how = Image.Resampling.NEAREST if squares else Image.Resampling.BILINEAR
        resized = np.asarray(image.resize(inner, how, box=tuple(source)))
        if inner == tuple(size):
            return resized
        placed = np.full((size[1], size[0], resized.shape[2]), fill, "uint8")
        placed[top : top + inner[1], left : left + inner[0]] = resized
        return placed

    def pixels(self, size):
        """The edges in pixels of the photograph, (left, top, right, bottom), to a tenth."""
        return [round(float(v), 1) for v in np.multiply((self.left, self.top, self.right, self.bottom), tuple(size) * 2)]

    def _whole(self):
        return (self.left, self.top, self.right, self.bottom) == (0, 0, 1, 1)

    def _inside(self):
        return min(self.left, self.top) >= 0 and max(self.right, self.bottom) <= 1

    def _of_the_photograph(self):
        """The photograph's edges in pixels of the input."""
        height, width = self.shape
        span_x, span_y = self.right - self.left, self.bottom - self.top
        edges = (-self.left / span_x, -self.top / span_y, (1 - self.left) / span_x, (1 - self.top) / span_y)
        return tuple(round(v) for v in np.multiply(edges, (width, height) * 2))


def frame_of(size, shape, how="crop"):
    """What of a photograph a network is given.

    Args:
        size: The photograph's width and height.
        shape: The input's height and width.
        how: "crop": the largest part in the centre that has the input's proportions; "pad": all of it, with black beside
            or above and below it; "stretch": all of it, out of proportion.
    """
    height, width = shape
    across, down = width / size[0], height / size[1]  # what an axis alone would be scaled by
    if how == "stretch" or across == down:
        return Frame(0, 0, 1, 1, shape)
    if how == "crop":
        part_x, part_y = across / max(across, down), down / max(across, down)
        return Frame((1 - part_x) / 2, (1 - part_y) / 2, (1 + part_x) / 2, (1 + part_y) / 2, shape)
    scale = min(across, down)
    inner = [max(round(n * scale), 1) for n in size]
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    right, bottom = (width - left) / inner[0], (height - top) / inner[1]
    return Frame(-left / inner[0], -top / inner[1], right, bottom, shape)
