"""Keeps workers away from what is not theirs: Landlock, seccomp, and the paths of an app."""
