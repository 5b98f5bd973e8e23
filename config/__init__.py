"""What the operator wrote, turned into frozen settings or into one error that lists every fault.

    file, folder, the environment, flags -> layers -> settings (each value by itself) -> rules (all together)
                                        \\______ whatever is wrong ______/ -> faults

`settings` holds the values, their defaults and reasons, `values` (and `host_key`) the forms they take, `names` what
each is called in the file, the environment and the flags. `load` is the way in, and `changes` says what a gateway that
runs can take up. Nothing here opens a socket, and nothing else in the project reads `os.environ`.
"""
