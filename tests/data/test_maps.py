"""Files of maps: written with h5py and JSON as instruments and codes write them, and read back."""

import json
import warnings

import numpy as np
import pytest

from aejax.data.formats.map_files.registry import Maps
from aejax.data.formats.maps import MAP_FORMATS, check_axis, check_writing, read_maps, write_maps
from aejax.data.units import MEV, PER_ANGSTROM

MOMENTUM, ENERGY = np.linspace(1, 3, 5), np.arange(2.0, 20, 2)
RNG = np.random.default_rng(0)
VALUES = RNG.random((2, 5, 9))
ERRORS = RNG.uniform(0.1, 0.2, VALUES.shape)
CONSTANT = 2.0721248  # ħ² / 2m of the neutron in meV Å²


def npz(path, **change):
    np.savez(path, **{"S": VALUES, "Q": MOMENTUM, "E": ENERGY} | change)
    return path


def quietly(*paths, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_maps(paths, **options)


def edges(axis):
    half = (axis[1] - axis[0]) / 2
    return np.append(axis - half, axis[-1] + half)


def mantid(path, *, turned=False, units=(b"DeltaE", b"MomentumTransfer"), values=VALUES, errors=ERRORS, **extra):
    """As SofQW leaves it: X the energy, the other axis the momentum, both as edges of bins."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for index, (one, error) in enumerate(zip(values, errors, strict=True), 1):
            group = file.create_group(f"mantid_workspace_{index}/workspace")
            for name, array in {"values": one, "errors": error, **extra}.items():
                group[name] = array.T if turned and name in ("values", "errors") else array
            axes = list(zip((edges(ENERGY), edges(MOMENTUM)), units, strict=True))
            for number, (axis, unit) in enumerate(axes[::-1] if turned else axes, 1):
                group[f"axis{number}"] = axis
                group[f"axis{number}"].attrs["units"] = unit
            file[f"mantid_workspace_{index}/title"] = [b"kept"]
    return path


def nxspe(path, values, *, incident=60.0, polar=None, energy=ENERGY, scaled=1, errors=None, fermi=True, **info):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        entry = file.create_group("sample")
        entry["definition"] = [b"NXSPE"]
        information = {"fixed_energy": [incident], "ki_over_kf_scaling": [scaled], "psi": [np.nan]} | info
        for name, value in information.items():
            entry[f"NXSPE_info/{name}"] = value
        entry["instrument/name"] = [b"any"]
        if fermi:
            entry["instrument/fermi/energy"] = [incident]
        data = entry.create_group("data")
        data["data"], data["error"] = values, np.ones_like(values) if errors is None else errors
        data["energy"], data["polar"] = edges(energy), polar
        data["energy"].attrs["units"] = b"meV"
    return path


def momentum_of(incident, polar, energy=ENERGY):
    before, after = np.sqrt(incident / CONSTANT), np.sqrt((incident - energy) / CONSTANT)
    return np.sqrt(before**2 + after**2 - 2 * before * after * np.cos(np.radians(polar))[:, None])


@pytest.mark.parametrize("name", ["NPZ", "Mantid's NeXus", "Euphonic JSON"])
def test_maps_come_back_as_they_were_written(name, tmp_path):
    pytest.importorskip("h5py")
    ending = next(one.endings[0] for one in MAP_FORMATS if one.name == name)
    given = VALUES.copy()
    given[0, 1, 2] = np.nan
    has_errors = name != "Euphonic JSON"
    maps = Maps(given, MOMENTUM, ENERGY, ERRORS if has_errors else None)
    write_maps(tmp_path / f"maps{ending}", maps)
    found = read_maps(tmp_path / f"maps{ending}")
    np.testing.assert_array_equal(found.values, given)
    np.testing.assert_array_equal(found.momentum, MOMENTUM)
    np.testing.assert_array_equal(found.energy, ENERGY)
    if has_errors:
        np.testing.assert_array_equal(found.errors, ERRORS)
    else:
        assert found.errors is None


def test_the_content_decides_the_format(tmp_path):
    path = mantid(tmp_path / "maps.nxs")
    path.rename(tmp_path / "maps.dat")
    assert quietly(tmp_path / "maps.dat").values.shape == (2, 5, 9)


@pytest.mark.parametrize(
    ("turned", "spectra", "bins", "masked"),
    [
        (False, [[1, 0], [3, 2]], [2, 5, 0], {(1, 2), (1, 5), (3, 0)}),
        (True, [[2, 0], [4, 2]], [1, 3, 0], {(1, 2), (3, 2), (0, 4)}),
    ],
)
def test_mantid_edges_masks_and_untouched_pixels(tmp_path, turned, spectra, bins, masked):
    values, errors = VALUES[:1].copy(), ERRORS[:1].copy()
    values[0, 4, 8] = errors[0, 4, 8] = 0
    masks = {"masked_spectra": spectra, "masked_bins": bins, "mask_weights": [1.0] * 3}
    path = mantid(tmp_path / "a.nxs", turned=turned, values=values, errors=errors, **masks)
    found = read_maps(path)
    np.testing.assert_allclose(found.momentum, MOMENTUM)
    np.testing.assert_allclose(found.energy, ENERGY)
    missing = np.isnan(found.values[0])
    assert set(map(tuple, np.argwhere(missing))) == masked | {(4, 8)}
    np.testing.assert_array_equal(found.values[0][~missing], values[0][~missing])
    np.testing.assert_array_equal(found.errors[0], errors[0])


def test_mantid_counts_of_zero_are_kept_where_the_area_is_known(tmp_path):
    values, errors = VALUES[:1].copy(), ERRORS[:1].copy()
    values[0, 0] = errors[0, 0] = 0
    area = np.ones(values.shape[1:])
    area[0, 0] = 0
    found = quietly(mantid(tmp_path / "a.nxs", values=values, errors=errors, frac_area=area))
    assert np.argwhere(np.isnan(found.values[0])).tolist() == [[0, 0]]


def test_mantid_energies_in_wavenumbers(tmp_path):
    found = quietly(mantid(tmp_path / "a.nxs", units=(b"DeltaE_inWavenumber", b"MomentumTransfer")))
    np.testing.assert_allclose(found.energy, ENERGY * 0.1239841984)


@pytest.mark.parametrize("unit", [b"TOF", b"spectraNumber"])
def test_mantid_workspaces_of_other_axes_are_named(tmp_path, unit):
    path = mantid(tmp_path / "a.nxs", units=(b"DeltaE", unit))
    with pytest.raises(ValueError, match=f"axis2: found {unit.decode()}, expected MomentumTransfer or DeltaE; convert"):
        read_maps(path)


def test_detectors_are_binned_to_the_momenta_they_see(tmp_path):
    """Each detector sees intensity equal to its momentum: a bin then holds the mean momentum of its detectors."""
    polar = np.linspace(5, 130, 400)
    q = momentum_of(60, polar)
    found = read_maps(nxspe(tmp_path / "a.nxspe", q, polar=polar), momentum=np.arange(0.5, 12, 0.5))
    seen = np.isfinite(found.values[0])
    expected = np.broadcast_to(found.momentum[:, None], seen.shape)
    np.testing.assert_allclose(found.values[0][seen], expected[seen], atol=0.25)
    # What a neutron of 60 meV cannot reach is missing, and nothing else.
    lowest, highest = q.min(axis=0), q.max(axis=0)
    step = 0.25
    inside = (found.momentum[:, None] - step > lowest) & (found.momentum[:, None] + step < highest)
    outside = (found.momentum[:, None] + step < lowest) | (found.momentum[:, None] - step > highest)
    assert seen[inside].all()
    assert not seen[outside].any()
    # Errors of n equal detectors fall as 1 / sqrt(n).
    count = np.histogram(q[:, 0], np.arange(0.25, 12, 0.5))[0]
    np.testing.assert_allclose(found.errors[0, count > 0, 0], 1 / np.sqrt(count[count > 0]))


def test_a_default_axis_of_momenta_covers_what_is_seen(tmp_path):
    polar = np.linspace(5, 130, 400)
    found = quietly(nxspe(tmp_path / "a.nxspe", np.ones((400, 9)), polar=polar), num_momenta=20)
    q = momentum_of(60, polar)
    half = (found.momentum[1] - found.momentum[0]) / 2
    assert found.momentum.size == 20
    np.testing.assert_allclose([found.momentum[0] - half, found.momentum[-1] + half], [q.min(), q.max()])


def test_masked_and_absent_detectors_are_missing_and_single_zeros_are_counts(tmp_path):
    polar, values, errors = np.linspace(20, 100, 60), np.ones((60, 9)), np.ones((60, 9))
    values[:20], errors[:20] = np.nan, 0  # masked
    values[20:30], errors[20:30] = 0, 0  # no detector
    values[30:40] = -1e30  # masked, as SPE writes it
    values[40], errors[40, 0] = 0, 0
    path = nxspe(tmp_path / "a.nxspe", values, errors=errors, polar=polar)
    found = quietly(path, momentum=[momentum_of(60, polar)[40:, 0].mean()])
    assert found.values[0, 0, 0] == pytest.approx(19 / 20, abs=0.03)


def test_what_was_not_multiplied_by_ki_over_kf_is(tmp_path):
    polar = np.linspace(5, 130, 400)
    for scaled in (0, 1):
        path = nxspe(tmp_path / f"{scaled}.nxspe", np.ones((400, 9)), polar=polar, scaled=scaled)
        found = quietly(path).values[0]
        expected = np.broadcast_to(1 if scaled else np.sqrt(60 / (60 - ENERGY)), found.shape)
        np.testing.assert_allclose(found[np.isfinite(found)], expected[np.isfinite(found)])


def test_energies_above_the_incident_one_are_missing(tmp_path):
    energy = np.arange(2.0, 80, 4)
    path = nxspe(tmp_path / "a.nxspe", np.ones((50, energy.size)), polar=np.linspace(5, 130, 50), energy=energy)
    found = quietly(path)
    assert np.isnan(found.values[0][:, energy > 60]).all()
    assert np.isfinite(found.values[0][:, energy < 60]).any(axis=0).all()


def test_without_a_chopper_the_final_energy_is_fixed(tmp_path):
    polar = np.array([90.0])
    path = nxspe(tmp_path / "a.nxspe", np.ones((1, 9)), polar=polar, incident=3.5, fermi=False)
    found = quietly(path, num_momenta=400)
    expected = np.sqrt((3.5 + ENERGY + 3.5) / CONSTANT)
    place = found.momentum[np.argmax(np.isfinite(found.values[0]), axis=0)]
    np.testing.assert_allclose(place, expected, atol=0.01)


def test_nxspe_keeps_its_detectors(tmp_path):
    """A map that equals its momentum gives each detector its own; what lies beyond the map is missing."""
    h5py = pytest.importorskip("h5py")
    polar = np.linspace(5, 130, 400)
    path = nxspe(tmp_path / "a.nxspe", np.ones((400, 9)), polar=polar, scaled=0)
    momentum = np.arange(1.0, 8, 0.5)
    image = np.broadcast_to(momentum[:, None], (momentum.size, 9))[None]
    write_maps(tmp_path / "b.nxspe", Maps(image, momentum, ENERGY), path)
    with h5py.File(tmp_path / "b.nxspe") as file:
        written, kept = file["sample/data/data"][...], file["sample/data/polar"][...]
    np.testing.assert_array_equal(kept, polar)
    q = momentum_of(60, polar)
    inside = (q >= 1) & (q <= 7.5)
    np.testing.assert_allclose((written * np.sqrt(60 / (60 - ENERGY)))[inside], q[inside])
    assert np.isnan(written[(q < 0.75) | (q > 7.75)]).all()
    again = quietly(tmp_path / "b.nxspe", momentum=momentum)
    assert again.errors is None
    assert np.isfinite(again.values).any()
    with pytest.raises(ValueError, match=r"NXSPE holds detectors, expected a file of this format"):
        check_writing(tmp_path / "c.nxspe", npz(tmp_path / "a.npz"))


def test_mantid_keeps_what_else_is_in_the_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    for turned in (False, True):
        path = mantid(tmp_path / f"{turned}.nxs", turned=turned)
        found = quietly(path)
        write_maps(tmp_path / "b.nxs", found._replace(values=2 * found.values), path)
        np.testing.assert_array_equal(quietly(tmp_path / "b.nxs").values, 2 * VALUES)
        with h5py.File(tmp_path / "b.nxs") as file:
            assert file["mantid_workspace_1/title"][0] == b"kept"
    with pytest.raises(ValueError, match="found 1 maps, expected 2 as this file has entries"):
        write_maps(tmp_path / "b.nxs", found._replace(values=VALUES[:1], errors=ERRORS[:1]), path)


def euphonic(path, **change):
    content = {
        "__euphonic_class__": "Spectrum2D",
        "__euphonic_version__": "v1.4.0",
        "metadata": {"title": "kept"},
        "x_data": edges(MOMENTUM).tolist(),
        "x_data_unit": "1 / angstrom",
        "y_data": edges(ENERGY).tolist(),
        "y_data_unit": "millielectron_volt",
        "z_data": VALUES[0].tolist(),
        "z_data_unit": "1 / millielectron_volt",
    }
    path.write_text(json.dumps({k: v for k, v in (content | change).items() if v is not None}))
    return path


def test_euphonic_edges_units_and_kinematic_limits(tmp_path):
    values = VALUES[0].copy()
    values[0, 3:] = np.nan
    units = {"x_data_unit": "1 / bohr", "y_data_unit": "1 / centimeter"}
    found = quietly(euphonic(tmp_path / "a.json", z_data=values.tolist(), **units))
    np.testing.assert_allclose(found.momentum, MOMENTUM / 0.529177210903)
    np.testing.assert_allclose(found.energy, ENERGY * 0.12398419843)
    np.testing.assert_array_equal(found.values[0], values)


def test_euphonic_keeps_metadata_and_holds_several_maps(tmp_path):
    path = euphonic(tmp_path / "a.json")
    write_maps(tmp_path / "b.json", quietly(path), path)
    content = json.loads((tmp_path / "b.json").read_text())
    assert (content["metadata"], content["z_data_unit"]) == ({"title": "kept"}, "1 / millielectron_volt")
    write_maps(tmp_path / "c.json", Maps(VALUES, MOMENTUM, ENERGY))
    assert json.loads((tmp_path / "c.json").read_text())["__euphonic_class__"] == "Spectrum2DCollection"
    with pytest.warns(UserWarning, match="holds no errors"):
        write_maps(tmp_path / "c.json", Maps(VALUES, MOMENTUM, ENERGY, ERRORS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"__euphonic_class__": "Spectrum1D"}, "found a Spectrum1D, expected a Spectrum2D"),
        ({"__euphonic_class__": None}, "found no class of Euphonic"),
        ({"y_data_unit": "furlong"}, "y_data: found the unit 'furlong', expected one of meV"),
        ({"y_data": None}, "found no y_data, which a Spectrum2D has"),
    ],
)
def test_what_euphonic_did_not_mean_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_maps(euphonic(tmp_path / "a.json", **change))


@pytest.mark.parametrize("unit", list(MEV))
def test_energies_in_any_unit_are_those_in_mev(tmp_path, unit):
    path = npz(tmp_path / "a.npz", E=ENERGY / MEV[unit], E_unit=unit)
    np.testing.assert_allclose(quietly(path).energy, ENERGY)
    path = npz(tmp_path / "b.npz", E=ENERGY / MEV[unit])
    np.testing.assert_allclose(quietly(path, energy_unit=unit).energy, ENERGY)


@pytest.mark.parametrize("unit", list(PER_ANGSTROM))
def test_momenta_in_any_unit_are_those_in_1_over_angstrom(tmp_path, unit):
    path = npz(tmp_path / "a.npz", Q=MOMENTUM / PER_ANGSTROM[unit], Q_unit=unit)
    np.testing.assert_allclose(quietly(path).momentum, MOMENTUM)


def test_a_unit_that_is_given_overrules_the_file_and_says_so(tmp_path):
    path = npz(tmp_path / "a.npz", E_unit="THz")
    with pytest.warns(UserWarning, match="E: the file says THz, read as meV as asked"):
        found = read_maps(path, energy_unit="meV")
    np.testing.assert_array_equal(found.energy, ENERGY)
    with pytest.raises(ValueError, match="found the unit 'MeV', expected one of meV"):
        quietly(path, energy_unit="MeV")


def test_edges_of_bins_are_named_as_such(tmp_path):
    with pytest.warns(UserWarning, match="E: found 10 bin edges of 9 bins; their centres are used"):
        found = read_maps(npz(tmp_path / "a.npz", E=edges(ENERGY)))
    np.testing.assert_allclose(found.energy, ENERGY)
    with pytest.raises(ValueError, match=r"E: found shape \(12,\), expected \(9,\) .* or \(10,\) edges of bins"):
        read_maps(npz(tmp_path / "a.npz", E=np.arange(12)))


def test_arrays_beside_the_maps_are_not_passed_over_in_silence(tmp_path):
    with pytest.warns(UserWarning, match="mask has the shape of S and is not read; write NaN into S"):
        read_maps(npz(tmp_path / "a.npz", mask=VALUES > 0.5))


def test_several_files_have_the_same_axes(tmp_path):
    first, second = npz(tmp_path / "a.npz"), npz(tmp_path / "b.npz", S=2 * VALUES)
    found = read_maps([first, second])
    np.testing.assert_array_equal(found.values, np.concatenate([VALUES, 2 * VALUES]))
    other = npz(tmp_path / "c.npz", E=ENERGY + 0.5)
    with pytest.raises(ValueError, match=r"c\.npz: energy: found 9 values from 2\.5 .* those of .*a\.npz"):
        read_maps([first, other])
    with pytest.raises(ValueError, match="found errors in some of the files"):
        read_maps([first, npz(tmp_path / "d.npz", errors=ERRORS)])


@pytest.mark.parametrize("factor", [1, 1e-22, 1e6])
def test_a_wrong_axis_is_refused_whatever_its_unit(factor):
    expected = factor * ENERGY
    check_axis("E", expected * (1 + 1e-6), expected, "those of training")
    for wrong in (expected + 0.01 * factor, 2 * expected, expected[::-1]):
        with pytest.raises(ValueError, match="E: found 9 values"):
            check_axis("E", wrong, expected, "those of training")
    with pytest.raises(ValueError, match=r"differ by a factor of 4\.13567, as of THz: give the unit"):
        check_axis("E", expected / 4.135667696, expected, "those of training")
    with pytest.raises(ValueError, match="edges of bins: give their centres"):
        check_axis("E", edges(expected), expected, "those of training")


@pytest.mark.parametrize("content", [b"a,b", b"", b"\x89HDF\r\n\x1a\nbroken", b"\x0e\x03\x13\x01", b"{broken"])
def test_what_is_no_file_of_maps_is_named(tmp_path, content):
    pytest.importorskip("h5py")
    path = tmp_path / "maps.nxs"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"maps\.nxs: found .*, expected"):
        read_maps(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_maps(tmp_path / "nothing.nxs")
    with pytest.raises(ValueError, match=r"found the ending '\.csv', expected"):
        check_writing("maps.csv")
