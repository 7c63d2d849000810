"""Powder maps S(Q, E) of coherent one-phonon neutron scattering, computed from force constants."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aejax.artefacts.outside import reading
from aejax.base import ArrayLike
from aejax.simulate.scattering import scatterers

if TYPE_CHECKING:
    from phonopy import Phonopy

_MEV_PER_THZ = 4.135667696
_MEV_PER_KELVIN = 0.0861733326
_HBAR_SQUARED = 4.1801593  # meV Å² amu
_LEAST_ENERGY = 1.0  # meV: softer modes, and those of imaginary frequency, scatter into the elastic line or not at all
_NUM_ZONE_POINTS = 300
_PLACE = re.compile(r"coordinates:\s*\[([^\]]*)\]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FARTHEST = 1e3  # shares of an edge of the cell


class Modes(NamedTuple):
    """Phonons of a powder at each momentum transfer; temperature and force-constant scale are still open.

    Attributes:
        momentum: (q,) in 1/Å.
        energy: (q, d, m) in meV, of m modes in d directions; negative where the frequency is imaginary.
        amplitude: (q, d, n, m) complex64, b_i / sqrt(M_i) Q·e_i in fm/(Å amu^1/2), of the n atoms of a primitive cell.
        mass: (n,) in amu.
        zone_energy: (z, m) in meV, at points of the Brillouin zone drawn evenly.
        zone_share: (z, n, m), |e_i|² there.
        properties: of the crystal, by name; see ``phonon_modes``.
    """

    momentum: np.ndarray
    energy: np.ndarray
    amplitude: np.ndarray
    mass: np.ndarray
    zone_energy: np.ndarray
    zone_share: np.ndarray
    properties: dict[str, float]


def read_force_constants(path: str | Path, calculator: str | None = None) -> "Phonopy":
    """A crystal from a self-contained phonopy file, compressed or not.

    Lengths and force constants are in the units of the calculator that the file names: bohr and rydberg for Quantum
    ESPRESSO, say.

    Args:
        path: of a ``phonopy_params.yaml`` file with force constants, or with displacements and forces; ``.xz`` as well.
        calculator: as phonopy calls it, such as ``"qe"`` or ``"abinit"``, in place of the one that the file names.

    Returns:
        The ``phonopy.Phonopy`` object, without its correction for long-range dipoles (see ``powder_map``).

    Raises:
        ImportError: phonopy is not installed.
        FileNotFoundError: no such file.
        ValueError: a file without force constants, an unknown calculator, or lengths in a unit that is not the
            calculator's.
    """
    try:
        import phonopy
        from phonopy.interface.calculator import calculator_info
    except ImportError as error:
        raise ImportError('reading force constants needs phonopy: pip install "aejax[phonons]"') from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if calculator is not None and calculator not in calculator_info:
        raise ValueError(f"calculator: found {calculator!r}, expected one of {', '.join(sorted(calculator_info))}")
    with reading(path):
        _check_places(path)
        try:
            crystal = phonopy.load(str(path), log_level=0, calculator=calculator)
        except ValueError as error:
            if "physical_unit" not in str(error):
                raise
            raise ValueError(
                f"{path}: physical_unit: found {' '.join(str(error).splitlines()[1:])}, expected the units of the "
                'calculator; write the right one under "phonopy:", such as "calculator: qe"'
            ) from error
        if crystal.force_constants is None:
            raise ValueError(f"{path}: found no force constants, expected them or displacements with forces")
    crystal.nac_params = None
    return crystal


def _check_places(path: str | Path) -> None:
    """Refuses atoms far outside their cell, on which the search for symmetries takes a minute before it gives up."""
    from phonopy.file_IO import get_io_module_to_decompress

    with get_io_module_to_decompress(path).open(path, "rt") as file:
        for line in file:
            if found := _PLACE.search(line):
                farthest = max((abs(float(number)) for number in _NUMBER.findall(found[1])), default=0.0)
                if not farthest <= _FARTHEST:
                    raise ValueError(
                        f"{path}: coordinates: found {found[1].strip()}, expected shares of the edges of the cell, at "
                        f"most {_FARTHEST:g}"
                    )


def phonon_modes(
    crystal: "Phonopy",
    momentum: ArrayLike,
    *,
    num_directions: int = 100,
    seed: int = 0,
    isotopes: Mapping[str, int] | None = None,
    mass_factors: Mapping[str, float] | None = None,
    scattering_lengths: Mapping[str, float] | None = None,
) -> Modes:
    """Diagonalises the dynamical matrix at momentum transfers of given lengths in directions all over the sphere.

    The directions are a Fibonacci lattice, turned at random for each length. Scattering lengths are those of the
    natural elements, or of the isotopes that ``isotopes`` names or whose mass an atom has. ``mass_factors`` and
    ``scattering_lengths`` make stand-ins for other elements with the same force constants.

    Args:
        crystal: from ``read_force_constants``.
        momentum: (q,) in 1/Å.
        num_directions: d; a cell of many atoms needs fewer, as its many modes average as well.
        seed: of the turns and of the points in the zone.
        isotopes: by element the mass number, such as ``{"H": 2}``: mass and scattering length are then its own.
        mass_factors: by element, what to multiply its mass by.
        scattering_lengths: by element, in fm, in place of the tabulated ones.

    Returns:
        The Modes. Their ``properties`` are what a map may be predicted from: ``mean_mass`` (amu), ``light_mass`` and
        ``heavy_mass``, ``volume_per_atom`` (Å³), ``atoms_per_cell``, ``mean_length`` (fm) and ``length_spread`` of the
        scattering lengths, ``rms_energy`` (meV, the root of the mean squared energy), ``max_energy``, and
        ``acoustic_share``, the share of modes below half the largest energy.

    Raises:
        ImportError: periodictable is not installed.
        ValueError: an element without scattering length, or one that the crystal does not have.

    Warns:
        UserWarning: the mass of an atom is that of an isotope, or far from that of its element.
    """
    cell, symbols = _cell_in_angstrom(crystal), [_element(symbol) for symbol in crystal.primitive.symbols]
    given_mass = np.array(crystal.primitive.masses, float)
    nuclei = scatterers(symbols, given_mass, isotopes, mass_factors, scattering_lengths)
    mass, b = nuclei.mass, nuclei.length
    momentum, rng = np.asarray(momentum, float), np.random.default_rng(seed)
    sphere = _directions(num_directions)
    vectors = np.stack([length * sphere @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for length in momentum])
    crystal.masses = mass
    try:
        energy, eigenvectors = _diagonalise(crystal, vectors.reshape(-1, 3) @ cell.T / (2 * np.pi))
        zone_energy, zone_vectors = _diagonalise(crystal, rng.random((_NUM_ZONE_POINTS, 3)))
    finally:
        crystal.masses = given_mass
    num_atoms, num_modes = len(symbols), energy.shape[1]
    # Eigenvectors carry the phases of atoms at their places, so that for q = Q no phase is left.
    vectors_of_atoms = eigenvectors.reshape(len(energy), num_atoms, 3, num_modes)
    projected = np.einsum("pa,piam->pim", vectors.reshape(-1, 3), vectors_of_atoms)
    amplitude = (projected * (b / np.sqrt(mass))[:, None]).astype(np.complex64)
    share = np.sum(np.abs(zone_vectors.reshape(_NUM_ZONE_POINTS, num_atoms, 3, num_modes)) ** 2, axis=2)
    positive = np.maximum(zone_energy, 0)
    largest = positive.max()
    properties = {
        "mean_mass": mass.mean(),
        "light_mass": mass.min(),
        "heavy_mass": mass.max(),
        "volume_per_atom": abs(np.linalg.det(cell)) / num_atoms,
        "atoms_per_cell": num_atoms,
        "mean_length": b.mean(),
        "length_spread": b.std(),
        "rms_energy": np.sqrt(np.mean(positive**2)),
        "max_energy": largest,
        "acoustic_share": np.mean(positive < largest / 2),
    }
    shape = (len(momentum), num_directions)
    return Modes(
        momentum=momentum,
        energy=energy.reshape(*shape, num_modes),
        amplitude=amplitude.reshape(*shape, num_atoms, num_modes),
        mass=mass,
        zone_energy=zone_energy,
        zone_share=share,
        properties={name: float(value) for name, value in properties.items()},
    )


def powder_map(
    modes: Modes,
    energy: ArrayLike,
    *,
    temperature: float,
    force_constant_scale: float = 1.0,
    resolution: float = 2.5,
    debye_waller: bool = True,
) -> np.ndarray:
    """S(Q, E) of a powder: coherent scattering that creates one phonon, in the harmonic approximation.

    For each direction of Q and each mode s of energy E_s (Squires 1978, eq. 3.120, cross section over k'/k)

        S(Q, E) = 1/N |sum_i b_i / sqrt(M_i) exp(-W_i) (Q·e_is)|² ħ² / (2 E_s) (n(E_s) + 1) δ(E - E_s),

    averaged over directions, per atom of a cell of N, with the Bose factor n, and

        W_i = Q² <u_i²> / 6,   <u_i²> = ħ² / (2 M_i) <sum_s |e_is|² / E_s coth(E_s / 2 k T)>

    over the Brillouin zone. Force constants times f stretch all energies by sqrt(f) and leave the modes as they are.
    The delta function becomes a Gaussian of one width. Left out: several phonons at a time, incoherent and elastic
    scattering, absorption of phonons (E < 0), magnetism, neutron absorption, self-shielding and multiple scattering,
    anharmonic shifts and widths, the splitting of longitudinal optic modes by long-range dipoles, and an instrument's
    resolution beyond one width. Modes under 1 meV, imaginary ones among them, are left out too.

    Args:
        modes: from ``phonon_modes``.
        energy: (e,) evenly spaced centres of bins, in meV.
        temperature: in K.
        force_constant_scale: f.
        resolution: standard deviation of the Gaussian in meV.
        debye_waller: whether the factors exp(-W) are in it.

    Returns:
        (q, e) float32, in fm² per meV and atom.

    Raises:
        ValueError: a temperature, scale or resolution that is not positive.
    """
    for name, value in (("temperature", temperature), ("force_constant_scale", force_constant_scale)):
        if not value > 0:
            raise ValueError(f"{name}: found {value}, expected a positive number")
    if not resolution > 0:
        raise ValueError(f"resolution: found {resolution}, expected a positive number of meV")
    energy, thermal = np.asarray(energy, float), _MEV_PER_KELVIN * temperature
    stretch = np.sqrt(force_constant_scale)
    weight = np.ones((len(modes.momentum), len(modes.mass)), np.float32)
    if debye_waller:
        zone = np.where(modes.zone_energy * stretch > _LEAST_ENERGY, modes.zone_energy * stretch, np.inf)
        squares = np.einsum("zim,zm->i", modes.zone_share, 1 / (zone * np.tanh(zone / (2 * thermal)))) / len(zone)
        displacement = _HBAR_SQUARED / (2 * modes.mass) * squares
        weight = np.exp(-np.square(modes.momentum)[:, None] * displacement / 6).astype(np.float32)
    factor = np.abs(np.einsum("qi,qdim->qdm", weight, modes.amplitude)) ** 2
    place = modes.energy * stretch
    scatters = place > _LEAST_ENERGY
    safe = np.where(scatters, place, 1.0)
    strength = np.where(scatters, factor * _HBAR_SQUARED / (2 * safe) / -np.expm1(-safe / thermal), 0)
    strength /= modes.energy.shape[1] * len(modes.mass)
    # A histogram of bins much narrower than the Gaussian, then one product with it.
    width = min(resolution / 8, (energy[1] - energy[0]) / 4)
    edges = np.arange(0, max(float(energy[-1]) + 5 * resolution, width) + width, width)
    fine = np.stack(
        [np.histogram(at, edges, weights=of)[0] for at, of in zip(_rows(safe), _rows(strength), strict=True)]
    )
    centres = (edges[1:] + edges[:-1]) / 2
    gaussian = np.exp(-0.5 * np.square((centres[:, None] - energy) / resolution)) / (resolution * np.sqrt(2 * np.pi))
    return (fine @ gaussian).astype(np.float32)


def map_properties(crystal: Mapping[str, float], temperature: ArrayLike, force_constant_scale: ArrayLike) -> np.ndarray:
    """Columns to predict maps of one crystal from: its properties, temperature and force-constant scale.

    What is positive enters as a logarithm, and energies as the force constants stretch them, since that is what a map
    shows; k T comes in units of the largest energy as well.

    Args:
        crystal: ``Modes.properties``.
        temperature: (n,) in K.
        force_constant_scale: (n,).

    Returns:
        (n, 13).

    Example:
        >>> names = ("mean_mass", "light_mass", "heavy_mass", "volume_per_atom", "atoms_per_cell", "rms_energy")
        >>> crystal = dict.fromkeys((*names, "max_energy", "mean_length", "length_spread", "acoustic_share"), 1.0)
        >>> map_properties(crystal, [100, 300], [1, 1]).shape
        (2, 13)
    """
    temperature, stretch = np.asarray(temperature, float), np.sqrt(np.asarray(force_constant_scale, float))
    positive = ("mean_mass", "light_mass", "heavy_mass", "volume_per_atom", "atoms_per_cell")
    largest = crystal["max_energy"] * stretch
    varying = [
        np.log(largest),
        np.log(crystal["rms_energy"] * stretch),
        np.log(temperature),
        np.log(_MEV_PER_KELVIN * temperature / largest),
        stretch,
    ]
    fixed = [np.log(crystal[name]) for name in positive]
    fixed += [crystal[name] for name in ("mean_length", "length_spread", "acoustic_share")]
    return np.stack([*varying, *(np.full(len(temperature), value) for value in fixed)], axis=1)


def _cell_in_angstrom(crystal: "Phonopy") -> np.ndarray:
    """(3, 3) vectors of the primitive cell, which phonopy has in the unit of the calculator."""
    from phonopy.physical_units import get_calculator_physical_units

    return np.asarray(crystal.primitive.cell) * get_calculator_physical_units(crystal.calculator).distance_to_A


def _element(symbol: str) -> str:
    """The element of an atom that phonopy labels by it and a number, as in Fe1."""
    return symbol.rstrip("0123456789")


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def _directions(num: int) -> np.ndarray:
    """A Fibonacci lattice on the sphere: unit vectors, each with about the same area around it."""
    index = np.arange(num) + 0.5
    height, angle = 1 - 2 * index / num, np.pi * (1 + np.sqrt(5)) * index
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def _diagonalise(crystal: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies in meV and eigenvectors at points given in the reciprocal lattice."""
    crystal.run_qpoints(points, with_eigenvectors=True)
    result = crystal.qpoints
    return np.asarray(result.frequencies) * _MEV_PER_THZ, np.asarray(result.eigenvectors)
