"""One request for one result: slot → token → request → judge; body → .part, through aiofiles.

`retry` decides in a pure function what follows from a failure, `middleware` is what every request
passes (the limit's slot, the token), `body` brings a response to disk, `downloader` puts them
together. Nothing outside this room sends a result request.
"""
