"""How a static site answers, without its files: paths, ranges, conditions, media types."""
