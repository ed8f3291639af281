"""The machine and the terminal: files, folders, processors, processes, progress, tables."""
