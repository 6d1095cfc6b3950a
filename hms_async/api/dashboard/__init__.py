"""The dashboard: pages for people, on the queries, roles and audit of the REST API.

`site.py` puts them together. A page is built by a function of `pages/` from what its reader may
see. Its inner part is shared by all who may see the same (`parts.py`); `render.py` puts the frame
around it. `hub.py` looks at what is watched, and `live.py` tells browsers when it has changed.
"""
