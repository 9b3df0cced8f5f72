"""MATLAB files, read and written by libraries of the extra `science`: scipy up to version 7, h5py from 7.3 on."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import replacing
from engine.language import tr
from engine.reading import ImageError, foreign_errors


def read_mat(path: Path, *names: str) -> Any:
    """All variables by name, one of them, or a field of one: `read_mat(path, "info", "boundingboxes")`.

    Numbers come as an array with MATLAB's order of axes, cells as a list, column by column, a structure as a dict and
    several as a list of dicts. Nothing in the file is executed.

    Raises:
        ImageError: the file cannot be read, has no such variable, or needs a library that is not installed.
    """
    with foreign_errors(path, tr("cannot be read as a MATLAB file")):
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
            with _library("h5py", path).File(path) as file:
                return _of_hdf5(_descend(path, file, names), file)
        found = _library("scipy.io", path).loadmat(path)
        return _descend(path, {name: _of_scipy(found[name]) for name in found if not name.startswith("__")}, names)


def write_mat(path: Path, variables: Mapping[str, Any]) -> None:
    """Write a file of MATLAB's version 5; arrays of objects become cells. ImageError if scipy is not installed."""
    library = _library("scipy.io", path)
    with replacing(path) as partial:
        library.savemat(partial, dict(variables), appendmat=False, do_compression=True)


def cells(values: Iterable[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays, row by row, as an array of objects: what `write_mat` writes as cells."""
    made = np.empty(shape, object)
    for place, value in zip(np.ndindex(shape), values, strict=True):
        made[place] = value
    return made


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ImageError(
            tr("{name} needs {package}, which comes with the extra pellucid[science]").format(
                name=path.name, package=package
            )
        ) from None


def _descend(path: Path, value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if not hasattr(value, "keys") or name not in value:
            known = [key for key in value if not key.startswith("#")] if hasattr(value, "keys") else []
            raise ImageError(
                tr("{name} has no variable {variable}; it has {known}").format(
                    name=path.name, variable=name, known=", ".join(known) or tr("none")
                )
            )
        value = value[name]
    return value


def _of_scipy(value: np.ndarray) -> Any:
    if value.dtype.names:
        made = [{name: _of_scipy(item[name]) for name in value.dtype.names} for item in value.ravel("F")]
        return made[0] if len(made) == 1 else made
    return [_of_scipy(item) for item in value.ravel("F")] if value.dtype == object else value


def _of_hdf5(value: Any, file: Any) -> Any:
    if hasattr(value, "keys"):
        made = {name: _of_hdf5(value[name], file) for name in value if not name.startswith("#")}
        # Cells have a class; where all fields are references without one, they hold those of several structures.
        if value.name == "/" or any(
            not isinstance(made[name], list) or "MATLAB_class" in value[name].attrs for name in made
        ):
            return made
        return [dict(zip(made, fields, strict=True)) for fields in zip(*made.values(), strict=True)]
    array = value[()]
    if value.attrs.get("MATLAB_empty"):
        return np.zeros(tuple(int(side) for side in array))
    if array.dtype == object:
        return [_of_hdf5(file[reference], file) for reference in array.ravel()]
    # MATLAB writes its columns first, so the axes lie in reverse.
    return array.T
