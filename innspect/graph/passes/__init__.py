"""From a graph to another graph that computes the same."""
