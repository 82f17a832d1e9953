"""Charts as SVG: means with intervals, and curves with bands. They take their ink from the page."""

from collections.abc import Mapping, Sequence

import numpy as np

from innspect.evaluation.drawing import Line
from innspect.tables import on_page


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers between two, about so many."""
    span = high - low
    if not np.isfinite(span) or span <= 0:
        return [low]
    raw = span / count
    step = next(f * 10.0 ** np.floor(np.log10(raw)) for f in (1, 2, 2.5, 5, 10) if f * 10.0 ** np.floor(np.log10(raw)) >= raw)
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) for k in range(int(first), int(np.floor(high / step + 1e-9)) + 1)]


def curves(lines: Sequence[Line], *, label: str, width: int = 420, height: int = 260) -> str:
    """Curves over the share of what is hidden, from 0 to 1."""
    every = np.concatenate([np.concatenate([each.mean, each.low, each.high]) for each in lines])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    left, right, top, bottom = 52, 20, 10, 36
    across = lambda v: left + (width - left - right) * v  # noqa: E731
    up = lambda v: height - bottom - (height - top - bottom) * (v - low) / (high - low)  # noqa: E731
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{on_page(label)}">']
    for tick in ticks(low, high):
        y = up(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text x="{across(share):.1f}" y="{height - bottom + 16}" text-anchor="middle">{share:.0%}</text>')
    parts.append(f'<text class="axis" x="{across(0.5):.1f}" y="{height - 4}" text-anchor="middle">{on_page(label)}</text>')
    for line in lines:
        known = np.isfinite(line.mean)
        x, mean = line.x[known], line.mean[known]
        low_edge, high_edge = (np.where(np.isfinite(e), e, m) for e, m in ((line.low[known], mean), (line.high[known], mean)))
        band = [*zip(x, high_edge, strict=True), *zip(x[::-1], low_edge[::-1], strict=True)]
        points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in band)
        parts.append(f'<polygon points="{points}" fill="{line.colour}" opacity=".13"/>')
    for line in lines:
        points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(line.x, line.mean, strict=True) if np.isfinite(b))
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        title = f"<title>{on_page(line.label)}</title>"
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}>{title}</polyline>'
        )
    return "".join([*parts, "</svg>"])


def whiskers(
    cells: Mapping[str, tuple[float, float, float]],
    colours: Mapping[str, str],
    best: str | None,
    *,
    label: str,
    width: int = 420,
) -> str:
    """A row for each method: a dot at the mean, a line along the interval; the best is bold.

    Args:
        cells: Dict from method to (mean, low, high); NaN where there is no interval.
        colours: Of the methods.
        best: Which is better than all others, if any.
        label: What it shows, for those who hear it.
    """
    every = np.array([v for cell in cells.values() for v in cell])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    names = max(map(len, cells), default=1)
    left, right, row = min(18 + 7.2 * min(names, 30), width * 0.55), 14, 22
    height = row * len(cells) + 26
    across = lambda v: left + (width - left - right) * (v - low) / (high - low)  # noqa: E731
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{on_page(label)}">']
    for tick in ticks(low, high):
        parts.append(f'<line class="grid" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="4" y2="{height - 22}"/>')
        parts.append(f'<text x="{across(tick):.1f}" y="{height - 7}" text-anchor="middle">{tick:.4g}</text>')
    for k, (name, (mean, start, stop)) in enumerate(cells.items()):
        y, shown = row * k + 16, name if len(name) <= 30 else name[:29] + "…"
        weight = ' class="best"' if name == best else ""
        parts.append(f'<text{weight} x="{left - 10:.1f}" y="{y + 4}" text-anchor="end">{on_page(shown)}</text>')
        if not np.isfinite(mean):
            parts.append(f'<text x="{left:.1f}" y="{y + 4}">undefined</text>')
            continue
        colour = colours[name]
        if np.isfinite(start):
            ends = f'x1="{across(start):.1f}" x2="{across(stop):.1f}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} stroke="{colour}" stroke-width="3" opacity=".55"/>')
        parts.append(f'<circle cx="{across(mean):.1f}" cy="{y}" r="5" fill="{colour}"><title>{mean:.4g}</title></circle>')
    return "".join([*parts, "</svg>"])
