"""What operators are told: metrics, the log, and traces.

Metrics: `metrics` lists what is counted, in a `catalogue` and by `tally`; `totals` adds up those of several workers,
`loop_lag` measures, and `slowest` keeps the slowest requests. The log: `log` makes lines of the words in `vocabulary`,
`lines` writes them, `crash` says what is said of an exception, `library_log` takes what libraries say. Traces:
`trace_context` reads and writes headers, `spans` is what those see who do something, `tracing` sends spans to where
`trace_collector` says.
"""
