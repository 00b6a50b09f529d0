/** Texts as one long sequence of tokens, and n-gram baselines. */
export { type EncodeCorpusOptions, encodeCorpus, encodeCorpusAsync, splitCorpus } from './corpus.ts';
export { fitBigram, fitUnigram, meanNegativeLogLikelihood, type NgramModel } from './ngram.ts';
