// The passes of Adafactor over whole rows of a matrix [rows, width], row-major. Sums are float64. Those over a row
// accumulate the even and odd lanes of two pairs separately and join them at its end; rows are added in order, so
// that a matrix may come in any chunks of rows.

/**
 * Adds each column's Σ g² to `columns`, and computes each row's mean of g².
 *
 * @param rowMeans [rows] float32, written
 * @param columns [width] float64, added to
 * @param sum Σ p² of the rows before
 * @returns Σ p² with these rows
 */
export function adafactorSums(
  param: usize,
  grad: usize,
  rowMeans: usize,
  columns: usize,
  rows: usize,
  width: usize,
  gradScale: f64,
  sum: f64,
): f64 {
  const scale = <f32>gradScale;
  const vScale = f32x4.splat(scale);
  const bytes = width << 2;
  const whole = bytes & ~15;
  for (let row: usize = 0; row < rows; row++) {
    const p = param + row * bytes;
    const g = grad + row * bytes;
    let g0 = f64x2.splat(0);
    let g1 = f64x2.splat(0);
    let p0 = f64x2.splat(0);
    let p1 = f64x2.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const x = f32x4.mul(v128.load(g + i), vScale);
      let low = f64x2.promote_low_f32x4(x);
      let high = f64x2.promote_low_f32x4(i64x2.shuffle(x, x, 1, 0));
      low = f64x2.mul(low, low);
      high = f64x2.mul(high, high);
      g0 = f64x2.add(g0, low);
      g1 = f64x2.add(g1, high);
      const column = columns + (i << 1);
      v128.store(column, f64x2.add(v128.load(column), low));
      v128.store(column, f64x2.add(v128.load(column, 16), high), 16);
      const y = v128.load(p + i);
      const lowP = f64x2.promote_low_f32x4(y);
      const highP = f64x2.promote_low_f32x4(i64x2.shuffle(y, y, 1, 0));
      p0 = f64x2.add(p0, f64x2.mul(lowP, lowP));
      p1 = f64x2.add(p1, f64x2.mul(highP, highP));
    }
    g0 = f64x2.add(g0, g1);
    p0 = f64x2.add(p0, p1);
    let squares = f64x2.extract_lane(g0, 0) + f64x2.extract_lane(g0, 1);
    let values = f64x2.extract_lane(p0, 0) + f64x2.extract_lane(p0, 1);
    for (; i < bytes; i += 4) {
      const x = <f64>(load<f32>(g + i) * scale);
      const column = columns + (i << 1);
      store<f64>(column, load<f64>(column) + x * x);
      squares += x * x;
      const y = <f64>load<f32>(p + i);
      values += y * y;
    }
    store<f32>(rowMeans + (row << 2), <f32>(squares / <f64>width));
    sum += values;
  }
  return sum;
}

/**
 * Σ u² of the updates u = g / √max(r·c, floor).
 *
 * @param rowFactors [rows] float32, r
 * @param columnFactors [width] float32, c
 * @param sum that of the rows before
 */
export function adafactorNorm(
  grad: usize,
  rowFactors: usize,
  columnFactors: usize,
  rows: usize,
  width: usize,
  floor: f32,
  gradScale: f64,
  sum: f64,
): f64 {
  const scale = <f32>gradScale;
  const vScale = f32x4.splat(scale);
  const vFloor = f32x4.splat(floor);
  const bytes = width << 2;
  const whole = bytes & ~15;
  for (let row: usize = 0; row < rows; row++) {
    const g = grad + row * bytes;
    const factor = load<f32>(rowFactors + (row << 2));
    const vFactor = f32x4.splat(factor);
    let u0 = f64x2.splat(0);
    let u1 = f64x2.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const variance = f32x4.pmax(f32x4.mul(vFactor, v128.load(columnFactors + i)), vFloor);
      const u = f32x4.div(f32x4.mul(v128.load(g + i), vScale), f32x4.sqrt(variance));
      const low = f64x2.promote_low_f32x4(u);
      const high = f64x2.promote_low_f32x4(i64x2.shuffle(u, u, 1, 0));
      u0 = f64x2.add(u0, f64x2.mul(low, low));
      u1 = f64x2.add(u1, f64x2.mul(high, high));
    }
    u0 = f64x2.add(u0, u1);
    let squares = f64x2.extract_lane(u0, 0) + f64x2.extract_lane(u0, 1);
    for (; i < bytes; i += 4) {
      const product = factor * load<f32>(columnFactors + i);
      const variance = product < floor ? floor : product;
      const u = <f64>((load<f32>(g + i) * scale) / sqrt<f32>(variance));
      squares += u * u;
    }
    sum += squares;
  }
  return sum;
}

/** param ← decay · param − rate · u, with u as in {@link adafactorNorm}. */
export function adafactorUpdate(
  param: usize,
  grad: usize,
  rowFactors: usize,
  columnFactors: usize,
  rows: usize,
  width: usize,
  floor: f32,
  gradScale: f64,
  decay: f32,
  rate: f32,
): void {
  const scale = <f32>gradScale;
  const vScale = f32x4.splat(scale);
  const vFloor = f32x4.splat(floor);
  const vDecay = f32x4.splat(decay);
  const vRate = f32x4.splat(rate);
  const bytes = width << 2;
  const whole = bytes & ~15;
  for (let row: usize = 0; row < rows; row++) {
    const p = param + row * bytes;
    const g = grad + row * bytes;
    const factor = load<f32>(rowFactors + (row << 2));
    const vFactor = f32x4.splat(factor);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const variance = f32x4.pmax(f32x4.mul(vFactor, v128.load(columnFactors + i)), vFloor);
      const u = f32x4.div(f32x4.mul(v128.load(g + i), vScale), f32x4.sqrt(variance));
      const decayed = f32x4.mul(v128.load(p + i), vDecay);
      v128.store(p + i, f32x4.sub(decayed, f32x4.mul(vRate, u)));
    }
    for (; i < bytes; i += 4) {
      const product = factor * load<f32>(columnFactors + i);
      const variance = product < floor ? floor : product;
      const u = (load<f32>(g + i) * scale) / sqrt<f32>(variance);
      store<f32>(p + i, load<f32>(p + i) * decay - rate * u);
    }
  }
}
