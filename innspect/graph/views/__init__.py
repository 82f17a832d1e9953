"""What a node is, for the rules and passes that ask: its kernel, its cells, its activation."""
