"""The embedded stand-ins: a GitLab, workspaces, and a check that drives the whole as its users would.

They are also the fakes of the tests, and tested themselves.
"""
