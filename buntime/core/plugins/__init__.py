"""Plugins: apps with hooks. Their manifests, start order, plan, verdicts, services and life
cycle."""
