"""No reservation is over its limit or over the machine. What all of them come to is the ledger's to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.models.service import Service

UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def write_size(size: int) -> str:
    """Spell a size in the largest unit that keeps it exact to a tenth.

    >>> write_size(536870912), write_size(1610612736), write_size(1000)
    ('512Mi', '1.5Gi', '1000')
    """
    unit, number = 0, float(size)
    while number >= 1024 and unit < len(UNITS) - 1 and (number / 1024 * 10) % 1 == 0:
        unit, number = unit + 1, number / 1024
    return f"{number:g}{UNITS[unit]}" if unit else str(size)


def check_resources(context: Context) -> None:
    """Report reservations that cannot be met."""
    for service in context.stack.services.values():
        _check_limits(context, service)
        _check_machine(context, service)


def _check_limits(context: Context, service: Service) -> None:
    path = ("services", service.name, "deploy", "resources")
    reserved, limit = service.deploy.resources.reservations, service.deploy.resources.limits
    hint = "raise the limit or lower the reservation"
    if limit.pids is not None:
        context.report(
            f"the processes of `{service.name}` cannot be limited in number yet",
            (*path, "limits", "pids"),
            hint="remove it; `ulimit -u` before `backstay up` limits all of your processes",
        )
    if reserved.cpus and limit.cpus and reserved.cpus > limit.cpus:
        context.report(
            f"`{service.name}` reserves {reserved.cpus:g} cpus and may use {limit.cpus:g}",
            (*path, "reservations", "cpus"),
            (*path, "limits", "cpus"),
            hint=hint,
        )
    if reserved.memory and limit.memory and reserved.memory > limit.memory:
        context.report(
            f"`{service.name}` reserves {write_size(reserved.memory)} of memory and may use "
            f"{write_size(limit.memory)}",
            (*path, "reservations", "memory"),
            (*path, "limits", "memory"),
            hint=hint,
        )


def _check_machine(context: Context, service: Service) -> None:
    path = ("services", service.name, "deploy", "resources", "reservations")
    machine, reserved, replicas = (
        context.machine,
        service.deploy.resources.reservations,
        service.deploy.replicas,
    )
    times = f"{replicas} times " if replicas > 1 else ""
    if reserved.cpus and reserved.cpus * max(replicas, 1) > machine.cpus:
        context.report(
            f"`{service.name}` reserves {times}{reserved.cpus:g} cpus, and this machine has {machine.cpus:g}",
            (*path, "cpus"),
            hint="lower the reservation",
        )
    if reserved.memory and reserved.memory * max(replicas, 1) > machine.memory:
        context.report(
            f"`{service.name}` reserves {times}{write_size(reserved.memory)} of memory, and this machine has "
            f"{machine.memory / 2**30:.1f}Gi",
            (*path, "memory"),
            hint="lower the reservation",
        )
    gpus = reserved.gpus
    if gpus == "all" and machine.gpus == 0:
        context.report(f"`{service.name}` reserves all GPUs, and this machine has none", (*path, "devices"))
    elif isinstance(gpus, int) and gpus * max(replicas, 1) > machine.gpus:
        has = str(machine.gpus) if machine.gpus else "none"
        wanted = f"{times}{gpus} {'GPU' if gpus == 1 else 'GPUs'}"
        context.report(
            f"`{service.name}` reserves {wanted}, and this machine has {has}",
            (*path, "devices"),
            hint="lower the reservation",
        )
