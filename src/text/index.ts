/** Texts as one long row of tokens, and n-gram models of them to compare with. */
export { type EncodeCorpusOptions, encodeCorpus, encodeCorpusAsync, splitCorpus } from './corpus.ts';
export { fitBigram, fitUnigram, meanNegativeLogLikelihood, type NgramModel } from './ngram.ts';
