"""`innspect demo`: what a network looks at, in photographs, or, with `--digits`, in the digits that a small one has learned."""
