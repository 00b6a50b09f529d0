import './style.css';
import { render } from 'preact';
import { App } from './app/app.tsx';
import { startModels } from './worker/client.ts';

const models = startModels();
// For the console: `await ropewalk.call('tap', { model: 'llama', text: 'The whale', taps: ['logits'] })`.
Object.assign(globalThis, { ropewalk: models });
render(<App models={models} />, document.getElementById('app')!);
