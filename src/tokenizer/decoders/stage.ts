/** Hands a token on to the next stage. */
export type EmitToken = (token: string) => void;

/**
 * A step of the field `decoder`, made anew for every text: it takes the spelling of one token after another and hands on,
 * as soon as it is certain, what the next step takes.
 */
export interface DecoderStage {
  push(token: string, emit: EmitToken): void;
  /** What was held back. */
  end(emit: EmitToken): void;
}

/** Makes a stage for one text. */
export type DecoderStageFactory = () => DecoderStage;

/** A step that changes each token for itself. */
export function eachToken(change: (token: string) => string): DecoderStageFactory {
  return () => ({ push: (token, emit) => emit(change(token)), end: () => {} });
}

/** A step to which the first token of a text is a special case. */
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
