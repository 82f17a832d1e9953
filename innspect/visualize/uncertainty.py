"""What is said of the error of a map where it is not small. Needs NumPy only."""

import numpy as np

from innspect.types import Array

LARGE = 0.05  # of the map: below that nothing is said


def error_text(shares: Array | float, kind: str = "sampling") -> str:
    """Such as "sampling error 12% of the map", or of several "sampling error 6% to 12% of the map for 3 of 8 maps".

    Args:
        shares: The error of each map as a share of it, as `Explanation.relative_error` has it.
        kind: Of error.

    Returns:
        "" where no error is above 5 %; NaN, an error that is not known, is none.
    """
    all_shares = np.ravel(shares)
    large = all_shares[all_shares > LARGE]
    if not len(large):
        return ""
    low, high = f"{large.min():.0%}", f"{large.max():.0%}"
    text = f"{kind} error {low if low == high else f'{low} to {high}'} of the map"
    return text if len(all_shares) == 1 else f"{text} for {len(large)} of {len(all_shares)} maps"
