"""innspect explains Keras 3 models layer by layer."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and the documentation, which read the source
    from innspect.analyzers import Analyzer, Explanation, create_analyzer, list_analyzers, register_analyzer
    from innspect.analyzers.cam_pooled import class_specific_units
    from innspect.analyzers.storage import load_analyzer
    from innspect.errors import NotAnalyzeableModelError
    from innspect.graph.clone import open_model
    from innspect.graph.logits import model_wo_softmax
    from innspect.graph.registry import register_reverse_mapping
    from innspect.reports import report

__version__ = "0.1.0"

# Imported when first used, so that `import innspect` alone starts no framework.
_PUBLIC = {
    "Analyzer": "innspect.analyzers",
    "Explanation": "innspect.analyzers",
    "NotAnalyzeableModelError": "innspect.errors",
    "class_specific_units": "innspect.analyzers.cam_pooled",
    "create_analyzer": "innspect.analyzers",
    "list_analyzers": "innspect.analyzers",
    "load_analyzer": "innspect.analyzers.storage",
    "model_wo_softmax": "innspect.graph.logits",
    "open_model": "innspect.graph.clone",
    "register_analyzer": "innspect.analyzers",
    "register_reverse_mapping": "innspect.graph.registry",
    "report": "innspect.reports",
}

__all__ = [*sorted(_PUBLIC), "NotAnalyzeableModelException"]


def __getattr__(name):
    if name == "NotAnalyzeableModelException":
        name = "NotAnalyzeableModelError"
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    try:
        return importlib.import_module(f"innspect.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'innspect' has no attribute {name!r}") from None


def __dir__():
    return sorted({*globals(), *__all__})
