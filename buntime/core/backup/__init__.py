"""What is in a backup, without reading or writing one."""
