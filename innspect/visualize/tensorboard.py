"""Pictures in TensorBoard's event files, written without TensorBoard.

A file is a row of records: length, its checksum, content, its checksum (TensorFlow's TFRecord). Each content is an
`Event` in the wire format of protocol buffers, of which only a few fields are needed:

    Event:          1 wall_time (double)   2 step (int64)   3 file_version (string)   5 summary
    Summary:        1 value (repeated)
    Summary.Value:  1 tag (string)         4 image
    Summary.Image:  1 height   2 width   3 colorspace (3: RGB, 4: RGBA)   4 encoded_image_string (PNG)
"""

import os
import struct
import time

from innspect.types import Path

_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, bits reversed
_VARINT, _DOUBLE, _BYTES = 0, 1, 2  # wire types


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
    return byte


_CRC = [_crc_of_byte(b) for b in range(256)]


class ImageWriter:
    """One event file in a folder; TensorBoard shows what is added while it runs.

    Args:
        folder: Where the file is made; the folder must exist.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path):
        self.path = os.path.join(folder, f"events.out.tfevents.{time.time_ns() // 1000}.{os.getpid()}.innspect")
        self._write(_field(3, b"brain.Event:2"))

    def add(self, tag: str, png: bytes, step: int) -> None:
        """Write a picture.

        Args:
            tag: The name it has in TensorBoard.
            png: The bytes of a PNG file in RGB or RGBA.
            step: The number of the epoch, or of the step.
        """
        width, height, _, colour = struct.unpack(">IIBB", png[16:26])  # of the header, which is always first
        channels = 4 if colour == 6 else 3
        image = _field(1, height) + _field(2, width) + _field(3, channels) + _field(4, png)
        value = _field(1, tag.encode()) + _field(4, image)
        self._write(_field(2, step) + _field(5, _field(1, value)))

    def _write(self, event: bytes) -> None:
        event = _field(1, time.time()) + event
        length = struct.pack("<Q", len(event))
        with open(self.path, "ab", buffering=0) as file:
            whole = file.tell()
            try:
                record = memoryview(length + _checksum(length) + event + _checksum(event))
                while record:
                    record = record[file.write(record) :]
            except OSError:  # half a record would hide all that follow
                file.truncate(whole)
                raise


def _field(number: int, value: int | float | bytes) -> bytes:
    """A field of a message; the wire type is that of the value."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | _DOUBLE) + struct.pack("<d", value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as TFRecord wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
