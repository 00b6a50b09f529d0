/** A float with an integer value: Python writes it `1.0` and distinguishes it from an int. */
export class Float {
  constructor(readonly value: number) {}

  toJSON(): number {
    return this.value;
  }
}

/** A value of a row, as in Python's `datasets`: integers are numbers without a fraction, other numbers floats. */
export type PythonValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Float
  | readonly PythonValue[]
  | { readonly [name: string]: PythonValue };

/** A row of a dataset. */
export type Doc = Readonly<Record<string, PythonValue>>;

export function isList(value: PythonValue | undefined): value is readonly PythonValue[] {
  return Array.isArray(value);
}

export function isDict(value: PythonValue | undefined): value is Readonly<Record<string, PythonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Float);
}

/** The int that a value is equal to (bools are ints in Python); undefined for anything else. */
export function asInteger(value: PythonValue | undefined): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'bigint') return Number(value);
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}

/** `a == b`. */
export function equalValues(a: PythonValue, b: PythonValue): boolean {
  if (isList(a) || isList(b)) {
    return isList(a) && isList(b) && a.length === b.length && a.every((one, i) => equalValues(one, b[i]!));
  }
  if (isDict(a) || isDict(b)) {
    if (!isDict(a) || !isDict(b)) return false;
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && equalValues(a[name]!, b[name]!))
    );
  }
  return plain(a) === plain(b);
}

/** Numbers of all kinds as JavaScript numbers: 1, 1.0 and True are equal. */
function plain(value: PythonValue): unknown {
  if (value instanceof Float) return value.value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'bigint' ? Number(value) : value;
}
