import re

import numpy as np
import pytest

from aejax.simulate.phonons import map_properties, phonon_modes, powder_map, read_force_constants
from aejax.simulate.scattering import scattering_length
from tests.real_data import FOLDER as DATA
from tests.real_data import present

FOLDER = DATA / "neutron"
ENERGY = np.arange(1, 192, 2.0)


def real(name):
    path = present(FOLDER / "force_constants" / f"{name}.yaml.xz")
    pytest.importorskip("phonopy")
    return read_force_constants(path)


@pytest.fixture(scope="module")
def diamond():
    crystal = real("C2_diamond")
    return phonon_modes(crystal, np.linspace(0.25, 8, 48), num_directions=40)


def test_a_map_given_is_computed_again():
    """The maps of the data folder: no Debye-Waller factor, resolution near 2.5 meV, other directions, a factor 0.95.

    Below some 10 meV a map depends on which directions pass close to a reciprocal lattice point: 1 / E² is large there.
    """
    crystal = real("CaHgO2_CaHgO2")
    file = np.load(FOLDER / "sqe_maps.npz")
    index = np.flatnonzero(file["crystal"] == "CaHgO2_CaHgO2")[0]
    scale, temperature = map(float, file["fc_scale_T"][index])
    modes = phonon_modes(crystal, file["Q"])
    ours = powder_map(modes, file["E"], temperature=temperature, force_constant_scale=scale, debye_waller=False)
    high = file["E"] > 10
    given, ours = file["S"][index][:, high], 0.95 * ours[:, high]
    assert abs(given.sum() / ours.sum() - 1) < 0.03
    assert np.sum((given - ours) ** 2) < 0.03 * np.sum(given**2)


def test_force_constants_stretch_energies_and_warmth_weakens_large_momenta(diamond):
    cold, stiff, hot = (
        powder_map(diamond, ENERGY, temperature=temperature, force_constant_scale=scale)
        for temperature, scale in ((10, 1.0), (10, 1.1), (1500, 1.0))
    )
    top = [ENERGY[np.flatnonzero(image.sum(axis=0) > 1e-3 * image.sum())[-1]] for image in (cold, stiff)]
    assert abs(top[1] / top[0] - np.sqrt(1.1)) < 0.03
    bare = powder_map(diamond, ENERGY, temperature=1500, debye_waller=False)
    ratio = hot.sum(axis=1) / bare.sum(axis=1)
    assert ratio[0] > 0.99
    assert np.all(np.diff(ratio[::8]) < 0)


def test_detailed_balance_of_the_bose_factor(diamond):
    """S(E, T) / S(E, 0) = n(E) + 1 at each momentum."""
    warm, cold = (powder_map(diamond, ENERGY, temperature=t, debye_waller=False) for t in (1000, 1e-3))
    factor = 1 / -np.expm1(-ENERGY / (0.0861733 * 1000))
    high = ENERGY > 40  # where the factor changes little over the width of the Gaussian
    np.testing.assert_allclose(warm[:, high].sum(axis=1)[8:], (cold * factor)[:, high].sum(axis=1)[8:], rtol=0.02)


def test_heavier_atoms_are_slower():
    crystal = real("C2_diamond")
    light, heavy = (
        phonon_modes(crystal, [1.0, 2.0], num_directions=5, mass_factors={"C": factor}) for factor in (1, 4)
    )
    np.testing.assert_allclose(light.energy, 2 * heavy.energy, rtol=1e-4, atol=1e-3)
    assert light.properties["max_energy"] == pytest.approx(2 * heavy.properties["max_energy"], rel=1e-4)
    assert map_properties(light.properties, [100, 300], [1, 1.1]).shape == (2, 13)


def saved_as(crystal, calculator, path):
    """The crystal in a phonopy file in the units of another calculator."""
    from phonopy import Phonopy
    from phonopy.physical_units import get_calculator_physical_units
    from phonopy.structure.atoms import PhonopyAtoms

    theirs, ours = (get_calculator_physical_units(name) for name in (calculator, crystal.calculator))
    cell = crystal.unitcell
    other = Phonopy(
        PhonopyAtoms(cell.symbols, cell=cell.cell / theirs.distance_to_A, scaled_positions=cell.scaled_positions),
        crystal.supercell_matrix,
        primitive_matrix=crystal.primitive_matrix,
        calculator=calculator,
    )
    other.force_constants = crystal.force_constants * (ours.factor / theirs.factor) ** 2
    other.save(path, settings={"force_constants": True})
    return path


def calculators():
    try:
        from phonopy.interface.calculator import calculator_info
    except ImportError:
        return []
    return sorted(calculator_info)


@pytest.mark.parametrize("calculator", calculators())
def test_lengths_are_in_the_unit_of_the_calculator(calculator, tmp_path):
    crystal = real("C2_diamond")
    expected = phonon_modes(crystal, [1.0, 2.0], num_directions=5)
    again = read_force_constants(saved_as(crystal, calculator, tmp_path / "phonopy.yaml"))
    found = phonon_modes(again, [1.0, 2.0], num_directions=5)
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-3)
    assert found.properties["volume_per_atom"] == pytest.approx(5.698, abs=1e-3)


def test_units_without_their_calculator_are_refused(tmp_path):
    path = saved_as(real("C2_diamond"), "qe", tmp_path / "phonopy.yaml")
    text = path.read_text().replace("  calculator: qe\n", "")
    path.write_text(text)
    with pytest.raises(ValueError, match=r'found YAML: length_unit = au .* such as "calculator: qe"'):
        read_force_constants(path)
    begin, end = text.index("physical_unit:"), text.index("space_group:")
    path.write_text(text[:begin] + text[end:])
    modes = phonon_modes(read_force_constants(path, "qe"), [1.0], num_directions=3)
    assert modes.properties["volume_per_atom"] == pytest.approx(5.698, abs=1e-3)
    with pytest.raises(ValueError, match="calculator: found 'espresso', expected one of abacus, "):
        read_force_constants(path, "espresso")


def test_atoms_far_outside_their_cell_are_refused_before_symmetries_are_sought(tmp_path):
    """The search took a minute and said nothing of the number."""
    path = saved_as(real("C2_diamond"), "vasp", tmp_path / "phonopy.yaml")
    text = re.sub(r"coordinates: \[[^,]*,", "coordinates: [ -1e+308,", path.read_text(), count=1)
    path.write_text(text)
    with pytest.raises(ValueError, match=r"coordinates: found -1e\+308, .*, expected shares of the edges of the cell"):
        read_force_constants(path)


def test_isotopes_scatter_and_weigh_as_themselves():
    crystal = real("C2_diamond")
    natural, heavy = (phonon_modes(crystal, [1.0], num_directions=3, isotopes=given) for given in (None, {"C": 13}))
    np.testing.assert_allclose(heavy.energy, natural.energy * np.sqrt(12.0107 / 13.00335), rtol=1e-4, atol=1e-3)
    for modes, isotope in ((natural, None), (heavy, 13)):
        assert modes.properties["mean_length"] == pytest.approx(scattering_length("C", isotope))


def test_bad_input_is_named(diamond, tmp_path):
    with pytest.raises(ValueError, match="temperature: found 0"):
        powder_map(diamond, ENERGY, temperature=0)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_force_constants(tmp_path / "nothing.yaml")
