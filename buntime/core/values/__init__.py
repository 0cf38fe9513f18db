"""Kinds of plain values, and how they are written: durations, sizes, lists of words."""
