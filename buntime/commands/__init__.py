"""The command line: a module for each command, and what they share.

cli.py        finds the command and runs it; errors in one line
arguments.py  flags and words of a command; start.py: settings from them, the environment, `.env`

A command's module has `parser()`, which declares its flags, and `run(command, mode)`, which returns
the exit code. It is imported only when it is used.
"""
