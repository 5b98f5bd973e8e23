"""The gateway's own site: an ordinary aiohttp application on a private Unix socket that people sign in to.

`app` has its routes, `pages` renders the templates that it and `gateway.answers` share.
"""
