"""Where arrays lie on several devices: rows of a batch spread over ``data``, members over ``member``, large arrays cut.

A step is written for one device. What stands here tells the compiler how its arrays are spread; the compiler cuts the
arithmetic and adds what the devices have to exchange: one sum of the gradients, and nothing else as long as the
variables and the rows lie whole on each device.
"""

import math
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from aejax.base import Array, Batch, PyTree

Arrays = TypeVar("Arrays")

DATA, MEMBER = "data", "member"
# Arrays of at least so many elements are cut along their largest axis that divides, so that each device holds a part of
# the parameters and their moments (Rajbhandari et al. 2020, stage 3). Smaller ones cost more to gather than to hold.
LARGE = 2**22


def mesh(*, data: int = 1, member: int = 1) -> Mesh:
    """Devices to train on: ``fit(..., mesh=mesh(data=8))``.

    Args:
        data: devices that share the rows of each batch.
        member: groups of such devices that share the members of an ensemble, or the settings of a sweep.

    Returns:
        The mesh of ``member`` x ``data`` devices, of all processes.

    Raises:
        ValueError: more devices than there are, or some left over where there are several processes.

    Example:
        >>> mesh(data=1).shape["data"]
        1
    """
    devices, wanted = jax.devices(), data * member
    if min(data, member) < 1 or wanted > len(devices):
        raise ValueError(
            f"mesh: found data={data}, member={member}, expected at least 1 of each, and at most {len(devices)} "
            'devices; on a CPU make more with jax.config.update("jax_num_cpu_devices", 8) before anything else'
        )
    if jax.process_count() > 1 and wanted != len(devices):
        raise ValueError(
            f"mesh: found {wanted} devices, expected all {len(devices)} of the {jax.process_count()} processes"
        )
    types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((member, data), (MEMBER, DATA), axis_types=types, devices=devices[:wanted])


def check_mesh(mesh: Mesh | None, axes: tuple[str, ...]) -> None:
    """Refuses what would be silently wrong: processes that know nothing of each other, devices with nothing to do.

    Raises:
        ValueError: several processes without a mesh, a mesh with other axes, members on a mesh for one run.
    """
    if mesh is None:
        if jax.process_count() > 1:
            raise ValueError(
                f"mesh: found none with {jax.process_count()} processes, which would train as many different models; "
                f"expected one over all devices, mesh=aejax.mesh(data={jax.device_count()})"
            )
        return
    if set(mesh.axis_names) != {DATA, MEMBER}:
        raise ValueError(f"mesh: found the axes {mesh.axis_names}, expected those of aejax.mesh: member and data")
    if not axes and mesh.shape[MEMBER] > 1:
        raise ValueError(
            f"mesh: found member={mesh.shape[MEMBER]} for one run, expected 1; spread its rows with "
            f"aejax.mesh(data={mesh.size}), or train members with aejax.ensemble"
        )


def with_rows_spread(mesh: Mesh | None, batch: Batch) -> Batch:
    """Inside a program: a batch whose rows are spread over ``data``; unlike numbers of rows a device are padded by XLA.

    Args:
        mesh: the mesh; None leaves all as it is.
        batch: of a step, or of validation rows.

    Returns:
        The same Batch.
    """
    return _constrained(mesh, batch, PartitionSpec(DATA))


def with_numbers_whole(mesh: Mesh | None, numbers: Array) -> Array:
    """Inside a program: the numbers of a step's rows, all of them on each device, which finds them without exchange.

    Args:
        mesh: the mesh; None leaves all as it is.
        numbers: of rows.

    Returns:
        The same numbers.
    """
    return _constrained(mesh, numbers, PartitionSpec())


def _constrained(mesh: Mesh | None, arrays: Arrays, spec: PartitionSpec) -> Arrays:
    if mesh is None or mesh.shape[DATA] == 1:
        return arrays
    return jax.lax.with_sharding_constraint(arrays, NamedSharding(_inside(mesh), spec))


