"""How an HTTP call is made of an input, and a result of its answer.

Shared by the namespaces that call over HTTP. Never queries; never opens a connection but by `core.http`.
"""
