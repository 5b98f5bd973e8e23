"""Several gateway processes on the same ports.

`supervisor` is their parent: it starts them, replaces one that dies or whose `pulse` is gone, and drains them. A worker
is made from its `inheritance`; settings reach it over the `link`. `pages` makes one of what they say, each asked by its
`admin_socket`.
"""
