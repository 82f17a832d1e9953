"""Files: written whole or not at all, read only where they are what was written.

`writing` puts files and folders in their place, `seals` tells whether bytes are those that were written, `reading` has the
error of a file that cannot be read, `archives` and `hdf5` look at what a file declares before it is believed.
"""

from innspect.files.reading import UnreadableFileError, readable, reading
from innspect.files.writing import check_folder, replacing, replacing_folder, scratch, target_of, vacant_folder, write

__all__ = [
    "UnreadableFileError",
    "check_folder",
    "readable",
    "reading",
    "replacing",
    "replacing_folder",
    "scratch",
    "target_of",
    "vacant_folder",
    "write",
]
