"""The leading axes of a run, members and settings: mapped on a device, the first of them spread over devices."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from aejax.base import PyTree
from aejax.training.meshes import DATA, MEMBER

_AUTO = (AxisType.Auto, AxisType.Auto)


def map_members(
    axes: tuple[str, ...],
    function: Callable[..., PyTree],
    run: PyTree,
    data: PyTree,
    hparams: PyTree,
    mesh: Mesh | None = None,
) -> PyTree:
    """Maps a function of (run, data, hparams) over leading axes, the first of them spread over the mesh's ``member``.

    On a CPU members follow one another. XLA computes a batch of small matrix products on one core and vectorised
    convolutions many times more slowly, so that ``vmap`` gains nothing there; the cores are kept busy by one host
    device each (``jax.config.update("jax_num_cpu_devices", 2)``). Elsewhere it is ``vmap``.

    Args:
        axes: ``()``, ``("key",)``, ``("hparams",)`` or ``("hparams", "key")``.
        function: of one run.
        run: pytree whose leaves have all the axes, or, where they do not exist yet, only that of keys: see ``origin``.
        data: the same for all.
        hparams: pytree whose leaves have the axis ``"hparams"``, if it is there.
        mesh: the mesh; all devices side by side along ``member`` if None.

    Returns:
        What the function returns, with the leading axes.
    """
    return _over(axes, function, run, data, hparams, axes, mesh)


def over_origin(
    axes: tuple[str, ...],
    function: Callable[..., PyTree],
    origin: PyTree,
    data: PyTree,
    hparams: PyTree,
    mesh: Mesh | None = None,
) -> PyTree:
    """As ``map_members``; the initial state has the axis of keys only, as every setting begins from the same keys."""
    return _over(axes, function, origin, data, hparams, ("key",), mesh)


def num_in_lockstep(axes: tuple[str, ...], num_members: int, mesh: Mesh | None = None) -> int:
    """How many members a device computes side by side, one operation for all of them; 0 where one follows another."""
    return math.ceil(num_members / _num_groups(mesh)) if axes and jax.default_backend() != "cpu" else 0


def _num_groups(mesh: Mesh | None) -> int:
    """Of devices between which members are divided."""
    return jax.device_count() if mesh is None else mesh.shape[MEMBER]


def _over(
    axes: tuple[str, ...],
    function: Callable[..., PyTree],
    run: PyTree,
    data: PyTree,
    hparams: PyTree,
    run_axes: tuple[str, ...],
    mesh: Mesh | None,
) -> PyTree:
    for axis in reversed(axes):
        function = _mapped(function, axis in run_axes, axis == "hparams")
    if not axes or _num_groups(mesh) == 1:
        return function(run, data, hparams)
    mesh = jax.make_mesh((jax.device_count(), 1), (MEMBER, DATA), axis_types=_AUTO) if mesh is None else mesh
    return _spread(function, mesh, axes[0] in run_axes, axes[0] == "hparams")(run, data, hparams)


def _mapped(function: Callable[..., PyTree], over_run: bool, over_hparams: bool) -> Callable[..., PyTree]:
    if num_in_lockstep((MEMBER,), 1):
        return jax.vmap(function, in_axes=(0 if over_run else None, None, 0 if over_hparams else None))

    def mapped(run: PyTree, data: PyTree, hparams: PyTree) -> PyTree:
        def one(moving: tuple[PyTree, PyTree]) -> PyTree:
            return function(moving[0] if over_run else run, data, moving[1] if over_hparams else hparams)

        return jax.lax.map(one, (run if over_run else None, hparams if over_hparams else None))

    return mapped


def _spread(function: Callable[..., PyTree], mesh: Mesh, over_run: bool, over_hparams: bool) -> Callable[..., PyTree]:
    """Gives each group its part of the members; where they do not divide, the last member is computed repeatedly."""
    num_groups = mesh.shape[MEMBER]
    apart, alike = PartitionSpec(MEMBER), PartitionSpec()
    specs = (apart if over_run else alike, alike, apart if over_hparams else alike)
    # Rows are spread over ``data`` by the compiler.
    by_hand = {MEMBER} if mesh.shape[DATA] > 1 else set(mesh.axis_names)
    sharded = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=apart, axis_names=by_hand, check_vma=False)

    def spread(run: PyTree, data: PyTree, hparams: PyTree) -> PyTree:
        mapped = [part for part, moves in ((run, over_run), (hparams, over_hparams)) if moves]
        num_members = jax.tree.leaves(mapped)[0].shape[0]
        fill = functools.partial(_filled, -num_members % num_groups)
        results = sharded(fill(run) if over_run else run, data, fill(hparams) if over_hparams else hparams)
        results = jax.tree.map(lambda leaf: leaf[:num_members], results)
        # The same sharding whatever went in: otherwise the next chunk, whose input this is, would compile again.
        return jax.lax.with_sharding_constraint(results, NamedSharding(mesh, alike))

    return spread


def _filled(num_more: int, members: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf, *[leaf[-1:]] * num_more]) if num_more else leaf, members)


def gathered(arrays: PyTree) -> PyTree:
    """Brings arrays that lie whole on several devices back to the default one; what is cut stays where it is."""

    def gather(leaf: jax.Array) -> jax.Array:
        if len(leaf.sharding.device_set) == 1 or not leaf.sharding.is_fully_replicated:
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(gather(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # By way of the host: an array put on a device stays committed to it, and then no other may join in.
        return jax.device_put(jax.device_get(leaf))

    return jax.tree.map(gather, arrays)
