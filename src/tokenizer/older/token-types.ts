/** SentencePiece's token types (`ModelProto.SentencePiece.Type`), which are also llama.cpp's (`llama_token_type`). */
export const NORMAL = 1;
export const UNKNOWN = 2;
export const CONTROL = 3;
export const USER_DEFINED = 4;
export const UNUSED = 5;
export const BYTE = 6;
