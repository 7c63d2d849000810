"""Bound coherent scattering lengths of elements and isotopes for neutrons, by periodictable."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# Relative differences of masses. Rounded ones, such as 48 for titanium, are none of an isotope.
_IS_NATURAL, _IS_ISOTOPE, _IS_ODD = 1e-3, 2e-4, 5e-2


class Scatterers(NamedTuple):
    """Nuclei of a cell.

    Attributes:
        mass: (n,) in amu.
        length: (n,) in fm.
    """

    mass: np.ndarray
    length: np.ndarray


def scattering_length(element: str, isotope: int | None = None) -> float:
    """The bound coherent scattering length of an element, averaged over its natural isotopes, or of one isotope.

    Args:
        element: such as ``"Fe"``; ``"D"`` and ``"T"`` as well.
        isotope: mass number; None for the natural mixture.

    Returns:
        In fm. Of strong absorbers, such as gadolinium, the real part at thermal energies.

    Raises:
        ImportError: periodictable is not installed.
        ValueError: none is known.

    Example:
        >>> scattering_length("H"), scattering_length("H", 2)
        (-3.7409, 6.6681)

    Source: Rauch & Waschkowski 2003, in Dianoux & Lander, "ILL Neutron Data Booklet", as periodictable has them.
    """
    length = _nucleus(element, isotope).neutron.b_c
    if length is None:
        name = element if isotope is None else f"{element} {isotope}"
        raise ValueError(f"scattering_lengths: found none for {name}, expected one in fm; give scattering_lengths=")
    return float(length)


def scatterers(
    elements: Sequence[str],
    masses: np.ndarray,
    isotopes: Mapping[str, int] | None = None,
    mass_factors: Mapping[str, float] | None = None,
    scattering_lengths: Mapping[str, float] | None = None,
) -> Scatterers:
    """Masses and scattering lengths of atoms.

    Args:
        elements: of the n atoms.
        masses: (n,) in amu, as a file has them.
        isotopes: by element its mass number.
        mass_factors: by element, what to multiply its mass by.
        scattering_lengths: by element, in fm, in place of the tabulated ones.

    Returns:
        The Scatterers.

    Raises:
        ImportError: periodictable is not installed.
        ValueError: an element without scattering length, or one that no atom is of.

    Warns:
        UserWarning: a mass that is that of an isotope, whose scattering length is then used, or of no isotope.

    Example:
        >>> scatterers(["H", "O"], np.array([1.008, 15.999]), isotopes={"H": 2}).mass.round(3)
        array([ 2.014, 15.999])
    """
    isotopes, mass_factors, lengths = dict(isotopes or {}), mass_factors or {}, scattering_lengths or {}
    for name, given in (("isotopes", isotopes), ("mass_factors", mass_factors), ("scattering_lengths", lengths)):
        absent = sorted(set(given) - set(elements))
        if absent:
            raise ValueError(f"{name}: found {', '.join(absent)}, expected some of {', '.join(sorted(set(elements)))}")
    atoms = list(zip(elements, map(float, masses), strict=True))
    found = {atom: _scatterer(*atom, isotopes.get(atom[0]), lengths.get(atom[0])) for atom in dict.fromkeys(atoms)}
    mass, length = np.array([found[atom] for atom in atoms]).T
    return Scatterers(mass * np.array([mass_factors.get(element, 1.0) for element in elements]), length)


def _scatterer(element: str, mass: float, isotope: int | None, length: float | None) -> tuple[float, float]:
    if isotope is not None:
        nucleus = _nucleus(element, isotope)
        return nucleus.mass, scattering_length(element, isotope) if length is None else length
    if length is not None:
        return mass, length
    return mass, scattering_length(element, _isotope_of(element, mass))


def _isotope_of(element: str, mass: float) -> int | None:
    """The isotope that a mass is of; None where it is that of the element."""
    natural = _nucleus(element, None)
    if abs(mass / natural.mass - 1) < _IS_NATURAL:
        return None
    for one in getattr(natural, "isotopes", ()):
        nucleus = natural[one]
        if nucleus.neutron.b_c is not None and abs(mass / nucleus.mass - 1) < _IS_ISOTOPE:
            warnings.warn(
                f"{element}: its mass, {mass:g}, is that of isotope {one}, whose scattering length is used, "
                f"{nucleus.neutron.b_c:g} fm; scattering_lengths= gives another one",
                stacklevel=5,
            )
            return int(one)
    if abs(mass / natural.mass - 1) > _IS_ODD:
        warnings.warn(
            f"{element}: its mass, {mass:g}, is neither that of the element, {natural.mass:g}, nor of an isotope; the "
            f"scattering length of the element is used; isotopes= or scattering_lengths= gives another one",
            stacklevel=5,
        )
    return None


@functools.cache
def _nucleus(element: str, isotope: int | None) -> Any:
    try:
        import periodictable
    except ImportError as error:
        raise ImportError('scattering lengths need periodictable: pip install "aejax[phonons]"') from error
    try:
        natural = periodictable.elements.symbol(element)
        return natural if isotope is None else natural[isotope]
    except (ValueError, KeyError) as error:
        name = element if isotope is None else f"{element} {isotope}"
        raise ValueError(
            f"scattering_lengths: found {name}, which is no element or isotope; give its length"
        ) from error
