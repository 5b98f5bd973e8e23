"""The HTTP data plane: own protocol code on httptools and uvloop.

`edge` is one client connection, `gate` decides what a request may do, `upstream` dials and pools connections
towards workspaces, `headers` rewrites heads, `tunnel` joins two sockets after a 101.
"""
