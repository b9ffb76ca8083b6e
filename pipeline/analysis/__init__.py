"""From the numbers that trained networks produce to statements about them.

metrics         scores of a classifier
mistakes        the images that are answered wrongly
overfitting     histories -> onset, rise, verdict
time_to_target  epochs until a score reaches a target
proportions     accuracies: Wilson, McNemar, Tango's non-inferiority bound
means           means over seeds: t, Welch, probability of superiority
permutation     the permutation test of a difference in means
verdicts        the interval of a difference and the smallest effect -> better, worse, no relevant difference, ...
prediction      what one more seed may give: prediction intervals, upper bounds of a standard deviation
power           how many seeds decide a question
crossed         differences over seeds and images together
sequential      intervals of a difference that hold at every look
multitest       adjustment for the number of tests, simultaneous intervals, verdicts
"""
