"""What scripts that were written with iNNvestigate need beyond names."""
