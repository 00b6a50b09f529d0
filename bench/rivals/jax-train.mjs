/*
 * jax-js with its WebAssembly backend as a rival in bench/training.ts:
 *
 *     npm install --ignore-scripts --prefix FOLDER @jax-js/jax@0.1.25
 *
 * A Llama training step written by hand, as its users would: float32, jit around valueAndGrad, and AdamW in a separate
 * jit. Its threads are web workers, which Node lacks: they are emulated with Node's workers here, one for each of
 * `threads`.
 */
import { resolveObjectURL } from 'node:buffer';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker as Thread } from 'node:worker_threads';
import { rotary, serve } from './train-protocol.mjs';

/** The part of the browser's Worker that jax-js uses. */
class WebWorker {
  onmessage = null;
  onerror = null;

  constructor(url) {
    const before =
      "const { parentPort } = require('node:worker_threads'); globalThis.self = globalThis;" +
      'globalThis.postMessage = (data) => parentPort.postMessage(data);' +
      "parentPort.on('message', (data) => self.onmessage({ data }));";
    this.thread = resolveObjectURL(url)
      .text()
      .then((source) => {
        const thread = new Thread(`${before}${source}`, { eval: true });
        thread.on('message', (data) => this.onmessage?.({ data }));
        thread.on('error', (error) => this.onerror?.(error));
        return thread;
      });
  }

  postMessage(data) {
    // Ordered like messages in the browser, including those sent before the worker runs.
    this.thread = this.thread.then((thread) => {
      thread.postMessage(data);
      return thread;
    });
  }
}

