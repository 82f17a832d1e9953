"""Methods that hide parts of the input: occlusion, RISE."""

from innspect.analyzers.perturbation import occlusion, rise  # noqa: F401  (register themselves)
