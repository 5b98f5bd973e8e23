"""The process between people and workspaces: two data planes, the portal, and what operators need.

    client -> door (http/, ssh/) -> name -> Route -> Verdict or Grant -> relay -> workspace
                  \\________ any failure ________/ -> answers -> client, log, metrics

`app` builds everything from the settings and owns every task. `http` proxies HTTP and WebSockets, `ssh` relays
SSH packets, `idle` knows who uses which workspace, `portal` is the site people sign in to, `admin` the operators'
listener, `demo` the embedded stand-ins. `answers` alone turns a failure into what a person reads, and `pages` gives
every page its look; `waking` has stopped workspaces started for all doors. Nothing imports `gateway`; it imports the
other three.

Routes: `route_source` opens the source that the settings name, `routes_file` (with `watch`) or `routes_cluster`, and
`writer` writes the table. Operators: `metrics` lists what is counted, in a `catalogue` and by `tally`; `slowest` keeps
the slowest requests; `log` logs by `lines` (with `crash`, and `library_log` for what libraries say; `vocabulary` is its
words), and `tracing` sends spans. The process: `serving` runs it from its start
to the end of its drain (by `spread`), `configuration` has it take up what is written anew, with the `material` that is
named there; `listening` binds its sockets, `descriptors` says how many it may have, `workers` runs several of it, by
`link` and `inheritance`, whose `worker_pages` are made one (metrics by `totals`). Commands: `check`, `top`,
`ports_command` and `ssh_config_command` (both by `portal_calls`). `source` says what an address is counted as, and
`names` where .localhost leads.
"""

__version__ = "0.1.0"
