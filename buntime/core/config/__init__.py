"""The config file: what operators say about plugins, beside the settings."""
