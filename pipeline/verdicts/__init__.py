"""Is a change real? What the scores of several sides, trained with the same seeds, say about their differences.

source       the code of a side, as an archive
describe     what a side's params make its code train: a program that runs in that code
side         a git revision, an experiment or the workspace: its code, what it trains, and on which data
difference   the models in which sides differ, and whether these can be compared
sides        from the names of sides to an answer
training     the models of each side with the same seeds, each by its own code, until the verdicts are final
scores       anyone's scores, from a CSV file
judgement    scores of two sides -> intervals, verdict, the seeds or images that would decide
campaign     all comparisons so far: how many, and how many false alarms so many give by chance
answer       the verdicts as text, Markdown and JSON, and the exit code
"""
