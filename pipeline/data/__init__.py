"""The images: where they come from, their formats, their splits.

original    the report of 2017
sets        a data set's file in data/sets/, by format
image_set   what the data sets of all formats have
sources     where their files come from
download    files, or folders of pictures, from the first source that has them
https       downloads over https
wheel       arrays from a pinned wheel
verify      checks of single files
raw         files -> training and test images
splits      images held out of a split
audit       copies, constant pictures and other things to know of them
survey      pictures on a disk, as a data set
looks       what pictures look like, in files or in a table
survey_labels  a table of the names of pictures and their labels
survey_arrays  arrays on a disk, as a data set
survey_tables  tables on a disk, as a data set
formats     one reader per file format
dataset     the npz with its splits
"""
