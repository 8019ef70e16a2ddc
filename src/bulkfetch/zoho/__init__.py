"""Zoho's protocol: response heads, error bodies, credentials.

Everything except the token sources is a pure function of values: no await, no clock, no
environment. Import the modules directly.
"""
