"""Who may enter: sign-in with GitLab, sessions, grants, visibility, and the verdict.

`model` holds the values. Pure: `visibility`, `cookies`, `seal` and what is sealed with it (`grants`), `id_token`.
`calls` makes one HTTP call to GitLab; `gitlab` asks it who somebody is, `oauth` for tokens. `sessions` keeps signed-in
browsers (`redis_sessions` for several gateways), `login` signs them in, `access` gives the verdict, `programs` the one
on a token that a program brings along; `remembered` keeps verdicts for a while. `owners` says whose a workspace is
where nobody brings a token, and `profiles` which SSH keys are theirs. `wishes` tells GitLab what an owner wants, that
their workspace runs or stops, by the tokens that `mandates` are. Against floods: `allowance` counts by whom, `share`
limits what strangers have of the connections to GitLab, `shared_access` is the verdict within such a share.
A verdict is a value (granted, denied, unavailable); an exception says whose fault it is.
"""
