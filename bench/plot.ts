/** Values -> SVG: bars for one figure of several contenders, lines for latency by percentile. No fonts, no scripts. */

const WIDTH = 760
const LABELS = 110
const RIGHT = 80
const ROW = 26
const TOP = 46

const COLOURS: Readonly<Record<string, string>> = {
  berth: '#0b6e99',
  direct: '#9aa5ad',
  haproxy: '#c0562b',
  nginx: '#3a8f4d',
  caddy: '#7a5ea8',
  'go-reverse': '#c9971c',
  'go-read-all': '#8c6d1f',
  'node-http': '#b03a5b',
  'c-relay': '#4a4f54',
  'c-relay-busy': '#9aa5ad',
  'berth-open': '#4fa8cf',
  'berth-2': '#4fa8cf',
  'haproxy-tcp': '#c0562b',
  'node-splice': '#b03a5b',
}
const colourOf = (name: string): string => COLOURS[name] ?? '#777777'

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const svg = (height: number, title: string, content: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="12" y="24" font-size="15" font-weight="bold">${escaped(title)}</text>`,
    ...content,
    '</svg>\n',
  ].join('\n')

export interface Bar {
  readonly name: string
  readonly value: number
  /** Lowest and highest of the rounds. */
  readonly range: readonly [number, number]
}

const digitsFor = (value: number): number => {
  if (value >= 100) return 0
  return value >= 1 ? 1 : 3
}

/** One bar a contender with its range as a thin line. @param unit what the numbers are, for the title */
export const bars = (title: string, unit: string, values: readonly Bar[]): string => {
  const most = Math.max(...values.map(({ range }) => range[1]), Number.MIN_VALUE)
  const x = (value: number) => LABELS + (value / most) * (WIDTH - LABELS - RIGHT)
  const rows = values.flatMap(({ name, value, range }, i) => {
    const y = TOP + i * ROW
    const middle = y + ROW / 2 - 3
    return [
      `<text x="${LABELS - 8}" y="${middle + 5}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${(x(value) - LABELS).toFixed(1)}" height="${ROW - 8}" fill="${colourOf(name)}"/>`,
      `<path d="M${x(range[0]).toFixed(1)} ${middle}H${x(range[1]).toFixed(1)}" stroke="#000000"/>`,
      `<text x="${(x(range[1]) + 6).toFixed(1)}" y="${middle + 5}">${value.toFixed(digitsFor(value))}</text>`,
    ]
  })
  return svg(TOP + values.length * ROW + 8, `${title} (${unit})`, rows)
}

export interface Curve {
  readonly name: string
  /** [share below, microseconds], as percentile draws them. */
  readonly points: readonly (readonly [number, number])[]
}

export const SHARES = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999] as const
const PLOT_HEIGHT = 320

/** Latency over percentile, both logarithmic: each step to the right is a tenth of the requests that are left. */
export const curves = (title: string, lines: readonly Curve[]): string => {
  const values = lines.flatMap(({ points }) => points.map(([, us]) => us)).filter((us) => us > 0)
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.ceil(Math.log10(Math.max(...values)))
  const nines = (share: number) => -Math.log10(1 - share)
  const right = nines(SHARES.at(-1) ?? 0.9999)
  const x = (share: number) => LABELS + (nines(share) / right) * (WIDTH - LABELS - RIGHT)
  const bottom = TOP + PLOT_HEIGHT
  const y = (us: number) => bottom - ((Math.log10(us) - low) / (high - low || 1)) * PLOT_HEIGHT
  const rulers = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).flatMap((us) => [
    `<path d="M${LABELS} ${y(us).toFixed(1)}H${WIDTH - RIGHT}" stroke="#dddddd"/>`,
    `<text x="${LABELS - 8}" y="${(y(us) + 4).toFixed(1)}" text-anchor="end">${us >= 1000 ? `${us / 1000} ms` : `${us} us`}</text>`,
  ])
  const ticks = [0.5, 0.9, 0.99, 0.999, 0.9999].flatMap((share) => [
    `<path d="M${x(share).toFixed(1)} ${TOP}V${bottom}" stroke="#eeeeee"/>`,
    `<text x="${x(share).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${+(share * 100).toFixed(2)} %</text>`,
  ])
  const drawn = lines.map(({ name, points }) => {
    const path = points.map(([share, us]) => `${x(share).toFixed(1)} ${y(us).toFixed(1)}`).join('L')
    return `<path d="M${path}" fill="none" stroke="${colourOf(name)}" stroke-width="${name === 'berth' ? 3 : 1.5}"/>`
  })
  return svg(bottom + 52, title, [...rulers, ...ticks, ...drawn, ...legend(lines, bottom + 40)])
}

const legend = (lines: readonly Curve[], y: number): string[] =>
  lines.flatMap(({ name }, i) => {
    const x = 20 + i * ((WIDTH - 30) / lines.length)
    return [
      `<rect x="${x.toFixed(0)}" y="${y - 9}" width="10" height="10" fill="${colourOf(name)}"/>`,
      `<text x="${(x + 14).toFixed(0)}" y="${y}" font-size="11">${escaped(name)}</text>`,
    ]
  })
