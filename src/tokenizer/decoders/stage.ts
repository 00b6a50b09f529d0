/** Passes a token to the next stage. */
export type EmitToken = (token: string) => void;

/**
 * A step of the field `decoder`, created anew for every text: it receives the spellings of the tokens one by one and
 * passes on results as soon as they are certain.
 */
export interface DecoderStage {
  push(token: string, emit: EmitToken): void;
  /** Passes on what was buffered. */
  end(emit: EmitToken): void;
}

/** Makes a stage for one text. */
export type DecoderStageFactory = () => DecoderStage;

/** A step that changes each token independently. */
export function eachToken(change: (token: string) => string): DecoderStageFactory {
  return () => ({ push: (token, emit) => emit(change(token)), end: () => {} });
}

/** A step that treats the first token of a text specially. */
export function firstAndOthers(
  first: (token: string) => string,
  other: (token: string) => string,
): DecoderStageFactory {
  return () => {
    let isFirst = true;
    return {
      push(token, emit) {
        emit(isFirst ? first(token) : other(token));
        isFirst = false;
      },
      end: () => {},
    };
  };
}
