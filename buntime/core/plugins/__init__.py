"""Plugins: apps with hooks. Their manifests, order, plan, verdicts, services and lives."""
