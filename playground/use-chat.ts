import { useEffect, useRef, useState } from 'preact/hooks';
import { listModels, streamChat } from './api.ts';
import { keepState, type Reply, readState, type State } from './store.ts';

/** The state of the page, and what can be done with it. */
export function useChat() {
  const [state, setState] = useState<State>(readState);
  const [models, setModels] = useState<readonly string[]>([]);
  const [problem, setProblem] = useState<string>();
  const [running, setRunning] = useState(false);
  const stops = useRef<AbortController>(undefined);

  // While a reply is written, storage need not follow every piece.
  useEffect(() => {
    const timer = setTimeout(() => keepState(state), running ? 500 : 0);
    return () => clearTimeout(timer);
  }, [state, running]);
  useEffect(() => {
    let current = true;
    listModels(state.key).then(
      (names) => {
        if (!current) return;
        setModels(names);
        setProblem(undefined);
        setState((now) => {
          const chosen = now.chosen.filter((name) => names.includes(name));
          return { ...now, chosen: chosen.length > 0 ? chosen : names.slice(0, 1) };
        });
      },
      (error: unknown) => current && setProblem(String((error as Error).message)),
    );
    return () => {
      current = false;
    };
  }, [state.key]);

  const change = (more: Partial<State>) => setState((now) => ({ ...now, ...more }));

  const setReply = (at: number, model: string, update: (reply: Reply) => Reply) =>
    setState((now) => ({
      ...now,
      turns: now.turns.map((turn, i) =>
        i === at ? { ...turn, replies: { ...turn.replies, [model]: update(turn.replies[model]!) } } : turn,
      ),
    }));

  async function answer(at: number, model: string, before: State, prompt: string, signal: AbortSignal) {
    let first: number | undefined;
    let last = 0;
    try {
      await streamChat(
        { model, key: before.key, settings: before.settings, turns: before.turns.slice(0, at), prompt },
        signal,
        {
          onText(text) {
            last = performance.now();
            first ??= last;
            setReply(at, model, (reply) => ({ ...reply, text: reply.text + text }));
          },
          onFinish: (finish) => setReply(at, model, (reply) => ({ ...reply, finish })),
          onUsage(promptTokens, tokens) {
            const seconds = first === undefined ? 0 : (last - first) / 1000;
            const perSecond = seconds > 0 ? (tokens - 1) / seconds : undefined;
            setReply(at, model, (reply) => ({
              ...{ ...reply, promptTokens, tokens },
              ...(perSecond !== undefined && { perSecond }),
            }));
          },
        },
      );
      setReply(at, model, (reply) => ({ ...reply, state: 'done' }));
    } catch (error) {
      setReply(at, model, (reply) =>
        signal.aborted
          ? { ...reply, state: 'stopped' }
          : { ...reply, state: 'failed', error: String((error as Error).message) },
      );
    }
  }

  /** Asks the chosen models; again for the last turn where `again` is set. */
  async function ask(prompt: string, again = false) {
    if (running || state.chosen.length === 0) return;
    const before = again ? { ...state, turns: state.turns.slice(0, -1) } : state;
    const at = before.turns.length;
    const empty: Reply = { text: '', state: 'writing' };
    const replies = Object.fromEntries(state.chosen.map((model) => [model, empty]));
    setState({ ...before, turns: [...before.turns, { prompt, replies }] });
    const controller = new AbortController();
    stops.current = controller;
    setRunning(true);
    await Promise.all(state.chosen.map((model) => answer(at, model, before, prompt, controller.signal)));
    setRunning(false);
  }

  return {
    ...{ state, models, problem, running, change },
    send: (prompt: string) => ask(prompt),
    regenerate: () => ask(state.turns.at(-1)!.prompt, true),
    stop: () => stops.current?.abort(),
    clear() {
      stops.current?.abort();
      change({ turns: [] });
    },
  };
}
