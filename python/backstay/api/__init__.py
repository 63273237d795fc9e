"""The control API: HTTP on the fleet's unix socket, a thin layer on `FleetControl`.

`routes` is the table of what can be asked, `models` its shapes, `openapi` its description, `app` the
application, `server` the way to run it on an inherited socket. The other half is `backstay.client`.
"""
