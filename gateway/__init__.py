"""The process between people and workspaces: two data planes, the portal, and what operators need.

    client -> door (http/, ssh/) -> name -> Route -> Verdict or Grant -> relay -> workspace
                  \\________ any failure ________/ -> answers -> client, log, metrics

`app` builds everything from the settings, by `doors` what stands at the doors, and owns every task; `serving` runs it
from its start to the end of its drain (by `spread`), and `configuration` has it take up what is written anew, with
the `material` of the files that are named there. The doors are `http`, which proxies HTTP and WebSockets, and `ssh`,
which relays SSH packets; `portal` is the site people sign in to, `admin` the operators' listener. `routes` fills the
table. `idle` knows who uses which workspace, and `waking` has stopped ones started for all doors. `telemetry` is all
that operators are told: metrics, log, traces. `workers` runs several processes on the same ports. `answers` alone
turns a failure into what a person reads, and `pages` gives every page its look. Commands: `check`, `top`, `commands`
for people, and `demo`, the embedded stand-ins.

Small things that several of these need: `listening` binds sockets, `descriptors` says how many the process may have,
`running` owns a task, `watch` notices changed files, `extras` names missing packages, `session_store` opens the store,
`source` says what an address is counted as, and `localhost` where .localhost leads. Nothing imports `gateway`; it
imports the other three.
"""

__version__ = "0.1.0"
