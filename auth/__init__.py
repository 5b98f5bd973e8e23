"""Who may enter: sign-in with GitLab, sessions, grants, visibility, and the verdict.

`model` holds the values, `visibility`, `seal` and `grants` are pure, `gitlab` is the port to GitLab and its client,
`login` runs the OAuth flow, `sessions` keeps signed-in browsers, `access` gives the verdict.
A verdict is a value (granted, denied, unavailable); an exception says whose fault it is.
"""
