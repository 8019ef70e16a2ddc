"""The one door to a result: slot → token → request → judge; body → .part.

`decide` says in a pure function what follows from a failure, `gate` is the middleware that every
request passes (the window's slot, the token), `body` streams a reply to disk, `direct` what is left
of a large one (in its `turn`, with an `early_sync`), `door` puts them together. Nothing outside
this room sends a result request.
"""
