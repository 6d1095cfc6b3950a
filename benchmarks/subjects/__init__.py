"""What is measured: hms_async, its bare script, and its peers, each in one file.

These modules run in environments of their own, which have the peer and nothing of hms_async, so
they import the standard library only, and their peer when they need it.
"""
