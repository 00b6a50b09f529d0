import type { DecoderStageFactory } from './stage.ts';

/** The byte of a token such as `<0xEA>`: Rust's `u8::from_str_radix` also accepts a sign. */
export function fallbackByte(token: string): number | undefined {
  const match = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(token);
  return match ? Number.parseInt(match[1]!, 16) : undefined;
}

/**
 * `ByteFallback`: a run of byte tokens is text if all of it is UTF-8; otherwise each of its bytes is U+FFFD. So a run
 * is buffered until it ends.
 */
export const byteFallback: DecoderStageFactory = () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let run: number[] = [];
  const flush = (emit: (token: string) => void) => {
    if (run.length === 0) return;
    const bytes = Uint8Array.from(run);
    run = [];
    try {
      emit(decoder.decode(bytes));
    } catch {
      for (let i = 0; i < bytes.length; i++) emit('\ufffd');
    }
  };
  return {
    push(token, emit) {
      const byte = fallbackByte(token);
      if (byte !== undefined) return void run.push(byte);
      flush(emit);
      emit(token);
    },
    end: flush,
  };
};
