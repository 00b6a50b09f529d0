/*
 * TensorFlow.js with its WebAssembly backend as a rival in bench/training.ts:
 *
 *     npm install --ignore-scripts --prefix FOLDER @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
 *
 * A Llama training step written by hand, as its users would: float32, with the library's own gradients and Adam, and
 * separate weight decay. In Node, the backend does not support threads (WASM_HAS_MULTITHREAD_SUPPORT is false outside
 * a browser), so it runs on one core, with SIMD.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { rotary, serve } from './train-protocol.mjs';

await serve(async (settings, weights) => {
  const { folder, batch, seq, config, threads } = settings;
  const require = createRequire(join(folder, 'index.js'));
  const tf = require('@tensorflow/tfjs');
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(folder, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
  wasm.setThreadsCount(threads);
  await tf.setBackend('wasm');
  await tf.ready();
  tf.enableProdMode();

  const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: width } = config;
  const group = heads / kvHeads;
  const rows = batch * seq;
  const variables = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [name, tf.variable(tf.tensor(data, shape))]),
  );
  const tables = rotary(settings);
  const [cos, sin] = [tables.cos, tables.sin].map((table) => tf.tensor(table, [1, seq, 1, width]));
  const hidden = (i) => i % seq > Math.floor(i / seq) % seq;
  const masked = Float32Array.from({ length: group * seq * seq }, (_, i) => (hidden(i) ? -1e9 : 0));
  const mask = tf.tensor(masked, [1, 1, group * seq, seq]);
  const of = (layer, name) => variables[`model.layers.${layer}.${name}.weight`];

  const norm = (x, weight) => {
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), config.rms_norm_eps));
    return tf.mul(tf.mul(x, scale), weight);
  };
  const linear = (x, weight) => tf.matMul(x, weight, false, true);
  const turned = (x) => {
    const [left, right] = tf.split(x, 2, 3);
    return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(right), left], 3), sin));
  };
  const silu = (x) => tf.mul(x, tf.sigmoid(x));

  function attention(x, layer) {
    const part = (name, count) =>
      linear(x, of(layer, `self_attn.${name}`)).reshape([batch, seq, count, width]);
    const byHead = (y) => tf.transpose(y, [0, 2, 1, 3]);
    // The queries of a key and value head's group are concatenated: repeating keys (tf.tile in five dimensions) has no
    // gradient in this library.
    const grouped = turned(part('q_proj', heads)).reshape([batch, seq, kvHeads, group, width]);
    const queries = tf.transpose(grouped, [0, 2, 3, 1, 4]).reshape([batch, kvHeads, group * seq, width]);
    const keys = byHead(turned(part('k_proj', kvHeads)));
    const values = byHead(part('v_proj', kvHeads));
    const scores = tf.add(tf.mul(tf.matMul(queries, keys, false, true), width ** -0.5), mask);
    const mixed = tf.matMul(tf.softmax(scores), values).reshape([batch, kvHeads, group, seq, width]);
    const joined = tf.transpose(mixed, [0, 3, 1, 2, 4]).reshape([rows, heads * width]);
    return linear(joined, of(layer, 'self_attn.o_proj'));
  }

  // The backend has no kernel for the gradient of tf.gather (UnsortedSegmentSum).
  const lookUp = tf.customGrad((table, ids, save) => {
    save([ids]);
    const gradFunc = (dy, [saved]) => {
      const rowsOf = () => tf.scatterND(saved.reshape([-1, 1]), dy, table.shape);
      return [rowsOf(), tf.zerosLike(saved)];
    };
    return { value: tf.gather(table, ids), gradFunc };
  });

  function lossOf(inputs, targets) {
    const embedding = variables['model.embed_tokens.weight'];
    let x = lookUp(embedding, inputs);
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      x = tf.add(x, attention(norm(x, of(layer, 'input_layernorm')), layer));
      const y = norm(x, of(layer, 'post_attention_layernorm'));
      const gated = tf.mul(silu(linear(y, of(layer, 'mlp.gate_proj'))), linear(y, of(layer, 'mlp.up_proj')));
      x = tf.add(x, linear(gated, of(layer, 'mlp.down_proj')));
    }
    const head = variables['lm_head.weight'] ?? embedding;
    const logits = linear(norm(x, variables['model.norm.weight']), head);
    const wanted = tf.oneHot(targets, config.vocab_size);
    return tf.neg(tf.div(tf.sum(tf.mul(tf.logSoftmax(logits), wanted)), rows));
  }

  const rate = 1e-4;
  const adam = tf.train.adam(rate, 0.9, 0.999, 1e-8);
  const decayed = Object.values(variables).filter(({ shape }) => shape.length >= 2);
  const step = async (ids) => {
    const inputs = tf.tensor1d(ids.inputs, 'int32');
    const targets = tf.tensor1d(ids.targets, 'int32');
    tf.tidy(() => {
      for (const weight of decayed) weight.assign(tf.mul(weight, 1 - rate * 0.01));
    });
    const loss = adam.minimize(() => lossOf(inputs, targets), true);
    const value = (await loss.data())[0];
    tf.dispose([loss, inputs, targets]);
    return value;
  };
  const about = `tfjs ${tf.version.tfjs}, ${tf.getBackend()}, ${wasm.getThreadsCount()} thread(s)`;
  const product = (count, inputs, outputs) => {
    const [x, weight] = [tf.randomNormal([count, inputs]), tf.randomNormal([outputs, inputs])];
    return async () => {
      const y = linear(x, weight);
      await y.data();
      y.dispose();
    };
  };
  return { about, step, product };
});
