import { families } from '../../src/families/registry.ts';

/** Every family of the registry. `test/reference` has a case of the same name for each, which families.test.ts checks. */
export const FAMILIES = families.map(({ name }) => name);

/** Those that llama.cpp runs. */
export const GGUF_FAMILIES = families.filter(({ gguf }) => !('none' in gguf)).map(({ name }) => name);
