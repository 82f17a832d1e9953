"""innspect explains Keras 3 models layer by layer."""

import importlib
from typing import TYPE_CHECKING, Any

from innspect._version import __version__
from innspect.loading import announce

if TYPE_CHECKING:  # for editors and the documentation, which read the source
    from innspect.analyzers import Analyzer, Explanation, create_analyzer, list_analyzers, register_analyzer
    from innspect.analyzers.base.storage import load_analyzer
    from innspect.analyzers.cam.pooled import class_specific_units
    from innspect.analyzers.defaults import default_methods
    from innspect.errors import IncompleteAttributionWarning, NotAnalyzeableModelError
    from innspect.errors import NotAnalyzeableModelError as NotAnalyzeableModelException
    from innspect.evaluation.choosing.choose import choose
    from innspect.evaluation.evaluate import evaluate
    from innspect.evaluation.registry import list_metrics, register_metric
    from innspect.files import UnreadableFileError
    from innspect.graph.capture.registry import register_reverse_mapping
    from innspect.graph.opened.logits import model_wo_output_activation, model_wo_softmax
    from innspect.graph.opened.opened_model import open_model
    from innspect.inputs.units import unit
    from innspect.reports import report
    from innspect.stores.merging import merge_stores
    from innspect.stores.store import open_store
    from innspect.synthesis.synthesize import synthesize

# Imported when first used, so that `import innspect` alone starts no framework.
_PUBLIC = {
    "Analyzer": "innspect.analyzers",
    "Explanation": "innspect.analyzers",
    "IncompleteAttributionWarning": "innspect.errors",
    "NotAnalyzeableModelError": "innspect.errors",
    "UnreadableFileError": "innspect.files",
    "choose": "innspect.evaluation.choosing.choose",
    "class_specific_units": "innspect.analyzers.cam.pooled",
    "create_analyzer": "innspect.analyzers",
    "default_methods": "innspect.analyzers.defaults",
    "evaluate": "innspect.evaluation.evaluate",
    "list_analyzers": "innspect.analyzers",
    "list_metrics": "innspect.evaluation.registry",
    "load_analyzer": "innspect.analyzers.base.storage",
    "merge_stores": "innspect.stores.merging",
    "model_wo_output_activation": "innspect.graph.opened.logits",
    "model_wo_softmax": "innspect.graph.opened.logits",
    "open_model": "innspect.graph.opened.opened_model",
    "open_store": "innspect.stores.store",
    "register_analyzer": "innspect.analyzers",
    "register_metric": "innspect.evaluation.registry",
    "register_reverse_mapping": "innspect.graph.capture.registry",
    "report": "innspect.reports",
    "synthesize": "innspect.synthesis.synthesize",
    "unit": "innspect.inputs.units",
}

__all__ = [  # the same names, where type checkers look for them
    "Analyzer",
    "Explanation",
    "IncompleteAttributionWarning",
    "NotAnalyzeableModelError",
    "NotAnalyzeableModelException",
    "UnreadableFileError",
    "__version__",
    "choose",
    "class_specific_units",
    "create_analyzer",
    "default_methods",
    "evaluate",
    "list_analyzers",
    "list_metrics",
    "load_analyzer",
    "merge_stores",
    "model_wo_output_activation",
    "model_wo_softmax",
    "open_model",
    "open_store",
    "register_analyzer",
    "register_metric",
    "register_reverse_mapping",
    "report",
    "synthesize",
    "unit",
]

announce({"innspect>LogitsModel": "innspect.graph.opened.logits"})


def __getattr__(name: str) -> Any:
    if name == "NotAnalyzeableModelException":
        name = "NotAnalyzeableModelError"
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    try:
        return importlib.import_module(f"innspect.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'innspect' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
