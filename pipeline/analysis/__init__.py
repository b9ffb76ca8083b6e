"""Numbers out of trained networks, and what they say.

metrics     scores of a classifier
statistics  one sample, one table: intervals, tests, adjustment for their number
comparison  two groups of seeds: differences, ratios, 2x2 designs, verdicts
noninferiority  two networks on the same images: what one may lose at most
overfitting  histories -> onset, rise, verdict
"""
