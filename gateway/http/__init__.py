"""The HTTP data plane: own protocol code on httptools and uvloop.

    client -> edge -> exchange -> gate -> pool -> upstream -> workspace
                           \\_ refused or failed: answers -> reply -> client

`door` listens and owns all tasks, `plane` is what its exchanges share. `edge` is one client connection; `reader` finds
its requests (`request_line` those that llhttp would not), and `exchange` is one of them. `gate` decides what it may do;
`recall` knows what was decided before. `upstream` is one connection towards a workspace, `pool` dials them and keeps
the idle ones. `headers` rewrites heads, `forwarded` says who a request comes from, `framing` where a body ends. After a
101 that `websocket` accepts, `switching` makes two connections one `tunnel`, whose `frames` are followed. `outbox`
writes once a turn, `record` counts and logs, `registry` holds what is open until it closes, `tls` is the certificate.
`crowd` counts who is here, and `rounds` how often a request has been; `doorstep` keeps a place for clients of TLS while
they shake hands.

What `gate` decides with: `rights` (the grant in a cookie, and asking again), `entrance` (to sign-in and back),
`token_gate`, `siblings`, `interstitial`, `starting`, `origins`; a decision is a value of `decision`. `streams` holds
all that is open, by who is in it, and closes it when they may not be there any more.
"""
