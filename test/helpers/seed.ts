/**
 * Property tests draw new examples in every run, except where CI is set: a gate must give one commit one answer. A seed
 * of one's own: `FC_SEED=7 npm test`.
 */
import fc from 'fast-check';

const seed = process.env.FC_SEED ?? (process.env.CI ? '1' : undefined);
if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });
