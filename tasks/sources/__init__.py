"""The files of a collection: where they come from, where they lie, whether they are sound."""
