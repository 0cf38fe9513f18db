"""The worker's code, unpacked into a folder that nobody else can write to."""
