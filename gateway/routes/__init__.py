"""Where the routes of a gateway come from, and the one writer of its table.

`source` opens what the settings name: a route `file` or a `cluster`. `writer` applies what changed.
"""
