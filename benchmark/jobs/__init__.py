"""Jobs: one encoder on one task, from the plan to the record."""
