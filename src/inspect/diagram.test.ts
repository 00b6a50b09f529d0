import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockDiagram } from './diagram.ts';
import { type NamedModel, namedPreset } from './named-model.ts';
import { escapeXml, textWidth, wrapText } from './svg-text.ts';

const named = (...names: string[]): NamedModel[] => names.map((name) => namedPreset(name)!);

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function rectangles(svg: string): Box[] {
  return [
    ...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"[^>]*fill="(?!none)/g),
  ].map(([, x, y, width, height]) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
  }));
}

const texts = (svg: string) => [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!);

describe('blockDiagram', () => {
  const four = blockDiagram(named('gpt', 'gemma', 'gemma2', 'llama3'), 'en');

  it('draws one self-contained picture', () => {
    expect(four.startsWith('<svg xmlns="http://www.w3.org/2000/svg"')).toBe(true);
    expect(four).not.toMatch(/href|<script|<style|url\(|@import/);
    expect(four).toContain('<title>Block diagrams: gpt, gemma, gemma2, llama3</title>');
    const opened = four.match(/<[a-z]+(?:\s[^>]*[^/])?>/g)!.length;
    expect(four.match(/<\/[a-z]+>/g)!.length).toBe(opened);
  });

  it('keeps all boxes inside the picture, none over another', () => {
    const [, width, height] = /viewBox="0 0 (\d+) ([\d.]+)"/.exec(four)!.map(Number);
    const boxes = rectangles(four).filter(({ height }) => height > 20);
    for (const [i, a] of boxes.entries()) {
      expect(a.x + a.width <= width! && a.y + a.height <= height!).toBe(true);
      for (const b of boxes.slice(i + 1)) {
        const apart =
          a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
        expect([a, b, apart]).toEqual([a, b, true]);
      }
    }
  });

  it('shows the norms that Gemma 2 adds, and the two that GPT already had', () => {
    const count = (svg: string, stroke: string) =>
      svg.match(new RegExp(`stroke="${stroke}" stroke-width="2"`, 'g'))?.length ?? 0;
    const added = '#1a7f37';
    const changed = '#a65f00';
    const gemmas = blockDiagram(named('gemma', 'gemma2'), 'en');
    // Two post-norms and the last soft-cap are new; attention changed.
    expect([count(gemmas, added), count(gemmas, changed)]).toEqual([3, 1]);
    const first = blockDiagram(named('gpt', 'gemma'), 'en');
    // Rotary positions are new; three norms, attention, MLP and head (their biases) changed.
    expect([count(first, added), count(first, changed)]).toEqual([1, 6]);
    expect(texts(gemmas).filter((text) => text === 'after attention')).toHaveLength(1);
    expect(count(blockDiagram(named('llama-3-8b', 'llama-3-70b'), 'en'), '#(a65f00|1a7f37)')).toBe(0);
  });

  it('shows what newer families add', () => {
    const svg = blockDiagram(named('gemma2', 'gemma3', 'exaone4', 'hyperclovax/tiny'), 'en');
    const drawn = texts(svg);
    expect(drawn.filter((text) => text.startsWith('per head'))).toHaveLength(2);
    expect(drawn).toContain('θ = 10,000 in local layers');
    expect(drawn).toContain('not in 16 of 64 layers');
    expect(drawn.filter((text) => text === '× 0.5 before the sum')).toHaveLength(2);
    expect(drawn).toContain('logits × 0.5');
  });

  it('labels in Korean on request', () => {
    const korean = texts(blockDiagram(named('gpt', 'gemma2'), 'ko')).join(' ');
    expect(korean).toContain('토큰 임베딩');
    expect(korean).toContain('× 42개 층');
    expect(korean.match(/\b[a-z]{3,}\b/g)!.filter((word) => !/^(gpt|base|gemma)$/.test(word))).toEqual([]);
  });

  it('escapes names of directories', () => {
    const [model] = named('gpt/tiny');
    const svg = blockDiagram([{ ...model!, name: '<b>&"\u0007' }], 'en');
    expect(svg).toContain('&lt;b&gt;&amp;&quot;\ufffd');
    expect(svg).not.toContain('<b>');
  });
});

describe('text in a diagram', () => {
  it('is wrapped without losing a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 4, max: 30 }), (text, width) => {
        const lines = wrapText(text, width);
        expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''));
        for (const line of lines)
          if (Array.from(line).length > 1) expect(textWidth(line)).toBeLessThanOrEqual(width);
      }),
    );
  });

  it('never breaks markup', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeXml(text)).not.toMatch(/[<>"']|&(?!amp;|lt;|gt;|quot;|apos;)/);
      }),
    );
  });
});
