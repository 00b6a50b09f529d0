/** Numbers for tables: the same text in every locale. */

/** 8,537,680,896 */
export function whole(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** At most four significant digits. */
export function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** 128 KiB, 1.25 GiB */
export function bytes(value: number): string {
  return scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
}

/** 67.1 MFLOP */
export function flops(value: number): string {
  return scaled(value, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP']);
}

/** 124M, 1.6B: the names of model sizes. */
export function sizeName(parameters: number): string {
  if (parameters < 1e6) return `${Math.round(parameters / 1e3)}K`;
  if (parameters < 1e9) return `${Math.round(parameters / 1e6)}M`;
  return `${Number((parameters / 1e9).toFixed(1))}B`;
}

/** 1e-6 for 0.000001; ordinary numbers unchanged. */
export function small(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${short(value)} ${units[unit]}`;
}
