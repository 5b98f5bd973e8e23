"""Who uses which workspace, and what follows when nobody does.

    doors -> uses -> ledger -> sharing (the other gateways) -> watch -> warnings, auth.stopping

`uses` is told what people do and judges what open streams carry; `ledger` holds when each workspace was last used;
`timeouts` says how long one may go without. All of it is on clocks that nobody sets.
"""