await serve(async (settings, weights) => {
  const { folder, batch, seq, config, threads } = settings;
  Object.defineProperty(globalThis, 'navigator', {
    value: { hardwareConcurrency: threads },
    configurable: true,
  });
  if (threads > 1) globalThis.Worker = WebWorker;
  const entry = join(folder, 'node_modules/@jax-js/jax/dist/index.js');
  const { init, defaultDevice, jit, nn, numpy: np, tree, valueAndGrad } = await import(pathToFileURL(entry));
  await init('wasm');
  defaultDevice('wasm');

  const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: width } = config;
  const group = heads / kvHeads;
  const rows = batch * seq;
  const array = (data, shape) => np.array(data).reshape(shape);
  let parameters = {};
  for (const [name, { data, shape }] of Object.entries(weights)) parameters[name] = array(data, shape);
  const tables = rotary(settings);
  const hidden = (i) => i % seq > Math.floor(i / seq) % seq;
  // Constants of the step; every use of an array consumes a reference, so each is created again.
  const constants = {
    cos: array(tables.cos, [1, seq, 1, width]),
    sin: array(tables.sin, [1, seq, 1, width]),
    mask: array(
      Float32Array.from({ length: group * seq * seq }, (_, i) => (hidden(i) ? -1e9 : 0)),
      [1, 1, group * seq, seq],
    ),
  };

  const norm = (x, weight) => {
    const scale = np.mean(np.square(x.ref), -1, { keepdims: true }).add(config.rms_norm_eps);
    return x.mul(np.reciprocal(np.sqrt(scale))).mul(weight);
  };
  const linear = (x, weight) => np.matmul(x, np.transpose(weight));

  function turned(x, { cos, sin }) {
    const [left, right] = np.split(x.ref, 2, -1);
    return x.mul(cos).add(np.concatenate([right.mul(-1), left], -1).mul(sin));
  }

  function attention(x, p, layer, constant) {
    const of = (name) => p[`model.layers.${layer}.self_attn.${name}.weight`].ref;
    const part = (name, count) => linear(x.ref, of(name)).reshape([batch, seq, count, width]);
    const angles = () => ({ cos: constant.cos.ref, sin: constant.sin.ref });
    const grouped = turned(part('q_proj', heads), angles()).reshape([batch, seq, kvHeads, group, width]);
    const queries = np.transpose(grouped, [0, 2, 3, 1, 4]).reshape([batch, kvHeads, group * seq, width]);
    const keys = np.transpose(turned(part('k_proj', kvHeads), angles()), [0, 2, 3, 1]);
    const values = np.transpose(part('v_proj', kvHeads), [0, 2, 1, 3]);
    x.dispose();
    // np.einsum would be shorter, but needs Node 22.
    const scores = np
      .matmul(queries, keys)
      .mul(width ** -0.5)
      .add(constant.mask.ref);
    const mixed = np.matmul(nn.softmax(scores, -1), values).reshape([batch, kvHeads, group, seq, width]);
    const joined = np.transpose(mixed, [0, 3, 1, 2, 4]).reshape([rows, heads * width]);
    return linear(joined, of('o_proj'));
  }

  function lossOf(p, ids, targets, constant) {
    const embedding = p['model.embed_tokens.weight'];
    const of = (layer, name) => p[`model.layers.${layer}.${name}.weight`].ref;
    let x = np.take(embedding.ref, ids, 0);
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      x = x.ref.add(attention(norm(x, of(layer, 'input_layernorm')), p, layer, constant));
      const y = norm(x.ref, of(layer, 'post_attention_layernorm'));
      const gated = nn
        .silu(linear(y.ref, of(layer, 'mlp.gate_proj')))
        .mul(linear(y, of(layer, 'mlp.up_proj')));
      x = x.add(linear(gated, of(layer, 'mlp.down_proj')));
    }
    const head = p['lm_head.weight'] ?? embedding;
    const logits = linear(norm(x, p['model.norm.weight'].ref), head.ref);
    const wanted = nn.oneHot(targets, config.vocab_size);
    const loss = np.sum(nn.logSoftmax(logits, -1).mul(wanted)).mul(-1 / rows);
    tree.dispose(p);
    tree.dispose(constant);
    return loss;
  }

  const gradients = jit(valueAndGrad(lossOf));
  const [rate, beta1, beta2, eps, decay] = [1e-4, 0.9, 0.999, 1e-8, 0.01];
  const update = jit((value, gradient, m, v, correction1, correction2) => {
    const decays = value.ndim >= 2 ? decay : 0;
    const m2 = m.mul(beta1).add(gradient.ref.mul(1 - beta1));
    const v2 = v.mul(beta2).add(np.square(gradient).mul(1 - beta2));
    const denominator = np.sqrt(v2.ref.div(correction2)).add(eps);
    const change = m2.ref.div(correction1).div(denominator).mul(rate);
    return [value.mul(1 - rate * decays).sub(change), m2, v2];
  });

  const zeros = () => tree.map((x) => np.zerosLike(x.ref), parameters);
  let [m, v] = [zeros(), zeros()];
  let count = 0;
  const step = async ({ inputs, targets }) => {
    count++;
    const [loss, gradient] = gradients(
      tree.ref(parameters),
      np.array(inputs),
      np.array(targets),
      tree.ref(constants),
    );
    const next = [{}, {}, {}];
    for (const name of Object.keys(parameters)) {
      const corrections = [1 - beta1 ** count, 1 - beta2 ** count].map((x) => np.array(x));
      const updated = update(parameters[name], gradient[name], m[name], v[name], ...corrections);
      updated.forEach((each, i) => {
        next[i][name] = each;
      });
    }
    [parameters, m, v] = next;
    const value = (await loss.data())[0];
    // The step is over when the weights are available.
    await Promise.all(Object.values(parameters).map((each) => each.blockUntilReady()));
    return value;
  };
  const product = (count, inputs, outputs) => {
    const filled = (...shape) => array(new Float32Array(shape[0] * shape[1]).fill(0.5), shape);
    const [x, weight] = [filled(count, inputs), filled(outputs, inputs)];
    const multiply = jit(linear);
    return async () => {
      const y = await multiply(x.ref, weight.ref).blockUntilReady();
      y.dispose();
    };
  };
  return { about: `jax-js, wasm, ${threads} threads`, step, product };
});
