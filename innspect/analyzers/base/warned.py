"""What is said of maps, where they were asked for."""

import warnings

from innspect.backend.weights import are_handed
from innspect.errors import users_line


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn of maps, at the line outside innspect that led here.

    Nothing is said within `innspect.backend.weights.handing`, where other weights stand for the model's own, such as random
    ones: what maps of these lack is not what the user's model, or its explanation, lacks.
    """
    if not are_handed():
        warnings.warn(text, category, stacklevel=users_line())
