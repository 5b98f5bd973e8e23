"""Who may enter: sign-in with GitLab, sessions, grants, visibility, and the verdict.

`model` holds the values. Pure: `visibility`, `cookies`, `seal` and what is sealed with it (`grants`), `id_token`.
`calls` makes one HTTP call to GitLab; `gitlab` asks it who somebody is, `oauth` for tokens. `sessions` keeps signed-in
browsers, `login` signs them in, `access` gives the verdict.
A verdict is a value (granted, denied, unavailable); an exception says whose fault it is.
"""
