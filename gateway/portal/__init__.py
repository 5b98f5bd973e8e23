"""The gateway's own site: an ordinary aiohttp application on a private Unix socket that people sign in to.

`app` has its routes, `sign_in`, `entry`, `home`, `owner_forms`, `sharing` and `api` what they do, `parts` what they do
it with, `csrf` the locks before the forms, `sign_in_limit` the one before sign-in. `replies` turns all of it into
responses. How a page looks is said for the whole gateway in `gateway.pages`.
"""
