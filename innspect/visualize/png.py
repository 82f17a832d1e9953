"""PNG files, written with NumPy and zlib alone."""

import struct
import zlib

import numpy as np

from innspect.types import Array

_COLOURS = {3: 2, 4: 6}  # channels -> colour type: RGB, RGBA
_INDEXED = 3


def png(image: Array, *, indexed: bool = False) -> bytes:
    """The bytes of a PNG file with an RGB or RGBA image, uint8 (height, width, 3 or 4).

    Args:
        image: The pixels.
        indexed: Whether an image of at most 256 colours, such as a map, is kept as indices to them: without loss, in a third of
            the room; but programs that expect colours in a file may read the indices.
    """
    height, width, channels = image.shape
    image = np.ascontiguousarray(image, "uint8")
    few = _with_palette(image) if indexed else None
    if few is None:
        return _file(image.reshape(height, -1), width, _COLOURS[channels], [])
    indices, palette = few
    chunks = [(b"PLTE", palette[:, :3].tobytes())]
    if channels == 4:
        chunks.append((b"tRNS", palette[:, 3].tobytes()))
    return _file(indices, width, _INDEXED, chunks)


def _with_palette(image: Array) -> tuple[Array, Array] | None:
    """Indices (height, width) and the colours that they stand for; None where there are too many."""
    height, width, channels = image.shape
    if not image.size:
        return None
    keys = np.zeros((height, width), "uint32")
    for channel in range(channels):
        keys |= image[..., channel].astype("uint32") << np.uint32(8 * channel)
    found, indices = np.unique(keys, return_inverse=True)
    if len(found) > 256:
        return None
    palette = np.stack([found >> np.uint32(8 * channel) & np.uint32(255) for channel in range(channels)], axis=-1)
    return indices.reshape(height, width).astype("uint8"), palette.astype("uint8")


def _file(rows: Array, width: int, colour: int, chunks: list[tuple[bytes, bytes]]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, len(rows), 8, colour, 0, 0, 0)  # 8 bits
    lines = b"".join(b"\0" + row.tobytes() for row in rows)  # 0: the row is not filtered
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)
