"""One step of a shot in the language of Triton: the formulas of ``torch_modes.propagator``.

Functions here are compiled into kernels; complex numbers are pairs of reals. ``at`` points to the
row of the table of steps that a lane passes, ``way`` is 1 downwards and -1 upwards.
"""

import triton
import triton.language as tl

from forward_models.normal_modes import propagator, steps, wronskian

_ETA_3 = tl.constexpr(propagator.ETA_3)
_ETA_4 = tl.constexpr(propagator.ETA_4)
_N_TERMS = tl.constexpr(propagator.N_TERMS)
_PI_2 = tl.constexpr(9.869604401089358)
N_COLUMNS = tl.constexpr(steps.N_COLUMNS)
H2 = tl.constexpr(steps.H2)
HRHO = tl.constexpr(steps.HRHO)
INV_HRHO = tl.constexpr(steps.INV_HRHO)
Q0R = tl.constexpr(steps.Q0R)
Q0I = tl.constexpr(steps.Q0I)
V1R = tl.constexpr(steps.V1R)
V1I = tl.constexpr(steps.V1I)
V2R = tl.constexpr(steps.V2R)
V2I = tl.constexpr(steps.V2I)
THICKNESS = tl.constexpr(steps.THICKNESS)
HALF_SPACE = tl.constexpr(steps.HALF_SPACE)
RIGID = tl.constexpr(steps.RIGID)
PERTURBED_HALF_SPACE = tl.constexpr(steps.PERTURBED_HALF_SPACE)
ALONG_X = tl.constexpr(wronskian.ALONG_X)
ALONG_LOSS = tl.constexpr(wronskian.ALONG_LOSS)
ALONG_FREQUENCY = tl.constexpr(wronskian.ALONG_FREQUENCY)


@triton.jit
def real_etas(z):
    eta3 = _ETA_3[_N_TERMS - 1] * z + _ETA_3[_N_TERMS - 2]
    eta4 = _ETA_4[_N_TERMS - 1] * z + _ETA_4[_N_TERMS - 2]
    for i in tl.static_range(_N_TERMS - 2):
        eta3 = eta3 * z + _ETA_3[_N_TERMS - 3 - i]
        eta4 = eta4 * z + _ETA_4[_N_TERMS - 3 - i]
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4


@triton.jit
def times(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


@triton.jit
def plus(a, b):
    return a[0] + b[0], a[1] + b[1]


@triton.jit
def minus(a, b):
    return a[0] - b[0], a[1] - b[1]


@triton.jit
def by(a, factor):
    return a[0] * factor, a[1] * factor


@triton.jit
def complex_etas(z):
    r = 2.0 * z[0]
    s = -(z[0] * z[0] + z[1] * z[1])
    a3 = s * _ETA_3[_N_TERMS - 1] + _ETA_3[_N_TERMS - 3]
    b3 = r * _ETA_3[_N_TERMS - 1] + _ETA_3[_N_TERMS - 2]
    a4 = s * _ETA_4[_N_TERMS - 1] + _ETA_4[_N_TERMS - 3]
    b4 = r * _ETA_4[_N_TERMS - 1] + _ETA_4[_N_TERMS - 2]
    for i in tl.static_range(_N_TERMS - 3):
        last3 = b3
        b3 = r * b3 + a3
        a3 = s * last3 + _ETA_3[_N_TERMS - 4 - i]
        last4 = b4
        b4 = r * b4 + a4
        a4 = s * last4 + _ETA_4[_N_TERMS - 4 - i]
    eta3 = (b3 * z[0] + a3, b3 * z[1])
    eta4 = (b4 * z[0] + a4, b4 * z[1])
    eta2 = plus(times(z, eta4), by(eta3, 7.0))
    eta1 = plus(times(z, eta3), by(eta2, 5.0))
    eta0 = plus(times(z, eta2), by(eta1, 3.0))
    return plus(times(z, eta1), eta0), eta0, eta1, eta2, eta3, eta4


@triton.jit
def real_transfer(z, v1, v2, hrho, inv_hrho, xi, eta0, eta1, eta2, eta3):
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.5 * eta1
    even = xi - w * eta2
    p12 = (eta0 - half * eta2 - w * eta3) * hrho
    p21 = (z * (eta0 + half * eta2) - w * (eta1 + 7.0 * eta2)) * inv_hrho
    return even + odd, p12, p21, even - odd


@triton.jit
def real_by_z(z, v1, v2, hrho, inv_hrho, eta0, eta1, eta2, eta3, eta4):
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.25 * eta2
    even = (eta0 - w * eta3) * 0.5
    p12 = (eta1 - half * eta3 - w * eta4) * 0.5 * hrho
    by_half = z * 0.5
    p21 = eta0 + by_half * eta1 + half * (eta2 + by_half * eta3)
    p21 = (p21 - w * 0.5 * (eta2 + 7.0 * eta3)) * inv_hrho
    return even + odd, p12, p21, even - odd


@triton.jit
def real_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta1, eta2, eta3):
    dw = v1 * dv1 * (1.0 / 12.0)
    half = dv2 * 0.5
    odd = dv1 * 0.5 * eta1
    even = -dw * eta2
    p12 = -(half * eta2 + dw * eta3) * hrho
    p21 = (half * z * eta2 - dw * (eta1 + 7.0 * eta2)) * inv_hrho
    return even + odd, p12, p21, even - odd


