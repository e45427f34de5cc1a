"""Environments of the Acoustics Toolbox (``.env``, as KRAKEN reads them).

Source: Acoustics Toolbox documentation, "Description of Environmental File" and "KRAKEN" (M. B.
Porter). Supported are fluid media with C-linear, N²-linear, spline or PCHIP sound speed, every unit
of attenuation, the volume attenuation of Thorp and of Francois & Garrison, rough interfaces, a
vacuum or rigid top, and a fluid or elastic half-space, rigid or vacuum bottom. What the file may
ask for beyond that (elastic layers, reflection coefficients, biological layers) is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forward_models.environment import (
    DENSITY_LIMITS,
    SHEAR_LIMIT,
    SOUND_SPEED_LIMITS,
    Bottom,
    Environment,
    HalfSpace,
    Interpolation,
    Layer,
    Top,
)
from forward_models.errors import ModelInputError
from forward_models.files.records import Records
from forward_models.profiles import Curve
from forward_models.seabed import UNIT_NAMES
from forward_models.seawater import FrancoisGarrison, Thorp, VolumeAttenuation

KG_PER_G_CM3 = 1000.0
_DEPTH_TOLERANCE = 1e-5  # m; files round their depths
_NO_TRANSITION = 1e9  # Hz; the power law of unit 'm' holds at every frequency
_NEVER_USED = 1e5  # Hz; a transition above this changes nothing

_INTERPOLATION: dict[str, Interpolation] = {
    "C": "c_linear",
    "N": "n2_linear",
    "S": "c_linear",
    "P": "c_linear",
}
_CURVE: dict[str, Curve] = {"S": "spline", "P": "monotone_spline"}
_TOP: dict[str, Top] = {"V": "vacuum", "R": "rigid"}
_BOTTOM: dict[str, Bottom] = {"A": "half_space", "R": "rigid", "V": "vacuum"}
_REFUSED_INTERPOLATION = {
    "Q": "profiles that vary with range",
    "H": "profiles that vary with range",
    "A": "analytic profiles",
}
_REFUSED_BOUNDARY = {
    "A": "half-spaces above the water",
    "F": "reflection coefficients from a file",
    "P": "reflection coefficients from a file",
    "G": "grain sizes",
    "S": "Twersky scatterers",
    "H": "Twersky scatterers",
    "T": "Twersky scatterers",
    "I": "Twersky scatterers",
}
_REFUSED_VOLUME = {"B": "biological layers"}
_KNOT = ("z", "cP", "cS", "rho", "alphaP", "alphaS")
_FIRST_KNOT = (0.0, 1500.0, 0.0, 1.0, 0.0, 0.0)  # what '/' stands for before any knot is given


@dataclass(frozen=True)
class EnvFile:
    """Everything an ``.env`` file says that matters to a normal-mode model.

    Attributes:
        title: as in the file.
        frequency: Hz.
        environment: one waveguide (a batch of one); density in kg/m³.
        c_low, c_high: phase speed limits, m/s; a Scholte wave slower than ``c_low`` is kept.
        range_max_km: the range to which KRAKEN is told to be accurate; it changes nothing here.
        source_depth, receiver_depth: m; empty when the file ends before them.
    """

    title: str
    frequency: float
    environment: Environment
    c_low: float
    c_high: float
    range_max_km: float
    source_depth: tuple[float, ...]
    receiver_depth: tuple[float, ...]


def read_env(path: str | Path) -> EnvFile:
    """Reads an Acoustics Toolbox environment.

    A density that varies within a medium is taken constant between two knots, at their mean. A
    spline or PCHIP profile (KRAKEN's, a spline made monotone) becomes C-linear, with as many knots
    as it takes for wavenumbers to keep eight digits. SIGMA of a medium is the roughness of its top,
    that of the bottom option the roughness below the last medium. Volume attenuation is added to
    the attenuation of every medium.

    Raises:
        ModelInputError: one line with file, line, layer, field, value and mend.
        FileNotFoundError: no such file.
    """
    records = Records(path)
    env = _profile(records)
    if not records.at_end():
        raise records.error(
            "end of file",
            "more follows after the receiver depths; where it is meant to hold several profiles "
            "along a track, use read_env_profiles or `oceaninv field`, else keep one a file",
        )
    return env


def read_env_profiles(path: str | Path) -> list[EnvFile]:
    """Reads the profiles along a track: one whole environment after another in one file.

    Where they lie is in the field parameters beside it, :class:`forward_models.files.FlpFile`.

    Raises:
        ModelInputError: as :func:`read_env`, or the profiles differ in frequency.
        FileNotFoundError: no such file.
    """
    records = Records(path)
    profiles = [_profile(records)]
    while not records.at_end():
        profiles.append(_another_profile(records, len(profiles) + 1))
        if profiles[-1].frequency != profiles[0].frequency:
            raise records.error(
                f"profile {len(profiles)}, frequency",
                f"{profiles[-1].frequency:g} differs from {profiles[0].frequency:g} Hz of the "
                "first; give all profiles one frequency",
            )
    return profiles


def _another_profile(records: Records, number: int) -> EnvFile:
    """The next profile; what follows the last one is rarely meant to be another."""
    first = records.line
    try:
        return _profile(records)
    except ModelInputError as error:
        raise ModelInputError(
            f"{error}; it is read as profile {number}, from line {first + 1} on, as more follows "
            "after the receiver depths"
        ) from error


def _profile(records: Records) -> EnvFile:
    title, _ = records.text("title")
    (frequency,) = records.numbers(["frequency"])
    if frequency <= 0:
        raise records.error("frequency", f"{frequency:g} must be above zero (Hz)")
    n_media = records.integer("NMEDIA")
    interpolation, curve, top, unit, volume_attenuation = _top_option(records)
    layers, power_law, last_knot = _media(records, n_media, unit, frequency, curve)
    bottom, bottom_roughness, half_space = _bottom(records, last_knot, unit, power_law[1])
    environment = Environment.from_layers(
        layers,
        half_space,
        bottom=bottom,
        top=top,
        attenuation_unit=unit,
        power_law=power_law,
        interpolation=interpolation,
        volume_attenuation=volume_attenuation,
        bottom_roughness=bottom_roughness,
    )
    c_low, c_high = _phase_speed_limits(records, environment)
    range_max_km = 0.0
    source_depth: tuple[float, ...] = ()
    receiver_depth: tuple[float, ...] = ()
    if not records.at_end():
        (range_max_km,) = records.numbers(["RMAX"])
    if not records.at_end():
        source_depth = records.vector("SD", records.count("NSD"))
        receiver_depth = records.vector("RD", records.count("NRD"))
    return EnvFile(
        title=title,
        frequency=frequency,
        environment=environment,
        c_low=c_low,
        c_high=c_high,
        range_max_km=range_max_km,
        source_depth=source_depth,
        receiver_depth=receiver_depth,
    )


def write_env(env: EnvFile, path: str | Path) -> None:
    """Writes an environment so that KRAKEN, and :func:`read_env`, read the same values.

    Raises:
        ModelInputError: the environment is a batch of more than one.
    """
    environment = env.environment
    if len(environment) != 1:
        raise ModelInputError(
            f"environment: {len(environment)} in the batch; an .env file holds one, write "
            "environment[i] one by one"
        )
    unit = environment.attenuation_unit
    scale = 1.0
    if unit == "m":  # the file's reference frequency is its frequency
        reference, exponent = environment.power_law
        scale = (env.frequency / reference) ** exponent
    power_law = f" {environment.power_law[1]!r} {_NO_TRANSITION:g}" if unit == "m" else ""
    media = _media_of(environment)
    volume = environment.volume_attenuation
    letters = (
        _letter(_INTERPOLATION, environment.interpolation)
        + _letter(_TOP, environment.top)
        + unit
        + (" " if volume is None else "T" if isinstance(volume, Thorp) else "F")
    ).rstrip()
    title = env.title.replace("'", "''")
    lines = [f"'{title}'", f"{env.frequency!r}", f"{len(media)}", f"'{letters}'"]
    if isinstance(volume, FrancoisGarrison):
        lines.append(f"{volume.temperature!r} {volume.salinity!r} {volume.ph!r} {volume.depth!r}")
    for sigma, knots in media:
        lines.append(f"0 {sigma!r} {knots[-1][0]!r}{power_law}")
        lines += [f"{z!r} {c!r} 0.0 {rho!r} {alpha * scale!r} 0.0 /" for z, c, rho, alpha in knots]
    sigma = environment.interface_roughness()[0, -1].item()
    lines.append(f"'{_letter(_BOTTOM, environment.bottom)}' {sigma!r}{power_law}")
    if environment.half_space_sound_speed is not None:
        assert environment.half_space_density is not None
        assert environment.half_space_attenuation is not None
        c = environment.half_space_sound_speed.item()
        shear = shear_alpha = 0.0
        if environment.half_space_shear_speed is not None:
            assert environment.half_space_shear_attenuation is not None
            shear = environment.half_space_shear_speed.item()
            shear_alpha = environment.half_space_shear_attenuation.item() * scale
        rho = environment.half_space_density.item() / KG_PER_G_CM3
        alpha = environment.half_space_attenuation.item() * scale
        knot = (environment.bottom_depth.item(), c, shear, rho, alpha, shear_alpha)
        lines.append(" ".join(repr(value) for value in knot) + " /")
    lines += [f"{env.c_low!r} {env.c_high!r}", f"{env.range_max_km!r}"]
    if env.source_depth and env.receiver_depth:
        for depths in (env.source_depth, env.receiver_depth):
            lines += [f"{len(depths)}", " ".join(repr(float(z)) for z in depths) + " /"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _top_option(
    records: Records,
) -> tuple[Interpolation, Curve, Top, str, VolumeAttenuation | None]:
    option, _ = records.text("TOPOPT")
    letters = option.ljust(7)
    _known(records, "TOPOPT(1:1)", letters[0], _INTERPOLATION, _REFUSED_INTERPOLATION)
    _known(records, "TOPOPT(2:2)", letters[1], _TOP, _REFUSED_BOUNDARY)
    _known(records, "TOPOPT(3:3), attenuation unit", letters[2], UNIT_NAMES, {})
    _known(records, "TOPOPT(4:4)", letters[3], " TF", _REFUSED_VOLUME)
    _known(
        records, "TOPOPT(5:5)", letters[4], " ._", {"~": "altimetry files", "*": "altimetry files"}
    )
    _known(records, "TOPOPT(6:6)", letters[5], " ", {"B": "broadband runs (use -f HZ,HZ)"})
    volume: VolumeAttenuation | None = Thorp() if letters[3] == "T" else None
    if letters[3] == "F":
        names = ("temperature", "salinity", "pH", "z_bar")
        values = records.numbers([f"Francois-Garrison, {name}" for name in names])
        for name, value in zip(names, values, strict=True):
            if name in ("salinity", "z_bar") and value < 0:
                raise records.error(f"Francois-Garrison, {name}", f"{value:g} must be zero or more")
        volume = FrancoisGarrison(*values)
    curve = _CURVE.get(letters[0], "straight")
    return _INTERPOLATION[letters[0]], curve, _TOP[letters[1]], letters[2], volume


def _media(
    records: Records, n_media: int, unit: str, frequency: float, curve: Curve
) -> tuple[list[Layer], tuple[float, float], list[float]]:
    """The layers, the power law of unit ``m``, and the last knot, which '/' falls back on."""
    layers: list[Layer] = []
    exponents: list[float] = []
    knot = list(_FIRST_KNOT)
    depth_above = 0.0
    for number in range(1, n_media + 1):
        where = f"layer {number}"
        header = [f"{where}, {name}" for name in ("NMESH", "SIGMA", "Z(NSSP)", "beta", "fT")]
        if unit == "m":
            _, sigma, depth, beta, transition = records.numbers(
                header, (0.0, 0.0, 0.0, 1.0, _NO_TRANSITION), optional=2
            )
            exponents.append(_exponent(records, where, beta, transition))
        else:
            _, sigma, depth = records.numbers(header[:3])
        _check_roughness(records, where, sigma)
        if not depth > depth_above:
            raise records.error(
                f"{where}, Z(NSSP)",
                f"{depth:g} m is not below the top of the layer at {depth_above:g} m",
            )
        knots = _knots(records, where, depth_above, depth, knot)
        layers.append(
            Layer(
                depth=[k[0] for k in knots],
                sound_speed=[k[1] for k in knots],
                density=[k[3] * KG_PER_G_CM3 for k in knots],
                attenuation=[k[4] for k in knots],
                roughness=sigma,
                curve=curve,
            )
        )
        knot, depth_above = knots[-1], depth
    if any(beta != exponents[0] for beta in exponents):
        raise records.error(
            "beta", f"{exponents} differ from layer to layer; one exponent for all is supported"
        )
    power_law = (frequency, exponents[0]) if exponents else (1.0, 1.0)
    return layers, power_law, knot


def _knots(
    records: Records, where: str, top: float, bottom: float, knot: list[float]
) -> list[list[float]]:
    """The knots of one layer from its top to its bottom, which close the list."""
    fields = [f"{where}, {name}" for name in _KNOT]
    knots: list[list[float]] = []
    while not knots or knots[-1][0] < bottom:
        knot = records.numbers(fields, knot)
        z = knot[0]
        if not knots and abs(z - top) > _DEPTH_TOLERANCE:
            mend = "layers must meet" if top > 0 else "the first knot lies at the surface, 0 m"
            raise records.error(
                fields[0], f"starts at {z:g} m but the layer above ends at {top:g} m; {mend}"
            )
        if knots and z <= knots[-1][0]:
            raise records.error(
                fields[0], f"{z:g} m after {knots[-1][0]:g} m; depths must increase downwards"
            )
        if z > bottom + _DEPTH_TOLERANCE:
            raise records.error(
                fields[0],
                f"{z:g} m lies below the layer's end, Z(NSSP) = {bottom:g} m; end it there",
            )
        _check_medium(records, where, knot)
        if knot[2] != 0:
            raise records.error(
                fields[2], f"{knot[2]:g}: elastic layers are not supported; use 0 for a fluid"
            )
        if not knots:
            knot[0] = top
        elif abs(z - bottom) <= _DEPTH_TOLERANCE:
            knot[0] = bottom
        knots.append(knot)
    return knots


def _bottom(
    records: Records, last_knot: list[float], unit: str, exponent: float
) -> tuple[Bottom, float, HalfSpace | None]:
    option, rest = records.text("BOTOPT")
    letters = option.ljust(2)
    refused = {k: v for k, v in _REFUSED_BOUNDARY.items() if k != "A"}
    _known(records, "BOTOPT(1:1)", letters[0], _BOTTOM, refused)
    _known(
        records, "BOTOPT(2:2)", letters[1], " _", {"~": "bathymetry files", "*": "bathymetry files"}
    )
    sigma = records.number(rest[0], "bottom, SIGMA") if rest else 0.0
    _check_roughness(records, "bottom", sigma)
    bottom = _BOTTOM[letters[0]]
    if bottom != "half_space":
        return bottom, sigma, None
    where = "half-space"
    if unit == "m":
        _check_exponent_below(records, rest[1:3], exponent)
    knot = records.numbers([f"{where}, {name}" for name in _KNOT], last_knot)
    _check_medium(records, where, knot)
    _, c, shear, rho, alpha, shear_alpha = knot
    if not 0 <= shear < SHEAR_LIMIT * c:
        raise records.error(
            f"{where}, cS",
            f"{shear:g} must be zero or more and below √3/2 of cP, {SHEAR_LIMIT * c:g} (m/s)",
        )
    if shear_alpha < 0:
        raise records.error(f"{where}, alphaS", f"{shear_alpha:g} must be zero or more")
    return bottom, sigma, HalfSpace(c, rho * KG_PER_G_CM3, alpha, shear, shear_alpha)


def _phase_speed_limits(records: Records, environment: Environment) -> tuple[float, float]:
    c_low, c_high = records.numbers(["cLow", "cHigh"])
    if not c_high > max(c_low, 0.0):
        raise records.error("cHigh", f"{c_high:g} must be above cLow = {c_low:g} (m/s)")
    slowest = min(
        environment.sound_speed_top.min().item(), environment.sound_speed_bottom.min().item()
    )
    if c_low > slowest:
        raise records.error(
            "cLow",
            f"{c_low:g} is above the slowest sound speed, {slowest:g} m/s; leaving out slow modes "
            "is not supported, use 0",
        )
    return c_low, c_high


def _check_medium(records: Records, where: str, knot: list[float]) -> None:
    _, c, _, rho, alpha, _ = knot
    for name, value, unit, (low, high) in (
        ("cP", c, "m/s", SOUND_SPEED_LIMITS),
        ("rho", rho, "g/cm3", (limit / KG_PER_G_CM3 for limit in DENSITY_LIMITS)),
    ):
        if value <= 0:
            raise records.error(f"{where}, {name}", f"{value:g} must be above zero ({unit})")
        if not low <= value <= high:
            raise records.error(
                f"{where}, {name}", f"{value:g} must be from {low:g} to {high:g} ({unit})"
            )
    if alpha < 0:
        raise records.error(f"{where}, alphaP", f"{alpha:g} must be zero or more")


def _exponent(records: Records, where: str, beta: float, transition: float) -> float:
    if 0 < transition < _NEVER_USED:
        raise records.error(
            f"{where}, fT",
            f"{transition:g}: a change of the power law at a frequency is not supported; use "
            f"{_NO_TRANSITION:g}",
        )
    return beta


def _check_exponent_below(records: Records, given: list[str], exponent: float) -> None:
    """Refuses a power law of the half-space, beta and fT, that is not the one of the layers."""
    fields = ("bottom, beta", "bottom, fT")
    values = [records.number(token, field) for token, field in zip(given, fields, strict=False)]
    beta, transition = values + [exponent, _NO_TRANSITION][len(values) :]
    if _exponent(records, "bottom", beta, transition) != exponent:
        raise records.error(
            fields[0],
            f"{beta:g} differs from {exponent:g} of the layers; one exponent for all is supported",
        )


def _check_roughness(records: Records, where: str, sigma: float) -> None:
    if sigma < 0:
        raise records.error(f"{where}, SIGMA", f"{sigma:g} m must be zero or more")


def _known(
    records: Records, field: str, letter: str, known: dict | str, refused: dict[str, str]
) -> None:
    """Refuses an option letter that is not known, by the name of what it asks for."""
    if letter not in known:
        choices = ", ".join(repr(k) for k in known)
        if letter in refused:
            problem = f"{letter!r}: {refused[letter]} are not supported; use one of {choices}"
        else:
            problem = f"{letter!r} is unknown; use one of {choices}"
        raise records.error(field, problem)


_Knots = list[tuple[float, float, float, float]]


def _media_of(environment: Environment) -> list[tuple[float, _Knots]]:
    """SIGMA (m) and knots (z m, c m/s, rho g/cm³, attenuation) by medium.

    A medium ends wherever something jumps, and at a rough interface.
    """
    tensors = (
        environment.thickness,
        environment.sound_speed_top,
        environment.sound_speed_bottom,
        environment.density,
        environment.attenuation_top,
        environment.attenuation_bottom,
        environment.interface_roughness()[:, :-1],
    )
    water_depth = environment.water_depth.item()
    media: list[tuple[float, _Knots]] = []
    depth = 0.0
    for thickness, c_top, c_bottom, density, a_top, a_bottom, sigma in zip(
        *(t[0].tolist() for t in tensors), strict=True
    ):
        if thickness == 0:
            continue
        rho = density / KG_PER_G_CM3
        top = (depth, c_top, rho, a_top)
        if not media or media[-1][1][-1] != top or depth == water_depth or sigma > 0:
            media.append((sigma, [top]))
        depth += thickness
        if abs(depth - water_depth) < _DEPTH_TOLERANCE:
            depth = water_depth
        media[-1][1].append((depth, c_bottom, rho, a_bottom))
    return media


def _letter(table: dict, value: str) -> str:
    return next(letter for letter, name in table.items() if name == value)
