"""A graph as ONNX, by jax2onnx; ONNX Runtime runs it in Python, C++ and elsewhere."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun

from aejax.base import Array, Batch
from aejax.data.formats.libraries import library
from aejax.export.graphs import Graph, as_batch, raw_rows
from aejax.kernels import conv

if TYPE_CHECKING:
    import onnx

_EXTRA, _INPUT = "onnx", "rows"
_SEVERE_ONLY = 3  # of the levels of ONNX Runtime's log


def write(graph: Graph, num_columns: int, path: Path) -> None:
    """Writes a graph for any number of rows.

    Args:
        graph: the Graph.
        num_columns: of the raw rows.
        path: the file.

    Raises:
        ImportError: the extra is not installed.
    """
    rows = raw_rows(num_columns)
    with jax.enable_x64(True):
        prepared = jax.eval_shape(graph.prepare, rows)
        batch = jax.eval_shape(as_batch, prepared)
    results = jax.eval_shape(graph.compute, batch)
    finished = [rows, prepared.is_usable, *(jax.ShapeDtypeStruct(each.shape, np.float64) for each in results)]
    # jax2onnx computes in one precision: what is before the model and behind it are graphs of their own.
    prepare = _part(graph.prepare, [rows], is_double=True)
    compute = _part(lambda *fields: graph.compute(_batch(*fields)), _fields(batch), is_double=False)
    finish = _part(graph.finish, finished, is_double=True)
    path.write_bytes(_joined(prepare, compute, finish, graph.outputs).SerializeToString())


def run(path: Path, rows: np.ndarray) -> list[np.ndarray]:
    """What a written graph makes of raw rows.

    Args:
        path: the file.
        rows: (n, columns) float64.

    Returns:
        The outputs.

    Raises:
        ImportError: the extra is not installed.
    """
    onnxruntime = library("onnxruntime", "ONNX", _EXTRA)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SEVERE_ONLY
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {_INPUT: rows})


def _fields(batch: Batch) -> list[Array]:
    return [field for field in (batch.x, batch.mask, batch.cond) if field is not None]


def _batch(x: Array, mask: Array, cond: Array | None = None) -> Batch:
    return Batch(x, cond=cond, mask=mask)


def _part(function: Callable[..., Any], given: Sequence[Any], is_double: bool) -> "onnx.ModelProto":
    with _quiet(), conv.plain(), jax.enable_x64(is_double):
        jax2onnx = library("jax2onnx", "ONNX", _EXTRA)
        # jax2onnx traces with functions of JAX replaced by its own, which take less: it is given what is traced.
        traced = jaxpr_as_fun(jax.make_jaxpr(function)(*given))
        return jax2onnx.to_onnx(traced, given, enable_double_precision=is_double)


def _joined(
    prepare: "onnx.ModelProto", compute: "onnx.ModelProto", finish: "onnx.ModelProto", outputs: Sequence[str]
) -> "onnx.ModelProto":
    """One model: each part is given what the one before it found, in its own precision."""
    from onnx import checker, compose, helper

    # The model keeps its names: onnx does not give all those inside of nested loops their prefix.
    parts = [compose.add_prefix(prepare, "prepare/"), compute, compose.add_prefix(finish, "finish/")]
    before, model, behind = (part.graph for part in parts)
    rows, is_usable, *fields = (value.name for value in before.output)
    found, named = [value.name for value in model.output], list(zip(behind.output, outputs, strict=True))
    nodes = [
        *_wires([_INPUT], before.input),
        *before.node,
        *_wires(fields, model.input),
        *model.node,
        *_wires([rows, is_usable, *found], behind.input),
        *behind.node,
        *(
            helper.make_node("Identity", [value.name], [name])
            for value, name in zip(behind.output, outputs, strict=True)
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "aejax",
        [_renamed(before.input[0], _INPUT)],
        [_renamed(value, name) for value, name in named],
        [array for part in parts for array in part.graph.initializer],
    )
    made = helper.make_model(graph, opset_imports=parts[0].opset_import, ir_version=parts[0].ir_version)
    checker.check_model(made)
    return made


def _wires(sources: Sequence[str], inputs: Sequence["onnx.ValueInfoProto"]) -> Iterator["onnx.NodeProto"]:
    from onnx import helper

    for source, value in zip(sources, inputs, strict=True):
        yield helper.make_node("Cast", [source], [value.name], to=value.type.tensor_type.elem_type)


def _renamed(value: "onnx.ValueInfoProto", name: str) -> "onnx.ValueInfoProto":
    from onnx import helper

    shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings on what a graph does not need: types of values inside it, layers of other libraries."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
