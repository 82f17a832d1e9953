"""Methods that average over several inputs: integrated gradients, SmoothGrad, Taylor."""

from innspect.analyzers.averaging import noise, path, taylor, wrapping  # noqa: F401  (register themselves)