def with_layout(mesh: Mesh | None, run: PyTree, num_axes: int) -> PyTree:
    """Inside a program: the arrays of a run where they belong, so that every part of it begins and ends alike.

    Args:
        mesh: the mesh; None leaves all as it is.
        run: pytree of arrays.
        num_axes: the leading axes of members and settings, which lie whole on each device.

    Returns:
        The same pytree.
    """
    return run if mesh is None else jax.lax.with_sharding_constraint(run, layout(mesh, run, num_axes))


def layout(mesh: Mesh, run: PyTree, num_axes: int = 0) -> PyTree:
    """Of each array of a run how it lies: whole on each device, or cut over ``data`` where it is large.

    Args:
        mesh: the mesh.
        run: pytree of arrays.
        num_axes: as in ``with_layout``.

    Returns:
        pytree of NamedSharding.

    Example:
        >>> one = mesh(data=1)
        >>> tuple(layout(one, {"kernel": jax.ShapeDtypeStruct((2048, 4096), "float32")})["kernel"].spec)
        (None, 'data')
    """

    def one(leaf: jax.Array) -> NamedSharding:
        shape = leaf.shape[num_axes:]
        fitting = [place for place, size in enumerate(shape) if size and size % mesh.shape[DATA] == 0]
        if math.prod(shape) < LARGE or not fitting:
            return NamedSharding(mesh, PartitionSpec())
        cut = num_axes + max(fitting, key=lambda place: shape[place])
        return NamedSharding(mesh, PartitionSpec(*[DATA if place == cut else None for place in range(leaf.ndim)]))

    return jax.tree.map(one, run)


def laid_out(mesh: Mesh | None, run: PyTree, num_axes: int) -> PyTree:
    """Outside of programs: ``with_layout`` of a run that was read from a file or handed over."""
    return run if mesh is None else jax.tree.map(_put, run, layout(mesh, run, num_axes))


def placed(mesh: Mesh | None, arrays: PyTree) -> PyTree:
    """What a run reads, on the devices of a mesh: whole on each, but for what is spread over them already.

    Args:
        mesh: the mesh; None for the default device.
        arrays: pytree of arrays.

    Returns:
        The same pytree.
    """
    if mesh is None:
        return jax.device_put(arrays)
    devices = set(mesh.devices.flat)

    def place(leaf: jax.Array) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding.device_set == devices:
            return leaf
        return _put(leaf, NamedSharding(mesh, PartitionSpec()))

    return jax.tree.map(place, arrays)


def placed_block(mesh: Mesh | None, block: Batch) -> Batch:
    """Batches on their way to the devices: each takes its share of the rows, or all of them where they do not divide.

    Args:
        mesh: the mesh; None for the default device.
        block: arrays (steps, rows, ...) of the host; of several processes, each has its share of the rows.

    Returns:
        The same Batch, of the rows of all processes.

    Raises:
        ValueError: the rows of one of several processes do not divide among its devices.
    """
    if mesh is None:
        return jax.device_put(block)
    spread = NamedSharding(mesh, PartitionSpec(None, DATA))
    if jax.process_count() > 1:
        num_rows, num_devices = block.x.shape[1], mesh.shape[DATA] // jax.process_count()
        if num_devices == 0 or num_rows % num_devices:
            raise ValueError(
                f"stream: found {num_rows} rows a batch in one of {jax.process_count()} processes, expected a multiple "
                f"of its {num_devices} devices along data"
            )
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(spread, leaf), block)
    is_even = block.x.shape[1] % mesh.shape[DATA] == 0
    return jax.device_put(block, spread if is_even else NamedSharding(mesh, PartitionSpec()))


def _put(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    """An array that all processes have, as they share it."""
    if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    return jax.device_put(jax.device_get(leaf) if jax.process_count() > 1 else leaf, sharding)


def _inside(mesh: Mesh) -> Mesh | jax.sharding.AbstractMesh:
    """The mesh as a program sees it where members are mapped by hand and rows by the compiler."""
    seen = jax.sharding.get_abstract_mesh()
    return seen if DATA in seen.axis_names else mesh
