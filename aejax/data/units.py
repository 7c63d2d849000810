"""Units of the axes of maps: energies in meV, momenta in 1/Å."""

MEV: dict[str, float] = {
    "meV": 1.0,
    "ueV": 1e-3,
    "eV": 1e3,
    "THz": 4.135667696,
    "GHz": 4.135667696e-3,
    "cm-1": 0.12398419843,
    "K": 0.08617333262,
    "kJ/mol": 10.364269656,
    "Ry": 13605.693123,
    "hartree": 27211.386246,
}
"""What one of a unit of energy is in meV (CODATA 2018)."""

PER_ANGSTROM: dict[str, float] = {"1/angstrom": 1.0, "1/nm": 0.1, "1/bohr": 1 / 0.529177210903}
"""What one of a unit of momentum transfer is in 1/Å."""

# As Mantid, Euphonic (Pint) and people write them, without spaces.
_OTHER_NAMES = {
    "deltae": "meV",
    "millielectron_volt": "meV",
    "millielectronvolt": "meV",
    "mev": "meV",
    "microelectron_volt": "ueV",
    "µev": "ueV",
    "μev": "ueV",
    "uev": "ueV",
    "electron_volt": "eV",
    "electronvolt": "eV",
    "ev": "eV",
    "terahertz": "THz",
    "thz": "THz",
    "deltae_infrequency": "GHz",
    "gigahertz": "GHz",
    "ghz": "GHz",
    "deltae_inwavenumber": "cm-1",
    "reciprocal_centimeter": "cm-1",
    "1/centimeter": "cm-1",
    "1/cm": "cm-1",
    "cm^-1": "cm-1",
    "cm**-1": "cm-1",
    "invcm": "cm-1",
    "kelvin": "K",
    "k": "K",
    "kilojoule/mole": "kJ/mol",
    "rydberg": "Ry",
    "ry": "Ry",
    "ha": "hartree",
    "momentumtransfer": "1/angstrom",
    "1/å": "1/angstrom",
    "1/a": "1/angstrom",
    "å^-1": "1/angstrom",
    "å-1": "1/angstrom",
    "a^-1": "1/angstrom",
    "angstrom^-1": "1/angstrom",
    "angstrom**-1": "1/angstrom",
    "invangstrom": "1/angstrom",
    "1/ang": "1/angstrom",
    "1/nanometer": "1/nm",
    "nm^-1": "1/nm",
    "nm-1": "1/nm",
    "bohr^-1": "1/bohr",
    "bohr-1": "1/bohr",
    "1/au": "1/bohr",
}


def unit(name: str, known: dict[str, float], field: str) -> str:
    """The unit that a name stands for.

    Args:
        name: as a file or a person writes it.
        known: ``MEV`` or ``PER_ANGSTROM``.
        field: whose unit it is, for the message.

    Returns:
        A key of ``known``.

    Raises:
        ValueError: none of them.

    Example:
        >>> unit("1 / centimeter", MEV, "E"), unit("Å^-1", PER_ANGSTROM, "Q")
        ('cm-1', '1/angstrom')
    """
    # MeV, of nuclear physics, is a thousand million times meV.
    plain = name.strip().replace(" ", "")
    found = plain if plain in known else _OTHER_NAMES.get(plain.lower().replace("ångström", "angstrom"), "")
    if found not in known or plain == "MeV":
        raise ValueError(f"{field}: found the unit {name!r}, expected one of {', '.join(known)}")
    return found
