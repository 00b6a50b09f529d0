import { useMemo } from 'preact/hooks';
import { useApp } from '../../app/context.ts';
import { AttentionMap, type HeadAttention, HeadThumbnail } from '../../ui/attention-map.tsx';
import { Choice } from '../../ui/choice.tsx';
import { percentText, visibleText } from '../../ui/token-text.ts';
import type { RunResult } from '../../worker/protocol.ts';

interface AttentionProps {
  readonly run: RunResult;
  readonly head: number;
  /** Makes names of form controls differ where two models stand side by side. */
  readonly side: string;
  onLayer(layer: number): void;
  onHead(head: number): void;
  onChoose(position: number): void;
}

const MOST_SEEN = 6;

export function Attention({ run, side, onLayer, onHead, onChoose, ...props }: AttentionProps) {
  const t = useApp().t.run;
  const { attention, tokens, position } = run;
  const { layer, layers, heads, kvHeads, window, windows } = attention;
  const head = Math.min(props.head, heads - 1);
  const each = useMemo(() => headsOf(run), [run]);
  const chosen = each[head]!;
  const count = tokens.length;
  const row = Array.from(chosen.probabilities.subarray(position * count, (position + 1) * count));
  const seen = [...row.entries()].sort(([, a], [, b]) => b - a).slice(0, Math.min(MOST_SEEN, position + 1));
  const group = heads / kvHeads;
  return (
    <section class="attention">
      <h3>{t.attention}</h3>
      <Choice
        label={t.layer}
        options={Array.from({ length: layers }, (_, i) => ({
          value: String(i),
          text: t.layerName(i, windows[i]!),
          title: t.layerLabel(i, windows[i]!),
        }))}
        value={String(layer)}
        onChange={(value) => onLayer(Number(value))}
      />
      <p class="soft">
        {t.sees(window)} {t.sharing(heads, kvHeads)}
      </p>
      <div class="heads">
        {Array.from({ length: kvHeads }, (_, key) => (
          <fieldset key={key} class="key-head">
            <legend>{t.keyHead(key)}</legend>
            {each.slice(key * group, (key + 1) * group).map((one, i) => (
              <label key={i}>
                <input
                  type="radio"
                  name={`head-${side}`}
                  checked={key * group + i === head}
                  onChange={() => onHead(key * group + i)}
                />
                <HeadThumbnail attention={one} />
                <span>{t.head(key * group + i)}</span>
              </label>
            ))}
          </fieldset>
        ))}
      </div>
      <div class="beside">
        <AttentionMap
          attention={chosen}
          {...{ tokens, position, onChoose }}
          label={t.heatmap(layer, head)}
          outside={t.outside}
          future={t.future}
        />
        <table class="seen">
          <thead>
            <tr>
              <th scope="col">{t.looksAt(visibleText(tokens[position]!.text))}</th>
              <th scope="col" class="number">
                {t.share}
              </th>
            </tr>
          </thead>
          <tbody>
            {seen.map(([at, share]) => (
              <tr key={at}>
                <th scope="row">
                  <code>{visibleText(tokens[at]!.text)}</code> <span class="soft">{at}</span>
                </th>
                <td class="number">{percentText(share)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function headsOf({ attention, tokens }: RunResult): HeadAttention[] {
  const count = tokens.length;
  const cells = count * count;
  return Array.from({ length: attention.heads }, (_, head) => ({
    probabilities: attention.probabilities.subarray(head * cells, (head + 1) * cells),
    count,
    window: attention.window,
  }));
}
