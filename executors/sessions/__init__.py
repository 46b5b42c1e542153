"""Sessions of a product's users: started with some data, carried as a token, named by a job that runs for them.

`tokens` makes and reads the JWTs, `lifecycle` says which sessions count.
"""
