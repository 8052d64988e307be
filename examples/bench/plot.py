"""Plots of the benches, as SVG of their own: no library, readable on light and dark pages."""

from html import escape

COLOURS = ["#0969da", "#bc4c00", "#57606a", "#1a7f37", "#8250df"]
STYLE = ("text{font:12px system-ui,sans-serif;fill:#1b1f24}.s{font-size:11px;fill:#57606a}.h{font-weight:600}"
         ".a{stroke:#d0d7de;fill:none}")


def document(width, height, title, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE}</style>'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def label(x, y, text, kind="", anchor="start"):
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def bars(title, names, groups):
    """One small chart a group, each with a scale of its own: `groups` are (heading, unit, a figure for each name)."""
    parts, y = [label(10, 20, title, "h")], 44
    for heading, unit, figures in groups:
        parts.append(label(10, y, heading, "h"))
        most = max(figures) or 1
        for number, (name, figure) in enumerate(zip(names, figures)):
            top = y + 8 + number * 20
            width = max(1, 420 * figure / most)
            parts += [label(150, top + 11, name, "s", "end"),
                      f'<rect x="160" y="{top}" width="{width:.1f}" height="14" rx="2" fill="{COLOURS[number]}"/>',
                      label(166 + width, top + 11, f"{figure:,.4g} {unit}", "s")]
        y += 20 * len(names) + 30
    return document(720, y - 8, title, parts)


def lines(title, unit, series, bands=()):
    """Curves over seconds: `series` are (name, [(second, figure)]), `bands` are (from, to, name) behind them."""
    left, top, width, height = 60, 60, 630, 200
    end = max((at for _, points in series for at, _ in points), default=1) or 1
    most = max((figure for _, points in series for _, figure in points), default=1) or 1
    x = lambda at: left + width * at / end
    y = lambda figure: top + height * (1 - figure / (most * 1.05))
    parts = [label(10, 20, title, "h")]
    for start, stop, name in bands:
        parts.append(f'<rect x="{x(start):.1f}" y="{top}" width="{x(stop) - x(start):.1f}" height="{height}" fill="#fff1e5"/>')
        if name:
            parts.append(label((x(start) + x(stop)) / 2, top + height + 30, name, "s", "middle"))
    for step in range(5):
        figure = most * step / 4
        parts += [f'<path class="a" d="M{left},{y(figure):.1f}H{left + width}"/>',
                  label(left - 6, y(figure) + 4, f"{figure:,.4g}", "s", "end")]
    for step in range(5):
        parts.append(label(x(end * step / 4), top + height + 16, f"{end * step / 4:.0f} s", "s", "middle"))
    parts.append(label(left, top - 8, unit, "s"))
    for number, (name, points) in enumerate(series):
        path = " ".join(f"{x(at):.1f},{y(figure):.1f}" for at, figure in points)
        colour = COLOURS[number % len(COLOURS)]
        parts += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
                  f'<rect x="{left + 170 * number + 90}" y="32" width="10" height="10" fill="{colour}"/>',
                  label(left + 170 * number + 105, 41, name, "s")]
    return document(720, top + height + 40, title, parts)
