"""What reference samples were collected with, as text that is the same in every session."""

from collections.abc import Mapping
from typing import Any

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.identity import identity_of


def settings_of(analyzer: Analyzer, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `collect`, with the method and its arguments where these matter."""
    return dict(given) if given["by"] != "relevance" else {**identity_of(analyzer), **given}
