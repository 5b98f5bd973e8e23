"""The HTTP data plane: own protocol code on httptools and uvloop.

`edge` is one client connection, `gate` decides what a request may do, `upstream` dials and pools connections
towards workspaces, `headers` rewrites heads, `tunnel` joins two sockets after a 101. `crowd` counts who is here, and
`rounds` how often a request has been.

What `gate` decides with: `rights` (the grant in a cookie, and asking again), `entrance` (to sign-in and back),
`token_gate`, `siblings`, `interstitial`, `starting`, `origins`; a decision is a value of `decision`. `streams` holds
all that is open, by who is in it, and closes it when they may not be there any more.
"""
