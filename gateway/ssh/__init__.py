"""The SSH data plane: asyncssh does transport and authentication of both legs, we relay every packet above them.

`server` is the door and the login sequence, `relay` hands connection-layer packets (types >= 80) from leg to leg,
`internals` is the one module that touches private names of asyncssh and checks them at start.
"""
