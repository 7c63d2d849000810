import numpy as np
import pytest

from aejax.simulate.scattering import scatterers, scattering_length

pytest.importorskip("periodictable")


@pytest.mark.parametrize(
    ("element", "isotope", "length"),
    # Sears 1992, Neutron News 3, 26, in fm.
    [
        ("Ni", None, 10.3),
        ("V", None, -0.3824),
        ("H", 2, 6.671),
        ("Fe", None, 9.45),
        ("U", None, 8.417),
        ("Li", 7, -2.22),
    ],
)
def test_lengths_are_those_of_sears(element, isotope, length):
    assert scattering_length(element, isotope) == pytest.approx(length, abs=0.09)


def test_isotopes_have_their_own_mass_and_length():
    found = scatterers(["H", "O", "H"], np.array([1.008, 15.999, 1.008]), isotopes={"H": 2})
    np.testing.assert_allclose(found.mass, [2.0141, 15.999, 2.0141], atol=1e-3)
    np.testing.assert_allclose(found.length, [6.668, 5.805, 6.668], atol=5e-3)


def test_a_mass_says_which_isotope_an_atom_is():
    with pytest.warns(
        UserWarning, match=r"H: its mass, 2\.014, is that of isotope 2, whose .* is used, 6\.668"
    ) as said:
        found = scatterers(["H"] * 8, np.full(8, 2.014))
    assert len(said) == 1
    assert found.length[0] == scattering_length("H", 2)
    with pytest.warns(UserWarning, match="neither that of the element"):
        assert scatterers(["H"], np.array([4.0])).length[0] == scattering_length("H")


@pytest.mark.parametrize(("element", "mass"), [("Ti", 48.0), ("Si", 28.0), ("O", 16.0), ("C", 12.0), ("W", 183.95)])
def test_a_rounded_mass_is_that_of_the_element(element, mass):
    assert scatterers([element], np.array([mass])).length[0] == scattering_length(element)


def test_what_is_given_comes_before_what_is_tabulated():
    found = scatterers(["Po", "O"], np.array([209.0, 15.999]), None, {"O": 2.0}, {"Po": 1.5})
    assert found.length[0] == 1.5
    assert found.mass[1] == pytest.approx(31.998)
    with pytest.raises(ValueError, match="found none for Po, expected one in fm; give scattering_lengths="):
        scatterers(["Po"], np.array([209.0]))
    with pytest.raises(ValueError, match="isotopes: found D, expected some of H, O"):
        scatterers(["H", "O"], np.array([1.008, 15.999]), {"D": 2})
    with pytest.raises(ValueError, match="found Xx, which is no element"):
        scattering_length("Xx")
    with pytest.raises(ValueError, match="found H 9"):
        scattering_length("H", 9)
