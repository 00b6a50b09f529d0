import { useState } from 'preact/hooks';
import { whole } from '../../../src/inspect/format.ts';
import { useApp } from '../../app/context.ts';
import { SERIES } from '../../ui/plot.tsx';
import { type ModelProgress, session, type TrainingState } from './session.ts';

/** How far a model is, what it writes, and what can be done with it. */
export function Progress({ state, index }: { state: TrainingState; index: number }) {
  const { t, models: client, addModel } = useApp();
  const words = t.train;
  const model = state.models[index]!;
  const { name, step, tokensPerSecond, sample } = model;
  const [used, setUsed] = useState(false);
  const last = model.evaluations.at(-1);
  const beaten = last !== undefined && state.corpus !== undefined && last.loss < state.corpus.bigram;
  const begun = step > 0;
  const plain = name.replace('/tiny', '-tiny').replaceAll(/[^\w.-]+/g, '-');
  const use = async () => {
    const files = await session.save(index);
    const given = files.map((file) => ({ name: `${plain}/${file.name}`, data: new Blob([file.data]) }));
    addModel(await client.openGiven(given));
    setUsed(true);
  };
  return (
    <article class="card progress">
      <h3>
        <span class="swatch" style={{ background: SERIES[index] }} aria-hidden="true" /> {name}
      </h3>
      <p class="soft">
        {words.atStep(step, state.settings.steps)}
        {tokensPerSecond > 0 && `, ${words.speed(whole(tokensPerSecond))}`}
      </p>
      {last && (
        <p>
          {words.heldOut} <strong>{last.loss.toFixed(3)}</strong>
          {beaten && <span class="badge">{words.beaten}</span>}
        </p>
      )}
      {sample && (
        <>
          <h4>
            {words.sample}, {words.sampleAt(sample.step)}
          </h4>
          {/* Young models write many empty lines. */}
          <blockquote>{sample.text.replace(/\s*\n\s*/g, '\n')}</blockquote>
        </>
      )}
      <div class="row">
        <button type="button" disabled={!begun} onClick={() => void download(index, plain, model)}>
          {words.download}
        </button>
        <button type="button" disabled={!begun} onClick={() => void use()}>
          {words.use}
        </button>
      </div>
      {used && <p class="soft">{words.used}</p>}
    </article>
  );
}

async function download(index: number, name: string, { step }: ModelProgress): Promise<void> {
  const [files, { zipSync }] = await Promise.all([session.save(index), import('fflate')]);
  const folder = `${name}-${step}`;
  // Weights do not shrink: they are stored.
  const zipped = zipSync(Object.fromEntries(files.map((file) => [`${folder}/${file.name}`, file.data])), {
    level: 0,
  });
  const address = URL.createObjectURL(new Blob([Uint8Array.from(zipped)], { type: 'application/zip' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = `${folder}.zip`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
