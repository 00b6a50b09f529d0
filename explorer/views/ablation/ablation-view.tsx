import { useId, useState } from 'preact/hooks';
import type { AblationResult } from '../../../src/ablate/result.ts';
import { errorText, useApp, useLoaded } from '../../app/context.ts';
import { AblationReport } from './ablation-report.tsx';

/** One of a file, which no address can name. */
const OWN = 'own';

/** What single changes gain: the results of `ropewalk ablate`. */
export function AblationView() {
  const { t, route, setParams, models, siteAblations } = useApp();
  const words = t.ablation;
  const [own, setOwn] = useState<{ name: string; result: AblationResult }>();
  const [wrong, setWrong] = useState<string>();
  const [fileId, chooseId] = [useId(), useId()];
  const wanted = route.params.get('ablation');
  const site = siteAblations ?? [];
  const chosen = own && wanted === OWN ? OWN : (site.find(({ id }) => id === wanted) ?? site[0])?.id;
  const loaded = useLoaded(() => {
    if (chosen === undefined) return undefined;
    return chosen === OWN ? Promise.resolve(own!.result) : models.call('ablation', chosen);
  }, [chosen, own]);
  const picked = async (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    const [file] = input.files ?? [];
    if (!file) return;
    setWrong(undefined);
    try {
      const result = await models.call('openAblation', { name: file.name, data: file });
      setOwn({ name: file.name, result });
      setParams({ ablation: OWN });
    } catch (reason) {
      setWrong(errorText(t, reason));
    }
    // The same file can be chosen again, once it has been put right.
    input.value = '';
  };
  const error = wrong ?? loaded.error;
  return (
    <>
      <p class="lead">{words.lead}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        {(site.length > 0 || own) && (
          <div class="field">
            <label for={chooseId}>{words.choose}</label>
            <select
              id={chooseId}
              value={chosen ?? ''}
              onChange={(event) => setParams({ ablation: event.currentTarget.value }, { push: true })}
            >
              {site.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
              {own && (
                <option value={OWN}>
                  {words.opened}: {own.name}
                </option>
              )}
            </select>
          </div>
        )}
        <div class="row">
          <label class="button" for={fileId}>
            {words.open}
            <input id={fileId} type="file" accept=".json" onChange={(event) => void picked(event)} />
          </label>
        </div>
      </form>
      {error && (
        <p class="error" role="alert">
          <strong>{t.shell.failed}.</strong> {error}
        </p>
      )}
      {siteAblations && chosen === undefined && (
        <div class="empty">
          <p>
            <strong>{words.none}</strong>
          </p>
          <p>{words.how}</p>
          <pre>npx ropewalk ablate --from gpt --to llama3</pre>
        </div>
      )}
      {chosen !== undefined && loaded.value && <AblationReport result={loaded.value} />}
    </>
  );
}
