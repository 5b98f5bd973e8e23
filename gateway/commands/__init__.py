"""The commands for the people who own workspaces: `ports` and `ssh_config`, both by `portal_calls`."""
