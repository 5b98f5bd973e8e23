"""The SSH data plane: asyncssh does transport and authentication of both legs, we relay every packet above them.

    client -> server (the door) -> doorstep -> connection -> login -> admission (GitLab) -> upstream (its sshd)
                                                    \\_ admitted: relay, packet by packet, until one leg ends

An owner whose workspace is stopped is in `waiting` between `admission` and `upstream`; `outcomes` says what a try comes
to.
`internals` is the one package that touches private names of asyncssh; `selftest` checks at start that they still fit.
`pump` moves channel data past asyncssh, key to key, where both legs have a `cipher` that permits it (`gcm`, `etm`).
`options` says what is negotiated, `host_keys` who the gateway is, `pod_keys` whether a workspace is still the one it
was, `tokens` what can be a token, `keys` whom a public key lets in and `authorities` whom a certificate, once they have
signed (`credentials`), `verdicts` what GitLab said a moment ago, `states` what keeps one shut, `recheck` whether
somebody may still be in, `proxy_protocol` what load balancers say, `crowd` how many may be here, `bans` who may not,
`limits` what a connection may cost, `channels` what its ends may ask of each other and what is noted of it, `idle` when
it does nothing, `parting` how it ends.
"""
