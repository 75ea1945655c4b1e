"""What an 8-bit code costs an update, beside other codes in use: the table of docs/precision.md. Needs numpy.

Blocks of 256 elements: `even` ones, whose first moments are normal and whose second moments are means of 20 squares, and `uneven`
ones, where each element's gradients are smaller by a factor from 1 to 10,000. The update is m / (sqrt(v) + 1e-8).
"""
import numpy as np

rng = np.random.default_rng(0)
BLOCKS = 4_000


def dynamic_map(signed):
    """bitsandbytes' map: an exponent of ten in unary, the rest linear."""
    values = [0.0, 1.0]
    for i in range(7):
        edges = np.linspace(0.1, 1, 2 ** (i if signed else i + 1) + 1)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (i - 6)
        values += list(middles) + (list(-middles) if signed else [])
    return np.sort(np.array(values))


def nearest(table, x):
    i = np.searchsorted(table, x).clip(1, len(table) - 1)
    return np.where(x - table[i - 1] < table[i] - x, table[i - 1], table[i])


def ours(x, top, stochastic):
    """kernels/codes.cuh."""
    magnitude = np.abs(x).astype(np.float32)
    steps = ((magnitude.max(1, keepdims=True).view(np.uint32) + 0xFFFFF) >> 20).clip(top + 1, 0x7F7)
    base = ((steps - top) << 20).astype(np.uint32)
    origin = base.view(np.float32)
    random = rng.integers(0, 2**20, size=x.shape, dtype=np.uint32) if stochastic else np.uint32(0x80000)
    code = (((magnitude + origin).view(np.uint32) - base + random) >> 20).clip(0, top).astype(np.uint32)
    return ((base + (code << 20)).view(np.float32) - origin) * np.sign(x)


def softsign(x):
    y = np.rint(127 * 2 * np.abs(x) / (1 + np.abs(x))) / 127
    return np.sign(x) * y / (2 - y)


def main():
    print("| blocks | code | first moment | root of the second | not 0, and becomes 0 | update |")
    print("|---|---|---|---|---|---|")
    for kind in ["even", "uneven"]:
        size = 10 ** rng.uniform(-4, 0, (BLOCKS, 256)) if kind == "uneven" else np.ones((BLOCKS, 256))
        m = (rng.standard_normal((BLOCKS, 256)) * size * 0.3).astype(np.float32)
        v = (size * size * rng.chisquare(20, (BLOCKS, 256)) / 20).astype(np.float32)
        largest_m, largest_v = np.abs(m).max(1, keepdims=True), v.max(1, keepdims=True)
        codes = {
            "this crate's, stochastic": (ours(m, 127, True), ours(v, 255, True)),
            "the same, to nearest": (ours(m, 127, False), ours(v, 255, False)),
            "dynamic map": (nearest(dynamic_map(True), m / largest_m) * largest_m, nearest(dynamic_map(False), v / largest_v) * largest_v),
            "softsign and root": (softsign(m / largest_m) * largest_m, (np.rint(255 * np.sqrt(v / largest_v)) / 255) ** 2 * largest_v),
            "linear": (np.rint(127 * m / largest_m) / 127 * largest_m, np.rint(255 * v / largest_v) / 255 * largest_v),
        }
        update = m / (np.sqrt(v) + 1e-8)
        for name, (coded_m, coded_v) in codes.items():
            error_m = np.median(np.abs(coded_m - m) / np.abs(m))
            error_v = np.median(np.abs(np.sqrt(coded_v) - np.sqrt(v)) / np.sqrt(v))
            lost = np.mean((coded_v == 0) & (v > 0))
            error = np.sqrt(np.mean((coded_m / (np.sqrt(coded_v) + 1e-8) - update) ** 2) / np.mean(update**2))
            print(f"| {kind} | {name} | {error_m:.1%} | {error_v:.1%} | {lost:.1%} | {error:.1%} |")


main()