@triton.jit
def complex_transfer(z, v1, v2, hrho, inv_hrho, xi, eta0, eta1, eta2, eta3):
    w = by(times(v1, v1), 1.0 / 24.0)
    half = by(v2, 0.5)
    odd = by(times(v1, eta1), 0.5)
    even = minus(xi, times(w, eta2))
    p12 = by(minus(minus(eta0, times(half, eta2)), times(w, eta3)), hrho)
    p21 = times(z, plus(eta0, times(half, eta2)))
    p21 = by(minus(p21, times(w, plus(eta1, by(eta2, 7.0)))), inv_hrho)
    return plus(even, odd), p12, p21, minus(even, odd)


@triton.jit
def complex_by_z(z, v1, v2, hrho, inv_hrho, eta0, eta1, eta2, eta3, eta4):
    w = by(times(v1, v1), 1.0 / 24.0)
    half = by(v2, 0.5)
    odd = by(times(v1, eta2), 0.25)
    even = by(minus(eta0, times(w, eta3)), 0.5)
    p12 = minus(minus(eta1, times(half, eta3)), times(w, eta4))
    p12 = by(p12, 0.5 * hrho)
    by_half = by(z, 0.5)
    p21 = plus(eta0, times(by_half, eta1))
    p21 = plus(p21, times(half, plus(eta2, times(by_half, eta3))))
    p21 = minus(p21, times(by(w, 0.5), plus(eta2, by(eta3, 7.0))))
    return plus(even, odd), p12, by(p21, inv_hrho), minus(even, odd)


@triton.jit
def complex_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta1, eta2, eta3):
    dw = by(times(v1, dv1), 1.0 / 12.0)
    half = by(dv2, 0.5)
    odd = by(times(dv1, eta1), 0.5)
    even = by(times(dw, eta2), -1.0)
    p12 = by(plus(times(half, eta2), times(dw, eta3)), -hrho)
    p21 = times(times(half, z), eta2)
    p21 = by(minus(p21, times(dw, plus(eta1, by(eta2, 7.0)))), inv_hrho)
    return plus(even, odd), p12, p21, minus(even, odd)


@triton.jit
def advance(p11, p12, p21, p22, f, g):
    return plus(times(p11, f), times(p12, g)), plus(times(p21, f), times(p22, g))


@triton.jit
def phase_step(at, x, way, f, g, df, dg, zeros, negative, KIND: tl.constexpr):
    h2 = tl.load(at + H2)
    # The difference of numbers that are nearly alike, before anything is rounded.
    z = (h2 * (x - tl.load(at + Q0R))).to(KIND)
    hrho = way * tl.load(at + HRHO).to(KIND)
    inv_hrho = way * tl.load(at + INV_HRHO).to(KIND)
    v1 = way * tl.load(at + V1R).to(KIND)
    v2 = tl.load(at + V2R).to(KIND)
    xi, eta0, eta1, eta2, eta3, eta4 = real_etas(z)
    p11, p12, p21, p22 = real_transfer(z, v1, v2, hrho, inv_hrho, xi, eta0, eta1, eta2, eta3)
    d11, d12, d21, d22 = real_by_z(z, v1, v2, hrho, inv_hrho, eta0, eta1, eta2, eta3, eta4)
    factor = h2.to(KIND)
    by_f = p11 * df + p12 * dg + factor * (d11 * f + d12 * g)
    dg = p21 * df + p22 * dg + factor * (d21 * f + d22 * g)
    middle = (1.0 + xi) * f + hrho * eta0 * g
    between = tl.where(z + _PI_2 > 0, middle, -middle) < 0
    after = p11 * f + p12 * g
    g = p21 * f + p22 * g
    below = after < 0
    zeros += (negative != between).to(KIND) + (between != below).to(KIND)
    return after, g, by_f, dg, zeros, below


