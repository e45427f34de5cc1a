"""SAGA's observation files: synthetic ones in every form, and the measured ones where present."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.measurement import read_saga

FIELD = Path(os.environ.get("OCEANINV_FIELD_DATA", "../shared/field")) / "saga"
needs_field_data = pytest.mark.skipif(
    not FIELD.is_dir(), reason=f"FIELD DATA ABSENT: no {FIELD}; set OCEANINV_FIELD_DATA to it"
)

PRESSURE = np.array([[1 + 2j, -0.5j, 0.25 - 1e-3j], [3 - 1j, 2e-5 + 1j, -4.0]])


def matrix_block(p: np.ndarray, frequency: str) -> str:
    rows = [
        f"   {i + 1}   {j + 1} ({v.real:.9E},{v.imag:.9E})"
        for i in range(3)
        for j in range(3)
        for v in [p[i] * p[j].conj()]
    ]
    return "\n".join([" 'A title'  ", frequency, "   3", " 30.5 ", " 20 10.25", *rows]) + "\n"


def vector_block(p: np.ndarray, frequency: str) -> str:
    rows = [f" {i + 1} ({v.real:.9e}, {v.imag:.9e} ) ! phone {i + 1}" for i, v in enumerate(p)]
    return "\n".join(["MAPEX", frequency, " 3", "30.5", "20.0", "10.25", *rows, "!  "]) + "\n"


def test_matrices_are_read_and_conjugated(tmp_path: Path) -> None:
    path = tmp_path / "a.in"
    text = matrix_block(PRESSURE[1], "  200.0   -28.6 dB") + matrix_block(PRESSURE[0], "100.0 1 1")
    path.write_text("! a comment\n" + text + "\n\x1a")
    m = read_saga(path)
    assert m.kind == "csdm"
    assert m.n_snapshots == 1
    assert m.frequency.tolist() == [100.0, 200.0]
    assert m.receiver_depth.tolist() == [30.5, 20.0, 10.25]
    expected = np.einsum("fi,fj->fij", PRESSURE, PRESSURE.conj())
    np.testing.assert_allclose(m.data, expected.conj(), rtol=1e-8, atol=1e-9)
    other = read_saga(path, time_convention="exp(-iwt)")
    np.testing.assert_allclose(other.data, expected, rtol=1e-8, atol=1e-9)
    assert read_saga(path, n_snapshots=7).n_snapshots == 7


def test_vectors_are_read_and_repeated_tones_are_snapshots(tmp_path: Path) -> None:
    path = tmp_path / "v.in"
    path.write_text("! File format: Hydrophone vectors\n" + vector_block(PRESSURE[0], " 190.0 2 1")
                    + vector_block(PRESSURE[1], " 190.0 2 1"))  # fmt: skip
    m = read_saga(path)
    assert m.kind == "pressure"
    assert m.n_snapshots == 2
    np.testing.assert_allclose(m.data[:, 0], PRESSURE.conj(), rtol=1e-8)


def test_placeholder_depths_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "v.in"
    path.write_text(vector_block(PRESSURE[0], "190"))
    assert read_saga(path, receiver_depth=[1, 2, 3]).receiver_depth.tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="2 depths for 3 phones"):
        read_saga(path, receiver_depth=[1, 2])
    with pytest.raises(InputError, match=r"v\.in: receiver_depth: -5 m is not a receiver depth"):
        read_saga(path, receiver_depth=[5, 0, -5])
    with pytest.raises(InputError, match=r"v\.in: receiver_depth: 5 m is given 3 times; give"):
        read_saga(path, receiver_depth=[5, 5, 5])


def test_a_number_of_snapshots_is_refused_for_pressure(tmp_path: Path) -> None:
    path = tmp_path / "v.in"
    path.write_text(vector_block(PRESSURE[0], "190"))
    with pytest.raises(InputError, match=r"v\.in: n_snapshots: 7 given for pressure, where each"):
        read_saga(path, n_snapshots=7)


@pytest.mark.parametrize(("form", "step"), [(".2f", 1e-2), (".3E", 1e-3), (".9E", 1e-5)])
def test_asymmetry_is_allowed_by_rounding_of_printed_numbers_alone(
    tmp_path: Path, form: str, step: float
) -> None:
    path = tmp_path / "a.in"

    def write(asymmetry: float) -> np.ndarray:
        csdm = np.outer(PRESSURE[1], PRESSURE[1].conj())
        csdm[0, 1] += asymmetry
        rows = [
            f" {i + 1} {j + 1} ({csdm[i, j].real:{form}},{csdm[i, j].imag:{form}})"
            for i in range(3)
            for j in range(3)
        ]
        path.write_text("\n".join(["title", "100", "3", "30 20 10", *rows]))
        return csdm

    csdm = write(0.9 * step)
    data = read_saga(path, time_convention="exp(-iwt)").data[0]
    np.testing.assert_allclose(data, csdm, atol=1.5 * step * np.abs(csdm).max())
    write(4 * step)
    with pytest.raises(InputError, match=r"2 1 is .* not the complex conjugate of 1 2"):
        read_saga(path)


WHOLE = matrix_block(PRESSURE[0], "100.0")
LINES = WHOLE.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no observations"),
        ("\n".join(LINES[:1]), "ends before the frequency"),
        ("\n".join(LINES[:4]), "ends before the 3 depths"),
        ("\n".join(LINES[:-2]), "lacks 2 of 9 values"),
        ("\n".join(LINES[:-1]) + "\n 3 4 (1,2)", "line 14: '3 4 (1,2)' is not a value"),
        ("\n".join(LINES[:-1]) + "\n 3 3 (nan,2)", "is not a value"),
        ("\n".join(LINES[:-1]) + "\n 3 3 (a,2)", "is not a value"),
        ("\n".join(LINES[:-1]) + "\n 3 (1,2)", "is not a value"),
        ("a\nb\nc\n", "line 2: 'b' should hold the frequency"),
        ("a\n-5\n3\n", "a block of 3 phones at -5 Hz"),
        ("a\ninf\n3\n", "a block of 3 phones at inf Hz"),
        ("a\n5\ninf\n", "a block of inf phones at 5 Hz"),
        ("a\n5\nnan\n", "a block of nan phones at 5 Hz"),
        ("a\n5\n2.5\n", "a block of 2.5 phones at 5 Hz"),
        (matrix_block(0 * PRESSURE[0], "100"), "line 1: the block that starts here holds nothing"),
        (vector_block(0 * PRESSURE[0], "100"), "line 1: the block that starts here holds nothing"),
        (
            WHOLE.replace("3   2 (5.000000000E-04", "3   2 (5.100000000E-04"),
            "line 13: 3 2 is 0.00051+0.125j, not the complex conjugate of 2 3, 0.0005-0.125j",
        ),
        (
            WHOLE.replace("2   2 (2.500000000E-01,0", "2   2 (2.500000000E-01,1"),
            "line 10: 2 2 is 0.25+1j, not the complex conjugate of 2 2",
        ),
        (WHOLE.replace(" 20 10.25", ", ,"), "line 5: ', ,' should hold the 3 depths"),
        (WHOLE.replace("  3   3 (", "  3   99999999999999999999 ("), "is not a value for one of"),
        (
            WHOLE + LINES[-1],
            "line 15: '3 3' has its value in line 14 already; remove one",
        ),
        (
            "1 2\n  218   44.65   48.40\n  291 43.69\n" + 300 * "364 47.6\n",
            "line 1: the block that starts here has no rows 'i j (re,im)' or 'i (re,im)', it is",
        ),
        (WHOLE.replace(" 30.5 ", "-30.5 "), "receiver_depth: -30.5 m is not a receiver depth"),
        (WHOLE + vector_block(PRESSURE[0], "200"), "other depths or another form"),
        (WHOLE + WHOLE + matrix_block(PRESSURE[0], "200"), "different numbers of blocks"),
    ],
)
def test_damaged_files_get_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.in"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_saga(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_saga(tmp_path / "no.in")


@needs_field_data
@pytest.mark.parametrize(
    ("original", "parsed", "kind", "n_snapshots"),
    [
        ("snap/elba.in", "north_elba_170Hz", "csdm", 1),
        ("snaprd/elbard.in", "north_elba_165-175Hz", "csdm", 1),
        ("snap/jasa2006/asiaexcsdm135.in", "asiaex_2001_ecs_vla", "csdm", None),
        ("snap/jasa2007/f195hla_oS1_gm.in", "mapex2000_hla_frame195", "pressure", 1),
    ],
)
def test_measured_files_agree_with_an_independent_parser(
    original: str, parsed: str, kind: str, n_snapshots: int | None
) -> None:
    m = read_saga(FIELD / "original" / original, time_convention="exp(-iwt)")
    expected = np.load(FIELD / "parsed" / f"{parsed}.npz")
    assert m.kind == kind
    if n_snapshots is not None:
        assert m.n_snapshots == n_snapshots
    np.testing.assert_allclose(m.frequency, expected["frequency_Hz"])
    values = m.data[0] if kind == "pressure" else m.data
    scale = np.abs(expected[kind]).max()
    np.testing.assert_allclose(values, expected[kind], atol=2e-6 * scale)
    if "receiver_depth_m" in expected and original != "snaprd/elbard.in":
        np.testing.assert_allclose(m.receiver_depth, expected["receiver_depth_m"], atol=1e-4)
    assert torch.isfinite(m.data.abs()).all()
