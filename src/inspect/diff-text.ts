import type { DiffRow, Mark } from './diff.ts';
import type { Bilingual, Locale } from './labels.ts';

const markSigns: Readonly<Record<Mark, string>> = {
  same: ' ',
  added: '+',
  removed: '−',
  renamed: '≈',
  changed: '~',
  replaced: '≠',
};

const markLabels: Readonly<Record<Mark, Bilingual>> = {
  same: { en: 'same', ko: '같음' },
  added: { en: 'added', ko: '추가' },
  removed: { en: 'removed', ko: '삭제' },
  renamed: { en: 'renamed', ko: '이름 변경' },
  changed: { en: 'changed', ko: '변경' },
  replaced: { en: 'replaced', ko: '교체' },
};

export interface DiffTextOptions {
  readonly locale?: Locale;
  /** Headings of the two columns. */
  readonly names?: readonly [string, string];
  /** Colors a line by its mark; none by default. */
  readonly paint?: (mark: Mark, line: string) => string;
}

/** Two trees side by side as text: left, sign, right, followed by changes that the line does not show. */
export function renderDiff(rows: readonly DiffRow[], options: DiffTextOptions = {}): string {
  const { locale = 'en', names, paint = (_, line) => line } = options;
  const width = Math.max(...rows.map(({ left }) => left?.length ?? 0), names?.[0].length ?? 0);
  const lines = rows.map(({ left = '', right = '', mark, fields }) => {
    const shown = right.toLowerCase();
    const hidden = fields.filter(({ right: value }) => !shown.includes(value));
    const note = hidden.map(({ field, left: a, right: b }) => `${field} ${a} → ${b}`).join(', ');
    const line = `${left.padEnd(width)} ${markSigns[mark]} ${right}${note && `   # ${note}`}`;
    return paint(mark, line.trimEnd());
  });
  const marks = (Object.keys(markSigns) as Mark[]).filter((mark) => mark !== 'same');
  const legend = marks.map((mark) => `${markSigns[mark]} ${markLabels[mark][locale]}`).join('  ');
  const heading = names ? [`${names[0].padEnd(width)}   ${names[1]}`] : [];
  return [...heading, ...lines, '', legend].join('\n');
}