@triton.jit
def complex_step(at, x_real, x_imag, loss, way, f, g, df, dg, D: tl.constexpr, KIND: tl.constexpr):
    h2 = tl.load(at + H2)
    q0 = tl.load(at + Q0R)
    q0_loss = tl.load(at + Q0I)
    z = ((h2 * (x_real - q0)).to(KIND), (h2 * (x_imag - loss * q0_loss)).to(KIND))
    hrho = way * tl.load(at + HRHO).to(KIND)
    inv_hrho = way * tl.load(at + INV_HRHO).to(KIND)
    v1_loss = tl.load(at + V1I)
    v2_loss = tl.load(at + V2I)
    v1 = (way * tl.load(at + V1R).to(KIND), way * (loss * v1_loss).to(KIND))
    v2 = (tl.load(at + V2R).to(KIND), (loss * v2_loss).to(KIND))
    xi, eta0, eta1, eta2, eta3, eta4 = complex_etas(z)
    p11, p12, p21, p22 = complex_transfer(z, v1, v2, hrho, inv_hrho, xi, eta0, eta1, eta2, eta3)
    d11, d12, d21, d22 = complex_by_z(z, v1, v2, hrho, inv_hrho, eta0, eta1, eta2, eta3, eta4)
    of_f, of_g = advance(d11, d12, d21, d22, f, g)
    if D == ALONG_X:
        of_f = by(of_f, h2.to(KIND))
        of_g = by(of_g, h2.to(KIND))
    else:
        if D == ALONG_FREQUENCY:
            dz = ((-2.0 * h2 * q0).to(KIND), (-2.0 * loss * h2 * q0_loss).to(KIND))
            dv1 = by(v1, 2.0)
            dv2 = by(v2, 2.0)
        else:
            nothing = tl.zeros_like(xi[0])
            dz = (nothing, (-h2 * q0_loss).to(KIND))
            dv1 = (nothing, way * v1_loss.to(KIND))
            dv2 = (nothing, v2_loss.to(KIND))
        m11, m12, m21, m22 = complex_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta1, eta2, eta3)
        moved_f, moved_g = advance(m11, m12, m21, m22, f, g)
        of_f = plus(times(of_f, dz), moved_f)
        of_g = plus(times(of_g, dz), moved_g)
    df, dg = advance(p11, p12, p21, p22, df, dg)
    f, g = advance(p11, p12, p21, p22, f, g)
    return f, g, plus(df, of_f), plus(dg, of_g)


@triton.jit
def square_root(z):
    size = tl.sqrt(z[0] * z[0] + z[1] * z[1])
    larger = tl.sqrt(0.5 * (size + tl.abs(z[0])))
    smaller = 0.5 * z[1] / larger
    turned = tl.where(z[1] < 0, -larger, larger)
    return (
        tl.where(z[0] < 0, tl.abs(smaller), larger),
        tl.where(z[0] < 0, turned, smaller),
    )


@triton.jit
def over(a, b):
    size = b[0] * b[0] + b[1] * b[1]
    return (a[0] * b[0] + a[1] * b[1]) / size, (a[1] * b[0] - a[0] * b[1]) / size


@triton.jit
def angle(y, x):
    """atan2, to the last digits: two halvings of the angle, and its series."""
    upright, along = tl.abs(y), tl.abs(x)
    t = tl.minimum(upright, along) / tl.maximum(tl.maximum(upright, along), 1e-300)
    t = t / (1.0 + tl.sqrt(1.0 + t * t))
    t = t / (1.0 + tl.sqrt(1.0 + t * t))
    s = t * t
    series = tl.zeros_like(t)
    for i in tl.static_range(11):
        series = 1.0 / (21.0 - 2.0 * i) - s * series
    result = 4.0 * t * series
    result = tl.where(upright > along, 1.5707963267948966 - result, result)
    result = tl.where(x < 0, 3.141592653589793 - result, result)
    return tl.where(y < 0, -result, result)
