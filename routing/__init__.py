"""From what the cluster (or a file) declares to "this hostname is that port of that workspace".

`model` holds the values, `hostname` parses Host headers and renders host templates, `discovery` turns one
Service into routes, `table` is the in-memory answer that every request reads. `file` is the source that
feeds the table: one writer task, many readers.
"""
