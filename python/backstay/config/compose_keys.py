"""What to do instead of the Compose keys that Backstay does not carry."""

from __future__ import annotations

from typing import Final

CONTAINER: Final = "Backstay runs processes, not containers"
NETWORK: Final = f"delete it: {CONTAINER}; `{{{{ services.NAME.ports.PORT }}}}` is another service's port"

TOP: Final = {
    "version": "delete the line: the file has no versions",
    "include": "name the other files on the command line: `-f backstay.yaml -f other.yaml`",
    "networks": NETWORK,
    "volumes": f"delete it: {CONTAINER}, and they use folders as they are",
    "configs": "delete it, and name the file where the service reads it",
    "models": "run the model's server as a service with a `command:`",
}

SERVICE: Final = {
    "image": f"name the program in `command:`, or the package in `mcp:`; {CONTAINER}",
    "build": "name the folder in `mcp: path:./folder`; it is built and cached, or give a `command:`",
    "container_name": "delete it: an instance is named after its service, `name.1`",
    "entrypoint": "write the whole command in `command:`",
    "extends": "repeat the service, or share parts of it with YAML's `&anchor` and `<<: *anchor`",
    "include": "name the other files on the command line: `-f backstay.yaml -f other.yaml`",
    "networks": NETWORK,
    "network_mode": f"delete it: {CONTAINER}",
    "links": "use `depends_on:`, and `{{ services.NAME.ports.PORT }}` for the address",
    "volumes": f"delete it: {CONTAINER}, and they use folders as they are",
    "volumes_from": f"delete it: {CONTAINER}, and they use folders as they are",
    "tmpfs": f"delete it: {CONTAINER}",
    "configs": "delete it, and name the file where the service reads it",
    "expose": "name the port in `ports:`, as in `ports: {http: 8080}`",
    "scale": "write `deploy: {replicas: 2}`",
    "cpus": "write `deploy: {resources: {limits: {cpus: 0.5}}}`",
    "cpu_count": "write `deploy: {resources: {limits: {cpus: 2}}}`",
    "mem_limit": "write `deploy: {resources: {limits: {memory: 512M}}}`",
    "mem_reservation": "write `deploy: {resources: {reservations: {memory: 512M}}}`",
    "pids_limit": "delete it: processes cannot be limited in number yet",
    "gpus": "write `deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1}]}}}`",
    "devices": "write `deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1}]}}}`",
    "logging": "delete it: each instance has a rotated log, see `backstay logs`",
    "labels": "write it as `x-labels:`, which is ignored",
    "annotations": "write it as `x-annotations:`, which is ignored",
    "stdin_open": "delete it: a server's stdin is open, a plain service's is empty",
    "tty": "delete it: no process gets a terminal",
    "init": "delete it: Backstay takes in orphans itself",
    "platform": f"delete it: {CONTAINER}",
    "pull_policy": "delete it: `backstay lock --upgrade` fetches newer versions",
    "user": "delete it: processes run as the user who runs Backstay",
    "privileged": f"delete it: {CONTAINER}",
    "cap_add": f"delete it: {CONTAINER}",
    "cap_drop": f"delete it: {CONTAINER}",
    "security_opt": f"delete it: {CONTAINER}",
    "read_only": f"delete it: {CONTAINER}",
    "hostname": f"delete it: {CONTAINER}",
    "domainname": f"delete it: {CONTAINER}",
    "dns": f"delete it: {CONTAINER}",
    "extra_hosts": f"delete it: {CONTAINER}",
    "ipc": f"delete it: {CONTAINER}",
    "pid": f"delete it: {CONTAINER}",
    "shm_size": f"delete it: {CONTAINER}",
    "sysctls": f"delete it: {CONTAINER}",
    "ulimits": "delete it: set limits with `ulimit` before `backstay up`",
    "develop": "delete it: `backstay up` again applies what changed",
    "provider": "run the provider's program with `command:`",
    "models": "run the model's server as a service with a `command:`",
    "post_start": "put it into a service of its own, and wait for `service_completed_successfully`",
    "pre_stop": "handle `stop_signal` in the process",
    "url": "write `mcp: {url: …}`",
    "package": "write `mcp: {package: …}`",
    "transport": "write `mcp: {transport: …}`",
    "env": "did you mean `environment`?",
    "cwd": "did you mean `working_dir`?",
}

DEPLOY: Final = {
    "mode": "delete it, and give a number of `replicas`",
    "placement": "delete it: a fleet runs on one machine",
    "endpoint_mode": "delete it: the gateway balances",
    "labels": "write it as `x-labels:`, which is ignored",
}

TABLES: Final = {"StackFile": TOP, "ServiceFile": SERVICE, "Deploy": DEPLOY}

FOREIGN: Final = frozenset({"url", "package", "transport", "env", "cwd"})
"""Keys of the tables that are not Compose's but misplaced or misnamed."""


def advice(model: str, key: str) -> str | None:
    """Return what to do instead of a key that the model of this name does not have."""
    return TABLES.get(model, {}).get(key)
