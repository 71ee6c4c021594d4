"""What `own_loop` would say of a layer that wastes nothing: its multiply-adds at the peak, the rest as it is.

What stands around the layer takes as long as it does, so the ratio over `torch.nn` has a ceiling that no
layer can pass. The sides run benchmarks/user_loop.py, a process each, in turns.
"""

from statistics import geometric_mean as mean

from benchmarks import children, common
from benchmarks.loop_points import CELLS, GATES, KINDS, listed, name
from benchmarks.user_loop import Point

HEAD = [
    "B,T,H,layers,V",
    "torch",
    "backtime",
    "around the layer",
    "GFLOP/s",
    "of peak",
    "torch/ours",
    "ceiling",
]
NOTES = """\
Median milliseconds of a whole step, and in ours of what stands around the layer; GFLOP/s of the layer's
forward and backward, and their share of the multiply-adds that registers issue in the same process.
"ceiling" is torch.nn's step over one whose layer takes its multiply-adds at that peak and nothing else."""


def gflop(point: Point, rows: int) -> float:
    """10^9 multiplications and additions of a training step in the layer: three products of each weight."""
    directions, width, total = 1 + (point.kind == "both"), point.H, 0
    for _ in range(point.layers):
        total += 2 * GATES[point.cell] * point.H * (width + point.H) * rows * directions
        width = point.H * directions
    return 3 * total / 1e9


def line(point: Point, torch: float, ours: dict[str, float]) -> tuple[list[str], float, float]:
    """A line of the table; the ratio measured, and the one that nothing can pass."""
    work, around = gflop(point, int(ours["rows"])), ours["ms"] - ours["inside"]
    ratio, ceiling = torch / ours["ms"], torch / (around + 1e3 * work / ours["peak"])
    rate = 1e3 * work / ours["inside"]
    times = [common.ms(part / 1e3) for part in (torch, ours["ms"], around)]
    shares = [f"{rate:.0f}", f"{rate / ours['peak']:.0%}", f"{ratio:.2f}", f"{ceiling:.2f}"]
    return [name(point), *times, *shares], ratio, ceiling


def measure(point: Point, seconds: float, isa: str | None) -> tuple[list[str], float, float]:
    """Both sides, a process each, at one point."""
    words = [*map(str, point), "--seconds", str(seconds)]
    torch = children.run("user_loop", ["torch", *words], isa=isa)["ms"]
    return line(point, torch, children.run("user_loop", ["backtime", *words, "--inside"], isa=isa))


def table(points: list[Point], seconds: float, isa: str | None) -> str:
    """All points, and the geometric means of both ratios."""
    lines, ratios, ceilings = zip(*(measure(point, seconds, isa) for point in points), strict=True)
    return f"{common.table(HEAD, lines)}\n\nGeometric mean {mean(ratios):.2f}, ceiling {mean(ceilings):.2f}."


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options.add_argument("--isa", help="the highest instruction set of both sides, such as avx2")
    args = options.parse_args()
    seconds = args.seconds or (0.5 if args.quick else 1.5)
    tables = [
        f"**{cell} {kind}**\n\n{table(listed([cell], [kind], args.quick), seconds, args.isa)}"
        for cell in args.cells
        for kind in args.kinds
    ]
    isa = args.isa or common.kernels.engine_info()["isa"]
    common.report(f"Ceiling of a loop of one's own, {isa}", NOTES, "\n\n".join(tables), args.write, isa)


if __name__ == "__main__":
    main()
