"""From what the cluster (or a file) declares to "this hostname is that port of that workspace".

`model` holds the values, `hostname` parses Host headers and renders host templates, `discovery` turns one workspace's
Service into the claim it makes, `claimants` and `table` are the in-memory answer that every request reads. One writer
task feeds the table, many readers ask it.

Two sources feed it. `file` is a route file, `visibility_store` writes to it. A cluster is read by `kubernetes` (the API
server, behind the protocol of `cluster_api`); `reflector` lists and watches one kind of object, `service`,
`endpoints` and `visibility_annotation` read one object each, `inventory` turns what they read into changes, `cluster`
runs all the watches, and `service_visibility` writes what owners declare. `rights` are what a gateway needs for that;
`portions` cuts long work into steps, so that nobody waits for it.
"""
