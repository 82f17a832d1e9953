"""Is a map true? Measures of maps, wherever they come from.

Every metric is a function `(model, x, maps, targets=None, *, ...)` of this module that returns a `Result` with a value for
each sample. All take

    model: A built Keras model, its opened form, or a function from a batch of inputs to a batch of outputs.
    x: Samples, as for `analyze`.
    maps: An array (samples, ...) of the samples' shape or of their positions'; a list or dict for several inputs; an
        `Explanation`; or an analyzer, which the metrics need that explain again.
    targets: What is explained, as `neuron_selection` of `analyze`; None: the largest output for the clean sample, which
        then stands for all hidden, noisy and shifted inputs.
    seed: Of everything that is drawn. Draws depend on it and on the sample, not on its place, its batch or the method.
    batch_size: Samples, or versions of them, computed at once; None: by their size and the model's, up to 1,024 small ones.
    output: Number or name of the output.
    channel_axis: -1 or 1; None where inputs have no channel axis. "auto" goes by the model's layers.
"""

from innspect.evaluation.additivity import faithfulness_correlation, infidelity, sensitivity_n
from innspect.evaluation.boxes import box_of, localisation_error
from innspect.evaluation.choosing.choice import Choice
from innspect.evaluation.choosing.decision import Decision, decide
from innspect.evaluation.comparison import rank_correlation, ssim, top_k_overlap
from innspect.evaluation.curves import (
    aopc,
    aopc_abpc,
    aopc_lerf,
    degradation,
    deletion,
    flipping,
    insertion,
    srg,
)
from innspect.evaluation.diagnosis import adversarial, adversarial_samples, failures
from innspect.evaluation.grid_game import collage
from innspect.evaluation.intervals import holm, interval
from innspect.evaluation.invariance import input_invariance
from innspect.evaluation.known_truth import emd, sign_accuracy, suppressor_share
from innspect.evaluation.laws import completeness, conservation
from innspect.evaluation.localisation import auc, iou, loc, pointing_game, relevance_mass, relevance_rank, top_k
from innspect.evaluation.mosaic import Mosaics, mosaics
from innspect.evaluation.moved import continuity, equivariance
from innspect.evaluation.neurons import quality, quality_intervals
from innspect.evaluation.people.answers import Rated, SheetScores, sheet_scores
from innspect.evaluation.people.sheet import sheet
from innspect.evaluation.planted.result import Benchmark
from innspect.evaluation.planted.run import benchmark
from innspect.evaluation.planted.tasks import list_tasks, task
from innspect.evaluation.randomisation import mprt, mprt_efficient, mprt_smooth, random_logit
from innspect.evaluation.rationale import comprehensiveness, sufficiency
from innspect.evaluation.registry import list_metrics, register_metric
from innspect.evaluation.results import Result
from innspect.evaluation.road import road
from innspect.evaluation.robustness import (
    avg_sensitivity,
    local_lipschitz,
    max_sensitivity,
    noise,
    relative_input_stability,
    relative_output_stability,
    relative_representation_stability,
)
from innspect.evaluation.seeds import seeds_miou, segmentation_seeds
from innspect.evaluation.selectivity import selectivity
from innspect.evaluation.shown import average_drop, increase, win
from innspect.evaluation.single_units import non_sensitivity, occlusion_correlation
from innspect.evaluation.spread import complexity, effective_complexity, sparseness
from innspect.evaluation.subgroups import region_mass

randomisation = mprt  # as the literature calls it

__all__ = [
    "Benchmark",
    "Choice",
    "Decision",
    "Mosaics",
    "Rated",
    "Result",
    "SheetScores",
    "adversarial",
    "adversarial_samples",
    "aopc",
    "aopc_abpc",
    "aopc_lerf",
    "auc",
    "average_drop",
    "avg_sensitivity",
    "benchmark",
    "box_of",
    "collage",
    "completeness",
    "complexity",
    "comprehensiveness",
    "conservation",
    "continuity",
    "decide",
    "degradation",
    "deletion",
    "effective_complexity",
    "emd",
    "equivariance",
    "failures",
    "faithfulness_correlation",
    "flipping",
    "holm",
    "increase",
    "infidelity",
    "input_invariance",
    "insertion",
    "interval",
    "iou",
    "list_metrics",
    "list_tasks",
    "loc",
    "local_lipschitz",
    "localisation_error",
    "max_sensitivity",
    "mosaics",
    "mprt",
    "mprt_efficient",
    "mprt_smooth",
    "noise",
    "non_sensitivity",
    "occlusion_correlation",
    "pointing_game",
    "quality",
    "quality_intervals",
    "random_logit",
    "randomisation",
    "rank_correlation",
    "region_mass",
    "register_metric",
    "relative_input_stability",
    "relative_output_stability",
    "relative_representation_stability",
    "relevance_mass",
    "relevance_rank",
    "road",
    "seeds_miou",
    "segmentation_seeds",
    "selectivity",
    "sensitivity_n",
    "sheet",
    "sheet_scores",
    "sign_accuracy",
    "sparseness",
    "srg",
    "ssim",
    "sufficiency",
    "suppressor_share",
    "task",
    "top_k",
    "top_k_overlap",
    "win",
]
