"""What the operator wrote, turned into frozen settings or into one error that lists every fault.

`settings` holds the values and their rules, `load` reads the file, the environment and the flags.
Nothing here opens a socket, and nothing else in the project reads `os.environ`.
"""
