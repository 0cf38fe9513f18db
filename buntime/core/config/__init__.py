"""The config file: what operators say of plugins, beside the settings."""
