"""The dashboard: pages for people, on the queries, roles and audit of the REST API.

`site.py` puts them together. A page is built by a function of `pages/`, from what `Look` lets its
reader see, and is rendered as a *part* that all who may see the same share (`parts.py`); `render.py`
puts the frame around it. `live.py` says when a part has changed.
"""
