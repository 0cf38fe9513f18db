"""The settings of the runtime: their table, their sources, and how they are read."""
