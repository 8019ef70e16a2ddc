"""The spine: ids → journal → lanes (one per account) → finish → outcomes, in one task group.

`places` knows the layout on disk, `lane` fetches for one account, `finish` turns a complete ZIP
into a published file, `run` ties them together with bounded streams. The pipeline is given its
window, journal and doors from outside.
"""
