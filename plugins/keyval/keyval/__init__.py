"""The plugin keyval: keys and values, and queues, of apps and plugins in one file."""
