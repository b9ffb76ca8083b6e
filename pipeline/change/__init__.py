"""Is a change of params real? Both sides of it, trained by trials, and what may be said of the difference.

side         a git revision, an experiment or the workspace: its params, data set and training code
difference   the models in which two sides differ, and whether these can be compared
trials       what is trained: both sides of each changed model with the same seeds, on data with held-out images
judgement    scores of both sides -> interval, verdict, the seeds that would decide
answer       the verdicts as text, Markdown and JSON, and the exit code
"""
