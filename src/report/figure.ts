import { type Bilingual, both, type Html, html, type Insertable } from './html.ts';
import { type Frame, svg } from './plot.ts';

/** Unique ids: figures are described by their captions. */
export class Ids {
  #next = 1;

  id(prefix: string): string {
    return `${prefix}-${this.#next++}`;
  }
}

/** A picture with its caption, which is also its description for screen readers. */
export function figure(
  ids: Ids,
  { area, caption, above, content }: { area: Frame; caption: Bilingual; above?: Insertable; content: Html },
): Html {
  const id = ids.id('figure');
  return html`<figure>${above ?? ''}${svg(area, id, content)}<figcaption id="${id}">${both(caption)}</figcaption></figure>`;
}

export interface Panel {
  readonly title: Bilingual;
  readonly content: Html;
}

/** Several pictures of the same size side by side, under one caption. */
export function panels(
  ids: Ids,
  {
    area,
    columns = 2,
    caption,
    above,
    list,
  }: {
    area: Frame;
    /** Pictures per row if there is room. */
    columns?: 2 | 3;
    caption: Bilingual;
    above?: Insertable;
    list: readonly Panel[];
  },
): Html {
  const captionId = ids.id('figure');
  const items = list.map(({ title, content }) => {
    const id = ids.id('panel');
    return html`<div><h4 id="${id}">${both(title)}</h4>${svg(area, `${id} ${captionId}`, content)}</div>`;
  });
  return html`<figure>${above ?? ''}<div class="panels${columns === 3 ? ' three' : ''}">${items}</div><figcaption id="${captionId}">${both(caption)}</figcaption></figure>`;
}
