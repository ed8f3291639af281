"""Lightning Fabric for one process, or for those that torchrun or srun has started."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from benchmark.errors import UserError
from benchmark.pretraining import processes
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.system.extras import install_command
from benchmark.system.precision import tell_slow_bf16
from benchmark.system.progress import Reporter, Silent

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: The others wait while the first probes: half an hour, torch's own limit, can be too short for that.
LONGEST = timedelta(days=1)
#: In which the processes that srun starts must have met. torchrun sees to that itself.
MEETING = timedelta(minutes=5)


def make_fabric(recipe: Recipe, device: str = "auto", report: Reporter | None = None) -> Fabric:
    """Return Fabric, connected to the other processes where there are any.

    Args:
        recipe: Its precision, and its batch, which the processes share equally.
        device: See :func:`benchmark.system.machine.device_of`.
        report: Is told where others are waited for, and where bf16 is slow.

    Raises:
        UserError: It is not installed, the device is not there, or the processes cannot share the batch or the machine,
            or do not meet.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise UserError(f"bench pretrain needs {error.name}", f"Install it:\n  {install_command('pretrain')}") from None
    from benchmark.system.machine import device_of

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would greet, once it is imported
    report = report or Silent()
    kind = device_of(device).partition(":")[0]
    world, local = processes.world(), processes.local_world()
    if recipe.batch % world:
        raise UserError(
            f"a batch of {recipe.batch} cannot be shared equally among {world} processes",
            "choose a multiple",
        )
    _refuse_few_devices(kind, world, local)
    if recipe.precision == "bf16":
        tell_slow_bf16(kind, report)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    if world == 1:  # in an allocation of SLURM too, which Fabric would take for several processes
        fabric = Fabric(accelerator=kind, devices=1, plugins=[LightningEnvironment()], precision=precision)
    else:
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            _meet("nccl" if kind == "cuda" else "gloo", report)
        strategy = DDPStrategy(
            cluster_environment=TorchElasticEnvironment(), timeout=LONGEST, gradient_as_bucket_view=True
        )
        fabric = Fabric(
            accelerator=kind, devices=local, num_nodes=world // local, strategy=strategy, precision=precision
        )
    fabric.launch()
    return fabric


def _refuse_few_devices(kind: str, world: int, local: int) -> None:
    if world % local:
        raise UserError(
            f"{world} processes cannot be on machines of {local} each", "start as many processes on every machine"
        )
    if kind == "cuda":
        import torch

        seen = torch.cuda.device_count()
        if seen < local:
            raise UserError(
                f"{local} processes of this machine see {seen} GPU(s), and each takes one of its own",
                "start as many as there are GPUs; with srun, give --gpus-per-node N rather than --gpus-per-task 1, so "
                "that every process sees all of them",
            )


def _meet(backend: str, report: Reporter) -> None:
    """Connect the processes that srun has started.

    Raises:
        UserError: They have not all come, or the first one cannot listen.
    """
    import torch.distributed as dist

    host, port, world = os.environ.get("MASTER_ADDR", "127.0.0.1"), os.environ.get("MASTER_PORT", ""), processes.world()
    report.say(f"Waiting for the {world - 1} other process(es) at {host}:{port}.")
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            host, int(port or processes.FIRST_PORT), world, is_master=processes.rank() == 0, timeout=MEETING
        )
    except (RuntimeError, ValueError) as error:  # of torch's own kinds, all of them RuntimeErrors
        raise UserError(
            f"the {world} processes have not met at {host}:{port} within {MEETING.seconds // 60} minutes: "
            f"{str(error).splitlines()[0]}",
            "start all of them with one srun, and set MASTER_PORT to a port that is free on the first machine; for one "
            "process alone in a job, unset SLURM_NTASKS",
        ) from None
    dist.init_process_group(backend, store=store, rank=processes.rank(), world_size=world, timeout=LONGEST)


def refuse_different(fabric: Fabric, recipe: Recipe, store: Store) -> None:
    """See whether this process trains what the first one trains.

    Raises:
        UserError: It was given another recipe, or its machine has another store.
    """
    if fabric.world_size == 1:
        return
    first: tuple[str, str] = fabric.broadcast((recipe.model_dump_json(), store.fingerprint))
    what = [
        name
        for name, theirs, ours in zip(
            ("recipe", "store"), first, (recipe.model_dump_json(), store.fingerprint), strict=True
        )
        if theirs != ours
    ]
    if what:
        raise UserError(
            f"process {fabric.global_rank} has another {' and another '.join(what)} than the first process",
            "start all of them with one command, and copy the store whole to every machine",
        )
