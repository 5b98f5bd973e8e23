"""The `check` command: whether a gateway with these settings would work from where people, GitLab and pods stand.

`steps` names what is looked at and in which order; `site` is what the steps look from. `gitlab`, `rights`, `routes`
(of a cluster: `cluster`), `sessions`, `names`, `certificates`, `doors`, `ssh_door` and `workspace` hold the steps, each
of which returns a `Finding` of `model` and changes nothing anywhere. `command` runs them and says what came out.
"""
