"""The data of the tasks: what is here, fetched, sound, and where it belongs."""
