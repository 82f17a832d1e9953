"""How a model becomes a graph: its own `call` is replayed on symbolic tensors."""
