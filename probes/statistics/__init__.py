"""Statistics: intervals of scores and of differences, baselines, and subsets of the train split."""
