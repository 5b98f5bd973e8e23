"""The command `top`: what the gateway does now, in a terminal, from its admin port.

/metrics, /slowest -> reading -> two of them -> figures -> screen (for people) or JSON (for programs)
"""
