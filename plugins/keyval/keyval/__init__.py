"""The plugin keyval: keys and values, and queues, for apps and plugins, in one file."""
