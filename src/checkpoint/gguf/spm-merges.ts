const CONTROL = 3;

/**
 * Merges for a SentencePiece-style vocabulary, which has only scores: every way to put a token together from two others
 * is a merge, the token with the highest score first, as Hugging Face converts such models. Ties go to the longer left,
 * then to the longer right part.
 *
 * @returns pairs in order of rank.
 */
export function mergesFromScores(
  tokens: readonly string[],
  types: ArrayLike<number>,
  scores: ArrayLike<number>,
  vocab: Readonly<Record<string, number>>,
): [string, string][] {
  const merges: { left: string; right: string; score: number; leftId: number; rightId: number }[] = [];
  tokens.forEach((token, id) => {
    if (types[id] === CONTROL) return;
    const local: typeof merges = [];
    for (let cut = 1; cut < token.length; cut++) {
      // A pair of surrogates is one character.
      const code = token.charCodeAt(cut);
      if (code >= 0xdc00 && code <= 0xdfff) continue;
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      const [leftId, rightId] = [vocab[left], vocab[right]];
      if (leftId === undefined || rightId === undefined) continue;
      local.push({ left, right, score: scores[id]!, leftId, rightId });
    }
    local.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId);
    merges.push(...local);
  });
  const length = (text: string) => [...text].length;
  const ranked = merges.map((merge) => ({ ...merge, l: length(merge.left), r: length(merge.right) }));
  ranked.sort((a, b) => b.score - a.score || b.l - a.l || b.r - a.r);
  return ranked.map(({ left, right }) => [left, right]);
}
