"""The daemon: the process that decides, and serves the gateway and the control API.

`python -m backstay.daemon` is started by the keeper, which hands it the listening sockets and starts
another one when it dies. `launch` is the other side: how a command line brings keeper and daemon up.
"""
