"""What the remote says and means: addresses, heads, error bodies, credentials.

Everything but the token sources is a pure function of values: no await, no clock, no environment.
Import the modules directly.
"""
