"""Receivers that speak the documented HTTP APIs of providers: each checks a request as its pages describe it.

Written from the vendors' pages, which each names. None of them has been compared with the vendor's own server.
"""
