"""The state folder: what must outlive the runtime, and folders for the data of apps."""
