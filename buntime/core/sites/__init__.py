"""What a static site answers, without files: paths, ranges, conditions, media types."""
