"""Apps as data: manifest, name and version, the environment of their workers."""
