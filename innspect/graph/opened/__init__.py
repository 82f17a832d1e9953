"""A user's model, opened: its graph, checked against the model, and shared."""
