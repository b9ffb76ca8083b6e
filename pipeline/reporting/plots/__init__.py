"""Figures; the only importer of matplotlib.

style           what all figures have in common, and their PNG
grids           images: the first of a data set, those that every model gets wrong
curves          accuracy and loss over the epochs, of one training run or of many
classification  confusion matrix, reliability diagram
effects         differences with their intervals, before and after
readings        readings of claims: intervals and the bounds that they are compared with
"""
