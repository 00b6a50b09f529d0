import { RopewalkError } from '../../../errors.ts';
import { quote, show } from '../../safetensors/header.ts';
import {
  ARRAY_TYPE,
  type GgufScalarType,
  type GgufValue,
  type GgufValueType,
  SCALAR_TYPES,
} from '../types.ts';

/** Collects the bytes of a header. */
export class HeaderBytes {
  #bytes = new Uint8Array(1 << 12);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;
  readonly #encoder = new TextEncoder();

  get size(): number {
    return this.#size;
  }

  u32(value: number): void {
    // Make room first, since that may replace the view.
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  /** @returns its length in bytes */
  string(text: string): number {
    const encoded = this.#encoder.encode(text);
    this.u64(encoded.byteLength);
    const at = this.#grow(encoded.byteLength);
    this.#bytes.set(encoded, at);
    return encoded.byteLength;
  }

  zeros(count: number): void {
    this.#grow(count);
  }

  /**
   * A metadata value, with its type before it.
   * @throws RopewalkError naming the key, if the value is not of the type
   */
  value(key: string, type: GgufValueType, value: GgufValue): void {
    this.u32(typeId(type));
    this.#content(key, type, value);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  #content(key: string, type: GgufValueType, value: GgufValue): void {
    if (typeof type === 'string') {
      this.#scalar(key, type, value);
      return;
    }
    if (!isList(value)) throw wrongValue(key, 'a list', value);
    this.u32(typeId(type.array));
    this.u64(value.length);
    for (let i = 0; i < value.length; i++) this.#content(key, type.array, value[i]!);
  }

  #scalar(key: string, type: GgufScalarType, value: GgufValue): void {
    if (type === 'string') {
      if (typeof value !== 'string' || !hasUtf8(value)) throw wrongValue(key, 'a string', value);
      this.string(value);
    } else if (type === 'bool') {
      if (typeof value !== 'boolean') throw wrongValue(key, 'a boolean', value);
      const at = this.#grow(1);
      this.#bytes[at] = value ? 1 : 0;
    } else if (type === 'f32' || type === 'f64') {
      if (typeof value !== 'number') throw wrongValue(key, 'a number', value);
      const at = this.#grow(SCALAR_TYPES[type].bytes);
      if (type === 'f32') this.#view.setFloat32(at, value, true);
      else this.#view.setFloat64(at, value, true);
    } else {
      this.#integer(key, type, value);
    }
  }

  #integer(key: string, type: Exclude<GgufScalarType, 'string' | 'bool' | 'f32' | 'f64'>, value: GgufValue) {
    const { bytes } = SCALAR_TYPES[type];
    const whole =
      typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
    const fit =
      whole !== undefined &&
      whole === (type.startsWith('u') ? BigInt.asUintN : BigInt.asIntN)(bytes * 8, whole);
    if (!fit) throw wrongValue(key, `an integer of type ${type}`, value);
    const at = this.#grow(bytes);
    for (let i = 0; i < bytes; i++) this.#bytes[at + i] = Number((whole >> BigInt(8 * i)) & 0xffn);
  }

  /** Makes zeroed room; returns where it starts. */
  #grow(count: number): number {
    const at = this.#size;
    this.#size += count;
    if (this.#size > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.byteLength));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Whether a text is valid in UTF-8: half a surrogate pair would be read back as a different text. */
export function hasUtf8(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function typeId(type: GgufValueType): number {
  return typeof type === 'string' ? SCALAR_TYPES[type].id : ARRAY_TYPE;
}

function isList(value: GgufValue): value is Exclude<GgufValue, number | bigint | boolean | string> {
  return typeof value === 'object';
}

function wrongValue(key: string, want: string, value: GgufValue): RopewalkError {
  const what = isList(value) ? 'a list' : typeof value === 'bigint' ? String(value) : show(value);
  return new RopewalkError(`metadata ${quote(key)} must be ${want}, not ${what}`);
}
