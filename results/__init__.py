"""What came out: the record of a run, its store, the paper's tables, and the leaderboard made of both."""
