"""The legs of a relayed connection: the one place that touches private names of asyncssh, each with its reason.

`leg` is what both legs have in common, `ends` what each is for its peer, `bypass` the way past asyncssh for those who
open and seal packets themselves. What a packet means is `relay`'s matter.
"""
