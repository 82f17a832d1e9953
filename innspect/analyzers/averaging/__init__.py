"""Methods that average over several inputs: integrated gradients, SmoothGrad, Taylor."""

from innspect.analyzers.averaging import noise, path, taylor  # noqa: F401  (register themselves)
