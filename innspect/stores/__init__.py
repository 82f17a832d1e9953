"""Stores: the maps of many samples in one HDF5 file, in the layout that virelay reads.

`layout` puts channels first and back, `chunks` compresses, `file` says what the file holds, `writing` is the run that fills it,
`store` reads it, `merging` makes one of several.
"""
