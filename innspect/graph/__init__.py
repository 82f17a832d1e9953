"""What a model is: an immutable graph of nodes and tensors, how a model becomes one, and passes over it."""
