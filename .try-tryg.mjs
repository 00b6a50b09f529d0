// src/families/initialize.ts
function initializeWeights(parameters, values, random2, startOf = () => 0) {
  for (const [path, { initializer, size }] of parameters) {
    const target = values.get(path);
    if ("fill" in initializer) {
      target.fill(initializer.fill);
      continue;
    }
    const start = startOf(path);
    for (let i = 0; i < size; i++) {
      const value = initializer.normal * random2.nextGaussian();
      if (i >= start && i < start + target.length) target[i - start] = value;
    }
  }
}

// src/errors.ts
function option(name2, value) {
  return value === void 0 ? { option: name2 } : { option: name2, value };
}
function said(texts2, ...values) {
  return texts2.flatMap((text2, i) => {
    const value = values[i];
    if (value === void 0) return [text2];
    if (value instanceof RopewalkError) return [text2, ...value.parts];
    return [text2, typeof value === "object" ? value : String(value)];
  });
}
function messageText(parts11, spell = (_, usual) => usual) {
  return parts11.map((part) => typeof part === "string" ? part : spell(part, usualSpelling(part))).join("");
}
function usualSpelling({ option: option3, value }) {
  if (value === void 0) return option3;
  if (typeof value === "string") return `${option3}: '${value}'`;
  if (typeof value !== "object") return `${option3}: ${value}`;
  const fields = Object.entries(value).map(([field, each]) => `${field}: '${each}'`);
  return `${option3}: { ${fields.join(", ")} }`;
}
var RopewalkError = class extends Error {
  name = "RopewalkError";
  /** The message in pieces, for callers that spell options differently. */
  parts;
  constructor(message, options3) {
    const parts11 = typeof message === "string" ? [message] : message;
    super(messageText(parts11), options3);
    this.parts = parts11;
  }
  /** The options that the message names, as programs call them. */
  get options() {
    return this.parts.flatMap((part) => typeof part === "string" ? [] : [part.option]);
  }
};

// src/families/common/layer-types.ts
function layerTypes(layers, isLocal3) {
  return Array.from({ length: layers }, (_, i) => isLocal3(i) ? "sliding_attention" : "full_attention");
}
function globalEvery(count2) {
  return (index) => (index + 1) % count2 !== 0;
}
function readLayerPattern(reader, usual) {
  const field = "sliding_window_pattern";
  const pattern = reader.value(field);
  if (typeof pattern !== "string") return globalEvery(reader.count(field, usual));
  if (/^[LG]+$/.test(pattern)) return (index) => pattern[index % pattern.length] === "L";
  return reader.fail(
    field,
    `must be a number or consist of the letters L and G, but is ${JSON.stringify(pattern)}`
  );
}
function readLayerTypes(reader, layers, isLocal3) {
  if (!reader.has("layer_types")) return layerTypes(layers, isLocal3);
  const value = reader.value("layer_types");
  const known = (type) => type === "sliding_attention" || type === "full_attention";
  if (!Array.isArray(value) || value.length !== layers || !value.every(known)) {
    return reader.fail(
      "layer_types",
      `must list sliding_attention or full_attention for each of ${layers} layers`
    );
  }
  return value;
}
function readWindows(reader, layers, slides, rule) {
  const sliding_window = slides && reader.has("sliding_window") ? reader.count("sliding_window") : null;
  const layer_types = readLayerTypes(reader, layers, sliding_window === null ? () => false : rule());
  if (sliding_window === null && layer_types.includes("sliding_attention")) {
    const off = slides ? "" : ' where "use_sliding_window" is not true';
    reader.fail("layer_types", `has local layers, but "sliding_window" is not set${off}`);
  }
  return { sliding_window, layer_types };
}
function windowOf(c, index) {
  return c.layer_types[index] === "sliding_attention" ? c.sliding_window : null;
}
function withTypedLayers(config9, layers) {
  const types = layers.map((layer) => config9.layer_types[layer]);
  return { ...config9, num_hidden_layers: layers.length, layer_types: types };
}

// src/families/config.ts
var MOST_LAYERS = 1e4;
var LAYER_ALIASES = {
  hidden_size: "n_embd",
  num_hidden_layers: "n_layer",
  num_attention_heads: "n_head",
  max_position_embeddings: "n_positions"
};
var ConfigReader = class {
  /**
   * @param defaults for missing fields (null counts as present). Those that affect the computation are named in a
   *   warning, because the file may have meant other values.
   */
  constructor(raw, file, defaults, warn = () => {
  }) {
    this.file = file;
    this.warn = warn;
    if (!defaults) {
      this.#raw = raw;
      return;
    }
    const own2 = { ...raw };
    for (const [alias, field] of Object.entries(defaults.aliases ?? {})) {
      if (own2[field] === void 0 && own2[alias] !== void 0) own2[field] = own2[alias];
    }
    const assumed = Object.entries(defaults.fields).filter(([field]) => own2[field] === void 0);
    for (const [field, value] of assumed) own2[field] = value;
    this.#raw = own2;
    const told = assumed.filter(([field]) => !/_token_id$|^tie_word_embeddings$/.test(field));
    if (told.length > 0) {
      const values = told.map(([field, value]) => `${field} ${JSON.stringify(value)}`).join(", ");
      warn(
        `${file}: fields are missing, and the defaults of transformers' class ${defaults.class} are used: ${values}. Add the original model's values if they differ.`
      );
    }
  }
  file;
  warn;
  #raw;
  /** @throws RopewalkError that names the file and the field. @param problem what is wrong, after the field's name. */
  fail(field, problem) {
    throw new RopewalkError(`${this.file}: the field "${field}" ${problem}.`);
  }
  /** Whether the field is present and not null. */
  has(field) {
    return this.#raw[field] !== void 0 && this.#raw[field] !== null;
  }
  /** The field as it was read. */
  value(field) {
    return this.#raw[field];
  }
  /** An integer of at least `minimum` (1); a missing field is an error unless there is a fallback. */
  count(field, fallback, minimum = 1) {
    const value = this.#raw[field] ?? fallback;
    if (value === void 0) return this.#missing(field, "a whole number");
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < minimum || value > 2 ** 31) {
      this.fail(field, `must be a whole number of at least ${minimum}, but is ${JSON.stringify(value)}`);
    }
    return value;
  }
  /** The number of layers; bounded, because each is built before the weights show how many there are. */
  layers(field) {
    const layers = this.count(field);
    if (layers > MOST_LAYERS) this.fail(field, `must be at most ${MOST_LAYERS}, but is ${layers}`);
    return layers;
  }
  /** A positive finite number. */
  number(field, fallback) {
    const value = this.#raw[field] ?? fallback;
    if (value === void 0) return this.#missing(field, "a number");
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      this.fail(field, `must be a number above zero, but is ${JSON.stringify(value)}`);
    }
    return value;
  }
  /** A positive number, or null when it is null or absent. */
  optionalNumber(field) {
    return this.has(field) ? this.number(field) : null;
  }
  /** True or false. */
  flag(field, fallback) {
    const value = this.#raw[field] ?? fallback;
    if (typeof value !== "boolean")
      this.fail(field, `must be true or false, but is ${JSON.stringify(value)}`);
    return value;
  }
  /** A probability such as a dropout. */
  fraction(field, fallback) {
    const value = this.#raw[field] ?? fallback;
    if (typeof value !== "number" || !(value >= 0 && value < 1)) {
      this.fail(field, `must be at least 0 and below 1, but is ${JSON.stringify(value)}`);
    }
    return value;
  }
  /** One of several strings, each mapped to its meaning. */
  choice(field, choices, fallback) {
    const value = this.#raw[field] ?? fallback;
    if (value === void 0) return this.#missing(field, `one of ${Object.keys(choices).join(", ")}`);
    if (typeof value !== "string" || !Object.hasOwn(choices, value)) {
      this.fail(field, `is ${JSON.stringify(value)}; supported are ${Object.keys(choices).join(", ")}`);
    }
    return choices[value];
  }
  /** A token id or null; old files write −1 for null. */
  tokenId(field) {
    return this.has(field) && this.#raw[field] !== -1 ? this.count(field, void 0, 0) : null;
  }
  /** One token id, several, or none (−1 in old files). */
  tokenIds(field) {
    const value = this.#raw[field];
    if (value === void 0 || value === null) return [];
    const list = Array.isArray(value) ? value : [value];
    const ids = list.filter((id) => id !== -1);
    return ids.map((id) => {
      if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0) return id;
      return this.fail(field, `must be a token id or a list of them, but is ${JSON.stringify(value)}`);
    });
  }
  /** Refuses a field that changes the computation if this family supports only some values. */
  mustBe(field, allowed) {
    if (this.has(field) && !allowed.includes(this.#raw[field])) {
      this.fail(
        field,
        `is ${JSON.stringify(this.#raw[field])}; only ${allowed.map((a) => JSON.stringify(a)).join(" or ")} is supported`
      );
    }
  }
  #missing(field, what) {
    throw new RopewalkError(
      `${this.file}: the field "${field}" is missing. Add it (${what}); it is in the config.json of the original model.`
    );
  }
};
function readCommon(reader, tiedByDefault) {
  return {
    vocab_size: reader.count("vocab_size"),
    tie_word_embeddings: reader.flag("tie_word_embeddings", tiedByDefault),
    initializer_range: reader.number("initializer_range", 0.02),
    bos_token_id: reader.tokenId("bos_token_id"),
    eos_token_id: reader.tokenIds("eos_token_id"),
    pad_token_id: reader.tokenId("pad_token_id")
  };
}
function writeCommon(config9) {
  const eos = config9.eos_token_id;
  return {
    vocab_size: config9.vocab_size,
    tie_word_embeddings: config9.tie_word_embeddings,
    initializer_range: config9.initializer_range,
    bos_token_id: config9.bos_token_id,
    eos_token_id: eos.length === 0 ? null : eos.length === 1 ? eos[0] : [...eos],
    pad_token_id: config9.pad_token_id,
    torch_dtype: "float32",
    dtype: "float32",
    use_cache: true
  };
}

// src/nn/rope-scaling.ts
function rotaryFrequencies(headDim, theta, scaling2) {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const exponent = Math.fround(2 * i / headDim);
    return 1 / Math.fround(theta ** exponent);
  });
  switch (scaling2?.rope_type) {
    case void 0:
    case "dynamic":
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / Math.fround(scaling2.factor));
    case "llama3":
      return plain.map((frequency) => rescaleRotary(frequency, scaling2));
    case "yarn":
      return yarnFrequencies(plain, headDim, theta, scaling2);
  }
}
function rotaryMagnitude(scaling2) {
  return scaling2?.rope_type === "yarn" ? scaling2.attention_factor : 1;
}
function rescaleRotary(frequency, scaling2) {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original
  } = scaling2;
  const wavelength = 2 * Math.PI / frequency;
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return frequency / factor;
  const smooth = (original / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}
function yarnMagnitude(factor, scale2 = 1) {
  return factor <= 1 ? 1 : 0.1 * scale2 * Math.log(factor) + 1;
}
function yarnFrequencies(plain, headDim, theta, { factor, original_max_position_embeddings: original, beta_fast, beta_slow, truncate }) {
  const pairOf = (turns) => headDim * Math.log(original / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const [first2, last] = [pairOf(beta_fast), pairOf(beta_slow)];
  const low = Math.max(truncate ? Math.floor(first2) : first2, 0);
  const bound = Math.min(truncate ? Math.ceil(last) : last, headDim - 1);
  const high = bound === low ? bound + 1e-3 : bound;
  return plain.map((frequency, i) => {
    const interpolated = Math.min(1, Math.max(0, Math.fround((i - low) / (high - low))));
    return frequency / factor * interpolated + frequency * (1 - interpolated);
  });
}

// src/families/common/rope-config.ts
var DEFAULT_THETA = 1e4;
function readRope(reader) {
  const fields = ["rope_scaling", "rope_parameters"].filter((name2) => saysAnything(reader, name2));
  const [read2, other] = fields.map((field) => readObject(reader, objectIn(reader, field)));
  if (read2 && other && JSON.stringify(read2) !== JSON.stringify(other)) {
    reader.warn(
      `${reader.file}: "rope_scaling" and "rope_parameters" differ; "rope_scaling" is used, as in transformers.`
    );
  }
  const { rope_theta = DEFAULT_THETA, rope_scaling } = read2 ?? readObject(reader, void 0);
  if (read2?.rope_theta === void 0 && !reader.has("rope_theta")) {
    reader.warn(
      `${reader.file}: it has no "rope_theta"; ${DEFAULT_THETA} is used, as in transformers. Add the original model's value if it differs (500000 for Llama 3).`
    );
  }
  return { rope_theta, rope_scaling };
}
function readObject(reader, inner) {
  const holder = inner?.has("rope_theta") ? inner : reader;
  return {
    rope_theta: holder.optionalNumber("rope_theta") ?? void 0,
    rope_scaling: inner ? readScaling(inner, reader) : null
  };
}
function saysAnything(reader, field) {
  const value = reader.value(field);
  return value !== void 0 && value !== null && JSON.stringify(value) !== "{}";
}
function objectIn(reader, field) {
  const value = reader.value(field);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return reader.fail(field, "must be an object");
  }
  const nested = ["full_attention", "sliding_attention"].find((type) => Object.hasOwn(value, type));
  if (nested !== void 0) {
    reader.fail(field, `differs between kinds of layers ("${nested}"), which is not supported`);
  }
  return new ConfigReader(value, `${reader.file}, ${field}`, void 0, reader.warn);
}
var TYPES = {
  default: "default",
  linear: "linear",
  dynamic: "dynamic",
  llama3: "llama3",
  yarn: "yarn"
};
function readScaling(inner, outer) {
  const field = inner.has("rope_type") || !inner.has("type") ? "rope_type" : "type";
  const type = inner.choice(field, TYPES, "default");
  if (type === "default") return null;
  for (const reader of [inner, outer]) reader.mustBe("partial_rotary_factor", [1]);
  const factor = inner.has("factor") || type !== "yarn" ? inner.number("factor") : void 0;
  const length = outer.has("original_max_position_embeddings") ? outer : inner;
  const positions = outer.count("max_position_embeddings");
  const original = length.count("original_max_position_embeddings", positions);
  switch (type) {
    case "linear":
      return factor === 1 ? null : { rope_type: type, factor };
    case "dynamic":
      return { rope_type: type, factor };
    case "llama3":
      return {
        ...{ rope_type: type, factor },
        low_freq_factor: inner.number("low_freq_factor"),
        high_freq_factor: inner.number("high_freq_factor"),
        original_max_position_embeddings: original
      };
    case "yarn":
      return readYarn(inner, factor ?? positions / original, original);
  }
}
function readYarn(reader, factor, original) {
  const [scale2, scaleAll] = [reader.optionalNumber("mscale"), reader.optionalNumber("mscale_all_dim")];
  const usual = scale2 !== null && scaleAll !== null ? yarnMagnitude(factor, scale2) / yarnMagnitude(factor, scaleAll) : yarnMagnitude(factor);
  return {
    ...{ rope_type: "yarn", factor },
    original_max_position_embeddings: original,
    attention_factor: reader.number("attention_factor", usual),
    beta_fast: reader.number("beta_fast", 32),
    beta_slow: reader.number("beta_slow", 1),
    truncate: reader.flag("truncate", true)
  };
}
function readTwoRopes(reader, defaults) {
  const given = reader.value("rope_parameters");
  const nested = (kind) => {
    if (given === void 0 || given === null) return void 0;
    const value = given[kind];
    if (typeof value !== "object" || value === null) {
      return reader.fail(
        "rope_parameters",
        'must be an object with "full_attention" and "sliding_attention"'
      );
    }
    return new ConfigReader(value, `${reader.file}, rope_parameters`, void 0, reader.warn);
  };
  const of = (kind, field, base) => {
    const inner = nested(kind);
    const scales = kind === "full_attention" && saysAnything(reader, "rope_scaling");
    const scaling2 = scales ? objectIn(reader, "rope_scaling") : inner;
    return {
      rope_theta: inner?.has("rope_theta") ? inner.number("rope_theta") : reader.number(field, base),
      rope_scaling: scaling2 ? readScaling(scaling2, reader) : null
    };
  };
  return {
    global: of("full_attention", "rope_theta", defaults.global),
    local: of("sliding_attention", "rope_local_base_freq", defaults.local)
  };
}
function writeTwoRopes(ropes) {
  const form = ({ rope_theta, rope_scaling }) => ({
    rope_type: "default",
    ...rope_scaling,
    rope_theta
  });
  return {
    rope_theta: ropes.global.rope_theta,
    rope_local_base_freq: ropes.local.rope_theta,
    rope_scaling: ropes.global.rope_scaling,
    rope_parameters: { full_attention: form(ropes.global), sliding_attention: form(ropes.local) }
  };
}
function writeRope({ rope_theta, rope_scaling }) {
  return {
    rope_theta,
    rope_scaling,
    rope_parameters: rope_scaling ? { rope_theta, ...rope_scaling } : { rope_theta, rope_type: "default" }
  };
}

// src/families/common/rotary-decoder.ts
function readRotaryDecoder(reader, defaults) {
  const width = reader.count("hidden_size");
  const heads = reader.count("num_attention_heads");
  if (defaults.dividesHeads && !reader.has("head_dim") && width % heads !== 0) {
    reader.fail("num_attention_heads", `must divide hidden_size (${width}) if head_dim is missing`);
  }
  const read2 = {
    ...readCommon(reader, defaults.tied),
    ...defaults.rope ?? readRope(reader),
    hidden_size: width,
    intermediate_size: reader.count("intermediate_size"),
    num_hidden_layers: reader.layers("num_hidden_layers"),
    num_attention_heads: heads,
    num_key_value_heads: reader.count("num_key_value_heads", heads),
    head_dim: reader.count("head_dim", defaults.dividesHeads ? width / heads : void 0),
    max_position_embeddings: reader.count("max_position_embeddings"),
    rms_norm_eps: reader.number("rms_norm_eps"),
    attention_bias: reader.flag("attention_bias", false)
  };
  if (heads % read2.num_key_value_heads !== 0) {
    reader.fail("num_key_value_heads", `must divide num_attention_heads (${heads})`);
  }
  if (read2.head_dim % 2 !== 0) reader.fail("head_dim", "must be even: RoPE rotates pairs");
  return read2;
}
function writeRotaryDecoder(c) {
  return {
    ...writeCommon(c),
    ...writeRope(c),
    hidden_size: c.hidden_size,
    intermediate_size: c.intermediate_size,
    num_hidden_layers: c.num_hidden_layers,
    num_attention_heads: c.num_attention_heads,
    num_key_value_heads: c.num_key_value_heads,
    head_dim: c.head_dim,
    max_position_embeddings: c.max_position_embeddings,
    rms_norm_eps: c.rms_norm_eps,
    attention_bias: c.attention_bias,
    attention_dropout: 0
  };
}
function withRotaryLayers(config9, layers) {
  return { ...config9, num_hidden_layers: layers.length };
}
function rotaryLayer(c, norm, activation2, rope) {
  return {
    norms: { attentionNorm: norm, mlpNorm: norm },
    attention: {
      heads: c.num_attention_heads,
      kvHeads: c.num_key_value_heads,
      headDim: c.head_dim,
      scale: c.head_dim ** -0.5,
      window: null,
      softcap: null,
      bias: c.attention_bias,
      outputBias: c.attention_bias
    },
    rope,
    mlp: { activation: activation2, gated: true, hidden: c.intermediate_size, bias: false }
  };
}
function rotaryParts(c, norm, layer) {
  const rope = { theta: c.rope_theta, scaling: c.rope_scaling };
  return {
    vocabSize: c.vocab_size,
    width: c.hidden_size,
    maxPositions: c.max_position_embeddings,
    paddingId: c.pad_token_id ?? void 0,
    positions: null,
    layers: Array.from({ length: c.num_hidden_layers }, (_, i) => layer(i, rope)),
    norm,
    head: { tied: c.tie_word_embeddings, bias: false, softcap: null },
    initial: { std: c.initializer_range }
  };
}
function rotaryNames(prefix, {
  activation: activation2,
  embedding = "Embedding",
  body = `${prefix}Model`,
  norms
}) {
  return {
    model: { type: `${prefix}ForCausalLM`, children: { body: "model", head: "lm_head" } },
    body: {
      type: body,
      children: {
        embedding: "embed_tokens",
        layers: "layers",
        norm: "norm",
        rotary: "rotary_emb",
        localRotary: "rotary_emb_local"
      }
    },
    layer: {
      type: `${prefix}DecoderLayer`,
      children: {
        attention: "self_attn",
        mlp: "mlp",
        ...norms ?? { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" }
      }
    },
    attention: {
      type: `${prefix}Attention`,
      children: {
        query: "q_proj",
        key: "k_proj",
        value: "v_proj",
        output: "o_proj",
        queryNorm: "q_norm",
        keyNorm: "k_norm"
      }
    },
    mlp: {
      type: `${prefix}MLP`,
      children: { gate: "gate_proj", up: "up_proj", down: "down_proj", activation: "act_fn" }
    },
    embedding,
    norm: `${prefix}RMSNorm`,
    activation: activation2,
    rotary: `${prefix}RotaryEmbedding`,
    buffers: /rotary_emb\.inv_freq$/
  };
}

// src/families/common/gguf.ts
function ggufTensors(rows, suffixes = ["weight"]) {
  return rows.flatMap(
    ([ours, theirs, transform = "same"]) => suffixes.map((suffix) => ({
      ours: `${ours}.${suffix}`,
      theirs: `${theirs}.${suffix}`,
      // A bias has one axis, so there is nothing to transpose.
      transform: transform === "transposed" && suffix === "bias" ? "same" : transform
    }))
  );
}

// src/families/common/gguf-rope.ts
var YARN_BOUNDS = { beta_fast: 32, beta_slow: 1 };
function ggufScaling(scaling2, refused) {
  if (!scaling2 || scaling2.rope_type === "llama3" || scaling2.rope_type === "dynamic") return [];
  const { rope_type: type, factor } = scaling2;
  const settings = [
    ["rope.scaling.type", "string", type],
    ["rope.scaling.factor", "f32", factor]
  ];
  if (type === "linear") return settings;
  if (!scaling2.truncate) throw refused('its YaRN scaling does not round its bounds ("truncate" is false)');
  const { beta_fast, beta_slow } = YARN_BOUNDS;
  if (scaling2.beta_fast !== beta_fast || scaling2.beta_slow !== beta_slow)
    throw refused(
      `its YaRN scaling has the bounds "beta_fast" ${scaling2.beta_fast} and "beta_slow" ${scaling2.beta_slow}, not ${beta_fast} and ${beta_slow}`
    );
  settings.push(["rope.scaling.original_context_length", "u32", scaling2.original_max_position_embeddings]);
  const attention2 = scaling2.attention_factor / yarnMagnitude(factor);
  if (Math.abs(attention2 - 1) > 1e-6) settings.push(["rope.scaling.attn_factor", "f32", attention2]);
  return settings;
}
function rotaryDivisors(config9) {
  const { rope_scaling: scaling2, rope_theta: theta, head_dim: size } = config9;
  if (scaling2?.rope_type !== "llama3") return void 0;
  return Float32Array.from({ length: size / 2 }, (_, i) => {
    const frequency = theta ** (-(2 * i) / size);
    return frequency / rescaleRotary(frequency, scaling2);
  });
}
function readGgufScaling(file, headDim) {
  const type = file.text("rope.scaling.type", "linear");
  if (type !== "none" && type !== "linear" && type !== "yarn") {
    throw file.error(
      `the RoPE scaling type ${JSON.stringify(type.slice(0, 200))} is not supported; run the file with llama.cpp.`
    );
  }
  const llama3 = readDivisors(file, headDim);
  const old = file.number("rope.scale_linear", 0);
  const factor = type === "none" ? 1 : file.number("rope.scaling.factor", old) || 1;
  if (factor < 0) throw file.error(`its RoPE scaling factor is ${factor}; it must be above 0.`);
  if (type === "yarn") {
    if (llama3) throw file.error("it has both YaRN and rope_freqs.weight, which is not supported.");
    return readYarn2(file, factor);
  }
  if (file.number("rope.scaling.attn_factor", 1) !== 1)
    throw file.error(
      '"rope.scaling.attn_factor" without YaRN is not supported; run the file with llama.cpp.'
    );
  if (factor === 1) return llama3;
  if (llama3) {
    throw file.error(
      `it divides frequencies both by ${factor} and by rope_freqs.weight, which is not supported.`
    );
  }
  return { rope_type: "linear", factor };
}
function readYarn2(file, factor) {
  for (const key of ["yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor"]) {
    if (file.has(`rope.scaling.${key}`))
      throw file.error(`"rope.scaling.${key}" is not supported; run the file with llama.cpp.`);
  }
  for (const [name2, bound] of Object.entries(YARN_BOUNDS)) {
    const own2 = file.number(`rope.scaling.yarn_${name2}`, bound);
    if (own2 !== bound)
      file.warn(
        `"rope.scaling.yarn_${name2}" is ${own2}; ${bound} is used instead, as in llama.cpp, which ignores this key for this architecture.`
      );
  }
  return {
    ...{ rope_type: "yarn", factor },
    original_max_position_embeddings: file.count(
      "rope.scaling.original_context_length",
      file.count("context_length")
    ),
    attention_factor: yarnMagnitude(factor) * file.number("rope.scaling.attn_factor", 1),
    ...YARN_BOUNDS,
    truncate: true
  };
}
function readDivisors(file, size) {
  const { rotaryDivisors: rotaryDivisors2 } = file;
  if (!rotaryDivisors2 || rotaryDivisors2.every((divisor) => divisor === 1)) return null;
  const theta = file.number("rope.freq_base", 1e4);
  const frequencies = Array.from({ length: size / 2 }, (_, i) => theta ** (-(2 * i) / size));
  const scaling2 = rotaryDivisors2.length === size / 2 && scalingOf(frequencies, rotaryDivisors2);
  if (!scaling2) {
    throw file.error(
      "its rope_freqs.weight is not the rescaling of Llama 3.1; other scalings are not supported."
    );
  }
  return scaling2;
}
function scalingOf(frequencies, divisors) {
  const factor = shortDecimal(Array.from(divisors).reduce((most, divisor) => Math.max(most, divisor), 0));
  const points = frequencies.map((frequency, i) => ({
    frequency,
    kept: (1 / divisors[i] - 1 / factor) / (1 - 1 / factor)
  }));
  const [fastest, ...others] = points.filter(({ kept }) => kept > 1e-6 && kept < 1 - 1e-6);
  const slowest = others.at(-1);
  const candidates = [];
  if (fastest) {
    candidates.push({ high: 4, original: 2 * Math.PI * (1 + 3 * fastest.kept) / fastest.frequency });
  }
  if (fastest && slowest) {
    const slope = (fastest.kept - slowest.kept) / (fastest.frequency - slowest.frequency);
    const high = 1 + 1 / (slope * fastest.frequency - fastest.kept);
    candidates.push({ high, original: 2 * Math.PI * slope * (high - 1) });
  }
  if (!fastest) {
    const wave = (index) => 2 * Math.PI / (frequencies[index] ?? Number.POSITIVE_INFINITY);
    const first2 = points.findIndex(({ kept }) => kept < 0.5);
    candidates.push({ high: 4, original: Math.max(1, (4 * wave(first2 - 1) + wave(first2)) / 2) });
  }
  const forms = [shortDecimal, (value) => value];
  for (const [{ high, original }, form] of candidates.flatMap((c) => forms.map((f) => [c, f]))) {
    const whole = Math.round(original);
    const scaling2 = {
      rope_type: "llama3",
      factor,
      low_freq_factor: form(whole / original),
      high_freq_factor: form(high * whole / original),
      original_max_position_embeddings: whole
    };
    const fits = frequencies.every(
      (frequency, i) => Math.abs(frequency / rescaleRotary(frequency, scaling2) / divisors[i] - 1) < 1e-5
    );
    if (whole >= 1 && high > 1 && fits) return scaling2;
  }
  return void 0;
}
function shortDecimal(value) {
  return Number(value.toPrecision(5));
}

// src/families/common/rotary-gguf.ts
var MAX_LAYERS = 1e4;
function layersOf(file) {
  return Math.min(file.count("block_count"), MAX_LAYERS);
}
var PROJECTIONS = {
  q_proj: ["self_attn.q_proj", "attn_q"],
  k_proj: ["self_attn.k_proj", "attn_k"],
  v_proj: ["self_attn.v_proj", "attn_v"],
  o_proj: ["self_attn.o_proj", "attn_output"],
  gate_proj: ["mlp.gate_proj", "ffn_gate"],
  up_proj: ["mlp.up_proj", "ffn_up"],
  down_proj: ["mlp.down_proj", "ffn_down"]
};
var ATTENTION_PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj"];
var MLP_PROJECTIONS = ["gate_proj", "up_proj", "down_proj"];
function rotaryGguf(form) {
  const { architecture, recognizes, optionalBiases } = form;
  const numbers = Object.entries(form.settings ?? {});
  return {
    architecture,
    ...recognizes && { recognizes },
    ...optionalBiases && { optionalBiases },
    ...form.rotaryDivisors && { rotaryDivisors },
    tensors: tensorsOf(form),
    write(config9, refused) {
      if (form.alwaysTied && !config9.tie_word_embeddings) {
        throw refused('its output head has its own weights ("tie_word_embeddings" is false)');
      }
      if (!form.rotaryDivisors && config9.rope_scaling?.rope_type === "llama3") {
        throw refused('it rescales rotary frequencies by "llama3"');
      }
      checkLayerTypes(config9, form.isLocal, refused);
      return [
        ...settingsOf(config9, refused),
        ...form.write?.(config9, refused) ?? [],
        ...numbers.map(([field, [key, type]]) => {
          const value = config9[field];
          if (value === null) throw refused(`"${field}" is null`);
          return [key, type, value];
        })
      ];
    },
    read: (file) => ({
      ...readFields(file, form.only),
      ...Object.fromEntries(
        numbers.map(([field, [key, type, fallback]]) => [
          field,
          type === "u32" ? file.count(key, fallback) : file.number(key, fallback)
        ])
      ),
      ...form.isLocal && { layer_types: typesOf(layersOf(file), form.isLocal) },
      ...form.read?.(file)
    })
  };
}
function tensorsOf(form) {
  const { norms = { input_layernorm: "attn_norm", post_attention_layernorm: "ffn_norm" }, biases = [] } = form;
  const norm = form.normsPlusOne ? "plus one" : "same";
  const layer = (ours) => `model.layers.{n}.${ours}`;
  const projections = (names12) => names12.map((name2) => {
    const [ours, theirs] = PROJECTIONS[name2];
    const turns = form.rotaryRows && (name2 === "q_proj" || name2 === "k_proj");
    return [layer(ours), `blk.{n}.${theirs}`, turns ? "rotary rows" : "same"];
  });
  const headNorms = [
    [layer("self_attn.q_norm"), "blk.{n}.attn_q_norm", norm],
    [layer("self_attn.k_norm"), "blk.{n}.attn_k_norm", norm]
  ];
  return [
    ...ggufTensors([
      ["model.embed_tokens", "token_embd"],
      ["lm_head", "output"],
      ["model.norm", "output_norm", norm],
      ...Object.entries(norms).map(([ours, theirs]) => [layer(ours), `blk.{n}.${theirs}`, norm]),
      ...form.headNorms ? headNorms : [],
      ...projections([...ATTENTION_PROJECTIONS, ...MLP_PROJECTIONS])
    ]),
    ...ggufTensors(projections(biases), ["bias"])
  ];
}
function typesOf(layers, isLocal3 = () => false) {
  return layerTypes(layers, (index) => isLocal3(index, layers));
}
function checkLayerTypes(config9, isLocal3, refused) {
  const { layer_types: types = [] } = config9;
  const rule = typesOf(types.length, isLocal3);
  const wrong = types.findIndex((type, index) => type !== rule[index]);
  if (wrong < 0) return;
  throw refused(`"layer_types" do not match what llama.cpp assumes: layer ${wrong} would be ${rule[wrong]}`);
}
function settingsOf(c, refused) {
  return [
    ["context_length", "u32", c.max_position_embeddings],
    ["embedding_length", "u32", c.hidden_size],
    ["block_count", "u32", c.num_hidden_layers],
    ["feed_forward_length", "u32", c.intermediate_size],
    ["attention.head_count", "u32", c.num_attention_heads],
    ["attention.head_count_kv", "u32", c.num_key_value_heads],
    ["attention.key_length", "u32", c.head_dim],
    ["attention.value_length", "u32", c.head_dim],
    ["attention.layer_norm_rms_epsilon", "f32", c.rms_norm_eps],
    ["rope.dimension_count", "u32", c.head_dim],
    ["rope.freq_base", "f32", c.rope_theta],
    ...ggufScaling(c.rope_scaling, refused)
  ];
}
function readFields(file, only = {}) {
  for (const [key, value] of Object.entries(only)) {
    if (!file.has(key) || file.value(key) === value) continue;
    throw file.error(`"${key}" other than ${value ?? "none"} is not supported; run the file with llama.cpp.`);
  }
  const experts = file.value("expert_count");
  if (experts !== void 0 && experts !== 0)
    throw file.error(`a mixture of ${String(experts)} experts is not supported.`);
  const heads = file.sameCount("attention.head_count");
  const headDim = ggufHeadDim(file);
  return {
    hidden_size: file.count("embedding_length"),
    intermediate_size: file.sameCount("feed_forward_length"),
    num_hidden_layers: file.count("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: file.sameCount("attention.head_count_kv", heads),
    head_dim: headDim,
    max_position_embeddings: file.count("context_length"),
    rms_norm_eps: file.number("attention.layer_norm_rms_epsilon"),
    // The format's default, which files of models with this value leave out.
    rope_theta: file.number("rope.freq_base", 1e4),
    rope_scaling: readGgufScaling(file, headDim)
  };
}
function ggufHeadDim(file) {
  const heads = file.sameCount("attention.head_count");
  const size = file.sameCount("attention.key_length", file.count("embedding_length") / heads);
  const values = file.sameCount("attention.value_length", size);
  if (values !== size)
    throw file.error(`heads with keys of size ${size} and values of size ${values} are not supported.`);
  const turned = file.count("rope.dimension_count", size);
  if (turned !== size) {
    throw file.error(
      `RoPE rotates ${turned} of ${size} dimensions of a head; partial rotation is not supported.`
    );
  }
  return size;
}
function ggufHasBias(file, projections) {
  return Array.from({ length: layersOf(file) }).some(
    (_, layer) => projections.some((name2) => file.hasTensor(`blk.${layer}.${PROJECTIONS[name2][1]}.bias`))
  );
}

// src/graph/dims.ts
var SymbolicDim = class {
  /** Monomial (`time`, `batch*time`, or '' for the constant) to its coefficient; no zero coefficients. */
  terms;
  constructor(terms) {
    this.terms = new Map([...terms].sort(([a], [b]) => a < b ? -1 : 1));
  }
  /** Readable text, terms in a fixed order: equal sizes give equal texts. */
  toString() {
    return [...this.terms].map(([monomial, coefficient]) => {
      if (monomial === "") return `${coefficient}`;
      return coefficient === 1 ? monomial : `${coefficient}*${monomial}`;
    }).join("+");
  }
};
function termsOf(dim) {
  return typeof dim === "number" ? /* @__PURE__ */ new Map([["", dim]]) : dim.terms;
}
function fromTerms(terms) {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  if (terms.size === 0) return 0;
  if (terms.size === 1 && terms.has("")) return terms.get("");
  return new SymbolicDim(terms);
}
function addDims(a, b) {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const terms = new Map(termsOf(a));
  for (const [monomial, coefficient] of termsOf(b)) {
    terms.set(monomial, (terms.get(monomial) ?? 0) + coefficient);
  }
  return fromTerms(terms);
}
function mulDims(a, b) {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const terms = /* @__PURE__ */ new Map();
  for (const [left, x] of termsOf(a)) {
    for (const [right, y] of termsOf(b)) {
      const monomial = [...left.split("*"), ...right.split("*")].filter(Boolean).sort().join("*");
      terms.set(monomial, (terms.get(monomial) ?? 0) + x * y);
    }
  }
  return fromTerms(terms);
}
function sameDim(a, b) {
  return a === b || typeof a !== "number" && typeof b !== "number" && a.toString() === b.toString();
}
function sameShape(a, b) {
  return a.length === b.length && a.every((dim, axis) => sameDim(dim, b[axis]));
}
function sizeOf(shape2) {
  let size = 1;
  for (const dim of shape2) {
    size = mulDims(size, dim);
    if (typeof size === "number" && !Number.isSafeInteger(size)) return Number.POSITIVE_INFINITY;
  }
  return size;
}
function shapeText(shape2) {
  return `[${shape2.map(String).join(", ")}]`;
}
function staticShape(shape2, who) {
  return shape2.map((dim) => {
    if (typeof dim === "number") return dim;
    throw new RopewalkError(`${who} needs a static shape, but the shape is ${shapeText(shape2)}.`);
  });
}
function broadcastShapes(a, b) {
  const rank = Math.max(a.length, b.length);
  const shape2 = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (sameDim(left, right) || right === 1) shape2.push(left);
    else if (left === 1) shape2.push(right);
    else return void 0;
  }
  return shape2;
}

// src/graph/tensor.ts
var nextNode = 0;
var Node = class {
  constructor(operator, inputs, attributes) {
    this.operator = operator;
    this.inputs = inputs;
    this.attributes = attributes;
    const types = operator.infer(inputs, attributes);
    this.outputs = types.map((type, index) => new Tensor(this, index, type));
  }
  operator;
  inputs;
  attributes;
  id = nextNode++;
  outputs;
};
var Tensor = class {
  constructor(node, index, type) {
    this.node = node;
    this.index = index;
    this.dtype = type.dtype;
    this.shape = type.shape;
  }
  node;
  index;
  dtype;
  shape;
  get rank() {
    return this.shape.length;
  }
};
function isNodeOf(node, operator) {
  return node?.operator === operator;
}
function floats(...shape2) {
  return { dtype: "float32", shape: shape2 };
}
function apply(operator, inputs, attributes) {
  return new Node(operator, inputs, attributes).outputs;
}
function shapeError(operator, inputs, what) {
  const shapes = inputs.map((input2) => `${input2.dtype}${shapeText(input2.shape)}`).join(" and ");
  return new RopewalkError(`${operator}: ${what} (given ${shapes}).`);
}

// src/graph/values.ts
function stridesOf(shape2) {
  const strides = new Array(shape2.length);
  let stride = 1;
  for (let axis = shape2.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape2[axis];
  }
  return strides;
}
function forEachIndex(shape2, visit) {
  const size = sizeOf(shape2);
  const index = new Array(shape2.length).fill(0);
  for (let flat = 0; flat < size; flat++) {
    visit(index, flat);
    for (let axis = shape2.length - 1; axis >= 0; axis--) {
      index[axis] = index[axis] + 1;
      if (index[axis] < shape2[axis]) break;
      index[axis] = 0;
    }
  }
}
function broadcastPosition(index, shape2, strides) {
  let position = 0;
  const offset = index.length - shape2.length;
  for (let axis = 0; axis < shape2.length; axis++) {
    if (shape2[axis] !== 1) position += index[offset + axis] * strides[axis];
  }
  return position;
}
function mapValues(x, f) {
  return { shape: x.shape, data: x.data.map(f) };
}
function zipValues(shape2, inputs, f) {
  const data = new Float64Array(sizeOf(shape2));
  const strides = inputs.map((input2) => stridesOf(input2.shape));
  forEachIndex(shape2, (index, flat) => {
    const values = inputs.map((input2, i) => input2.data[broadcastPosition(index, input2.shape, strides[i])]);
    data[flat] = f(...values);
  });
  return { shape: shape2, data };
}

// src/graph/operators/broadcast.ts
function shapeArgument(from, to) {
  const sizes = to.map((dim, axis) => {
    if (typeof dim === "number") return dim;
    return from[axis] !== void 0 && sameDim(from[axis], dim) ? 0 : -1;
  });
  if (sizes.filter((size) => size === -1).length > 1) {
    throw shapeError(
      "reshape",
      [{ dtype: "float32", shape: from }],
      `more than one unknown size in ${shapeText(to)}`
    );
  }
  return sizes;
}
var reshapeOp = {
  name: "reshape",
  infer(inputs, { shape: shape2 }) {
    const [x] = inputs;
    if (!x || !sameDim(sizeOf(x.shape), sizeOf(shape2))) {
      throw shapeError("reshape", inputs, `cannot hold the same elements as ${shapeText(shape2)}`);
    }
    return [{ dtype: x.dtype, shape: shape2 }];
  },
  evaluate: ([x], { shape: shape2 }) => [{ shape: shape2, data: x.data }],
  differentiate: ({ inputs, gradients }) => [reshape(gradients[0], inputs[0].shape)],
  lower(e, [x], { attributes, inputs }) {
    const sizes = shapeArgument(inputs[0].shape, attributes.shape);
    return e.node("Reshape", [x, e.constant("int64", [sizes.length], sizes)]);
  },
  cheap: true,
  identity([x], { shape: shape2 }) {
    const source5 = isNodeOf(x.node, reshapeOp) ? x.node.inputs[0] : void 0;
    return source5 && sameShape(source5.shape, shape2) ? source5 : void 0;
  },
  examples: [{ inputs: [floats(2, 6)], attributes: { shape: [3, 2, 2] } }]
};
function reshape(x, shape2) {
  return sameShape(x.shape, shape2) ? x : apply(reshapeOp, [x], { shape: shape2 })[0];
}
var broadcastToOp = {
  name: "broadcastTo",
  infer(inputs, { shape: shape2 }) {
    const [x] = inputs;
    const target = x && broadcastShapes(x.shape, shape2);
    if (!target || !sameShape(target, shape2)) {
      throw shapeError("broadcastTo", inputs, `cannot be broadcast to ${shapeText(shape2)}`);
    }
    return [{ dtype: x.dtype, shape: shape2 }];
  },
  evaluate([x], { shape: shape2 }) {
    const to = shape2;
    const data = new Float64Array(sizeOf(to));
    const strides = stridesOf(x.shape);
    forEachIndex(to, (index, flat) => {
      data[flat] = x.data[broadcastPosition(index, x.shape, strides)];
    });
    return [{ shape: to, data }];
  },
  differentiate: ({ inputs, gradients }) => [sumTo(gradients[0], inputs[0].shape)],
  lower(e, [x], { attributes, inputs }) {
    const { shape: shape2 } = attributes;
    const from = inputs[0].shape;
    const sizes = shape2.map((dim, axis) => {
      const own2 = from[axis - (shape2.length - from.length)];
      if (own2 !== void 0 && sameDim(own2, dim)) return 1;
      if (typeof dim === "number") return dim;
      throw shapeError("broadcastTo", [inputs[0]], `cannot grow to the unknown size ${dim}`);
    });
    return e.node("Expand", [x, e.constant("int64", [sizes.length], sizes)]);
  },
  cheap: true,
  examples: [
    { inputs: [floats(3, 1)], attributes: { shape: [2, 3, 4] } },
    { inputs: [floats()], attributes: { shape: [3] } }
  ]
};
function broadcastTo(x, shape2) {
  return sameShape(x.shape, shape2) ? x : apply(broadcastToOp, [x], { shape: shape2 })[0];
}
function reduced(shape2, axes) {
  return shape2.map((dim, axis) => axes.includes(axis) ? 1 : dim);
}
function fold(x, axes, start, f) {
  const shape2 = reduced(x.shape, axes);
  const data = new Float64Array(sizeOf(shape2)).fill(start);
  const strides = stridesOf(shape2);
  forEachIndex(x.shape, (index, flat) => {
    const at = broadcastPosition(index, shape2, strides);
    data[at] = f(data[at], x.data[flat]);
  });
  return { shape: shape2, data };
}
function reduceOperator(name2, onnx, value, differentiate2) {
  return {
    name: name2,
    infer(inputs, { axes }) {
      const [x] = inputs;
      if (x?.dtype !== "float32" || axes.some((axis) => axis < 0 || axis >= x.shape.length)) {
        throw shapeError(name2, inputs, `cannot reduce axes ${axes.join(", ")}`);
      }
      return [{ dtype: "float32", shape: reduced(x.shape, axes) }];
    },
    evaluate: ([x], { axes }) => [value(x, axes)],
    ...differentiate2 && { differentiate: differentiate2 },
    lower(e, [x], { attributes, inputs }) {
      const { axes } = attributes;
      const shape2 = inputs[0].shape;
      const rows = shape2[0];
      if (onnx === "ReduceSum" && shape2.length === 2 && axes.length === 1 && axes[0] === 0 && typeof rows === "number") {
        return e.node("MatMul", [e.constant("float32", [1, rows], new Float32Array(rows).fill(1)), x]);
      }
      return e.node(onnx, [x, e.constant("int64", [axes.length], axes)], { keepdims: 1 });
    },
    examples: [
      { inputs: [floats(3, 5)], attributes: { axes: [0] } },
      { inputs: [floats(3, 5)], attributes: { axes: [1] } },
      { inputs: [floats(2, 3, 4)], attributes: { axes: [0, 2] } }
    ]
  };
}
var reduceSumOp = reduceOperator(
  "reduceSum",
  "ReduceSum",
  (x, axes) => fold(x, axes, 0, (a, b) => a + b),
  ({ inputs, gradients }) => [broadcastTo(gradients[0], inputs[0].shape)]
);
var reduceSum = (x, axes) => apply(reduceSumOp, [x], { axes })[0];
function sumTo(x, shape2) {
  if (sameShape(x.shape, shape2)) return x;
  const extra = x.rank - shape2.length;
  const axes = x.shape.flatMap(
    (dim, axis) => axis < extra || shape2[axis - extra] === 1 && dim !== 1 ? [axis] : []
  );
  const summed = axes.length === 0 ? x : reduceSum(x, axes);
  return sameShape(summed.shape, shape2) ? summed : reshape(summed, shape2);
}

// src/graph/operators/sources.ts
var constantOp = {
  name: "constant",
  infer: (_inputs, { dtype, shape: shape2 }) => [{ dtype, shape: shape2 }],
  evaluate: (_inputs, { shape: shape2, data }) => [{ shape: shape2, data: Float64Array.from(data) }],
  stopsGradient: true,
  lower: (e, _inputs, { attributes }) => [e.constant(attributes.dtype, attributes.shape, attributes.data)],
  examples: []
};
function constant(data, shape2, dtype = "float32") {
  return apply(constantOp, [], { dtype, shape: shape2, data })[0];
}
function scalar(value) {
  return constant([value], []);
}
function scalarValue(tensor) {
  if (!isNodeOf(tensor.node, constantOp)) return void 0;
  const { data } = tensor.node.attributes;
  return data.length === 1 && tensor.rank === 0 ? data[0] : void 0;
}
var inputOp = {
  name: "input",
  infer: (_inputs, { dtype, shape: shape2 }) => [{ dtype, shape: shape2 }],
  stopsGradient: true,
  unique: true,
  examples: []
};
function input(name2, dtype, shape2) {
  return apply(inputOp, [], { name: name2, dtype, shape: shape2 })[0];
}
function parameter(name2, shape2) {
  return apply(inputOp, [], { name: name2, dtype: "float32", shape: shape2, parameter: true })[0];
}
function parameterName(node) {
  return isNodeOf(node, inputOp) && node.attributes.parameter ? node.attributes.name : void 0;
}

// src/graph/operators/elementwise.ts
function unary(name2, value, derivative, lower, range = [-2, 2]) {
  return {
    name: name2,
    infer(inputs) {
      const [x] = inputs;
      if (inputs.length !== 1 || x?.dtype !== "float32")
        throw shapeError(name2, inputs, "needs one float tensor");
      return [x];
    },
    evaluate: ([x]) => [mapValues(x, value)],
    differentiate: ({ inputs, outputs, gradients }) => [derivative(inputs[0], outputs[0], gradients[0])],
    lower,
    examples: [{ inputs: [floats(3, 5)], attributes: {}, range }]
  };
}
var negOp = {
  ...unary(
    "neg",
    (x) => -x,
    (_x, _y, dy) => neg(dy),
    (e, inputs) => e.node("Neg", inputs)
  ),
  cheap: true,
  identity: ([x]) => isNodeOf(x.node, negOp) ? x.node.inputs[0] : void 0
};
var expOp = unary(
  "exp",
  Math.exp,
  (_x, y, dy) => mul(dy, y),
  (e, inputs) => e.node("Exp", inputs)
);
var logOp = unary(
  "log",
  Math.log,
  (x, _y, dy) => div(dy, x),
  (e, inputs) => e.node("Log", inputs),
  [0.2, 3]
);
var tanhOp = {
  ...unary(
    "tanh",
    Math.tanh,
    (_x, y, dy) => sub(dy, mul(mul(dy, y), y)),
    (e, inputs) => e.node("Tanh", inputs)
  ),
  cheap: true
};
var sigmoidOp = {
  ...unary(
    "sigmoid",
    (x) => 1 / (1 + Math.exp(-x)),
    (_x, y, dy) => mul(dy, sub(y, mul(y, y))),
    (e, inputs) => e.node("Sigmoid", inputs)
  ),
  cheap: true
};
var sqrtOp = unary(
  "sqrt",
  Math.sqrt,
  (_x, y, dy) => div(mul(dy, scalar(0.5)), y),
  (e, inputs) => e.node("Sqrt", inputs),
  [0.2, 3]
);
var reciprocalOp = unary(
  "reciprocal",
  (x) => 1 / x,
  (_x, y, dy) => neg(mul(mul(dy, y), y)),
  (e, inputs) => e.node("Reciprocal", inputs),
  [0.4, 3]
);
var neg = (x) => apply(negOp, [x], {})[0];
var exp = (x) => apply(expOp, [x], {})[0];
var log = (x) => apply(logOp, [x], {})[0];
var tanh = (x) => apply(tanhOp, [x], {})[0];
var sigmoid = (x) => apply(sigmoidOp, [x], {})[0];
var sqrt = (x) => apply(sqrtOp, [x], {})[0];
var reciprocal = (x) => apply(reciprocalOp, [x], {})[0];
function binary(name2, onnx, neutral, value, derivative, range = [-2, 2]) {
  return {
    name: name2,
    infer(inputs) {
      const [a, b] = inputs;
      if (!a || !b || a.dtype !== b.dtype) throw shapeError(name2, inputs, "needs two tensors of one dtype");
      const shape2 = broadcastShapes(a.shape, b.shape);
      if (!shape2) throw shapeError(name2, inputs, "the shapes cannot be broadcast together");
      return [{ dtype: a.dtype, shape: shape2 }];
    },
    evaluate([a, b]) {
      const shape2 = broadcastShapes(a.shape, b.shape);
      return [zipValues(shape2, [a, b], value)];
    },
    differentiate({ inputs, outputs, gradients, wanted }) {
      const [a, b] = inputs;
      const [da, db] = derivative(a, b, outputs[0], gradients[0]);
      return [wanted[0] ? sumTo(da(), a.shape) : void 0, wanted[1] ? sumTo(db(), b.shape) : void 0];
    },
    lower: (e, inputs) => e.node(onnx, inputs),
    cheap: true,
    identity([a, b]) {
      if (neutral.left && scalarValue(a) === neutral.number) return b;
      return scalarValue(b) === neutral.number ? a : void 0;
    },
    examples: [
      { inputs: [floats(2, 3, 4), floats(2, 3, 4)], attributes: {}, range },
      { inputs: [floats(2, 3, 4), floats(4)], attributes: {}, range },
      { inputs: [floats(3, 1), floats(2, 1, 5)], attributes: {}, range }
    ]
  };
}
var addOp = binary(
  "add",
  "Add",
  { number: 0, left: true },
  (a, b) => a + b,
  (_a, _b, _y, dy) => [() => dy, () => dy]
);
var subOp = binary(
  "sub",
  "Sub",
  { number: 0, left: false },
  (a, b) => a - b,
  (_a, _b, _y, dy) => [() => dy, () => neg(dy)]
);
var mulOp = binary(
  "mul",
  "Mul",
  { number: 1, left: true },
  (a, b) => a * b,
  (a, b, _y, dy) => [() => mul(dy, b), () => mul(dy, a)]
);
var divOp = binary(
  "div",
  "Div",
  { number: 1, left: false },
  (a, b) => a / b,
  (_a, b, y, dy) => [() => div(dy, b), () => neg(div(mul(dy, y), b))],
  [0.4, 3]
);
var add = (a, b) => apply(addOp, [a, b], {})[0];
var sub = (a, b) => apply(subOp, [a, b], {})[0];
var mul = (a, b) => apply(mulOp, [a, b], {})[0];
var div = (a, b) => apply(divOp, [a, b], {})[0];

// src/graph/operators/activations.ts
var GELU_SCALE = Math.sqrt(2 / Math.PI);
var GELU_CUBIC = 0.044715;
function activation(name2, value, expand, derivative, lower, engineOnly = false) {
  return {
    name: name2,
    infer(inputs) {
      if (inputs.length !== 1 || inputs[0].dtype !== "float32")
        throw shapeError(name2, inputs, "needs floats");
      return [inputs[0]];
    },
    evaluate: ([x]) => [mapValues(x, value)],
    ...expand && { expand },
    differentiate: ({ inputs, outputs, gradients }) => [derivative(inputs[0], outputs[0], gradients[0])],
    lower,
    engineOnly,
    cheap: true,
    examples: [{ inputs: [floats(4, 5)], attributes: {}, range: [-4, 4] }]
  };
}
var stepOp = {
  name: "step",
  infer: (inputs) => [inputs[0]],
  evaluate: ([x]) => [mapValues(x, (value) => value > 0 ? 1 : 0)],
  stopsGradient: true,
  lower(e, inputs) {
    const positive2 = e.node("Greater", [inputs[0], e.constant("float32", [], [0])]);
    return e.node("Cast", positive2, { to: 1 });
  },
  cheap: true,
  examples: [{ inputs: [floats(3, 5)], attributes: {} }]
};
var step = (x) => apply(stepOp, [x], {})[0];
var reluOp = activation(
  "relu",
  (x) => Math.max(0, x),
  ([x]) => [mul(x, step(x))],
  // The output is positive exactly where the input is, and it is kept for the next product anyway.
  (_x, y, dy) => mul(dy, step(y)),
  (e, inputs) => e.node("Relu", inputs)
);
var siluOp = activation(
  "silu",
  (x) => x / (1 + Math.exp(-x)),
  ([x]) => [mul(x, sigmoid(x))],
  // σ + x σ (1 − σ) = σ + y − y σ
  (x, y, dy) => {
    const s = sigmoid(x);
    return mul(dy, add(s, sub(y, mul(y, s))));
  },
  (e, inputs) => e.node("QuickGelu", inputs, { alpha: { float: 1 } }, { domain: "com.microsoft" }),
  true
);
function geluTanh(x) {
  const cubic = mul(mul(mul(x, x), x), scalar(GELU_CUBIC));
  return tanh(mul(add(x, cubic), scalar(GELU_SCALE)));
}
var geluOp = activation(
  "gelu",
  (x) => 0.5 * x * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3))),
  ([x]) => [mul(mul(x, scalar(0.5)), add(geluTanh(x), scalar(1)))],
  // With t = tanh(u): ½(1 + t) + ½ x (1 − t²) u′, u′ = c (1 + 3 · 0.044715 x²)
  (x, _y, dy) => {
    const t2 = geluTanh(x);
    const slope = add(mul(mul(x, x), scalar(1.5 * GELU_CUBIC * GELU_SCALE)), scalar(0.5 * GELU_SCALE));
    const bend = mul(mul(x, slope), sub(scalar(1), mul(t2, t2)));
    return mul(dy, add(add(mul(t2, scalar(0.5)), scalar(0.5)), bend));
  },
  (e, inputs) => e.node("Gelu", inputs, { approximate: "tanh" })
);
var relu = (x) => apply(reluOp, [x], {})[0];
var silu = (x) => apply(siluOp, [x], {})[0];
var gelu = (x) => apply(geluOp, [x], {})[0];

// src/graph/lowerings/gemm.ts
function gemm(e, { x, rank, matrix, inner, out }, attributes) {
  const { transA, transB, alpha } = attributes;
  const written = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
  if (rank === 2) return e.node("Gemm", [x, matrix], written);
  const rows = e.node("Reshape", [x, e.constant("int64", [2], [-1, inner])])[0];
  const product = e.node("Gemm", [rows, matrix], written)[0];
  const leading = e.node("Shape", [x], { end: -1 })[0];
  const target = e.node("Concat", [leading, e.constant("int64", [1], [out])], { axis: 0 })[0];
  return e.node("Reshape", [product, target]);
}

// src/graph/lowerings/quantized-product.ts
var FLOAT32 = 1;
var INT8 = 4;
function quantizedProduct(e, x, rank, weight) {
  const { rows, columns, block, bits, exact, offsets } = weight;
  const one2 = (type, inputs, attributes = {}, domain = "") => e.node(type, inputs, attributes, { domain })[0];
  const product = exact && bits === 8 && e.dialect !== "webgpu" ? inTwoParts(e, x, rank, weight) : multiply(e, x, weight, exact ? FLOAT32 : INT8);
  if (!offsets) return [product];
  const sums = one2("ReduceSum", [inBlocks(e, x, rank, columns, block), e.constant("int64", [1], [rank])], {
    keepdims: 0
  });
  const factors = { x: sums, rank, matrix: offsets, inner: columns / block, out: rows };
  const added = e.dialect === "webgpu" ? gemm(e, factors, { transA: false, transB: true, alpha: 1 })[0] : one2("FusedMatMul", [sums, offsets], { transB: 1 }, "com.microsoft");
  return [one2("Add", [product, added])];
}
function multiply(e, x, weight, accuracy) {
  const { rows, columns, bits, block, data, scales, zeroPoints } = weight;
  const attributes = { K: columns, N: rows, bits, block_size: block, accuracy_level: accuracy };
  const inputs = zeroPoints === void 0 ? [x, data, scales] : [x, data, scales, zeroPoints];
  return e.node("MatMulNBits", inputs, attributes, { domain: "com.microsoft" })[0];
}
function inBlocks(e, x, rank, columns, block) {
  const shape2 = [...new Array(rank - 1).fill(0), columns / block, block];
  return e.node("Reshape", [x, e.constant("int64", [shape2.length], shape2)])[0];
}
function inTwoParts(e, x, rank, weight) {
  const { columns, block } = weight;
  const one2 = (type, inputs, attributes = {}) => e.node(type, inputs, attributes)[0];
  const padded = Math.ceil(columns / block) * block;
  const axis = rank - 2;
  const before = new Array(rank).fill(0);
  const after = [...new Array(rank - 1).fill(0), padded - columns];
  const pads = e.constant("int64", [2 * rank], [...before, ...after]);
  const whole = padded === columns ? x : one2("Pad", [x, pads]);
  const blocks = inBlocks(e, whole, rank, padded, block);
  const largest = one2("ReduceMax", [one2("Abs", [blocks]), e.constant("int64", [1], [rank])]);
  const step2 = one2("Max", [
    one2("Mul", [largest, e.constant("float32", [], [1 / 127])]),
    e.constant("float32", [], [1e-30])
  ]);
  const first2 = one2("Mul", [one2("Round", [one2("Div", [blocks, step2])]), step2]);
  const rest = one2("Sub", [blocks, first2]);
  const shape2 = e.constant("int64", [rank], [...new Array(rank - 1).fill(0), padded]);
  const flat = (part) => {
    const rows = one2("Reshape", [part, shape2]);
    const cut2 = [0, columns, rank - 1].map((value) => e.constant("int64", [1], [value]));
    return padded === columns ? rows : one2("Slice", [rows, ...cut2]);
  };
  const both = one2("Concat", [flat(first2), flat(rest)], { axis });
  const product = multiply(e, both, weight, INT8);
  const [a, b] = e.node("Split", [product], { axis, num_outputs: 2 }, { outputs: 2 });
  return one2("Add", [a, b]);
}

// src/graph/operators/matmul.ts
function sides(x, swapped) {
  const rows = x.shape.at(-2);
  const columns = x.shape.at(-1);
  return swapped ? [columns, rows] : [rows, columns];
}
var matmulOp = {
  name: "matmul",
  infer(inputs, { transA, transB }) {
    const [a, b] = inputs;
    if (!a || !b || a.dtype !== "float32" || b.dtype !== "float32" || a.shape.length < 2 || b.shape.length < 2) {
      throw shapeError("matmul", inputs, "needs two float tensors with at least two axes");
    }
    const [m, k] = sides(a, transA);
    const [k2, n] = sides(b, transB);
    const batch = a.shape.slice(0, -2);
    const shared = b.shape.length === 2 && (a.shape.length === 2 || !transA);
    const same = a.shape.length === b.shape.length && batch.every((dim, axis) => sameDim(dim, b.shape[axis]));
    if (!sameDim(k, k2) || !(shared || same)) {
      throw shapeError("matmul", inputs, `the inner sizes ${k} and ${k2} or the batches do not match`);
    }
    return [{ dtype: "float32", shape: [...batch, m, n] }];
  },
  evaluate([a, b], { transA, transB, alpha }) {
    const [m, k] = sides({ dtype: "float32", shape: a.shape }, transA);
    const n = sides({ dtype: "float32", shape: b.shape }, transB)[1];
    const batches = sizeOf(a.shape.slice(0, -2));
    const data = new Float64Array(batches * m * n);
    for (let batch = 0; batch < batches; batch++) {
      const atA = batch * m * k;
      const atB = b.shape.length === 2 ? 0 : batch * k * n;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++) {
            const left = a.data[atA + (transA ? l * m + i : i * k + l)];
            sum += left * b.data[atB + (transB ? j * k + l : l * n + j)];
          }
          data[(batch * m + i) * n + j] = alpha * sum;
        }
      }
    }
    return [{ shape: [...a.shape.slice(0, -2), m, n], data }];
  },
  differentiate({ inputs, gradients, attributes: { transA, transB, alpha }, wanted }) {
    const [a, b] = inputs;
    const dy = gradients[0];
    let da;
    let db;
    if (wanted[0]) {
      da = transA ? matmul(b, dy, { transA: transB, transB: true, alpha }) : matmul(dy, b, { transB: !transB, alpha });
    }
    if (wanted[1]) {
      const shared = a.rank > 2 && b.rank === 2;
      const left = shared ? flattenRows(a) : a;
      const right = shared ? flattenRows(dy) : dy;
      db = transB ? matmul(right, left, { transA: true, transB: transA, alpha }) : matmul(left, right, { transA: !transA, alpha });
    }
    return [da, db];
  },
  packedInput: 1,
  lower(e, inputs, { attributes: { transA, transB, alpha }, inputs: types }) {
    const weight = e.quantized(inputs[1]);
    if (weight) return quantizedProduct(e, inputs[0], types[0].shape.length, weight);
    if (!transA && !transB && alpha === 1) return e.node("MatMul", inputs);
    if (e.dialect === "onnxruntime") {
      const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
      return e.node("FusedMatMul", inputs, attributes, { domain: "com.microsoft" });
    }
    const [left, right] = types;
    if (e.dialect === "webgpu" && right.rank === 2 && (left.rank === 2 || !transA)) {
      const [inner, out] = sides(right, transB);
      const factors = { x: inputs[0], rank: left.rank, matrix: inputs[1], inner, out };
      return gemm(e, factors, { transA, transB, alpha });
    }
    const swap = (name2, x) => {
      const perm = x.shape.map((_, axis) => axis);
      perm.push(...perm.splice(-2).reverse());
      return e.node("Transpose", [name2], { perm })[0];
    };
    const a = transA ? swap(inputs[0], types[0]) : inputs[0];
    const b = transB ? swap(inputs[1], types[1]) : inputs[1];
    const product = e.node("MatMul", [a, b]);
    return alpha === 1 ? product : e.node("Mul", [product[0], e.constant("float32", [], [alpha])]);
  },
  examples: [
    example([3, 4], [4, 5], false, false, 1),
    example([4, 3], [5, 4], true, true, 0.5),
    example([3, 4], [5, 4], false, true, 2),
    example([2, 3, 4], [4, 5], false, false, 1),
    example([2, 3, 4], [5, 4], false, true, 1),
    example([2, 2, 3, 4], [2, 2, 5, 4], false, true, 0.25),
    example([2, 4, 3], [2, 4, 5], true, false, 1)
  ]
};
function example(a, b, transA, transB, alpha) {
  return { inputs: [floats(...a), floats(...b)], attributes: { transA, transB, alpha } };
}
function flattenRows(x) {
  return reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)]);
}
function matmul(a, b, options3 = {}) {
  const { transA = false, transB = false, alpha = 1 } = options3;
  return apply(matmulOp, [a, b], { transA, transB, alpha })[0];
}
function linear(x, weight, bias) {
  const y = matmul(x, weight, { transB: true });
  return bias ? add(y, bias) : y;
}
function linearWeight(node) {
  if (!isNodeOf(node, matmulOp)) return void 0;
  const { transA, transB, alpha } = node.attributes;
  return !transA && transB && alpha === 1 ? parameterName(node.inputs[1].node) : void 0;
}

// src/graph/operators/reduce.ts
function countOf({ shape: shape2 }, axes) {
  const folded = axes.map((axis) => shape2[axis]);
  return sizeOf(staticShape(folded, "reduceMean"));
}
var reduceMeanOp = reduceOperator(
  "reduceMean",
  "ReduceMean",
  (x, axes) => {
    const [sum] = reduceSumOp.evaluate([x], { axes });
    const count2 = countOf(x, axes);
    return mapValues(sum, (value) => value / count2);
  },
  ({ inputs, gradients, attributes }) => {
    const share2 = mul(gradients[0], scalar(1 / countOf(inputs[0], attributes.axes)));
    return [broadcastTo(share2, inputs[0].shape)];
  }
);
var reduceMaxOp = reduceOperator(
  "reduceMax",
  "ReduceMax",
  (x, axes) => fold(x, axes, Number.NEGATIVE_INFINITY, Math.max),
  void 0
);
var reduceMean = (x, axes) => apply(reduceMeanOp, [x], { axes })[0];
var reduceMax = (x, axes) => apply(reduceMaxOp, [x], { axes })[0];
var softmaxOp = {
  name: "softmax",
  infer(inputs) {
    if (inputs[0]?.dtype !== "float32" || inputs[0].shape.length < 1) {
      throw shapeError("softmax", inputs, "needs a float tensor with at least one axis");
    }
    return [inputs[0]];
  },
  expand([x]) {
    const axes = [x.rank - 1];
    const e = exp(sub(x, reduceMax(x, axes)));
    return [div(e, reduceSum(e, axes))];
  },
  differentiate({ outputs, gradients }) {
    const y = outputs[0];
    const weighted = mul(gradients[0], y);
    return [sub(weighted, mul(y, reduceSum(weighted, [y.rank - 1])))];
  },
  lower: (e, inputs) => e.node("Softmax", inputs, { axis: -1 }),
  examples: [
    { inputs: [floats(3, 5)], attributes: {} },
    { inputs: [floats(2, 2, 3, 4)], attributes: {}, range: [-30, 30] }
  ]
};
var softmax = (x) => apply(softmaxOp, [x], {})[0];

// src/graph/operators/softcap.ts
var softcapOp = {
  name: "softcap",
  primaryOutputs: 1,
  infer(inputs, { cap }) {
    if (inputs[0]?.dtype !== "float32" || !(cap > 0))
      throw shapeError("softcap", inputs, `cannot be capped at ${cap}`);
    return [inputs[0]];
  },
  expand: ([x], { cap }) => [mul(tanh(mul(x, scalar(1 / cap))), scalar(cap))],
  differentiate: ({ outputs, gradients, attributes: { cap } }) => [
    softcapGradient(outputs[0], gradients[0], cap)
  ],
  examples: [{ inputs: [floats(3, 6)], attributes: { cap: 1.5 } }]
};
function softcap(x, cap) {
  return apply(softcapOp, [x], { cap })[0];
}
function softcapGradient(y, dy, cap) {
  const t2 = mul(y, scalar(1 / cap));
  return mul(dy, sub(scalar(1), mul(t2, t2)));
}

// src/graph/operators/attention.ts
var MASKED = -1e30;
var attentionOp = {
  name: "attention",
  primaryOutputs: 1,
  infer(inputs, { softcap: softcap2 }) {
    const [q, k, v, mask] = inputs;
    const fits = q?.shape.length === 4 && k?.shape.length === 4 && v?.shape.length === 4 && sameShape(k.shape.slice(0, 3), v.shape.slice(0, 3)) && sameShape(q.shape.slice(0, 2), k.shape.slice(0, 2)) && sameDim(q.shape[3], k.shape[3]) && fitsMask(mask, q, k);
    if (!fits) {
      throw shapeError(
        "attention",
        inputs,
        "needs q [batch, kv, rows, d], k and v [batch, kv, keys, d], mask [rows, keys] or [batch, 1, rows, keys]"
      );
    }
    const scores = { dtype: "float32", shape: [...q.shape.slice(0, 3), k.shape[2]] };
    const out = { dtype: "float32", shape: [...q.shape.slice(0, 3), v.shape[3]] };
    return softcap2 === null ? [out, scores] : [out, scores, scores];
  },
  expand([q, k, v, mask], { scale: scale2, softcap: cap }) {
    const scores = matmul(q, k, { transB: true, alpha: scale2 });
    const capped = cap === null ? scores : softcap(scores, cap);
    const probs = softmax(add(capped, mask));
    const out = matmul(probs, v);
    return cap === null ? [out, probs] : [out, probs, capped];
  },
  // With P the probabilities: dS = P (dP − Σ dP P), and Σ_keys dP P = Σ_d dO O, which is far shorter.
  differentiate({ inputs, outputs, gradients, attributes: { scale: scale2, softcap: cap } }) {
    const [q, k, v] = inputs;
    const [out, probs, capped] = outputs;
    const dOut = gradients[0];
    const dProbs = matmul(dOut, v, { transB: true });
    const dot = reduceSum(mul(dOut, out), [3]);
    const dCapped = mul(probs, sub(dProbs, dot));
    const dScores = capped && cap !== null ? softcapGradient(capped, dCapped, cap) : dCapped;
    return [
      matmul(dScores, k, { alpha: scale2 }),
      matmul(dScores, q, { transA: true, alpha: scale2 }),
      matmul(probs, dOut, { transA: true }),
      void 0
    ];
  },
  examples: [null, 1.5].flatMap(
    (softcap2) => [floats(6, 3), floats(2, 1, 6, 3)].map((mask) => ({
      inputs: [floats(2, 2, 6, 4), floats(2, 2, 3, 4), floats(2, 2, 3, 4), mask],
      attributes: { scale: 0.5, softcap: softcap2 }
    }))
  )
};
function fitsMask(mask, q, k) {
  if (!mask) return false;
  const [rows, keys] = mask.shape.slice(-2);
  const perSequence = mask.shape.length === 4 && sameDim(mask.shape[0], q.shape[0]) && mask.shape[1] === 1;
  return (mask.shape.length === 2 || perSequence) && sameDim(rows, q.shape[2]) && sameDim(keys, k.shape[2]);
}
function attention(q, k, v, mask, attributes) {
  return apply(attentionOp, [q, k, v, mask], attributes)[0];
}

// src/graph/lowerings/cache-rows.ts
var writeRowsOp = {
  name: "writeRows",
  infer(inputs) {
    const [cache, rows, length] = inputs;
    if (cache?.shape.length !== 4 || rows?.shape.length !== 4 || length?.dtype !== "int32") {
      throw shapeError(
        "writeRows",
        inputs,
        "needs a cache [1, kv, capacity, d], rows [1, kv, time, d] and an int32 length [1]"
      );
    }
    return [cache];
  },
  evaluate([cache, rows, length]) {
    const [, heads, capacity, width] = cache.shape;
    const time = rows.shape[2];
    const data = cache.data.slice();
    for (let head = 0; head < heads; head++) {
      const from = head * time * width;
      data.set(rows.data.subarray(from, from + time * width), (head * capacity + length.data[0]) * width);
    }
    return [{ shape: cache.shape, data }];
  },
  lower(e, [cache, rows, length]) {
    const axis = e.constant("int64", [1], [2]);
    const int64 = (x) => e.node("Cast", [x], { to: 7 })[0];
    const start = int64(length);
    const end = e.node("Add", [start, e.node("Shape", [rows], { start: 2, end: 3 })[0]])[0];
    const zero = e.constant("int64", [1], [0]);
    const all2 = e.constant("int64", [1], [2 ** 31 - 1]);
    const before = e.node("Slice", [cache, zero, start, axis])[0];
    const after = e.node("Slice", [cache, end, all2, axis])[0];
    return e.node("Concat", [before, rows, after], { axis: 2 });
  },
  examples: [0, 2, 3].map((past) => ({
    inputs: [floats(1, 2, 6, 4), floats(1, 2, 3, 4), { dtype: "int32", shape: [1] }],
    attributes: {},
    values: { 2: [past] }
  }))
};
function writeRows(cache, rows, length) {
  return apply(writeRowsOp, [cache, rows, length], {})[0];
}
var rowsFromOp = {
  name: "rowsFrom",
  infer(inputs) {
    const [table, start, x] = inputs;
    if (table?.shape.length !== 2 || start?.dtype !== "int32" || x?.shape.length !== 3) {
      throw shapeError(
        "rowsFrom",
        inputs,
        "needs a table [n, d], an int32 start [1] and tokens [1, time, width]"
      );
    }
    return [{ dtype: "float32", shape: [x.shape[1], table.shape[1]] }];
  },
  evaluate([table, start, x]) {
    const shape2 = [x.shape[1], table.shape[1]];
    const from = start.data[0] * shape2[1];
    return [{ shape: shape2, data: table.data.slice(from, from + shape2[0] * shape2[1]) }];
  },
  lower(e, [table, start, x]) {
    const from = e.node("Cast", [start], { to: 7 })[0];
    const end = e.node("Add", [from, e.node("Shape", [x], { start: 1, end: 2 })[0]])[0];
    return e.node("Slice", [table, from, end, e.constant("int64", [1], [0])]);
  },
  examples: [
    {
      inputs: [floats(6, 4), { dtype: "int32", shape: [1] }, floats(1, 3, 2)],
      attributes: {},
      values: { 1: [2] }
    }
  ]
};
function rowsFrom(table, start, x) {
  return apply(rowsFromOp, [table, start, x], {})[0];
}
var causalMaskOp = {
  name: "causalMask",
  infer(inputs, { time, group }) {
    const cache = inputs[2];
    if (inputs[0]?.dtype !== "int32" || inputs[1]?.dtype !== "int32" || cache?.shape.length !== 4) {
      throw shapeError(
        "causalMask",
        inputs,
        "needs int32 lengths [1] and [], and a cache [1, kv, capacity, d]"
      );
    }
    return [{ dtype: "float32", shape: [mulDims(group, time), addDims(cache.shape[2], time)] }];
  },
  evaluate([pastLength, , cache], { time, group, window }) {
    const t2 = time;
    const capacity = cache.shape[2];
    const past = pastLength.data[0];
    const shape2 = [t2 * group, capacity + t2];
    const data = new Float64Array(sizeOf(shape2));
    for (let row = 0; row < t2 * group; row++) {
      const query = past + Math.floor(row / group);
      for (let column = 0; column < capacity + t2; column++) {
        const key = column < capacity ? column : past + column - capacity;
        const real = column >= capacity || column < past;
        const seen = real && key <= query && (window === null || key > query - window);
        data[row * (capacity + t2) + column] = seen ? 0 : MASKED;
      }
    }
    return [{ shape: shape2, data }];
  },
  lower(e, [past, total, cache], { attributes: { group, window } }) {
    const one2 = (type, inputs, attributes = {}) => e.node(type, inputs, attributes)[0];
    const int = (value) => e.constant("int32", [], [value]);
    const sizes = (...values) => e.constant("int64", [values.length], values);
    const pastScalar = one2("Reshape", [past, e.constant("int64", [0], [])]);
    const capacity = one2("Reshape", [
      one2("Cast", [one2("Shape", [cache], { start: 2, end: 3 })], { to: 6 }),
      e.constant("int64", [0], [])
    ]);
    const time = one2("Sub", [total, pastScalar]);
    const positions = one2("Add", [one2("Range", [int(0), time, int(1)]), pastScalar]);
    const column = one2("Reshape", [positions, sizes(-1, 1, 1)]);
    const query = one2("Reshape", [one2("Expand", [column, sizes(1, group, 1)]), sizes(-1, 1)]);
    const slots = one2("Range", [int(0), one2("Add", [capacity, time]), int(1)]);
    const isNew = one2("GreaterOrEqual", [slots, capacity]);
    const shifted = one2("Add", [slots, one2("Sub", [pastScalar, capacity])]);
    const key = one2("Where", [isNew, shifted, slots]);
    const real = one2("Or", [isNew, one2("Less", [slots, pastScalar])]);
    let seen = one2("And", [real, one2("LessOrEqual", [key, query])]);
    if (window !== null) seen = one2("And", [seen, one2("Greater", [key, one2("Sub", [query, int(window)])])]);
    return e.node("Where", [seen, e.constant("float32", [], [0]), e.constant("float32", [], [MASKED])]);
  },
  examples: [maskExample(1, null, 0), maskExample(2, null, 4), maskExample(2, 3, 6)]
};
function maskExample(group, window, past) {
  const length = { dtype: "int32", shape: [1] };
  return {
    inputs: [length, { dtype: "int32", shape: [] }, floats(1, 2, 6, 4)],
    attributes: { time: 3, group, window },
    values: { 0: [past], 1: [past + 3] }
  };
}
function causalMask(past, total, cache, attributes) {
  return apply(causalMaskOp, [past, total, cache], attributes)[0];
}

// src/graph/operators/rotary.ts
var rotaryOp = {
  name: "rotary",
  infer(inputs, { heads }) {
    const [x, cos, sin] = inputs;
    const width = x?.shape.at(-1);
    const half = cos?.shape.at(-1);
    const fits = x && cos && sin && typeof width === "number" && typeof half === "number" && width === 2 * half * heads && (cos.shape.length === 2 || cos.shape.length === 3 && x.shape.length === 3) && sameDim(cos.shape.at(-2), x.shape.at(-2)) && sameShape(cos.shape, sin.shape);
    if (!fits) {
      throw shapeError(
        "rotary",
        inputs,
        `needs [\u2026, tokens, ${heads} \xB7 head_dim] and angles [tokens, head_dim / 2], or angles per sequence`
      );
    }
    return [x];
  },
  evaluate([x, cos, sin], { heads }) {
    const half = cos.shape.at(-1);
    const data = x.data.slice();
    const rows = data.length / (heads * 2 * half);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * 2 * half;
        for (let i = 0; i < half; i++) {
          const c = cos.data[row * half + i];
          const s = sin.data[row * half + i];
          data[at + i] = x.data[at + i] * c - x.data[at + half + i] * s;
          data[at + half + i] = x.data[at + half + i] * c + x.data[at + i] * s;
        }
      }
    }
    return [{ shape: x.shape, data }];
  },
  differentiate({ inputs, gradients, attributes: { heads } }) {
    return [rotary(gradients[0], inputs[1], neg(inputs[2]), heads), void 0, void 0];
  },
  lower(e, [x, cos, sin], { inputs, attributes: { heads } }) {
    const [type, angles] = inputs;
    const batched = type.rank === 3;
    const lift = (name2, width2) => e.node("Reshape", [name2, e.constant("int64", [3], [1, -1, width2])])[0];
    const width = type.shape.at(-1);
    const half = angles.shape.at(-1);
    const angle = (name2) => angles.rank === 3 ? name2 : lift(name2, half);
    const turned = e.node("RotaryEmbedding", [batched ? x : lift(x, width), angle(cos), angle(sin)], {
      num_heads: heads
    });
    return batched ? turned : e.node("Reshape", [turned[0], e.constant("int64", [2], [-1, width])]);
  },
  examples: [
    {
      inputs: [floats(3, 8), floats(3, 2), floats(3, 2)],
      attributes: { heads: 2 }
    },
    {
      inputs: [floats(2, 3, 8), floats(2, 3, 2), floats(2, 3, 2)],
      attributes: { heads: 2 }
    }
  ]
};
function rotary(x, cos, sin, heads) {
  return apply(rotaryOp, [x, cos, sin], { heads })[0];
}

// src/graph/operators/shape.ts
var transposeOp = {
  name: "transpose",
  infer(inputs, { permutation }) {
    const [x] = inputs;
    const sorted = [...permutation].sort((a, b) => a - b);
    if (!x || sorted.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
      throw shapeError("transpose", inputs, `[${permutation}] is not a permutation of its axes`);
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]) }];
  },
  evaluate([x], { permutation }) {
    const strides = stridesOf(x.shape);
    const shape2 = permutation.map((axis) => x.shape[axis]);
    const data = new Float64Array(x.data.length);
    forEachIndex(shape2, (index, flat) => {
      let at = 0;
      for (let i = 0; i < index.length; i++) at += index[i] * strides[permutation[i]];
      data[flat] = x.data[at];
    });
    return [{ shape: shape2, data }];
  },
  differentiate({ gradients, attributes: { permutation } }) {
    return [
      transpose(
        gradients[0],
        permutation.map((_, axis) => permutation.indexOf(axis))
      )
    ];
  },
  lower: (e, inputs, { attributes }) => e.node("Transpose", inputs, { perm: attributes.permutation }),
  cheap: true,
  identity([x], { permutation }) {
    const { node } = x;
    const undone = isNodeOf(node, transposeOp) && permutation.every((axis, i) => node.attributes.permutation[axis] === i);
    return undone ? node.inputs[0] : void 0;
  },
  examples: [
    { inputs: [floats(2, 3)], attributes: { permutation: [1, 0] } },
    { inputs: [floats(2, 3, 4, 5)], attributes: { permutation: [0, 2, 3, 1] } }
  ]
};
function transpose(x, permutation) {
  return permutation.every((axis, i) => axis === i) ? x : apply(transposeOp, [x], { permutation })[0];
}
var concatOp = {
  name: "concat",
  infer(inputs, { axis }) {
    const [first2] = inputs;
    const fits = inputs.every(
      (x) => x.dtype === first2?.dtype && x.shape.length === first2.shape.length && x.shape.every((dim, i) => i === axis || sameDim(dim, first2.shape[i]))
    );
    if (!first2 || !fits || axis >= first2.shape.length) {
      throw shapeError("concat", inputs, `the shapes must agree except along axis ${axis}`);
    }
    const size = inputs.reduce((sum, x) => addDims(sum, x.shape[axis]), 0);
    return [{ dtype: first2.dtype, shape: first2.shape.map((dim, i) => i === axis ? size : dim) }];
  },
  evaluate(inputs, { axis }) {
    const shape2 = [...inputs[0].shape];
    shape2[axis] = inputs.reduce((sum, x) => sum + x.shape[axis], 0);
    const data = new Float64Array(sizeOf(shape2));
    const strides = stridesOf(shape2);
    let start = 0;
    for (const x of inputs) {
      forEachIndex(x.shape, (index, flat) => {
        let at = start * strides[axis];
        for (let i = 0; i < index.length; i++) at += index[i] * strides[i];
        data[at] = x.data[flat];
      });
      start += x.shape[axis];
    }
    return [{ shape: shape2, data }];
  },
  differentiate({ inputs, gradients, attributes: { axis } }) {
    let start = 0;
    return inputs.map((x) => {
      const begin = start;
      start = addDims(start, x.shape[axis]);
      if (typeof begin !== "number" || typeof start !== "number") {
        throw shapeError("concat", inputs, "has no derivative while the sizes along its axis are unknown");
      }
      return slice(gradients[0], axis, begin, start);
    });
  },
  lower: (e, inputs, { attributes }) => e.node("Concat", inputs, { axis: attributes.axis }),
  cheap: true,
  examples: [
    { inputs: [floats(2, 3), floats(2, 2)], attributes: { axis: 1 } },
    { inputs: [floats(1, 3), floats(2, 3)], attributes: { axis: 0 } }
  ]
};
function concat(inputs, axis) {
  return inputs.length === 1 ? inputs[0] : apply(concatOp, inputs, { axis })[0];
}
function sliceBounds(dim, start, end) {
  if (typeof dim === "number") {
    const from = start < 0 ? dim + start : start;
    const to = end === null ? dim : end < 0 ? dim + end : end;
    return from >= 0 && from <= to && to <= dim ? to - from : void 0;
  }
  if (end === null) return start < 0 ? -start : addDims(dim, -start);
  return start >= 0 === end >= 0 && end >= start ? end - start : void 0;
}
var sliceOp = {
  name: "slice",
  infer(inputs, { axis, start, end }) {
    const [x] = inputs;
    const size = x && axis < x.shape.length ? sliceBounds(x.shape[axis], start, end) : void 0;
    if (!x || size === void 0)
      throw shapeError("slice", inputs, `has no range ${start}\u2026${end} on axis ${axis}`);
    return [{ dtype: x.dtype, shape: x.shape.map((dim, i) => i === axis ? size : dim) }];
  },
  evaluate([x], { axis, start, end }) {
    const size = sliceBounds(x.shape[axis], start, end);
    const from = start < 0 ? x.shape[axis] + start : start;
    const shape2 = x.shape.map((dim, i) => i === axis ? size : dim);
    const strides = stridesOf(x.shape);
    const data = new Float64Array(sizeOf(shape2));
    forEachIndex(shape2, (index, flat) => {
      let at = from * strides[axis];
      for (let i = 0; i < index.length; i++) at += index[i] * strides[i];
      data[flat] = x.data[at];
    });
    return [{ shape: shape2, data }];
  },
  differentiate({ inputs, gradients, attributes: { axis, start, end } }) {
    const dim = inputs[0].shape[axis];
    if (typeof dim !== "number") throw shapeError("slice", inputs, "has no derivative along an unknown size");
    const from = start < 0 ? dim + start : start;
    const to = end === null ? dim : end < 0 ? dim + end : end;
    return [pad(gradients[0], axis, from, dim - to)];
  },
  lower(e, [x], { attributes: { axis, start, end } }) {
    const one2 = (value) => e.constant("int64", [1], [value]);
    return e.node("Slice", [x, one2(start), one2(end ?? Number.MAX_SAFE_INTEGER), one2(axis)]);
  },
  cheap: true,
  examples: [
    { inputs: [floats(4, 5)], attributes: { axis: 1, start: 1, end: 4 } },
    { inputs: [floats(4, 5)], attributes: { axis: 0, start: -1, end: null } }
  ]
};
function slice(x, axis, start, end) {
  if (start === 0 && (end === null || end === x.shape[axis])) return x;
  return apply(sliceOp, [x], { axis, start, end })[0];
}
var padOp = {
  name: "pad",
  infer(inputs, { axis, before, after }) {
    const [x] = inputs;
    if (x?.dtype !== "float32" || axis >= x.shape.length || before < 0 || after < 0) {
      throw shapeError("pad", inputs, `cannot be padded by ${before} and ${after} on axis ${axis}`);
    }
    return [
      { dtype: "float32", shape: x.shape.map((dim, i) => i === axis ? addDims(dim, before + after) : dim) }
    ];
  },
  evaluate([x], { axis, before, after }) {
    const shape2 = x.shape.map((dim, i) => i === axis ? dim + before + after : dim);
    const data = new Float64Array(sizeOf(shape2));
    const strides = stridesOf(shape2);
    forEachIndex(x.shape, (index, flat) => {
      let at = before * strides[axis];
      for (let i = 0; i < index.length; i++) at += index[i] * strides[i];
      data[at] = x.data[flat];
    });
    return [{ shape: shape2, data }];
  },
  differentiate({ gradients, inputs, attributes: { axis, before } }) {
    const dim = inputs[0].shape[axis];
    if (typeof dim !== "number") throw shapeError("pad", inputs, "has no derivative along an unknown size");
    return [slice(gradients[0], axis, before, before + dim)];
  },
  lower(e, [x], { attributes: { axis, before, after } }) {
    const pads = e.constant("int64", [2], [before, after]);
    return e.node("Pad", [x, pads, e.constant("float32", [], [0]), e.constant("int64", [1], [axis])]);
  },
  cheap: true,
  examples: [{ inputs: [floats(2, 3)], attributes: { axis: 1, before: 1, after: 2 } }]
};
function pad(x, axis, before, after) {
  return before === 0 && after === 0 ? x : apply(padOp, [x], { axis, before, after })[0];
}
var splitOp = {
  name: "split",
  infer(inputs, { axis, sizes }) {
    const [x] = inputs;
    const total = sizes.reduce((sum, size) => sum + size, 0);
    if (!x || x.shape[axis] !== total || sizes.some((size) => size < 1)) {
      throw shapeError("split", inputs, `cannot be cut into ${sizes.join(" + ")} along axis ${axis}`);
    }
    return sizes.map((size) => ({
      dtype: x.dtype,
      shape: x.shape.map((dim, i) => i === axis ? size : dim)
    }));
  },
  evaluate([x], { axis, sizes }) {
    let start = 0;
    return sizes.map((size) => {
      const part = sliceOp.evaluate([x], { axis, start, end: start + size })[0];
      start += size;
      return part;
    });
  },
  differentiate({ outputs, gradients, attributes: { axis } }) {
    const zeros = (part) => broadcastTo(scalar(0), part.shape);
    return [
      concat(
        outputs.map((part, i) => gradients[i] ?? zeros(part)),
        axis
      )
    ];
  },
  lower(e, [x], { attributes: { axis, sizes } }) {
    return e.node(
      "Split",
      [x, e.constant("int64", [sizes.length], sizes)],
      { axis },
      { outputs: sizes.length }
    );
  },
  cheap: true,
  examples: [{ inputs: [floats(2, 6)], attributes: { axis: 1, sizes: [1, 3, 2] } }]
};
function split(x, axis, sizes) {
  return sizes.length === 1 ? [x] : apply(splitOp, [x], { axis, sizes });
}

// src/graph/operators/cached-attention.ts
function hasFusedAttention(headDim) {
  return headDim % 8 === 0;
}
function cachedInputs(inputs, { packed }) {
  const count2 = packed ? 1 : 3;
  const [pastK, pastV, pastLength, total, lastKey, cos, sin] = inputs.slice(count2);
  return { qkv: inputs.slice(0, count2), pastK, pastV, pastLength, total, lastKey, cos, sin };
}
var cachedAttentionOp = {
  name: "cachedAttention",
  engineOnly: true,
  // GroupQueryAttention refuses other head sizes. Its WebGPU kernels ignore the cap, and returned wrong values for 32
  // or more new tokens.
  fits: (inputs, attributes, dialect) => dialect !== "webgpu" && hasFusedAttention(cachedInputs(inputs, attributes).pastK.shape[3]),
  infer(inputs, attributes) {
    const { heads, kvHeads, packed, rotates } = attributes;
    const { qkv, pastK, pastV, pastLength, total, lastKey, cos, sin } = cachedInputs(inputs, attributes);
    const headDim = pastK?.shape[3];
    const widths = packed ? [heads + 2 * kvHeads] : [heads, kvHeads, kvHeads];
    const fits = pastV && pastK?.shape.length === 4 && typeof headDim === "number" && heads % kvHeads === 0 && qkv.every((x, i) => x.shape.length === 3 && x.shape[2] === widths[i] * headDim) && sameShape(pastK.shape, pastV.shape) && pastLength?.dtype === "int32" && total?.dtype === "int32" && lastKey?.dtype === "int32" && (!rotates || [cos, sin].every((table) => table?.shape.length === 2 && table.shape[1] === headDim / 2));
    if (!fits) {
      throw shapeError(
        "cachedAttention",
        inputs,
        "needs q [batch, time, heads \xB7 d], k and v [batch, time, kv \xB7 d] or all in one, caches [batch, kv, capacity, d], int32 lengths [batch], [] and [batch], and tables [positions, d / 2] if it rotates"
      );
    }
    const [batch, time] = qkv[0].shape;
    return [{ dtype: "float32", shape: [batch, time, heads * headDim] }, pastK, pastV];
  },
  expand(inputs, attributes) {
    const { heads, kvHeads, scale: scale2, softcap: cap, window, packed } = attributes;
    const { qkv, pastK, pastV, pastLength, total, cos, sin } = cachedInputs(inputs, attributes);
    const [, time] = qkv[0].shape;
    const headDim = pastK.shape[3];
    const sizes = [heads, kvHeads, kvHeads].map((count2) => count2 * headDim);
    let [q, k, v] = packed ? split(qkv[0], 2, sizes) : qkv;
    if (cos && sin) {
      const turned = (x, count2) => rotary(x, rowsFrom(cos, pastLength, x), rowsFrom(sin, pastLength, x), count2);
      [q, k] = [turned(q, heads), turned(k, kvHeads)];
    }
    const group = heads / kvHeads;
    const rowsOf = (x) => transpose(reshape(x, [1, time, kvHeads, headDim]), [0, 2, 1, 3]);
    const queries = transpose(reshape(q, [time, kvHeads, group, headDim]), [1, 0, 2, 3]);
    const stacked = reshape(queries, [1, kvHeads, mulDims(group, time), headDim]);
    const keys = concat([pastK, rowsOf(k)], 2);
    const values = concat([pastV, rowsOf(v)], 2);
    const mask = causalMask(pastLength, total, pastK, { time, group, window });
    const out = attention(stacked, keys, values, mask, { scale: scale2, softcap: cap });
    const back = transpose(reshape(out, [kvHeads, time, group, headDim]), [1, 0, 2, 3]);
    const write = (past, x) => writeRows(past, rowsOf(x), pastLength);
    return [reshape(back, [1, time, heads * headDim]), write(pastK, k), write(pastV, v)];
  },
  lower(e, inputs, { attributes }) {
    const { heads, kvHeads, scale: scale2, softcap: cap, window, packed, rotates } = attributes;
    const { qkv, pastK, pastV, total, lastKey, cos, sin } = cachedInputs(inputs, attributes);
    return e.node(
      "GroupQueryAttention",
      [...qkv, ...packed ? ["", ""] : [], pastK, pastV, lastKey, total, ...rotates ? [cos, sin] : []],
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        scale: { float: scale2 },
        softcap: { float: cap ?? 0 },
        local_window_size: window === null ? -1 : window,
        do_rotary: rotates ? 1 : 0
      },
      { domain: "com.microsoft", outputs: 3 }
    );
  },
  examples: [
    cachedExample(4, 2, null, null, 0),
    cachedExample(4, 2, null, null, 5),
    cachedExample(4, 1, 3, null, 6),
    cachedExample(2, 2, 2, 1.5, 1),
    cachedExample(4, 2, 3, 1.5, 4, 12),
    cachedExample(4, 2, 5, 2, 6),
    ...[0, 5].flatMap((past) => [
      cachedExample(4, 2, null, null, past, 16, { rotates: true }),
      cachedExample(4, 2, null, 2, past, 16, { rotates: true, packed: true }),
      cachedExample(3, 1, null, null, past, 16, { packed: true })
    ])
  ]
};
function cachedExample(heads, kvHeads, window, softcap2, past, headDim = 8, forms = {}) {
  const int = { dtype: "int32", shape: [1] };
  const { packed, rotates } = forms;
  const widths = packed ? [heads + 2 * kvHeads] : [heads, kvHeads, kvHeads];
  const rows = widths.map((count2) => floats(1, 3, count2 * headDim));
  const cache = floats(1, kvHeads, past + 3, headDim);
  const tables = rotates ? [floats(past + 3, headDim / 2), floats(past + 3, headDim / 2)] : [];
  const at = rows.length + 2;
  return {
    inputs: [...rows, cache, cache, int, { dtype: "int32", shape: [] }, int, ...tables],
    attributes: { heads, kvHeads, window, softcap: softcap2, scale: 0.4, ...forms },
    values: { [at]: [past], [at + 1]: [past + 3], [at + 2]: [past + 2] }
  };
}

// src/graph/operators/head.ts
function headLogits(hidden, { weight, bias, softcap: cap }) {
  const logits = linear(hidden, weight, bias);
  return cap === null ? logits : softcap(logits, cap);
}
function logSumExp(logits, probs) {
  return sub(reduceMax(logits, [1]), log(reduceMax(probs, [1])));
}
function isVector(x, size) {
  return x?.shape.length === 1 && sameDim(x.shape[0], size);
}
function headLossTypes(name2, inputs) {
  const [hidden, weight, targets, weights] = inputs;
  const fits = hidden?.shape.length === 2 && weight?.shape.length === 2 && sameDim(hidden.shape[1], weight.shape[1]) && isVector(targets, hidden.shape[0]) && targets.dtype !== "float32" && isVector(weights, hidden.shape[0]);
  if (!fits) {
    throw shapeError(name2, inputs, "needs hidden [n, d], weight [vocab, d], targets [n], weights [n]");
  }
  return [floats(), { dtype: "float32", shape: [hidden.shape[0], 1] }, hidden, weight];
}
function expandHeadLoss(name2, { hidden, targets, weights, ...head }, chunk, lossOf2) {
  const { weight, bias, softcap: cap } = head;
  const [rows] = hidden.shape;
  if (typeof rows !== "number") throw new RopewalkError(`${name2}: the number of rows must be known.`);
  const losses = [];
  const dHidden = [];
  let dWeight;
  let dBias;
  const sum = (before, part) => before ? add(before, part) : part;
  for (let start = 0; start < rows; start += chunk) {
    const end = Math.min(rows, start + chunk);
    const h = slice(hidden, 0, start, end);
    const target = reshape(slice(targets, 0, start, end), [end - start, 1]);
    const w = reshape(slice(weights, 0, start, end), [end - start, 1]);
    const logits = headLogits(h, head);
    const { loss, dLogits: dCapped } = lossOf2(logits, target, start, end);
    const dLogits = cap === null ? dCapped : softcapGradient(logits, dCapped, cap);
    losses.push(loss);
    dHidden.push(mul(matmul(dLogits, weight), w));
    dWeight = sum(dWeight, matmul(dLogits, mul(h, w), { transA: true }));
    if (bias) dBias = sum(dBias, reshape(matmul(w, dLogits, { transA: true }), bias.shape));
  }
  const all2 = concat(losses, 0);
  const total = reshape(reduceSum(mul(all2, reshape(weights, [rows, 1])), [0, 1]), []);
  const outputs = [total, all2, concat(dHidden, 0), dWeight];
  return dBias ? [...outputs, dBias] : outputs;
}
function headGradients([, , dHidden, dWeight, dBias], gradient, inputs, biasAt) {
  const result = new Array(inputs).fill(void 0);
  result[0] = mul(dHidden, gradient);
  result[1] = mul(dWeight, gradient);
  if (dBias) result[biasAt] = mul(dBias, gradient);
  return result;
}

// src/graph/operators/indexing.ts
function isIndex(x) {
  return x?.dtype === "int64" || x?.dtype === "int32";
}
var gatherRowsOp = {
  name: "gatherRows",
  infer(inputs) {
    const [table, ids] = inputs;
    if (table?.dtype !== "float32" || table.shape.length !== 2 || !isIndex(ids)) {
      throw shapeError("gatherRows", inputs, "needs a float matrix and integer row indices");
    }
    return [{ dtype: "float32", shape: [...ids.shape, table.shape[1]] }];
  },
  evaluate([table, ids]) {
    const width = table.shape[1];
    const data = new Float64Array(ids.data.length * width);
    ids.data.forEach((id, row) => {
      data.set(table.data.subarray(id * width, (id + 1) * width), row * width);
    });
    return [{ shape: [...ids.shape, width], data }];
  },
  differentiate({ inputs, gradients }) {
    const [table, ids] = inputs;
    const count2 = sizeOf(ids.shape);
    const rows = reshape(gradients[0], [count2, table.shape[1]]);
    return [scatterRows(reshape(ids, [count2]), rows, table.shape[0]), void 0];
  },
  lower: (e, inputs) => e.node("Gather", inputs, { axis: 0 }),
  cheap: true,
  examples: [
    {
      inputs: [floats(5, 3), { dtype: "int64", shape: [7] }],
      attributes: {},
      below: 5
    }
  ]
};
function gatherRows(table, ids) {
  return apply(gatherRowsOp, [table, ids], {})[0];
}
var takeRowsOp = {
  name: "takeRows",
  infer(inputs) {
    const [x, ids] = inputs;
    if (x?.dtype !== "float32" || x.shape.length !== 3 || !isIndex(ids) || ids.shape.length !== 1) {
      throw shapeError(
        "takeRows",
        inputs,
        "needs floats [batch, rows, width] and integer row indices [count]"
      );
    }
    return [{ dtype: "float32", shape: [x.shape[0], ids.shape[0], x.shape[2]] }];
  },
  evaluate([x, ids]) {
    const [batch, rows, width] = x.shape;
    const count2 = ids.data.length;
    const data = new Float64Array(batch * count2 * width);
    for (let b = 0; b < batch; b++) {
      ids.data.forEach((id, i) => {
        const from = (b * rows + id) * width;
        data.set(x.data.subarray(from, from + width), (b * count2 + i) * width);
      });
    }
    return [{ shape: [batch, count2, width], data }];
  },
  lower: (e, inputs) => e.node("Gather", inputs, { axis: 1 }),
  examples: [
    {
      inputs: [floats(2, 5, 3), { dtype: "int32", shape: [2] }],
      attributes: {},
      below: 5
    }
  ]
};
var SAME_ROWS = 2 ** 24;
var scatterRowsOp = {
  name: "scatterRows",
  infer(inputs, { rows }) {
    const [ids, values] = inputs;
    if (!isIndex(ids) || values?.dtype !== "float32" || values.shape.length !== 2 || ids.shape.length !== 1) {
      throw shapeError(
        "scatterRows",
        inputs,
        "needs integer row indices [count] and float rows [count, width]"
      );
    }
    if (!sameDim(ids.shape[0], values.shape[0]))
      throw shapeError("scatterRows", inputs, "the counts differ");
    return [{ dtype: "float32", shape: [rows, values.shape[1]] }];
  },
  evaluate([ids, values], { rows }) {
    const width = values.shape[1];
    const data = new Float64Array(rows * width);
    ids.data.forEach((id, row) => {
      for (let i = 0; i < width; i++) data[id * width + i] += values.data[row * width + i];
    });
    return [{ shape: [rows, width], data }];
  },
  differentiate: ({ inputs, gradients }) => [void 0, gatherRows(gradients[0], inputs[0])],
  lower(e, [ids, values], { inputs, attributes: { rows } }) {
    const [count2, width] = inputs[1].shape;
    const sizes = (...all2) => e.constant("int64", [all2.length], all2);
    const [column] = e.node("Reshape", [ids, sizes(count2, 1)]);
    const [row] = e.node("Reshape", [ids, sizes(1, count2)]);
    const chunk = Math.max(1, Math.floor(SAME_ROWS / count2));
    const sums = [];
    for (let start = 0; start < count2; start += chunk) {
      const end = Math.min(count2, start + chunk);
      const some = chunk < count2 ? e.node("Slice", [column, sizes(start), sizes(end), sizes(0)]) : [column];
      const same = e.node("Cast", e.node("Equal", [some[0], row]), { to: 1 });
      sums.push(e.node("MatMul", [same[0], values])[0]);
    }
    const sum = sums.length > 1 ? e.node("Concat", sums, { axis: 0 })[0] : sums[0];
    const [zeros] = e.node("Expand", [e.constant("float32", [1, 1], [0]), sizes(rows, width)]);
    const [places] = e.node("Expand", [column, sizes(count2, width)]);
    return e.node("ScatterElements", [zeros, places, sum], { axis: 0 });
  },
  examples: [
    {
      inputs: [{ dtype: "int64", shape: [7] }, floats(7, 3)],
      attributes: { rows: 5 },
      below: 5
    }
  ]
};
function scatterRows(ids, values, rows) {
  return apply(scatterRowsOp, [ids, values], { rows })[0];
}
var takeAlongOp = {
  name: "takeAlong",
  infer(inputs) {
    const [x, ids] = inputs;
    if (x?.dtype !== "float32" || x.shape.length !== 2 || !isIndex(ids) || !sameRows(x, ids)) {
      throw shapeError("takeAlong", inputs, "needs a float matrix [n, m] and integers [n, k]");
    }
    return [{ dtype: "float32", shape: ids.shape }];
  },
  evaluate([x, ids]) {
    const [m, k] = [x.shape[1], ids.shape[1]];
    const data = Float64Array.from(ids.data, (id, i) => x.data[Math.floor(i / k) * m + id]);
    return [{ shape: ids.shape, data }];
  },
  differentiate({ inputs, gradients }) {
    const zeros = broadcastTo(scalar(0), inputs[0].shape);
    return [addAlong(zeros, inputs[1], gradients[0]), void 0];
  },
  lower: (e, inputs) => e.node("GatherElements", inputs, { axis: 1 }),
  examples: [1, 2].map((k) => ({
    inputs: [floats(4, 3), { dtype: "int64", shape: [4, k] }],
    attributes: {},
    below: 3
  }))
};
function sameRows(x, ids) {
  return ids.shape.length === 2 && sameDim(ids.shape[0], x.shape[0]);
}
function takeAlong(x, ids) {
  return apply(takeAlongOp, [x, ids], {})[0];
}
var addAlongOp = {
  name: "addAlong",
  infer(inputs) {
    const [x, ids, values] = inputs;
    const fits = x?.shape.length === 2 && isIndex(ids) && sameRows(x, ids) && values && sameShape(values.shape, ids.shape);
    if (!x || !fits) throw shapeError("addAlong", inputs, "needs [n, m], integers [n, k] and floats [n, k]");
    return [x];
  },
  evaluate([x, ids, values]) {
    const data = x.data.slice();
    const [m, k] = [x.shape[1], ids.shape[1]];
    ids.data.forEach((id, i) => {
      data[Math.floor(i / k) * m + id] += values.data[i];
    });
    return [{ shape: x.shape, data }];
  },
  differentiate: ({ inputs, gradients }) => [gradients[0], void 0, takeAlong(gradients[0], inputs[1])],
  // The engine's CPU kernel adds sequentially, so unlike ScatterND with repeated rows an id may repeat.
  lower: (e, inputs) => e.node("ScatterElements", inputs, { axis: 1, reduction: "add" }),
  examples: [1, 4].map((k) => ({
    inputs: [floats(4, 3), { dtype: "int64", shape: [4, k] }, floats(4, k)],
    attributes: {},
    below: 3
  }))
};
function addAlong(x, ids, values) {
  return apply(addAlongOp, [x, ids, values], {})[0];
}

// src/graph/operators/loss.ts
var linearCrossEntropyOp = {
  name: "linearCrossEntropy",
  primaryOutputs: 1,
  infer(inputs, { bias: hasBias }) {
    const outputs = headLossTypes("linearCrossEntropy", inputs);
    const bias = inputs[4];
    if (hasBias !== isVector(bias, outputs[3].shape[0])) {
      throw shapeError("linearCrossEntropy", inputs, `needs ${hasBias ? "a" : "no"} bias [vocab]`);
    }
    return bias ? [...outputs, bias] : outputs;
  },
  expand([hidden, weight, targets, weights, bias], { softcap: softcap2, chunk }) {
    const head = { hidden, weight, targets, weights, bias, softcap: softcap2 };
    return expandHeadLoss("linearCrossEntropy", head, chunk, (logits, target, start, end) => {
      const probs = softmax(logits);
      const loss = sub(logSumExp(logits, probs), takeAlong(logits, target));
      const missed = constant(new Float32Array(end - start).fill(-1), [end - start, 1]);
      return { loss, dLogits: addAlong(probs, target, missed) };
    });
  },
  differentiate: ({ inputs, outputs, gradients }) => headGradients(outputs, gradients[0], inputs.length, 4),
  examples: [example2(6, 4, 5, null, 6, false), example2(6, 4, 5, 1.5, 4, false), example2(5, 4, 7, 2, 2, true)]
};
function example2(n, d, vocab, softcap2, chunk, bias) {
  const targets = { dtype: "int64", shape: [n] };
  const inputs = [floats(n, d), floats(vocab, d), targets, floats(n), ...bias ? [floats(vocab)] : []];
  return { inputs, attributes: { softcap: softcap2, chunk, bias }, below: vocab };
}
function linearCrossEntropy(hidden, head, targets, weights, chunk) {
  const inputs = [hidden, head.weight, targets, weights, ...head.bias ? [head.bias] : []];
  const attributes = { softcap: head.softcap, chunk, bias: head.bias !== void 0 };
  const [loss, perToken] = apply(linearCrossEntropyOp, inputs, attributes);
  return { loss, perToken };
}

// src/graph/operators/norms.ts
function statisticsType(x) {
  return { dtype: "float32", shape: [...x.shape.slice(0, -1), 1] };
}
function checkNorm(name2, inputs) {
  const [x, ...rest] = inputs;
  const width = x?.shape.at(-1);
  if (!x || width === void 0 || rest.some(({ shape: shape2 }) => shape2.length !== 1 || !sameDim(shape2[0], width))) {
    throw shapeError(name2, inputs, "needs [\u2026, width] and one vector [width] for each of weight and bias");
  }
  return x;
}
var rmsNormOp = {
  name: "rmsNorm",
  primaryOutputs: 1,
  engineOnly: true,
  infer(inputs) {
    const x = checkNorm("rmsNorm", inputs);
    return [x, statisticsType(x)];
  },
  expand([x, weight], { epsilon }) {
    const inverse = reciprocal(sqrt(add(reduceMean(mul(x, x), [x.rank - 1]), scalar(epsilon))));
    return [mul(mul(x, inverse), weight), inverse];
  },
  // With r = 1 / rms, d the width and u = dy · r: dx = u · weight − x · r² · Σ(u · x · weight) / d; dweight = Σ u ·
  // x. The sum over a row is a product with the weight as a column, which leaves few passes over the large arrays.
  differentiate({ inputs, outputs, gradients, wanted }) {
    const [x, weight] = inputs;
    const r = outputs[1];
    const u = mul(gradients[0], r);
    const ux = mul(u, x);
    const factor = mul(rowMean(ux, weight), mul(r, r));
    const dx = wanted[0] ? sub(mul(u, weight), mul(x, factor)) : void 0;
    return [dx, wanted[1] ? sumTo(ux, weight.shape) : void 0];
  },
  lower(e, inputs, { outputs, attributes: { epsilon } }) {
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
    const count2 = e.isUsed(outputs[1]) ? 2 : 1;
    const apart = count2 === 2 && e.dialect === "webgpu";
    const [y, ...rest] = e.node("SimplifiedLayerNormalization", inputs, attributes, {
      outputs: apart ? 1 : count2
    });
    return [y, ...apart ? [inverseRms(e, inputs[0], epsilon)] : rest];
  },
  examples: [
    { inputs: [floats(3, 6), floats(6)], attributes: { epsilon: 1e-5 } },
    { inputs: [floats(3, 6), floats(6)], attributes: { epsilon: 0.1 } }
  ]
};
function inverseRms(e, x, epsilon) {
  const one2 = (type, inputs) => e.node(type, inputs)[0];
  const mean = one2("ReduceMean", [one2("Mul", [x, x]), e.constant("int64", [1], [-1])]);
  return one2("Reciprocal", [one2("Sqrt", [one2("Add", [mean, e.constant("float32", [], [epsilon])])])]);
}
var layerNormOp = {
  name: "layerNorm",
  primaryOutputs: 1,
  infer(inputs) {
    const x = checkNorm("layerNorm", inputs);
    return [x, statisticsType(x), statisticsType(x)];
  },
  expand([x, weight, bias], { epsilon }) {
    const axes = [x.rank - 1];
    const mean = reduceMean(x, axes);
    const centred = sub(x, mean);
    const inverse = reciprocal(sqrt(add(reduceMean(mul(centred, centred), axes), scalar(epsilon))));
    return [add(mul(mul(centred, inverse), weight), bias), mean, inverse];
  },
  // With n = (x − mean) · r, d the width and u = dy · r: dx = u · weight − Σ(u · weight) / d − n · r · Σ(dy · n · weight) / d.
  differentiate({ inputs, outputs, gradients, wanted }) {
    const [x, weight, bias] = inputs;
    const [, mean, r] = outputs;
    const dy = gradients[0];
    const normal = mul(sub(x, mean), r);
    const along = mul(dy, normal);
    const u = mul(dy, r);
    const back = add(mul(normal, mul(rowMean(along, weight), r)), rowMean(u, weight));
    return [
      wanted[0] ? sub(mul(u, weight), back) : void 0,
      wanted[1] ? sumTo(along, weight.shape) : void 0,
      wanted[2] ? sumTo(dy, bias.shape) : void 0
    ];
  },
  lower(e, inputs, { outputs, attributes: { epsilon } }) {
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
    const count2 = e.isUsed(outputs[1]) || e.isUsed(outputs[2]) ? 3 : 1;
    return e.node("LayerNormalization", inputs, attributes, { outputs: count2 });
  },
  examples: [{ inputs: [floats(3, 6), floats(6), floats(6)], attributes: { epsilon: 1e-5 } }]
};
function rowMean(x, weight) {
  const [width] = weight.shape;
  return matmul(x, reshape(weight, [width, 1]), { alpha: 1 / width });
}
function rmsNorm(x, weight, epsilon) {
  return apply(rmsNormOp, [x, weight], { epsilon })[0];
}
function layerNorm(x, weight, bias, epsilon) {
  return apply(layerNormOp, [x, weight, bias], { epsilon })[0];
}

// src/nn/module.ts
var Parameter = class {
  constructor(shape2, initializer) {
    this.shape = shape2;
    this.initializer = initializer;
  }
  shape;
  initializer;
  #graphInput;
  #name;
  get size() {
    return sizeOf(this.shape);
  }
  /** Hugging Face's name, once the model it belongs to has been named; see {@link nameParameters}. */
  get path() {
    if (this.#name === void 0) throw new RopewalkError("a parameter was used before its model was named.");
    return this.#name;
  }
  set path(path) {
    this.#name = path;
    this.#graphInput = void 0;
  }
  /** This weight in a graph. */
  get tensor() {
    this.#graphInput ??= parameter(this.path, this.shape);
    return this.#graphInput;
  }
};
var Module = class _Module {
  /** What PyTorch prints between the parentheses. */
  extra() {
    return "";
  }
  /** What this module is, for tables and diagrams; undefined for containers. */
  describe() {
    return void 0;
  }
  /** Whether this is a module in PyTorch too, and so printed; plain tensors are not. */
  get isPrinted() {
    return true;
  }
  /** The direct children, with their names. */
  *children() {
    for (const [name2, value] of Object.entries(this)) {
      if (value instanceof _Module) yield [name2, value];
    }
  }
  /** The parameters of this module itself, with their names. */
  *ownParameters() {
    for (const [name2, value] of Object.entries(this)) {
      if (value instanceof Parameter) yield [name2, value];
    }
  }
  /** This module and every module below it, parents first, with paths. */
  *walk(path = "") {
    yield [path, this];
    for (const [name2, child] of this.children()) yield* child.walk(path === "" ? name2 : `${path}.${name2}`);
  }
  /** Every place of a parameter, in the order of the modules; tied ones appear more than once. */
  *parameterPlaces() {
    for (const [path, module] of this.walk()) {
      for (const [name2, parameter2] of module.ownParameters()) {
        yield [path === "" ? name2 : `${path}.${name2}`, parameter2];
      }
    }
  }
  /** Distinct parameters by their first path. */
  parameters() {
    const seen = /* @__PURE__ */ new Set();
    const result = /* @__PURE__ */ new Map();
    for (const [path, parameter2] of this.parameterPlaces()) {
      if (seen.has(parameter2)) continue;
      seen.add(parameter2);
      result.set(path, parameter2);
    }
    return result;
  }
  /** The number of trained values; tied weights count once. */
  parameterCount() {
    let count2 = 0;
    for (const parameter2 of this.parameters().values()) count2 += parameter2.size;
    return count2;
  }
};
function nameParameters(root) {
  for (const [path, parameter2] of root.parameters()) parameter2.path = path;
  return root;
}
var ModuleList = class extends Module {
  typeName = "ModuleList";
  items;
  constructor(items) {
    super();
    this.items = items;
  }
  /** The modules of the list, named by index. */
  *children() {
    for (const [i, item] of this.items.entries()) yield [String(i), item];
  }
};

// src/families/family.ts
var CausalLM = class extends Module {
  /** Added to the message that a sequence exceeds the positions; empty for most models. */
  get beyondPositions() {
    for (const [, module] of this.walk()) {
      const part = module.describe();
      if (part?.part === "position" && part.scaling?.type === "dynamic")
        return " (its dynamic RoPE scaling for longer sequences is not supported)";
    }
    return "";
  }
  /** Token ids of the context → the final, normalized activations `[…, width]`: all stages one after another. */
  hiddenStates(context) {
    const { embed, layers, finish } = this.stages;
    return finish(
      layers.reduce((x, layer) => layer(x, context), embed(context)),
      context
    );
  }
  /** Names in checkpoints that are not weights (buffers), to be skipped silently. */
  isBuffer(_name) {
    return false;
  }
};
var TINY_INITIALIZER_RANGE = 0.07;

// src/families/common/rotary-sizes.ts
function sizeFields(sizes) {
  return {
    hidden_size: sizes.width,
    intermediate_size: sizes.hidden,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: sizes.headDim
  };
}
var USUAL_FIELDS = {
  rope_scaling: null,
  attention_bias: false,
  initializer_range: 0.02
};
function presetFields(sizes) {
  return { ...USUAL_FIELDS, ...sizeFields(sizes) };
}
var TINY_SIZES = { width: 96, layers: 4, heads: 4, kvHeads: 2, headDim: 24 };
var TINY_FIELDS = {
  vocab_size: 512,
  max_position_embeddings: 256,
  initializer_range: TINY_INITIALIZER_RANGE,
  bos_token_id: null,
  eos_token_id: [],
  pad_token_id: null
};

// src/nn/embedding.ts
var Embedding = class extends Module {
  weight;
  typeName;
  #options;
  /** @param options.scale multiplies the looked-up rows, never the weight: a tied head is not scaled. */
  constructor(rows, width, std, options3 = {}) {
    super();
    this.typeName = options3.typeName ?? "Embedding";
    this.weight = new Parameter([rows, width], { normal: std });
    this.#options = options3;
  }
  extra() {
    const { paddingId } = this.#options;
    return `${this.weight.shape.join(", ")}${paddingId === void 0 ? "" : `, padding_idx=${paddingId}`}`;
  }
  describe() {
    const [vocabSize, width] = this.weight.shape;
    return { part: "token embedding", vocabSize, width, scale: this.#options.scale ?? 1 };
  }
  /** ids `[…]` → `[…, width]`. */
  forward(ids) {
    const rows = gatherRows(this.weight.tensor, ids);
    const { scale: scale2 } = this.#options;
    return scale2 === void 0 ? rows : mul(rows, scalar(Math.fround(scale2)));
  }
};

// src/nn/layout.ts
function adopt(parent, names12, parts11) {
  const roles = /* @__PURE__ */ new Set([...Object.keys(names12), ...Object.keys(parts11)]);
  for (const role of roles) {
    const part = parts11[role];
    if (part) Object.defineProperty(parent, names12[role] ?? role, { value: part, enumerable: true });
  }
}

// src/nn/linear.ts
var capital = (flag) => flag ? "True" : "False";
var Linear = class extends Module {
  typeName = "Linear";
  weight;
  bias;
  /** @param options.tied a weight shared with another module: an embedding that is also the head. */
  constructor(inFeatures, outFeatures, options3) {
    super();
    this.weight = options3.tied ?? new Parameter([outFeatures, inFeatures], { normal: options3.std });
    if (options3.bias) this.bias = new Parameter([outFeatures], { fill: 0 });
  }
  extra() {
    const [out, inner] = this.weight.shape;
    return `in_features=${inner}, out_features=${out}, bias=${capital(this.bias !== void 0)}`;
  }
  /** x `[…, in]` → `[…, out]`. */
  forward(x) {
    return linear(x, this.weight.tensor, this.bias?.tensor);
  }
};
var Conv1D = class extends Module {
  typeName = "Conv1D";
  weight;
  bias;
  constructor(inFeatures, outFeatures, std) {
    super();
    this.weight = new Parameter([inFeatures, outFeatures], { normal: std });
    this.bias = new Parameter([outFeatures], { fill: 0 });
  }
  extra() {
    const [inner, out] = this.weight.shape;
    return `nf=${out}, nx=${inner}`;
  }
  /** x `[…, in]` → `[…, out]`. */
  forward(x) {
    return add(matmul(x, this.weight.tensor), this.bias.tensor);
  }
};
var Dropout = class extends Module {
  constructor(p) {
    super();
    this.p = p;
  }
  p;
  typeName = "Dropout";
  extra() {
    return `p=${Number.isInteger(this.p) ? this.p.toFixed(1) : this.p}, inplace=False`;
  }
};
function linearModule(inFeatures, outFeatures, { bias, std, layout = "out, in" }) {
  return layout === "in, out" ? new Conv1D(inFeatures, outFeatures, std) : new Linear(inFeatures, outFeatures, { bias, std });
}

// src/nn/mlp.ts
var activationFunctions = { relu, gelu, silu };
var Activation = class extends Module {
  constructor(typeName, kind) {
    super();
    this.typeName = typeName;
    this.kind = kind;
  }
  typeName;
  kind;
  /** Applies the activation to every element. */
  forward(x) {
    return activationFunctions[this.kind](x);
  }
};
var Mlp = class extends Module {
  typeName;
  #settings;
  #gate;
  #up;
  #activation;
  #down;
  constructor(settings, { names: names12, std, outputStd, layout, dropout }) {
    super();
    const { width, hidden, bias, gated, activation: activation2 } = settings;
    this.typeName = names12.type;
    this.#settings = settings;
    this.#gate = gated ? linearModule(width, hidden, { bias, std, layout }) : void 0;
    this.#up = linearModule(width, hidden, { bias, std, layout });
    this.#down = linearModule(hidden, width, { bias, std: outputStd, layout });
    this.#activation = new Activation(names12.activation, activation2);
    adopt(this, names12.children, {
      gate: this.#gate,
      up: this.#up,
      activation: this.#activation,
      down: this.#down,
      dropout
    });
  }
  describe() {
    return { part: "mlp", ...this.#settings };
  }
  /**
   * x `[…, width]` → `[…, width]`.
   * @param look receives the input of the activation function, `[…, hidden]`, and may return a replacement.
   */
  forward(x, look = (hidden) => hidden) {
    const opened = this.#activation.forward(look((this.#gate ?? this.#up).forward(x)));
    return this.#down.forward(this.#gate ? mul(opened, this.#up.forward(x)) : opened);
  }
};

// src/nn/norm.ts
function pythonFloat(value) {
  const text2 = String(value);
  if (value !== 0 && Math.abs(value) < 1e-4) {
    const [mantissa, exponent] = value.toExponential().split("e-");
    return `${mantissa}e-${exponent.padStart(2, "0")}`;
  }
  return Number.isInteger(value) ? value.toFixed(1) : text2;
}
var RMSNorm = class extends Module {
  /** @param weightOffset 1 in Gemma, whose stored weights start at 0; 0 in Llama. */
  constructor(typeName, width, epsilon, weightOffset = 0) {
    super();
    this.typeName = typeName;
    this.width = width;
    this.epsilon = epsilon;
    this.#weightOffset = weightOffset;
    this.weight = new Parameter([width], { fill: 1 - weightOffset });
  }
  typeName;
  width;
  epsilon;
  weight;
  #weightOffset;
  extra() {
    return `(${this.width},), eps=${pythonFloat(this.epsilon)}`;
  }
  describe() {
    const { width, epsilon } = this;
    const weightOffset = this.#weightOffset;
    return { part: "norm", kind: "RMSNorm", width, epsilon, weightOffset };
  }
  /** x `[…, width]` → the same shape. @param factor of the result. */
  forward(x, factor = 1) {
    const weight = this.weight.tensor;
    const shifted = this.#weightOffset === 0 ? weight : add(weight, scalar(1));
    return rmsNorm(x, times(shifted, factor), this.epsilon);
  }
};
var LayerNorm = class extends Module {
  constructor(width, epsilon) {
    super();
    this.width = width;
    this.epsilon = epsilon;
    this.weight = new Parameter([width], { fill: 1 });
    this.bias = new Parameter([width], { fill: 0 });
  }
  width;
  epsilon;
  typeName = "LayerNorm";
  weight;
  bias;
  extra() {
    return `(${this.width},), eps=${pythonFloat(this.epsilon)}, elementwise_affine=True, bias=True`;
  }
  describe() {
    return { part: "norm", kind: "LayerNorm", width: this.width, epsilon: this.epsilon, weightOffset: 0 };
  }
  /** x `[…, width]` → the same shape. @param factor of the result. */
  forward(x, factor = 1) {
    return layerNorm(x, times(this.weight.tensor, factor), times(this.bias.tensor, factor), this.epsilon);
  }
};
function times(weight, factor) {
  return factor === 1 ? weight : mul(weight, scalar(factor));
}
var Identity = class extends Module {
  typeName = "Identity";
};
function createNorm(typeName, width, { kind, epsilon, weightOffset }) {
  return kind === "LayerNorm" ? new LayerNorm(width, epsilon) : new RMSNorm(typeName, width, epsilon, weightOffset === 0 ? 0 : 1);
}

// src/nn/positions.ts
var RotaryEmbedding = class extends Module {
  constructor(typeName, headDim, theta, scaling2, local = false) {
    super();
    this.typeName = typeName;
    this.headDim = headDim;
    this.theta = theta;
    this.scaling = scaling2;
    this.#local = local;
    this.inverseFrequencies = rotaryFrequencies(headDim, theta, scaling2);
    this.magnitude = rotaryMagnitude(scaling2);
  }
  typeName;
  headDim;
  theta;
  scaling;
  /** Radians per position for each pair, in float32 as the reference computes them. */
  inverseFrequencies;
  /** The factor of cos and sin: 1, except for YaRN. */
  magnitude;
  #local;
  get isPrinted() {
    return !this.#local;
  }
  describe() {
    const { theta, scaling: scaling2 } = this;
    const local = this.#local;
    return {
      ...{ part: "position", kind: "rotary", theta },
      ...scaling2 && { scaling: describeScaling(scaling2) },
      ...local && { layers: "local" }
    };
  }
  /** The table for absolute positions, magnitude included; angles are rounded to float32 before cos and sin, as in the reference. */
  table(positions) {
    const half = this.inverseFrequencies.length;
    const cos = new Float32Array(positions.length * half);
    const sin = new Float32Array(positions.length * half);
    for (let row = 0; row < positions.length; row++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(positions[row] * this.inverseFrequencies[i]);
        cos[row * half + i] = Math.cos(angle) * this.magnitude;
        sin[row * half + i] = Math.sin(angle) * this.magnitude;
      }
    }
    return { cos, sin };
  }
};
function describeScaling(scaling2) {
  const { rope_type: type, factor } = scaling2;
  switch (scaling2.rope_type) {
    case "linear":
    case "dynamic":
      return { type, factor };
    case "llama3":
      return {
        ...{ type, factor },
        lowFrequencyFactor: scaling2.low_freq_factor,
        highFrequencyFactor: scaling2.high_freq_factor,
        originalPositions: scaling2.original_max_position_embeddings
      };
    case "yarn":
      return {
        ...{ type, factor },
        originalPositions: scaling2.original_max_position_embeddings,
        magnitude: scaling2.attention_factor
      };
  }
}
var SinusoidalPositions = class extends Module {
  constructor(positions, width) {
    super();
    this.positions = positions;
    this.width = width;
  }
  positions;
  width;
  typeName = "SinusoidalPositions";
  #table;
  extra() {
    return `${this.positions}, ${this.width}`;
  }
  describe() {
    return { part: "position", kind: "sinusoidal", theta: 1e4 };
  }
  /** The reference keeps its table as a plain tensor. */
  get isPrinted() {
    return false;
  }
  /** ids of positions `[…]` → `[…, width]`. */
  forward(positionIds) {
    this.#table ??= this.#fillTable();
    return gatherRows(constant(this.#table, [this.positions, this.width]), positionIds);
  }
  #fillTable() {
    const { positions, width } = this;
    const table = new Float32Array(positions * width);
    const half = width / 2;
    for (let position = 0; position < positions; position++) {
      for (let i = 0; i < half; i++) {
        const rate = Math.fround(1 / Math.fround(1e4 ** Math.fround(2 * i / width)));
        const angle = Math.fround(position * rate);
        table[position * width + i] = Math.sin(angle);
        table[position * width + half + i] = Math.cos(angle);
      }
    }
    return table;
  }
};
var LearnedPositions = class extends Embedding {
  describe() {
    return { part: "position", kind: "learned" };
  }
};

// src/nn/self-attention.ts
var SelfAttention = class extends Module {
  typeName;
  #settings;
  #rope;
  #bias;
  #query;
  #key;
  #value;
  #fused;
  #output;
  #queryNorm;
  #keyNorm;
  constructor(settings, options3) {
    super();
    const { names: names12, width, std, outputStd, rope, bias, headNorm, layout, dropouts } = options3;
    const { heads, kvHeads, headDim } = settings;
    this.typeName = names12.type;
    this.#settings = settings;
    this.#rope = rope;
    this.#bias = bias;
    const projection = (columns) => linearModule(width, columns, { bias: bias.projections, std, layout });
    if (names12.children.fused) {
      this.#fused = projection((heads + 2 * kvHeads) * headDim);
    } else {
      this.#query = projection(heads * headDim);
      this.#key = projection(kvHeads * headDim);
      this.#value = projection(kvHeads * headDim);
    }
    this.#output = linearModule(heads * headDim, width, { bias: bias.output, std: outputStd, layout });
    if (headNorm) {
      this.#queryNorm = createNorm(names12.norm, headDim, headNorm);
      this.#keyNorm = createNorm(names12.norm, headDim, headNorm);
    }
    adopt(this, names12.children, {
      query: this.#query,
      key: this.#key,
      value: this.#value,
      fused: this.#fused,
      output: this.#output,
      queryNorm: this.#queryNorm,
      keyNorm: this.#keyNorm,
      ...dropouts
    });
  }
  describe() {
    const { projections, output } = this.#bias;
    return {
      part: "attention",
      ...this.#settings,
      bias: projections,
      outputBias: output,
      headNorm: this.#queryNorm !== void 0,
      rotary: this.#rope !== null
    };
  }
  /** x `[…, width]` → `[…, width]`. */
  forward(x, context) {
    const { heads, kvHeads } = this.#settings;
    const { q, k, v } = this.#project(x);
    const queries = this.#queryNorm ? this.#normed(q, heads, this.#queryNorm) : q;
    const keys = this.#keyNorm ? this.#normed(k, kvHeads, this.#keyNorm) : k;
    return this.#output.forward(context.attend(queries, keys, v, this.#settings, this.#rope));
  }
  #project(x) {
    if (!this.#fused) {
      return { q: this.#query.forward(x), k: this.#key.forward(x), v: this.#value.forward(x) };
    }
    const { heads, kvHeads, headDim } = this.#settings;
    const all2 = this.#fused.forward(x);
    const columns = (start, count2) => slice(all2, all2.rank - 1, start * headDim, (start + count2) * headDim);
    return {
      q: columns(0, heads),
      k: columns(heads, kvHeads),
      v: columns(heads + kvHeads, kvHeads)
    };
  }
  /** x `[…, n · head_dim]`, normalized per head. */
  #normed(x, count2, norm) {
    const { headDim } = this.#settings;
    const heads = reshape(x, [...x.shape.slice(0, -1), count2, headDim]);
    return reshape(norm.forward(heads), x.shape);
  }
};

// src/families/decoder.ts
var DecoderLayer = class extends Module {
  typeName;
  #path;
  #branchScale;
  #attention;
  #mlp;
  #norms;
  constructor(index, parts11, names12, rope) {
    super();
    const { width, initial, dropout } = parts11;
    const { norms, attention: attention2, mlp, branchScale = 1 } = parts11.layers[index];
    const { bias, outputBias, headNorm, ...settings } = attention2;
    const { layout } = names12;
    const starts = { std: initial.std, outputStd: initial.outputStd ?? initial.std, layout };
    const drop = (p) => p === void 0 ? void 0 : new Dropout(p);
    this.typeName = names12.layer.type;
    this.#path = `layers.${index}`;
    this.#branchScale = branchScale;
    this.#attention = new SelfAttention(settings, {
      ...starts,
      names: { ...names12.attention, norm: names12.norm },
      width,
      rope,
      bias: { projections: bias, output: outputBias },
      headNorm,
      dropouts: printed(names12.attention, {
        dropout: drop(dropout?.attention),
        outputDropout: drop(dropout?.residual)
      })
    });
    this.#mlp = new Mlp(
      { ...mlp, width },
      {
        ...starts,
        names: { ...names12.mlp, activation: names12.activation },
        ...printed(names12.mlp, { dropout: drop(dropout?.residual) })
      }
    );
    this.#norms = Object.fromEntries(
      Object.entries(norms).map(([place, settings2]) => [place, createNorm(names12.norm, width, settings2)])
    );
    adopt(this, names12.layer.children, {
      attention: this.#attention,
      mlp: this.#mlp,
      ...Object.fromEntries((names12.identities ?? []).map((place) => [place, new Identity()])),
      ...this.#norms,
      ...printed(names12.layer, { dropout: drop(dropout?.residual), dropout2: drop(dropout?.residual) })
    });
  }
  describe() {
    return { part: "layer", branchScale: this.#branchScale };
  }
  /** x `[…, width]` → the same shape. */
  forward(x, context) {
    const at = (name2, value) => context.taps?.tap(`${this.#path}.${name2}`, value) ?? value;
    const norm = (place, value) => this.#norms[place]?.forward(value) ?? value;
    const start = at("input", x);
    const attended = at(
      "attention.output",
      this.#attention.forward(at("attention.input", norm("attentionNorm", start)), context)
    );
    const middle = this.#join(start, norm("attentionPostNorm", attended));
    const mapped = at(
      "mlp.output",
      this.#mlp.forward(at("mlp.input", norm("mlpNorm", middle)), (hidden) => at("mlp.hidden", hidden))
    );
    return at("output", this.#join(middle, norm("mlpPostNorm", mapped)));
  }
  #join(x, branch) {
    return add(x, this.#branchScale === 1 ? branch : mul(branch, scalar(this.#branchScale)));
  }
};
function printed({ children }, parts11) {
  return Object.fromEntries(
    Object.entries(parts11).filter(([role, part]) => part !== void 0 && role in children)
  );
}
function rotaryTables({ layers }, typeName) {
  const ropes = new Map(
    layers.flatMap(({ rope, attention: attention2 }) => rope ? [[rope, attention2.headDim]] : [])
  );
  const isLocal3 = (rope) => layers.every((layer) => layer.rope !== rope || layer.attention.window !== null);
  const sorted = [...ropes].sort(([a], [b]) => Number(isLocal3(a)) - Number(isLocal3(b)));
  return new Map(
    sorted.map(([rope, headDim], i) => [
      rope,
      new RotaryEmbedding(typeName, headDim, rope.theta, rope.scaling, i > 0)
    ])
  );
}
var DecoderBody = class extends Module {
  typeName;
  #embedding;
  #positions;
  #layers;
  #norm;
  constructor(parts11, names12) {
    super();
    const { vocabSize, width, maxPositions, initial, embeddingScale, paddingId, dropout } = parts11;
    this.typeName = names12.body.type;
    this.#embedding = new Embedding(vocabSize, width, initial.std, {
      typeName: names12.embedding,
      paddingId,
      ...embeddingScale !== void 0 && { scale: embeddingScale }
    });
    if (parts11.positions === "sinusoidal") this.#positions = new SinusoidalPositions(maxPositions, width);
    if (parts11.positions === "learned") {
      this.#positions = new LearnedPositions(maxPositions, width, initial.std);
    }
    const ropes = rotaryTables(parts11, names12.rotary);
    this.#layers = parts11.layers.map(
      ({ rope }, i) => new DecoderLayer(i, parts11, names12, rope && ropes.get(rope))
    );
    this.#norm = createNorm(names12.norm, width, parts11.norm);
    const [rotary2, localRotary] = ropes.values();
    adopt(this, names12.body.children, {
      embedding: this.#embedding,
      positions: this.#positions,
      layers: new ModuleList(this.#layers),
      norm: this.#norm,
      rotary: rotary2,
      localRotary,
      ...printed(names12.body, {
        dropout: dropout?.embedding === void 0 ? void 0 : new Dropout(dropout.embedding)
      })
    });
  }
  get embedding() {
    return this.#embedding;
  }
  stages(logitScale) {
    return {
      embed: ({ ids, positionIds, taps }) => {
        const tokens = this.#embedding.forward(ids);
        const x = this.#positions ? add(tokens, this.#positions.forward(positionIds)) : tokens;
        return taps?.tap("embedding", x) ?? x;
      },
      layers: this.#layers.map((layer) => (x, context) => layer.forward(x, context)),
      finish: (x, context) => {
        const taps = context?.taps;
        if (!taps?.wants("norm")) return this.#norm.forward(x, logitScale);
        const normed = taps.tap("norm", this.#norm.forward(x));
        return logitScale === 1 ? normed : mul(normed, scalar(logitScale));
      }
    };
  }
};
var DecoderLM = class extends CausalLM {
  constructor(config9, parts11, names12) {
    super();
    this.config = config9;
    const { vocabSize, width, initial, head } = parts11;
    this.typeName = names12.model.type;
    this.maxPositions = parts11.maxPositions;
    this.#parts = parts11;
    this.#buffers = names12.buffers;
    this.#body = new DecoderBody(parts11, names12);
    this.#head = new Linear(width, vocabSize, {
      bias: head.bias,
      std: initial.std,
      ...head.tied && { tied: this.#body.embedding.weight }
    });
    adopt(this, names12.model.children, { body: this.#body, head: this.#head });
  }
  config;
  typeName;
  maxPositions;
  #parts;
  #body;
  #head;
  #buffers;
  describe() {
    return { part: "model", logitScale: this.#parts.head.scale ?? 1 };
  }
  get head() {
    const { weight, bias } = this.#head;
    return { weight, ...bias && { bias }, softcap: this.#parts.head.softcap };
  }
  get stages() {
    return this.#body.stages(this.#parts.head.scale ?? 1);
  }
  isBuffer(name2) {
    return this.#buffers?.test(name2) ?? false;
  }
};
function defineFamily(family2) {
  const { parts: parts11, names: names12, modelType, architecture } = family2;
  return {
    ...family2,
    writeConfig: (config9) => ({
      architectures: [architecture],
      model_type: modelType,
      ...family2.writeConfig(config9)
    }),
    build: (config9) => nameParameters(new DecoderLM(config9, parts11(config9), names12))
  };
}

// src/families/exaone4.ts
var names = rotaryNames("Exaone4", {
  activation: "SiLUActivation",
  norms: { attentionPostNorm: "post_attention_layernorm", mlpPostNorm: "post_feedforward_layernorm" }
});
function parts(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    const window = windowOf(c, index);
    return {
      ...layer,
      norms: { attentionPostNorm: norm, mlpPostNorm: norm },
      attention: { ...layer.attention, headNorm: norm, window },
      rope: c.sliding_window !== null && window === null ? null : rope
    };
  });
}
var isLocal = globalEvery(4);
function config(sizes, rest) {
  const { sliding_window = null } = rest;
  return {
    ...presetFields(sizes),
    vocab_size: 102400,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    sliding_window,
    layer_types: layerTypes(sizes.layers, sliding_window === null ? () => false : isLocal),
    tie_word_embeddings: true,
    ...{ bos_token_id: 1, eos_token_id: [361], pad_token_id: 0 },
    ...rest
  };
}
var bands = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
var scaling = { rope_type: "llama3", factor: 16, ...bands };
var size1b = { width: 2048, hidden: 4096, layers: 30, heads: 32, kvHeads: 8, headDim: 64 };
var size32b = { width: 5120, hidden: 27392, layers: 64, heads: 40, kvHeads: 8, headDim: 128 };
var large = { sliding_window: 4096, tie_word_embeddings: false };
var tiny = { ...TINY_FIELDS, rope_theta: 1e4, sliding_window: 32 };
var method = "next-token prediction";
var source = "LG AI Research 2025, arXiv:2507.11407";
function published(sizes, data, size, rest) {
  const own2 = config(sizes, { rope_scaling: scaling, ...rest });
  return { config: own2, training: { data, method, source }, hub: `LGAI-EXAONE/EXAONE-4.0-${size}` };
}
var CLASS_DEFAULTS = {
  class: "Exaone4Config",
  fields: {
    vocab_size: 102400,
    ...{ hidden_size: 4096, intermediate_size: 16384, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32 },
    ...{ max_position_embeddings: 2048, rms_norm_eps: 1e-5, bos_token_id: 0, eos_token_id: 2 }
  }
};
var exaone4 = defineFamily({
  name: "exaone4",
  title: "EXAONE 4",
  modelType: "exaone4",
  architecture: "Exaone4ForCausalLM",
  training: { data: "12T tokens (1.2B), 14T (32B)", method, source },
  defaultPreset: "exaone-4.0-32b",
  presets: {
    "exaone-4.0-1.2b": published(size1b, "12T tokens", "1.2B", { max_position_embeddings: 65536 }),
    "exaone-4.0-32b": published(size32b, "14T tokens", "32B", large),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, tiny) }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice("hidden_act", { silu: true, swish: true }, "silu");
    const common2 = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    const windows = readWindows(reader, common2.num_hidden_layers, true, () => readLayerPattern(reader, 4));
    return { ...common2, ...windows };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: "silu",
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types]
  }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({
    architecture: "exaone4",
    norms: { post_attention_layernorm: "post_attention_norm", post_feedforward_layernorm: "post_ffw_norm" },
    headNorms: true,
    rotaryDivisors: true,
    // llama.cpp assumes that models with 64 layers have windows, and others none.
    isLocal: (index, layers) => layers === 64 && isLocal(index),
    write(c, refused) {
      const heads = c.num_attention_heads * c.head_dim;
      if (heads !== c.hidden_size)
        throw refused(`its heads have ${heads} dimensions in total, but its width is ${c.hidden_size}`);
      const window = c.sliding_window;
      if (window !== null !== (c.num_hidden_layers === 64))
        throw refused(`"sliding_window" is ${window} at ${c.num_hidden_layers} layers`);
      return window === null ? [] : [["attention.sliding_window", "u32", window]];
    },
    read(file) {
      const key = "attention.sliding_window";
      if (file.count("block_count") === 64)
        return { hidden_act: "silu", sliding_window: file.count(key, 4096) };
      if (file.has(key))
        throw file.error(`"${key}" at other than 64 layers is not supported; run the file with llama.cpp.`);
      return { hidden_act: "silu" };
    }
  }),
  transformersJs: false
});

// src/families/exchange.ts
var EXCHANGED_TYPE = "ropewalk";
var PLACES = {
  before: ["attentionNorm", "mlpNorm"],
  after: ["attentionPostNorm", "mlpPostNorm"],
  both: ["attentionNorm", "attentionPostNorm", "mlpNorm", "mlpPostNorm"],
  none: []
};
var ACTIVATIONS = {
  relu: "ReLU",
  gelu: "GELUTanh",
  silu: "SiLUActivation"
};
function exchange(family2, changes) {
  const described = Object.entries(changes).map(([part, value]) => `${part}=${String(value)}`);
  if (described.length === 0) return family2;
  const with_ = (config9) => ({
    ...config9,
    ...changes.tied !== void 0 && { tie_word_embeddings: changes.tied }
  });
  return defineFamily({
    ...family2,
    name: `${family2.name}+${described.join(",")}`,
    title: `${family2.title} with ${described.join(", ")}`,
    modelType: EXCHANGED_TYPE,
    architecture: "RopewalkForCausalLM",
    training: { data: "none", method: "none", source: "not a published model" },
    presets: Object.fromEntries(
      Object.entries(family2.presets).map(([name2, preset2]) => [name2, { config: with_(preset2.config) }])
    ),
    readConfig: (raw, file) => with_(family2.readConfig({ ...raw, model_type: family2.modelType }, file)),
    writeConfig: (config9) => ({
      ...family2.writeConfig(config9),
      architectures: ["RopewalkForCausalLM"],
      model_type: EXCHANGED_TYPE,
      base_model_type: family2.modelType,
      exchanged_parts: { ...changes }
    }),
    parts: (config9) => exchangeParts(family2.parts(with_(config9)), changes),
    names: exchangedNames(family2.names, changes),
    gguf: { none: "it runs published families, not models with exchanged parts" },
    transformersJs: false
  });
}
function exchangedNames(names12, { activation: activation2 }) {
  return {
    ...names12,
    model: { ...names12.model, type: "RopewalkForCausalLM" },
    ...activation2 && { activation: ACTIVATIONS[activation2] }
  };
}
function exchangeParts(parts11, changes) {
  const { positions, finalCap, tied: tied2 } = changes;
  const headDim = parts11.layers[0].attention.headDim;
  if (positions === "rotary" && headDim % 2 !== 0) {
    throw new RopewalkError(`rotary positions rotate pairs, but a head has ${headDim} dimensions.`);
  }
  if (positions === "sinusoidal" && parts11.width % 2 !== 0) {
    throw new RopewalkError(`sinusoidal positions need an even width, but the width is ${parts11.width}.`);
  }
  const rope = positions === void 0 ? void 0 : positions === "rotary" ? { theta: 1e4, scaling: null } : null;
  return {
    ...parts11,
    ...positions && {
      positions: positions === "sinusoidal" || positions === "learned" ? positions : null
    },
    layers: parts11.layers.map((layer, i) => {
      const changed = exchangeLayer(layer, changes, i, parts11.norm);
      return rope === void 0 ? changed : { ...changed, rope };
    }),
    norm: exchangeNorm(parts11.norm, changes),
    head: {
      ...parts11.head,
      ...finalCap !== void 0 && { softcap: finalCap },
      ...tied2 !== void 0 && { tied: tied2 }
    }
  };
}
function exchangeLayer(layer, changes, index, last) {
  const { layerNorms, kvHeads, window, globalEvery: globalEvery2, headNorm, activation: activation2, gated, attentionCap } = changes;
  const { heads } = layer.attention;
  if (kvHeads !== void 0 && heads % kvHeads !== 0) {
    throw new RopewalkError(`${kvHeads} key heads do not divide ${heads} query heads.`);
  }
  if (globalEvery2 !== void 0 && typeof window !== "number") {
    throw new RopewalkError("globalEvery sets which layers have no window; set window too.");
  }
  const own2 = Object.values(layer.norms)[0] ?? last;
  const places = layerNorms ? PLACES[layerNorms] : Object.keys(layer.norms);
  const isGlobal = globalEvery2 !== void 0 && (index + 1) % globalEvery2 === 0;
  const norm = exchangeNorm(own2, changes);
  const { headNorm: oldHeadNorm, ...attention2 } = layer.attention;
  const newHeadNorm = headNorm === void 0 ? oldHeadNorm : headNorm ? own2 : void 0;
  return {
    ...layer,
    norms: Object.fromEntries(places.map((place) => [place, norm])),
    attention: {
      ...attention2,
      ...newHeadNorm && { headNorm: exchangeNorm(newHeadNorm, changes) },
      ...kvHeads !== void 0 && { kvHeads },
      ...window !== void 0 && { window: isGlobal ? null : window },
      ...attentionCap !== void 0 && { softcap: attentionCap }
    },
    mlp: {
      ...layer.mlp,
      ...activation2 && { activation: activation2 },
      ...gated !== void 0 && { gated }
    }
  };
}
function exchangeNorm(norm, { norm: kind }) {
  return kind === void 0 || kind === norm.kind ? norm : { ...norm, kind, weightOffset: 0 };
}
function readChanges(raw, file) {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    throw new RopewalkError(`${file}: "exchanged_parts" must be an object.`);
  }
  const reader = new ConfigReader(raw, file);
  const own2 = (field, values) => reader.has(field) ? reader.choice(field, Object.fromEntries(values.map((value) => [value, value]))) : void 0;
  const nullable = (field, read2) => field in raw ? reader.value(field) === null ? null : read2() : void 0;
  const flag = (field) => reader.has(field) ? reader.flag(field, false) : void 0;
  const count2 = (field) => reader.has(field) ? reader.count(field) : void 0;
  const all2 = {
    norm: own2("norm", ["LayerNorm", "RMSNorm"]),
    layerNorms: own2("layerNorms", ["before", "after", "both", "none"]),
    positions: own2("positions", ["sinusoidal", "learned", "rotary", "none"]),
    kvHeads: count2("kvHeads"),
    window: nullable("window", () => reader.count("window")),
    globalEvery: count2("globalEvery"),
    headNorm: flag("headNorm"),
    activation: own2("activation", Object.keys(ACTIVATIONS)),
    gated: flag("gated"),
    attentionCap: nullable("attentionCap", () => reader.number("attentionCap")),
    finalCap: nullable("finalCap", () => reader.number("finalCap")),
    tied: flag("tied")
  };
  const unknown = Object.keys(raw).find((field) => !(field in all2));
  if (unknown !== void 0) {
    throw new RopewalkError(
      `${file}: there is no part "${unknown}" to exchange; the parts are ${Object.keys(all2).join(", ")}.`
    );
  }
  return Object.fromEntries(Object.entries(all2).filter(([, value]) => value !== void 0));
}
function parseChanges(text2) {
  const value = (word) => {
    if (word === "null" || word === "true" || word === "false") return JSON.parse(word);
    return word !== "" && Number.isFinite(Number(word)) ? Number(word) : word;
  };
  const pairs = text2.split(",").map((pair) => {
    const [part, word, ...rest] = pair.split("=").map((side) => side.trim());
    if (!part || word === void 0 || rest.length > 0) {
      throw new RopewalkError(
        `${JSON.stringify(pair)} does not exchange a part; write part=value, such as norm=LayerNorm.`
      );
    }
    return [part, value(word)];
  });
  return readChanges(Object.fromEntries(pairs), `the parts ${JSON.stringify(text2)}`);
}

// src/families/common/gemma-common.ts
var GEMMA_FIELDS = {
  ...USUAL_FIELDS,
  vocab_size: 256e3,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  rope_theta: 1e4,
  tie_word_embeddings: true,
  bos_token_id: 2,
  eos_token_id: [1],
  pad_token_id: 0
};
function readGemma(reader, rope) {
  const tanhForms = { gelu_pytorch_tanh: true, gelu: true, gelu_new: true, gelu_fast: true };
  const field = reader.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  reader.choice(field, tanhForms, "gelu_pytorch_tanh");
  reader.mustBe("use_bidirectional_attention", [false]);
  return readRotaryDecoder(reader, { tied: true, dividesHeads: false, rope });
}
function writeGemma(c) {
  const activation2 = "gelu_pytorch_tanh";
  return { ...writeRotaryDecoder(c), hidden_act: activation2, hidden_activation: activation2 };
}
function gemmaGguf({
  largest,
  ...form
}) {
  const derive = (layers, width, heads, headDim) => layers === largest ? width / heads : headDim;
  const derivedOf = (file) => derive(
    file.count("block_count"),
    file.count("embedding_length"),
    file.sameCount("attention.head_count"),
    ggufHeadDim(file)
  );
  return rotaryGguf({
    ...form,
    normsPlusOne: true,
    alwaysTied: true,
    write(c, refused) {
      const own2 = c.query_pre_attn_scalar;
      const derived = derive(c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.head_dim);
      if (largest !== void 0 && own2 !== derived) {
        throw refused(
          `"query_pre_attn_scalar" is ${own2}, but GGUF cannot store it: llama.cpp derives ${derived} from the sizes`
        );
      }
      return form.write?.(c, refused) ?? [];
    },
    read: (file) => ({
      hidden_activation: "gelu_pytorch_tanh",
      ...form.read?.(file),
      ...largest !== void 0 && { query_pre_attn_scalar: derivedOf(file) }
    })
  });
}

// src/families/gemma.ts
var names2 = rotaryNames("Gemma", {
  activation: "GELUTanh",
  embedding: "GemmaTextScaledWordEmbedding"
});
function parts2(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 1 };
  return {
    ...rotaryParts(c, norm, (_index, rope) => rotaryLayer(c, norm, "gelu", rope)),
    embeddingScale: Math.sqrt(c.hidden_size)
  };
}
var size2b = { width: 2048, hidden: 16384, layers: 18, heads: 8, kvHeads: 1, headDim: 256 };
var size7b = { width: 3072, hidden: 24576, layers: 28, heads: 16, kvHeads: 16, headDim: 256 };
var source2 = "Gemma Team 2024, arXiv:2403.08295";
var method2 = "next-token prediction";
function published2(sizes, data, hub) {
  return {
    config: { ...GEMMA_FIELDS, ...sizeFields(sizes) },
    training: { data, method: method2, source: source2 },
    hub: `google/${hub}`
  };
}
var CLASS_DEFAULTS2 = {
  class: "GemmaConfig",
  fields: {
    vocab_size: 256e3,
    ...sizeFields(size7b),
    ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6 },
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 }
  }
};
var gemma = defineFamily({
  name: "gemma",
  title: "Gemma",
  modelType: "gemma",
  architecture: "GemmaForCausalLM",
  training: { data: "about 6T tokens", method: method2, source: source2 },
  defaultPreset: "gemma-7b",
  presets: {
    "gemma-2b": published2(size2b, "3T tokens", "gemma-2b"),
    "gemma-7b": published2(size7b, "6T tokens", "gemma-7b"),
    tiny: {
      config: {
        ...GEMMA_FIELDS,
        ...sizeFields({ ...TINY_SIZES, hidden: 256, kvHeads: 4 }),
        ...TINY_FIELDS
      }
    }
  },
  readConfig(raw, file, warn) {
    return readGemma(new ConfigReader(raw, file, CLASS_DEFAULTS2, warn));
  },
  writeConfig: writeGemma,
  withLayers: withRotaryLayers,
  parts: parts2,
  names: names2,
  gguf: gemmaGguf({ architecture: "gemma" }),
  transformersJs: true
});

// src/families/common/local-gemma.ts
function readLocalGemma(reader, isLocal3, rope) {
  const common2 = readGemma(reader, rope);
  return {
    ...common2,
    query_pre_attn_scalar: reader.number("query_pre_attn_scalar"),
    sliding_window: reader.count("sliding_window"),
    layer_types: readLayerTypes(reader, common2.num_hidden_layers, isLocal3),
    attn_logit_softcapping: reader.optionalNumber("attn_logit_softcapping"),
    final_logit_softcapping: reader.optionalNumber("final_logit_softcapping")
  };
}
function writeLocalGemma(c) {
  return {
    ...writeGemma(c),
    query_pre_attn_scalar: c.query_pre_attn_scalar,
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types],
    attn_logit_softcapping: c.attn_logit_softcapping,
    final_logit_softcapping: c.final_logit_softcapping
  };
}
var LOCAL_GEMMA_NORMS = {
  attentionNorm: "input_layernorm",
  attentionPostNorm: "post_attention_layernorm",
  mlpNorm: "pre_feedforward_layernorm",
  mlpPostNorm: "post_feedforward_layernorm"
};
var GGUF_NORMS = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm"
};
function localGemmaParts(c, own2 = (layer) => layer) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 1 };
  const whole = rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, "gelu", rope);
    const isLocal3 = c.layer_types[index] === "sliding_attention";
    const attention2 = {
      ...layer.attention,
      scale: c.query_pre_attn_scalar ** -0.5,
      window: isLocal3 ? c.sliding_window : null,
      softcap: c.attn_logit_softcapping
    };
    const norms = { attentionNorm: norm, attentionPostNorm: norm, mlpNorm: norm, mlpPostNorm: norm };
    return own2({ ...layer, norms, attention: attention2 }, isLocal3);
  });
  return {
    ...whole,
    embeddingScale: Math.sqrt(c.hidden_size),
    head: { ...whole.head, softcap: c.final_logit_softcapping }
  };
}
function localGemmaGguf({
  window,
  ...form
}) {
  return gemmaGguf({
    ...form,
    norms: GGUF_NORMS,
    settings: { ...form.settings, sliding_window: ["attention.sliding_window", "u32", window] }
  });
}

// src/families/gemma2.ts
var isLocal2 = (index) => index % 2 === 0;
var names3 = rotaryNames("Gemma2", {
  activation: "GELUTanh",
  embedding: "Gemma2TextScaledWordEmbedding",
  norms: LOCAL_GEMMA_NORMS
});
var OWN_FIELDS = {
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  attn_logit_softcapping: 50,
  final_logit_softcapping: 30
};
function config2(sizes, rest = {}) {
  return {
    ...GEMMA_FIELDS,
    ...sizeFields(sizes),
    ...OWN_FIELDS,
    layer_types: layerTypes(sizes.layers, isLocal2),
    ...rest
  };
}
var size2b2 = { width: 2304, hidden: 9216, layers: 26, heads: 8, kvHeads: 4, headDim: 256 };
var size9b = { width: 3584, hidden: 14336, layers: 42, heads: 16, kvHeads: 8, headDim: 256 };
var size27b = { width: 4608, hidden: 36864, layers: 46, heads: 32, kvHeads: 16, headDim: 128 };
var source3 = "Gemma Team 2024, arXiv:2408.00118";
var [distilled, predicted] = ["knowledge distillation", "next-token prediction"];
var tiny2 = { ...TINY_FIELDS, query_pre_attn_scalar: 24, sliding_window: 32 };
var CLASS_DEFAULTS3 = {
  class: "Gemma2Config",
  fields: {
    vocab_size: 256e3,
    ...sizeFields(size2b2),
    ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6 },
    ...OWN_FIELDS,
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 }
  }
};
function published3(sizes, data, method4, hub, scalar2 = 256) {
  const own2 = config2(sizes, { query_pre_attn_scalar: scalar2 });
  return { config: own2, training: { data, method: method4, source: source3 }, hub: `google/${hub}` };
}
var gemma2 = defineFamily({
  name: "gemma2",
  title: "Gemma 2",
  predecessor: "gemma",
  modelType: "gemma2",
  architecture: "Gemma2ForCausalLM",
  training: { data: "about 13T tokens", method: `${distilled} (2B, 9B), ${predicted} (27B)`, source: source3 },
  defaultPreset: "gemma-2-9b",
  presets: {
    "gemma-2-2b": published3(size2b2, "2T tokens", distilled, "gemma-2-2b"),
    "gemma-2-9b": published3(size9b, "8T tokens", distilled, "gemma-2-9b"),
    "gemma-2-27b": published3(size27b, "13T tokens", predicted, "gemma-2-27b", 144),
    tiny: { config: config2({ ...TINY_SIZES, hidden: 288 }, tiny2) }
  },
  readConfig: (raw, file, warn) => readLocalGemma(new ConfigReader(raw, file, CLASS_DEFAULTS3, warn), isLocal2),
  writeConfig: (c) => ({ ...writeLocalGemma(c), cache_implementation: "hybrid" }),
  withLayers: withTypedLayers,
  parts: (c) => localGemmaParts(c),
  names: names3,
  gguf: localGemmaGguf({
    architecture: "gemma2",
    largest: 46,
    window: 4096,
    isLocal: isLocal2,
    // llama.cpp caps the logits of every Gemma 2, and would divide by a cap of 0.
    settings: {
      attn_logit_softcapping: ["attn_logit_softcapping", "f32", 50],
      final_logit_softcapping: ["final_logit_softcapping", "f32", 30]
    }
  }),
  transformersJs: true
});

// src/families/common/multimodal-names.ts
function languageModelName(name2) {
  const [, own2] = /^(?:model\.)?language_model\.(?:model\.)?(.+)$/.exec(name2) ?? [];
  if (own2 !== void 0) return own2.startsWith("lm_head.") ? own2 : `model.${own2}`;
  return name2.startsWith("lm_head.") ? name2 : void 0;
}

// src/families/gemma3.ts
var names4 = rotaryNames("Gemma3", {
  activation: "GELUTanh",
  embedding: "Gemma3TextScaledWordEmbedding",
  body: "Gemma3TextModel",
  norms: LOCAL_GEMMA_NORMS
});
function parts3(c) {
  const { rope_theta: theta, rope_scaling: scaling2 } = c.local_rope;
  const localRope = { theta, scaling: scaling2 };
  const headNorm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 1 };
  return localGemmaParts(c, (layer, isLocal3) => ({
    ...layer,
    rope: isLocal3 ? localRope : layer.rope,
    attention: { ...layer.attention, headNorm }
  }));
}
var LOCAL_THETA = 1e4;
function config3(sizes, rest = {}) {
  return {
    ...GEMMA_FIELDS,
    ...sizeFields(sizes),
    vocab_size: 262144,
    max_position_embeddings: 32768,
    rope_theta: 1e6,
    local_rope: { rope_theta: LOCAL_THETA, rope_scaling: null },
    query_pre_attn_scalar: 256,
    sliding_window: 512,
    layer_types: layerTypes(sizes.layers, globalEvery(6)),
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
    ...rest
  };
}
var size270m = { width: 640, hidden: 2048, layers: 18, heads: 4, kvHeads: 1, headDim: 256 };
var size1b2 = { width: 1152, hidden: 6912, layers: 26, heads: 4, kvHeads: 1, headDim: 256 };
var tiny3 = {
  ...TINY_FIELDS,
  query_pre_attn_scalar: 24,
  sliding_window: 32,
  layer_types: layerTypes(TINY_SIZES.layers, globalEvery(2))
};
var source4 = "Gemma Team 2025, arXiv:2503.19786";
var method3 = "knowledge distillation";
function published4(sizes, data, hub) {
  return { config: config3(sizes), training: { data, method: method3, source: source4 }, hub: `google/${hub}` };
}
var CLASS_DEFAULTS4 = {
  class: "Gemma3TextConfig",
  fields: {
    vocab_size: 262208,
    ...{ hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 },
    ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-6 },
    ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 }
  }
};
var gemma3 = defineFamily({
  name: "gemma3",
  title: "Gemma 3",
  predecessor: "gemma2",
  modelType: "gemma3_text",
  architecture: "Gemma3ForCausalLM",
  multimodal: { modelType: "gemma3", textName: languageModelName },
  training: { data: "2T to 14T tokens", method: method3, source: source4 },
  defaultPreset: "gemma-3-1b",
  presets: {
    "gemma-3-270m": published4(size270m, "6T tokens", "gemma-3-270m"),
    "gemma-3-1b": published4(size1b2, "2T tokens", "gemma-3-1b-pt"),
    tiny: { config: config3({ ...TINY_SIZES, hidden: 288 }, tiny3) }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS4, warn);
    reader.mustBe("attn_logit_softcapping", [null]);
    const ropes = readTwoRopes(reader, { global: 1e6, local: LOCAL_THETA });
    const pattern = reader.count("sliding_window_pattern", reader.count("_sliding_window_pattern", 6));
    return { ...readLocalGemma(reader, globalEvery(pattern), ropes.global), local_rope: ropes.local };
  },
  writeConfig: (c) => ({ ...writeLocalGemma(c), ...writeTwoRopes({ global: c, local: c.local_rope }) }),
  withLayers: withTypedLayers,
  parts: parts3,
  names: names4,
  gguf: localGemmaGguf({
    architecture: "gemma3",
    headNorms: true,
    largest: 62,
    window: 1024,
    isLocal: globalEvery(6),
    only: {
      "rope.freq_base_swa": LOCAL_THETA,
      "attention.sliding_window_pattern": 6,
      final_logit_softcapping: null
    },
    write(c, refused) {
      const { rope_theta, rope_scaling } = c.local_rope;
      if (rope_theta !== LOCAL_THETA || rope_scaling !== null) {
        throw refused(`the rotary base of its local layers is not ${LOCAL_THETA} without scaling`);
      }
      if (c.final_logit_softcapping !== null) throw refused('it has a cap ("final_logit_softcapping")');
      return [];
    }
  }),
  transformersJs: true
});

// src/families/gpt.ts
var names5 = {
  model: { type: "CTRLLMHeadModel", children: { body: "transformer", head: "lm_head" } },
  body: {
    type: "CTRLModel",
    children: {
      embedding: "w",
      dropout: "dropout",
      layers: "h",
      norm: "layernorm",
      positions: "pos_encoding"
    }
  },
  layer: {
    type: "EncoderLayer",
    children: {
      attention: "multi_head_attention",
      mlp: "ffn",
      attentionNorm: "layernorm1",
      mlpNorm: "layernorm2",
      dropout: "dropout1",
      dropout2: "dropout2"
    }
  },
  attention: {
    type: "MultiHeadAttention",
    children: { query: "Wq", key: "Wk", value: "Wv", output: "dense" }
  },
  mlp: { type: "Sequential", children: { up: "0", activation: "1", down: "2" } },
  embedding: "Embedding",
  norm: "RMSNorm",
  activation: "ReLU",
  rotary: "RotaryEmbedding",
  buffers: /pos_encoding$/
};
var BLOCK_EPSILON = 1e-6;
function parts4(c) {
  const norm = { kind: "LayerNorm", epsilon: BLOCK_EPSILON, weightOffset: 0 };
  const headDim = c.n_embd / c.n_head;
  const layer = {
    norms: { attentionNorm: norm, mlpNorm: norm },
    attention: {
      heads: c.n_head,
      kvHeads: c.n_head,
      headDim,
      scale: headDim ** -0.5,
      window: null,
      softcap: null,
      bias: true,
      outputBias: true
    },
    rope: null,
    mlp: { activation: "relu", gated: false, hidden: c.dff, bias: true }
  };
  return {
    vocabSize: c.vocab_size,
    width: c.n_embd,
    maxPositions: c.n_positions,
    embeddingScale: Math.sqrt(c.n_embd),
    positions: "sinusoidal",
    layers: Array.from({ length: c.n_layer }, () => layer),
    norm: { ...norm, epsilon: c.layer_norm_epsilon },
    head: { tied: c.tie_word_embeddings, bias: true, softcap: null },
    initial: { std: c.initializer_range },
    dropout: { embedding: c.embd_pdrop, residual: c.resid_pdrop }
  };
}
function config4(width, layers, heads, dff, vocab, positions) {
  return {
    vocab_size: vocab,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    dff,
    n_positions: positions,
    layer_norm_epsilon: 1e-6,
    resid_pdrop: 0,
    embd_pdrop: 0,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: null,
    eos_token_id: [],
    pad_token_id: null
  };
}
var CLASS_DEFAULTS5 = {
  class: "CTRLConfig",
  fields: {
    vocab_size: 246534,
    n_positions: 256,
    n_embd: 1280,
    dff: 8192,
    n_layer: 48,
    n_head: 16,
    layer_norm_epsilon: 1e-6
  },
  aliases: LAYER_ALIASES
};
var gpt = defineFamily({
  name: "gpt",
  title: "GPT",
  modelType: "ctrl",
  architecture: "CTRLLMHeadModel",
  training: {
    data: "4.5M + 36M sentence pairs",
    method: "next-token prediction",
    source: "Vaswani et al. 2017, arXiv:1706.03762 (WMT14 English\u2013German and English\u2013French)"
  },
  note: {
    en: "This column is the decoder of the 2017 Transformer; the published GPT-1 and GPT-2 have learned positions and GELU (see gpt2).",
    ko: "\uC774 \uC5F4\uC740 2017\uB144 Transformer\uC758 \uB514\uCF54\uB354\uC785\uB2C8\uB2E4. \uC2E4\uC81C\uB85C \uACF5\uAC1C\uB41C GPT-1\uACFC GPT-2\uB294 \uD559\uC2B5\uB41C \uC704\uCE58 \uC784\uBCA0\uB529\uACFC GELU\uB97C \uC501\uB2C8\uB2E4(gpt2 \uCC38\uACE0)."
  },
  defaultPreset: "gpt-base",
  presets: {
    "gpt-base": { config: config4(512, 6, 8, 2048, 37e3, 512) },
    tiny: { config: { ...config4(96, 4, 4, 384, 512, 256), initializer_range: TINY_INITIALIZER_RANGE } }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS5, warn);
    const read2 = {
      ...readCommon(reader, true),
      n_embd: reader.count("n_embd"),
      dff: reader.count("dff"),
      n_layer: reader.layers("n_layer"),
      n_head: reader.count("n_head"),
      n_positions: reader.count("n_positions"),
      layer_norm_epsilon: reader.number("layer_norm_epsilon"),
      resid_pdrop: reader.fraction("resid_pdrop", 0.1),
      embd_pdrop: reader.fraction("embd_pdrop", 0.1)
    };
    if (read2.n_embd % read2.n_head !== 0) reader.fail("n_head", `must divide n_embd (${read2.n_embd})`);
    if (read2.n_embd % 2 !== 0) reader.fail("n_embd", "must be even: half of it holds sines, half cosines");
    return read2;
  },
  writeConfig: (c) => ({
    ...writeCommon(c),
    n_embd: c.n_embd,
    dff: c.dff,
    n_layer: c.n_layer,
    n_head: c.n_head,
    n_positions: c.n_positions,
    layer_norm_epsilon: c.layer_norm_epsilon,
    resid_pdrop: c.resid_pdrop,
    embd_pdrop: c.embd_pdrop
  }),
  withLayers: (c, layers) => ({ ...c, n_layer: layers.length }),
  parts: parts4,
  names: names5,
  gguf: { none: "none of its architectures has sinusoidal positions" },
  transformersJs: false
});

// src/families/gpt2.ts
var names6 = {
  model: { type: "GPT2LMHeadModel", children: { body: "transformer", head: "lm_head" } },
  body: {
    type: "GPT2Model",
    children: { embedding: "wte", positions: "wpe", dropout: "drop", layers: "h", norm: "ln_f" }
  },
  layer: {
    type: "GPT2Block",
    children: { attentionNorm: "ln_1", attention: "attn", mlpNorm: "ln_2", mlp: "mlp" }
  },
  attention: {
    type: "GPT2Attention",
    children: { fused: "c_attn", output: "c_proj", dropout: "attn_dropout", outputDropout: "resid_dropout" }
  },
  mlp: { type: "GPT2MLP", children: { up: "c_fc", down: "c_proj", activation: "act", dropout: "dropout" } },
  embedding: "Embedding",
  norm: "RMSNorm",
  activation: "NewGELUActivation",
  rotary: "RotaryEmbedding",
  layout: "in, out",
  buffers: /\.attn\.(masked_)?bias$/
};
function parts5(c) {
  const norm = { kind: "LayerNorm", epsilon: c.layer_norm_epsilon, weightOffset: 0 };
  const headDim = c.n_embd / c.n_head;
  const layer = {
    norms: { attentionNorm: norm, mlpNorm: norm },
    attention: {
      heads: c.n_head,
      kvHeads: c.n_head,
      headDim,
      scale: headDim ** -0.5,
      window: null,
      softcap: null,
      bias: true,
      outputBias: true
    },
    rope: null,
    mlp: { activation: "gelu", gated: false, hidden: c.n_inner ?? 4 * c.n_embd, bias: true }
  };
  return {
    vocabSize: c.vocab_size,
    width: c.n_embd,
    maxPositions: c.n_positions,
    positions: "learned",
    layers: Array.from({ length: c.n_layer }, () => layer),
    norm,
    head: { tied: c.tie_word_embeddings, bias: false, softcap: null },
    initial: { std: c.initializer_range, outputStd: c.initializer_range / Math.sqrt(2 * c.n_layer) },
    dropout: { embedding: c.embd_pdrop, attention: c.attn_pdrop, residual: c.resid_pdrop }
  };
}
function config5(width, layers, heads) {
  return {
    vocab_size: 50257,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    n_positions: 1024,
    n_inner: null,
    layer_norm_epsilon: 1e-5,
    resid_pdrop: 0.1,
    embd_pdrop: 0.1,
    attn_pdrop: 0.1,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 50256,
    eos_token_id: [50256],
    pad_token_id: null
  };
}
function published5(width, layers, heads, hub) {
  return { config: config5(width, layers, heads), training, hub };
}
var training = {
  data: "40 GB of text (WebText)",
  method: "next-token prediction",
  source: "Radford et al. 2019, Language Models are Unsupervised Multitask Learners"
};
var CLASS_DEFAULTS6 = {
  class: "GPT2Config",
  fields: {
    vocab_size: 50257,
    n_positions: 1024,
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
    layer_norm_epsilon: 1e-5,
    bos_token_id: 50256,
    eos_token_id: 50256
  },
  aliases: LAYER_ALIASES
};
var ggufForm = {
  architecture: "gpt2",
  tensors: [
    ...ggufTensors([
      ["transformer.wte", "token_embd"],
      ["transformer.wpe", "position_embd"],
      ["lm_head", "output"]
    ]),
    ...ggufTensors(
      [
        ["transformer.ln_f", "output_norm"],
        ["transformer.h.{n}.ln_1", "blk.{n}.attn_norm"],
        ["transformer.h.{n}.attn.c_attn", "blk.{n}.attn_qkv", "transposed"],
        ["transformer.h.{n}.attn.c_proj", "blk.{n}.attn_output", "transposed"],
        ["transformer.h.{n}.ln_2", "blk.{n}.ffn_norm"],
        ["transformer.h.{n}.mlp.c_fc", "blk.{n}.ffn_up", "transposed"],
        ["transformer.h.{n}.mlp.c_proj", "blk.{n}.ffn_down", "transposed"]
      ],
      ["weight", "bias"]
    )
  ],
  write: (c) => [
    ["context_length", "u32", c.n_positions],
    ["embedding_length", "u32", c.n_embd],
    ["feed_forward_length", "u32", c.n_inner ?? 4 * c.n_embd],
    ["block_count", "u32", c.n_layer],
    ["attention.head_count", "u32", c.n_head],
    ["attention.layer_norm_epsilon", "f32", c.layer_norm_epsilon]
  ],
  read: (file) => ({
    activation_function: "gelu_new",
    n_embd: file.count("embedding_length"),
    n_layer: file.count("block_count"),
    n_head: file.sameCount("attention.head_count"),
    n_positions: file.count("context_length"),
    n_inner: file.sameCount("feed_forward_length"),
    layer_norm_epsilon: file.number("attention.layer_norm_epsilon"),
    resid_pdrop: 0,
    embd_pdrop: 0,
    attn_pdrop: 0
  })
};
var gpt2 = defineFamily({
  name: "gpt2",
  title: "GPT-2",
  modelType: "gpt2",
  architecture: "GPT2LMHeadModel",
  training,
  defaultPreset: "gpt2",
  presets: {
    gpt2: published5(768, 12, 12, "openai-community/gpt2"),
    "gpt2-medium": published5(1024, 24, 16, "openai-community/gpt2-medium"),
    "gpt2-large": published5(1280, 36, 20, "openai-community/gpt2-large"),
    "gpt2-xl": published5(1600, 48, 25, "openai-community/gpt2-xl"),
    tiny: {
      config: {
        ...config5(96, 4, 4),
        vocab_size: 512,
        n_positions: 256,
        n_inner: 368,
        initializer_range: TINY_INITIALIZER_RANGE,
        resid_pdrop: 0,
        embd_pdrop: 0,
        attn_pdrop: 0,
        bos_token_id: null,
        eos_token_id: []
      }
    }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS6, warn);
    reader.choice("activation_function", { gelu_new: true, gelu_pytorch_tanh: true }, "gelu_new");
    reader.mustBe("scale_attn_weights", [true]);
    reader.mustBe("scale_attn_by_inverse_layer_idx", [false]);
    reader.mustBe("add_cross_attention", [false]);
    const read2 = {
      ...readCommon(reader, true),
      n_embd: reader.count("n_embd"),
      n_layer: reader.layers("n_layer"),
      n_head: reader.count("n_head"),
      n_positions: reader.count("n_positions"),
      n_inner: reader.has("n_inner") ? reader.count("n_inner") : null,
      layer_norm_epsilon: reader.number("layer_norm_epsilon"),
      resid_pdrop: reader.fraction("resid_pdrop", 0.1),
      embd_pdrop: reader.fraction("embd_pdrop", 0.1),
      attn_pdrop: reader.fraction("attn_pdrop", 0.1)
    };
    if (read2.n_embd % read2.n_head !== 0) reader.fail("n_head", `must divide n_embd (${read2.n_embd})`);
    return read2;
  },
  writeConfig: (c) => ({
    ...writeCommon(c),
    activation_function: "gelu_new",
    n_embd: c.n_embd,
    n_layer: c.n_layer,
    n_head: c.n_head,
    n_positions: c.n_positions,
    n_ctx: c.n_positions,
    n_inner: c.n_inner,
    layer_norm_epsilon: c.layer_norm_epsilon,
    resid_pdrop: c.resid_pdrop,
    embd_pdrop: c.embd_pdrop,
    attn_pdrop: c.attn_pdrop
  }),
  withLayers: (c, layers) => ({ ...c, n_layer: layers.length }),
  parts: parts5,
  names: names6,
  gguf: ggufForm,
  transformersJs: true
});

// src/families/hyperclovax.ts
var common = rotaryNames("HyperCLOVAX", {
  activation: "SiLUActivation",
  norms: {
    attentionNorm: "input_layernorm",
    mlpNorm: "post_attention_layernorm",
    attentionPostNorm: "post_norm1",
    mlpPostNorm: "post_norm2"
  }
});
var names7 = { ...common, identities: ["attentionPostNorm", "mlpPostNorm"] };
function parts6(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  const whole = rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    return {
      ...layer,
      norms: {
        ...layer.norms,
        ...c.use_post_norm && { attentionPostNorm: norm, mlpPostNorm: norm }
      },
      attention: { ...layer.attention, scale: c.attention_multiplier },
      mlp: { ...layer.mlp, bias: c.mlp_bias },
      branchScale: c.residual_multiplier
    };
  });
  return {
    ...whole,
    embeddingScale: c.embedding_multiplier,
    head: { ...whole.head, scale: c.logits_scaling }
  };
}
var tiny4 = {
  ...presetFields({ ...TINY_SIZES, hidden: 288 }),
  ...TINY_FIELDS,
  rms_norm_eps: 1e-5,
  rope_theta: 1e4,
  mlp_bias: false,
  embedding_multiplier: 4,
  attention_multiplier: 0.15,
  residual_multiplier: 0.5,
  logits_scaling: 0.5,
  use_post_norm: true,
  tie_word_embeddings: true
};
var CLASS_DEFAULTS7 = {
  class: "HyperCLOVAXConfig",
  fields: {
    vocab_size: 32e3,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    bos_token_id: 1,
    eos_token_id: 2
  }
};
var hyperclovax = defineFamily({
  name: "hyperclovax",
  title: "HyperCLOVA X",
  predecessor: "llama",
  modelType: "hyperclovax",
  architecture: "HyperCLOVAXForCausalLM",
  training: { data: "not published", method: "next-token prediction", source: "NAVER Cloud 2025" },
  defaultPreset: "tiny",
  presets: { tiny: { config: tiny4 } },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS7, warn);
    reader.choice("hidden_act", { silu: true, swish: true }, "silu");
    const common2 = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    return {
      ...common2,
      mlp_bias: reader.flag("mlp_bias", false),
      embedding_multiplier: reader.number("embedding_multiplier", 1),
      attention_multiplier: reader.optionalNumber("attention_multiplier") ?? common2.head_dim ** -0.5,
      residual_multiplier: reader.number("residual_multiplier", 1),
      logits_scaling: reader.number("logits_scaling", 1),
      use_post_norm: reader.flag("use_post_norm", true)
    };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: "silu",
    mlp_bias: c.mlp_bias,
    embedding_multiplier: c.embedding_multiplier,
    attention_multiplier: c.attention_multiplier,
    residual_multiplier: c.residual_multiplier,
    logits_scaling: c.logits_scaling,
    use_post_norm: c.use_post_norm
  }),
  withLayers: withRotaryLayers,
  parts: parts6,
  names: names7,
  gguf: { none: "none of its architectures has both these multipliers and norms after the branches" },
  transformersJs: false
});

// src/families/llama.ts
var names8 = rotaryNames("Llama", { activation: "SiLUActivation" });
function parts7(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  return rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    return { ...layer, mlp: { ...layer.mlp, bias: c.mlp_bias } };
  });
}
function config6(sizes, rest) {
  return {
    ...presetFields(sizes),
    vocab_size: 128256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 5e5,
    mlp_bias: false,
    tie_word_embeddings: false,
    bos_token_id: 128e3,
    eos_token_id: [128001],
    pad_token_id: null,
    ...rest
  };
}
function longContext(factor) {
  const bands2 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  return { max_position_embeddings: 131072, rope_scaling: { rope_type: "llama3", factor, ...bands2 } };
}
var size8b = { width: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128 };
var size70b = { width: 8192, hidden: 28672, layers: 80, heads: 64, kvHeads: 8, headDim: 128 };
var size1b3 = { width: 2048, hidden: 8192, layers: 16, heads: 32, kvHeads: 8, headDim: 64 };
var size3b = { width: 3072, hidden: 8192, layers: 28, heads: 24, kvHeads: 8, headDim: 128 };
var tied = { tie_word_embeddings: true };
var small = { ...longContext(32), ...tied };
var training2 = {
  data: "15T tokens",
  method: "next-token prediction",
  source: "Grattafiori et al. 2024, arXiv:2407.21783"
};
var smallTraining = {
  data: "up to 9T tokens",
  method: "next-token prediction with logits of 8B and 70B models, from pruned weights",
  source: "Llama 3.2 model card, Meta, September 2024"
};
function published6(sizes, rest, name2, facts = training2) {
  return { config: config6(sizes, rest), training: facts, hub: `meta-llama/${name2}` };
}
var CLASS_DEFAULTS8 = {
  class: "LlamaConfig",
  fields: {
    ...{ vocab_size: 32e3, hidden_size: 4096, intermediate_size: 11008 },
    ...{ num_hidden_layers: 32, num_attention_heads: 32 },
    ...{ max_position_embeddings: 2048, rms_norm_eps: 1e-6, bos_token_id: 1, eos_token_id: 2 }
  }
};
var llama = defineFamily({
  name: "llama",
  title: "Llama 3",
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  training: training2,
  defaultPreset: "llama-3-8b",
  presets: {
    "llama-3-8b": published6(size8b, {}, "Meta-Llama-3-8B"),
    "llama-3-70b": published6(size70b, {}, "Meta-Llama-3-70B"),
    "llama-3.1-8b": published6(size8b, longContext(8), "Llama-3.1-8B"),
    "llama-3.2-1b": published6(size1b3, small, "Llama-3.2-1B", smallTraining),
    "llama-3.2-3b": published6(size3b, small, "Llama-3.2-3B", smallTraining),
    tiny: { config: config6({ ...TINY_SIZES, hidden: 288 }, { ...TINY_FIELDS, ...tied, rope_theta: 1e4 }) }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS8, warn);
    reader.choice("hidden_act", { silu: true, swish: true }, "silu");
    return {
      ...readRotaryDecoder(reader, { tied: false, dividesHeads: true }),
      mlp_bias: reader.flag("mlp_bias", false)
    };
  },
  writeConfig: (c) => ({ ...writeRotaryDecoder(c), hidden_act: "silu", mlp_bias: c.mlp_bias }),
  withLayers: withRotaryLayers,
  parts: parts7,
  names: names8,
  gguf: rotaryGguf({
    architecture: "llama",
    rotaryRows: true,
    rotaryDivisors: true,
    biases: [...ATTENTION_PROJECTIONS, ...MLP_PROJECTIONS],
    optionalBiases: true,
    read: (file) => ({
      hidden_act: "silu",
      attention_bias: ggufHasBias(file, ATTENTION_PROJECTIONS),
      mlp_bias: ggufHasBias(file, MLP_PROJECTIONS)
    })
  }),
  transformersJs: true
});

// src/families/mistral.ts
var names9 = rotaryNames("Mistral", { activation: "SiLUActivation" });
function parts8(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  return rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    return { ...layer, attention: { ...layer.attention, window: c.sliding_window } };
  });
}
function config7(sizes, rest) {
  return {
    ...presetFields(sizes),
    vocab_size: 32e3,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    sliding_window: null,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: [2],
    pad_token_id: null,
    ...rest
  };
}
var size7b2 = { width: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128 };
var size12b = { ...size7b2, width: 5120, layers: 40 };
var first = { rope_theta: 1e4, sliding_window: 4096 };
var nemo = { vocab_size: 131072, max_position_embeddings: 131072 };
var tiny5 = { ...TINY_FIELDS, sliding_window: 32, rope_theta: 1e4, tie_word_embeddings: true };
var training3 = {
  data: "not published",
  method: "next-token prediction",
  source: "Jiang et al. 2023, arXiv:2310.06825"
};
function published7(sizes, name2, rest) {
  return { config: config7(sizes, rest), training: training3, hub: `mistralai/${name2}` };
}
var CLASS_DEFAULTS9 = {
  class: "MistralConfig",
  fields: {
    vocab_size: 32e3,
    ...{ hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 8 },
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    sliding_window: 4096,
    bos_token_id: 1,
    eos_token_id: 2
  }
};
var mistral = defineFamily({
  name: "mistral",
  title: "Mistral",
  predecessor: "llama",
  modelType: "mistral",
  architecture: "MistralForCausalLM",
  training: training3,
  defaultPreset: "mistral-7b-v0.1",
  presets: {
    "mistral-7b-v0.1": published7(size7b2, "Mistral-7B-v0.1", first),
    "mistral-7b-v0.3": published7(size7b2, "Mistral-7B-v0.3", { vocab_size: 32768 }),
    "mistral-nemo-12b": published7(size12b, "Mistral-Nemo-Base-2407", nemo),
    tiny: { config: config7({ ...TINY_SIZES, hidden: 288 }, tiny5) }
  },
  readConfig(raw, file, warn) {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS9, warn);
    reader.choice("hidden_act", { silu: true, swish: true }, "silu");
    reader.mustBe("attention_bias", [false]);
    return {
      ...readRotaryDecoder(reader, { tied: false, dividesHeads: true }),
      sliding_window: reader.has("sliding_window") ? reader.count("sliding_window") : null
    };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: "silu",
    sliding_window: c.sliding_window
  }),
  withLayers: withRotaryLayers,
  parts: parts8,
  names: names9,
  gguf: rotaryGguf({
    architecture: "llama",
    // A file does not distinguish it from Llama, whose layers it has.
    recognizes: () => false,
    rotaryRows: true,
    rotaryDivisors: true,
    write(c, refused) {
      if (c.sliding_window === null || c.sliding_window >= c.max_position_embeddings) return [];
      throw refused(`"sliding_window" is ${c.sliding_window}`);
    }
  }),
  transformersJs: true
});

// src/families/common/qwen-common.ts
function qwenFields(layers) {
  return {
    ...USUAL_FIELDS,
    vocab_size: 151936,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    ...{ sliding_window: null, max_window_layers: layers, layer_types: layerTypes(layers, () => false) },
    pad_token_id: null
  };
}
var TINY_QWEN = {
  ...qwenFields(TINY_SIZES.layers),
  ...sizeFields({ ...TINY_SIZES, hidden: 288 }),
  ...TINY_FIELDS,
  rope_theta: 1e4,
  tie_word_embeddings: true
};
var QWEN_DEFAULTS = {
  vocab_size: 151936,
  hidden_size: 4096,
  intermediate_size: 22016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-6
};
function readQwen(reader, dividesHeads) {
  reader.choice("hidden_act", { silu: true, swish: true }, "silu");
  const common2 = readRotaryDecoder(reader, { tied: false, dividesHeads });
  const slides = reader.flag("use_sliding_window", false);
  const max_window_layers = reader.count("max_window_layers", 28, 0);
  const rule = (index) => index >= max_window_layers;
  const windows = readWindows(reader, common2.num_hidden_layers, slides, () => rule);
  return { ...common2, ...windows, max_window_layers };
}
function writeQwen(c) {
  return {
    ...writeRotaryDecoder(c),
    hidden_act: "silu",
    use_sliding_window: c.sliding_window !== null,
    sliding_window: c.sliding_window,
    max_window_layers: c.max_window_layers,
    layer_types: [...c.layer_types]
  };
}

// src/families/qwen2.ts
var names10 = rotaryNames("Qwen2", { activation: "SiLUActivation" });
function parts9(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    const window = windowOf(c, index);
    return { ...layer, attention: { ...layer.attention, bias: true, outputBias: false, window } };
  });
}
var training4 = {
  data: "up to 18T tokens",
  method: "next-token prediction",
  source: "Qwen Team 2024, arXiv:2412.15115"
};
function published8(sizes, name2, rest = {}) {
  const config9 = {
    ...qwenFields(sizes.layers),
    ...sizeFields(sizes),
    max_position_embeddings: 32768,
    attention_bias: true,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: [151643],
    ...rest
  };
  return { config: config9, training: training4, hub: `Qwen/${name2}` };
}
var size0b = { width: 896, hidden: 4864, layers: 24, heads: 14, kvHeads: 2, headDim: 64 };
var size1b4 = { width: 1536, hidden: 8960, layers: 28, heads: 12, kvHeads: 2, headDim: 128 };
var size3b2 = { width: 2048, hidden: 11008, layers: 36, heads: 16, kvHeads: 2, headDim: 128 };
var size7b3 = { width: 3584, hidden: 18944, layers: 28, heads: 28, kvHeads: 4, headDim: 128 };
var large2 = { vocab_size: 152064, tie_word_embeddings: false, max_position_embeddings: 131072 };
var qwen2 = defineFamily({
  name: "qwen2",
  title: "Qwen 2.5",
  predecessor: "llama",
  modelType: "qwen2",
  architecture: "Qwen2ForCausalLM",
  training: training4,
  defaultPreset: "qwen2.5-7b",
  presets: {
    "qwen2.5-0.5b": published8(size0b, "Qwen2.5-0.5B"),
    "qwen2.5-1.5b": published8(size1b4, "Qwen2.5-1.5B"),
    "qwen2.5-3b": published8(size3b2, "Qwen2.5-3B"),
    "qwen2.5-7b": published8(size7b3, "Qwen2.5-7B", large2),
    tiny: { config: { ...TINY_QWEN, attention_bias: true } }
  },
  readConfig(raw, file, warn) {
    const defaults = { class: "Qwen2Config", fields: QWEN_DEFAULTS };
    return { ...readQwen(new ConfigReader(raw, file, defaults, warn), true), attention_bias: true };
  },
  writeConfig: writeQwen,
  withLayers: withTypedLayers,
  parts: parts9,
  names: names10,
  gguf: rotaryGguf({ architecture: "qwen2", biases: ["q_proj", "k_proj", "v_proj"] }),
  transformersJs: true
});

// src/families/qwen3.ts
var names11 = rotaryNames("Qwen3", { activation: "SiLUActivation" });
function parts10(c) {
  const norm = { kind: "RMSNorm", epsilon: c.rms_norm_eps, weightOffset: 0 };
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, "silu", rope);
    return { ...layer, attention: { ...layer.attention, headNorm: norm, window: windowOf(c, index) } };
  });
}
var training5 = {
  data: "36T tokens",
  method: "next-token prediction",
  source: "Qwen Team 2025, arXiv:2505.09388"
};
function published9(sizes, name2, tied2) {
  const config9 = {
    ...qwenFields(sizes.layers),
    ...sizeFields({ ...sizes, kvHeads: 8, headDim: 128 }),
    max_position_embeddings: 40960,
    tie_word_embeddings: tied2,
    bos_token_id: 151643,
    eos_token_id: [151645]
  };
  return { config: config9, training: training5, hub: `Qwen/${name2}` };
}
var size0b2 = { width: 1024, hidden: 3072, layers: 28, heads: 16 };
var size1b5 = { width: 2048, hidden: 6144, layers: 28, heads: 16 };
var size4b = { width: 2560, hidden: 9728, layers: 36, heads: 32 };
var size8b2 = { width: 4096, hidden: 12288, layers: 36, heads: 32 };
var size14b = { width: 5120, hidden: 17408, layers: 40, heads: 40 };
var size32b2 = { width: 5120, hidden: 25600, layers: 64, heads: 64 };
var qwen3 = defineFamily({
  name: "qwen3",
  title: "Qwen 3",
  predecessor: "qwen2",
  modelType: "qwen3",
  architecture: "Qwen3ForCausalLM",
  training: training5,
  defaultPreset: "qwen3-8b",
  presets: {
    "qwen3-0.6b": published9(size0b2, "Qwen3-0.6B", true),
    "qwen3-1.7b": published9(size1b5, "Qwen3-1.7B", true),
    "qwen3-4b": published9(size4b, "Qwen3-4B", true),
    "qwen3-8b": published9(size8b2, "Qwen3-8B", false),
    "qwen3-14b": published9(size14b, "Qwen3-14B", false),
    "qwen3-32b": published9(size32b2, "Qwen3-32B", false),
    tiny: { config: { ...TINY_QWEN, attention_bias: false } }
  },
  readConfig(raw, file, warn) {
    const defaults = { class: "Qwen3Config", fields: { ...QWEN_DEFAULTS, head_dim: 128 } };
    return readQwen(new ConfigReader(raw, file, defaults, warn), false);
  },
  writeConfig: writeQwen,
  withLayers: withTypedLayers,
  parts: parts10,
  names: names11,
  gguf: rotaryGguf({ architecture: "qwen3", headNorms: true }),
  transformersJs: true
});

// src/families/registry.ts
var own = [
  gpt,
  gpt2,
  gemma,
  gemma2,
  gemma3,
  llama,
  mistral,
  qwen2,
  qwen3,
  exaone4,
  hyperclovax
];
var all = [...own];
var families = all;
var aliases = { llama3: "llama", ctrl: "gpt" };
function splitName(name2) {
  const plus = name2.indexOf("+");
  return plus < 0 ? [name2, void 0] : [name2.slice(0, plus), parseChanges(name2.slice(plus + 1))];
}
function findPreset(name2) {
  const [plain, changes] = splitName(name2);
  if (!changes) return plainPreset(name2);
  const found = plainPreset(plain);
  if (!found) return void 0;
  const family2 = exchange(found.family, changes);
  return { family: family2, name: name2, preset: family2.presets[found.name] };
}
function plainPreset(name2) {
  for (const family3 of families) {
    const own2 = Object.hasOwn(family3.presets, name2) ? family3.presets[name2] : void 0;
    if (own2 && name2 !== "tiny") return { family: family3, name: name2, preset: own2 };
  }
  const [familyName, presetName] = name2.split("/");
  const wanted = aliases[familyName] ?? familyName;
  const family2 = families.find((candidate) => candidate.name === wanted);
  if (!family2) return void 0;
  const chosen = presetName ?? family2.defaultPreset;
  const preset2 = Object.hasOwn(family2.presets, chosen) ? family2.presets[chosen] : void 0;
  return preset2 && { family: family2, name: chosen, preset: preset2 };
}

// src/random.ts
var MASK_64 = (1n << 64n) - 1n;
function* splitmix64(seed) {
  let state = seed & MASK_64;
  while (true) {
    state = state + 0x9e3779b97f4a7c15n & MASK_64;
    let z6 = state;
    z6 = (z6 ^ z6 >> 30n) * 0xbf58476d1ce4e5b9n & MASK_64;
    z6 = (z6 ^ z6 >> 27n) * 0x94d049bb133111ebn & MASK_64;
    yield z6 ^ z6 >> 31n;
  }
}
var rotateLeft = (x, k) => x << k | x >>> 32 - k;
var Random = class _Random {
  #a;
  #b;
  #c;
  #d;
  /** @param seed any integer up to 2⁵³ in size; equal seeds give equal numbers. @throws RangeError otherwise. */
  constructor(seed) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, but is ${seed}`);
    const words2 = splitmix64(BigInt(seed));
    const first2 = words2.next().value;
    const second = words2.next().value;
    this.#a = Number(first2 & 0xffffffffn) | 0;
    this.#b = Number(first2 >> 32n) | 0;
    this.#c = Number(second & 0xffffffffn) | 0;
    this.#d = Number(second >> 32n) | 0;
  }
  /** A generator that continues from a saved state. @throws RangeError when it is not four integers, not all zero. */
  static fromState(state) {
    const valid = state.length === 4 && state.every((word) => word >= 0 && word <= 4294967295 && word % 1 === 0);
    if (!valid || state.every((word) => word === 0)) {
      throw new RangeError(
        `a random state is four integers below 2^32, not all zero; got [${state.join(", ")}]`
      );
    }
    const random2 = new _Random(0);
    [random2.#a, random2.#b, random2.#c, random2.#d] = state.map((word) => word | 0);
    return random2;
  }
  /** The state as four integers in [0, 2³²). */
  state() {
    return [this.#a >>> 0, this.#b >>> 0, this.#c >>> 0, this.#d >>> 0];
  }
  /** The next 32 bits, an integer in [0, 2³²). */
  nextUint32() {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9);
    const t2 = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t2;
    this.#d = rotateLeft(this.#d, 11);
    return result >>> 0;
  }
  /** A number in [0, 1) with all 53 bits of a float64. */
  next() {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }
  /** An integer in [0, n), each equally likely. @throws RangeError unless n is an integer in [1, 2³²]. */
  nextInt(n) {
    if (!Number.isInteger(n) || n < 1 || n > 4294967296) {
      throw new RangeError(`nextInt needs an integer from 1 to 2^32, but got ${n}`);
    }
    const limit = 4294967296 - 4294967296 % n;
    let value = this.nextUint32();
    while (value >= limit) value = this.nextUint32();
    return value % n;
  }
  /**
   * A standard normal deviate (Box and Muller 1958). The method's second number is discarded, so that the state stays
   * four integers.
   */
  nextGaussian() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }
  /** Shuffles in place (Fisher and Yates): every order is equally likely. Returns its argument. */
  shuffle(values) {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.nextInt(i + 1);
      const kept = values[i];
      values[i] = values[j];
      values[j] = kept;
    }
    return values;
  }
};

// src/runtime/engine.node.ts
import * as ort from "onnxruntime-node";

// src/runtime/direct.node.ts
import { Tensor as OrtTensor } from "onnxruntime-common";

// src/graph/traverse.ts
function topologicalOrder(outputs, known) {
  const order = [];
  const done = /* @__PURE__ */ new Set();
  const stack = [];
  const visit = (node) => {
    if (done.has(node)) return;
    done.add(node);
    stack.push({ node, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const tensor = top.node.inputs[top.next++];
      const child = tensor?.node;
      if (child === void 0) {
        order.push(top.node);
        stack.pop();
      } else if (!done.has(child) && !known?.has(tensor)) {
        done.add(child);
        stack.push({ node: child, next: 0 });
      }
    }
  };
  for (const output of outputs) if (!known?.has(output)) visit(output.node);
  return order;
}

// src/graph/rewrite.ts
function rewrite(outputs, rules, replacements = /* @__PURE__ */ new Map()) {
  const replaced = new Map(replacements);
  const now = (tensor) => replaced.get(tensor) ?? tensor;
  const run = (roots) => {
    for (const node of topologicalOrder(roots, replaced)) {
      const inputs = node.inputs.map(now);
      firstFit(rules, node, inputs, run).forEach((result, i) => {
        const output = node.outputs[i];
        if (!replaced.has(output)) replaced.set(output, result);
        replaced.set(result, result);
      });
    }
    return roots.map(now);
  };
  return run(outputs);
}
function firstFit(rules, node, inputs, run) {
  for (const { operator, apply: apply2 } of rules) {
    if (operator && operator !== node.operator) continue;
    const results = apply2(node, inputs, run);
    if (results) return results;
  }
  return withInputs(node, inputs);
}
function withInputs(node, inputs) {
  const same = inputs.every((input2, i) => input2 === node.inputs[i]);
  return same ? node.outputs : new Node(node.operator, inputs, node.attributes).outputs;
}
function substitute(outputs, replacements) {
  return rewrite(outputs, [], replacements);
}

// src/graph/simplify.ts
var FOLD_LIMIT = 1 << 20;
function simplify(outputs, dialect) {
  return rewrite(outputs, [expansion(dialect), identity, folding, merging()]);
}
function expansion(dialect) {
  return {
    apply({ operator, attributes }, inputs, rewrite2) {
      const usable = operator.lower && !(operator.engineOnly && dialect === "standard") && (operator.fits?.(inputs, attributes, dialect) ?? true);
      return usable || !operator.expand ? void 0 : rewrite2(operator.expand(inputs, attributes));
    }
  };
}
var identity = {
  apply({ operator, attributes }, inputs) {
    const same = operator.identity?.(inputs, attributes);
    return same && [same];
  }
};
var folding = {
  apply({ operator, attributes, outputs: [output, ...others] }, inputs) {
    if (inputs.length === 0 || others.length > 0 || operator.unique || !operator.evaluate) return void 0;
    const { dtype, shape: shape2 } = output;
    const known = shape2.every((dim) => typeof dim === "number");
    if (dtype === "bool" || !known || sizeOf(shape2) > FOLD_LIMIT) return void 0;
    const values = [];
    for (const { node } of inputs) {
      if (!isNodeOf(node, constantOp)) return void 0;
      values.push(constantOp.evaluate([], node.attributes)[0]);
    }
    const value = operator.evaluate(values, attributes)[0];
    return [constant(value.data, value.shape, dtype)];
  }
};
function merging() {
  const seen = /* @__PURE__ */ new Map();
  const identities = /* @__PURE__ */ new Map();
  return {
    apply(node, inputs) {
      const { operator, attributes } = node;
      if (operator.unique) return void 0;
      const key = `${operator.name}(${inputs.map(tensorKey).join()})${attributesKey(attributes, identities)}`;
      const outputs = seen.get(key) ?? withInputs(node, inputs);
      seen.set(key, outputs);
      return outputs;
    }
  };
}
function tensorKey(tensor) {
  return `${tensor.node.id}.${tensor.index}`;
}
function attributesKey(attributes, identities) {
  return JSON.stringify(attributes, (_key, value) => {
    if (typeof value === "object" && value !== null) {
      if ("terms" in value) return String(value);
      const length = "length" in value && typeof value.length === "number" ? value.length : 0;
      if (length > 64) {
        if (!identities.has(value)) identities.set(value, identities.size);
        return `array ${identities.get(value)}`;
      }
    }
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  });
}

// src/onnx/proto.ts
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema
} from "onnx-buf";
var elementTypes = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16
};
var OPSET = 23;
var IR_VERSION = 11;
function attribute(name2, value) {
  if (typeof value === "string") {
    return create(AttributeProtoSchema, {
      name: name2,
      type: AttributeType.STRING,
      s: bytes(new TextEncoder().encode(value))
    });
  }
  if (typeof value === "number") {
    return create(AttributeProtoSchema, { name: name2, type: AttributeType.INT, i: BigInt(value) });
  }
  if ("float" in value)
    return create(AttributeProtoSchema, { name: name2, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name: name2, type: AttributeType.INTS, ints: value.map(BigInt) });
}
function nodeProto(type, domain, inputs, outputs, attributes) {
  return create(NodeProtoSchema, {
    name: outputs[0] ?? "",
    opType: type,
    domain,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([name2, value]) => attribute(name2, value))
  });
}
function valueInfo(name2, { dtype, shape: shape2 }) {
  const dim = shape2.map(
    (size) => create(TensorShapeProto_DimensionSchema, {
      value: typeof size === "number" ? { case: "dimValue", value: BigInt(size) } : { case: "dimParam", value: String(size) }
    })
  );
  const tensorType = create(TypeProto_TensorSchema, {
    elemType: elementTypes[dtype],
    shape: create(TensorShapeProtoSchema, { dim })
  });
  return create(ValueInfoProtoSchema, {
    name: name2,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensorType } })
  });
}
function bytes(data) {
  return data.buffer instanceof ArrayBuffer ? data : new Uint8Array(data);
}
function inlineTensor(name2, type, shape2, data) {
  return create(TensorProtoSchema, {
    name: name2,
    dataType: elementTypes[type],
    dims: shape2.map(BigInt),
    rawData: bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  });
}
function smallTensor(name2, dtype, shape2, data) {
  const values = dtype === "float32" ? Float32Array.from(data) : dtype === "int32" ? Int32Array.from(data) : BigInt64Array.from(Array.from(data, BigInt));
  return inlineTensor(name2, dtype, shape2, values);
}
function externalTensor(name2, type, shape2, file) {
  const entries = { location: file.location, offset: String(file.offset), length: String(file.byteLength) };
  return create(TensorProtoSchema, {
    name: name2,
    dataType: elementTypes[type],
    dims: shape2.map(BigInt),
    dataLocation: DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(
      ([key, value]) => create(StringStringEntryProtoSchema, { key, value })
    )
  });
}
function encodeModel(graph) {
  const domains = new Set(graph.nodes.map((node) => node.domain));
  domains.add("");
  const model2 = create(ModelProtoSchema, {
    irVersion: BigInt(IR_VERSION),
    producerName: "ropewalk",
    opsetImport: [...domains].map(
      (domain) => create(OperatorSetIdProtoSchema, { domain, version: BigInt(domain === "" ? OPSET : 1) })
    ),
    graph: create(GraphProtoSchema, {
      name: "ropewalk",
      node: graph.nodes,
      input: graph.inputs,
      output: graph.outputs,
      initializer: graph.initializers
    })
  });
  return toBinary(ModelProtoSchema, model2);
}

// src/onnx/weights.ts
function blocksInRow({ columns, block }) {
  return Math.ceil(columns / block);
}
function zeroPointBytes(shape2) {
  return Math.ceil(blocksInRow(shape2) * shape2.bits / 8);
}
function newQuantizedArrays(shape2) {
  const blocks = shape2.rows * blocksInRow(shape2);
  return {
    data: new Uint8Array(blocks * (shape2.block * shape2.bits / 8)),
    scales: new Float32Array(blocks),
    ...shape2.hasZeroPoints && { zeroPoints: new Uint8Array(shape2.rows * zeroPointBytes(shape2)) },
    ...shape2.hasOffsets && { offsets: new Float32Array(blocks) }
  };
}
function rowsOfArrays(shape2, arrays, first2, rows) {
  const part = (array) => {
    const width = array.length / shape2.rows;
    return array.subarray(first2 * width, (first2 + rows) * width);
  };
  const { data, scales, zeroPoints, offsets } = arrays;
  return {
    data: part(data),
    scales: part(scales),
    ...zeroPoints && { zeroPoints: part(zeroPoints) },
    ...offsets && { offsets: part(offsets) }
  };
}
function copyArrays(from, to) {
  to.data.set(from.data);
  to.scales.set(from.scales);
  if (from.zeroPoints) to.zeroPoints?.set(from.zeroPoints);
  if (from.offsets) to.offsets?.set(from.offsets);
}
function quantizedSource(matrix) {
  const { rows, columns, bits, block, offsets, zeroPoints } = matrix;
  const has = { hasOffsets: offsets !== void 0, hasZeroPoints: zeroPoints !== void 0 };
  const read2 = async (into) => {
    if (!into) return matrix;
    copyArrays(matrix, into);
    return { rows, columns, bits, block, ...into };
  };
  return { rows, columns, bits, block, ...has, matrix, read: read2 };
}
function stackQuantized(parts11) {
  const [first2] = parts11;
  const rows = parts11.reduce((sum, part) => sum + part.rows, 0);
  const { columns, bits, block, hasOffsets, hasZeroPoints = false, exact = false } = first2;
  const shape2 = { rows, columns, bits, block, hasOffsets, hasZeroPoints, exact };
  return {
    ...shape2,
    async read(into = newQuantizedArrays(shape2)) {
      let row = 0;
      for (const part of parts11) {
        await part.read(rowsOfArrays(shape2, into, row, part.rows));
        row += part.rows;
      }
      return { rows, columns, bits, block, ...into };
    }
  };
}
async function readIntoMemory(weights) {
  const result = /* @__PURE__ */ new Map();
  for (const [name2, source5] of weights) {
    if ("read" in source5) result.set(name2, { ...source5, data: await source5.read() });
    else if ("quantized" in source5)
      result.set(name2, {
        ...source5,
        quantized: { ...source5.quantized, matrix: await source5.quantized.read() }
      });
    else result.set(name2, source5);
  }
  return result;
}

// src/onnx/emit.ts
function emitModel(outputs, options3 = {}) {
  const dialect = options3.dialect ?? "onnxruntime";
  const roots = simplify([...outputs.values()], dialect);
  const order = topologicalOrder(roots);
  const used = new Set(roots);
  for (const node of order) for (const tensor of node.inputs) used.add(tensor);
  const writer = new Writer(dialect, used, options3.provide, productWeights(order));
  const names12 = /* @__PURE__ */ new Map();
  for (const node of order) {
    const { operator } = node;
    let results;
    if (isNodeOf(node, inputOp)) {
      results = [writer.input(node.attributes, options3.weights)];
    } else if (operator.lower) {
      const inputs2 = node.inputs.map((tensor) => names12.get(tensor));
      if (inputs2.some((name2, i) => i !== operator.packedInput && writer.quantized(name2))) {
        throw new RopewalkError(
          `${operator.name}: cannot read a quantized weight; only matrix products can.`
        );
      }
      results = operator.lower(writer, inputs2, node);
    } else {
      throw new RopewalkError(`${operator.name}: cannot be written as ONNX here.`);
    }
    results.forEach((name2, i) => {
      names12.set(node.outputs[i], name2);
    });
  }
  const outputNames = [...outputs.keys()];
  roots.forEach((root, i) => {
    writer.output(outputNames[i], names12.get(root), root);
  });
  const { runtimeInputs: inputs, provided } = writer;
  return { bytes: writer.finish(), inputs, outputs: outputNames, provided };
}
function productWeights(order) {
  const products = /* @__PURE__ */ new Map();
  const others = /* @__PURE__ */ new Set();
  for (const node of order) {
    node.inputs.forEach((tensor, i) => {
      if (!isNodeOf(tensor.node, inputOp)) return;
      const { name: name2 } = tensor.node.attributes;
      const transposed = isNodeOf(node, matmulOp) && !node.attributes.transB;
      const known = products.get(name2);
      const isProduct = node.operator.packedInput === i;
      if (!isProduct || known && known.transposed !== transposed) others.add(name2);
      else products.set(name2, { transposed });
    });
  }
  for (const name2 of others) products.delete(name2);
  return products;
}
var Writer = class {
  constructor(dialect, used, provide, products) {
    this.dialect = dialect;
    this.#used = used;
    this.#provide = provide;
    this.#products = products;
  }
  dialect;
  runtimeInputs = /* @__PURE__ */ new Map();
  #graph = {
    nodes: [],
    inputs: [],
    outputs: [],
    initializers: []
  };
  #equal = /* @__PURE__ */ new Map();
  #constants = /* @__PURE__ */ new Map();
  #large = /* @__PURE__ */ new Map();
  #inFewBits = /* @__PURE__ */ new Map();
  provided = [];
  #count = 0;
  #used;
  #provide;
  #products;
  quantized(value) {
    return this.#inFewBits.get(value);
  }
  isUsed(tensor) {
    return this.#used.has(tensor);
  }
  node(type, inputs, attributes = {}, options3 = {}) {
    const { domain = "", outputs = 1 } = options3;
    const key = JSON.stringify([type, domain, inputs, attributes, outputs]);
    const known = this.#equal.get(key);
    if (known) return known;
    const names12 = Array.from({ length: outputs }, (_, i) => `${type}_${this.#count}${i > 0 ? `.${i}` : ""}`);
    this.#count++;
    this.#graph.nodes.push(nodeProto(type, domain, inputs, names12, attributes));
    this.#equal.set(key, names12);
    return names12;
  }
  constant(dtype, shape2, data) {
    const key = data.length <= 64 ? JSON.stringify([dtype, shape2, Array.from(data)]) : void 0;
    const known = key === void 0 ? this.#large.get(data) : this.#constants.get(key);
    if (known) return known;
    const name2 = `constant_${this.#count++}`;
    this.#graph.initializers.push(smallTensor(name2, dtype, shape2, data));
    if (key === void 0) this.#large.set(data, name2);
    else this.#constants.set(key, name2);
    return name2;
  }
  input(attributes, weights) {
    const { name: name2, shape: shape2 } = attributes;
    const source5 = attributes.parameter ? weights?.get(name2) : void 0;
    if (!source5) {
      if (!this.runtimeInputs.has(name2)) this.#graph.inputs.push(valueInfo(name2, attributes));
      this.runtimeInputs.set(name2, attributes);
      return name2;
    }
    const sizes = staticShape(shape2, `the weight ${name2}`);
    if ("quantized" in source5) return this.#quantizedInput(name2, source5.quantized);
    if ("file" in source5) {
      const { file } = source5;
      this.#graph.initializers.push(externalTensor(name2, file.dtype, sizes, file));
      return file.dtype === "float32" ? name2 : this.node("Cast", [name2], { to: 1 })[0];
    }
    if (this.#provide) {
      const fill2 = async ([target]) => target.set("data" in source5 ? source5.data : await source5.read());
      const weight = this.#products.get(name2);
      const tensor = { name: name2, type: "float32", shape: sizes };
      this.#outside({
        tensors: [weight ? { ...tensor, product: { weight, part: "numbers" } } : tensor],
        fill: fill2
      });
    } else {
      if (!("data" in source5)) throw new RopewalkError(`the weight ${name2} was not read before it was used.`);
      this.#graph.initializers.push(inlineTensor(name2, "float32", sizes, source5.data));
    }
    return name2;
  }
  /** The initializers of a quantized weight; its name then refers to all of them. */
  #quantizedInput(name2, source5) {
    if (this.dialect === "standard")
      throw new RopewalkError(`${name2}: ai.onnx has no quantized matrix product.`);
    const { rows, bits, block, hasOffsets, hasZeroPoints = false } = source5;
    const blocks = blocksInRow(source5);
    const shape2 = [rows, blocks, block * bits / 8];
    const weight = { bits, block, exact: source5.exact ?? false, zeroPoints: hasZeroPoints };
    const numbers = { weight, part: "numbers" };
    const factors = { weight, part: "factors" };
    const data = { name: `${name2}.data`, type: "uint8", shape: shape2, product: numbers };
    const scales = {
      name: `${name2}.scales`,
      type: "float32",
      shape: [rows, blocks],
      product: factors
    };
    const zeroPoints = {
      name: `${name2}.zero_points`,
      type: "uint8",
      shape: [rows, zeroPointBytes(source5)],
      product: factors
    };
    const offsets = { name: `${name2}.offsets`, type: "float32", shape: [rows, blocks] };
    const tensors = [data, scales, ...hasZeroPoints ? [zeroPoints] : [], ...hasOffsets ? [offsets] : []];
    const arrays = (matrix) => [matrix.data, matrix.scales, matrix.zeroPoints, matrix.offsets].filter((array) => array !== void 0);
    if (this.#provide) {
      const fill2 = async (targets) => {
        await source5.read({
          data: targets[0],
          scales: targets[1],
          ...hasZeroPoints && { zeroPoints: targets[2] },
          ...hasOffsets && { offsets: targets.at(-1) }
        });
      };
      this.#outside({ tensors, fill: fill2 });
    } else {
      if (!source5.matrix) throw new RopewalkError(`the weight ${name2} was not read before it was used.`);
      const values = arrays(source5.matrix);
      tensors.forEach((tensor, i) => {
        this.#graph.initializers.push(inlineTensor(tensor.name, tensor.type, tensor.shape, values[i]));
      });
    }
    this.#inFewBits.set(name2, {
      ...source5,
      exact: source5.exact ?? false,
      data: data.name,
      scales: scales.name,
      ...hasZeroPoints && { zeroPoints: zeroPoints.name },
      ...hasOffsets && { offsets: offsets.name }
    });
    return name2;
  }
  #outside(weight) {
    this.provided.push(weight);
    for (const { name: name2, type, shape: shape2 } of weight.tensors) {
      const byteLength = sizeOf(shape2) * (type === "uint8" ? 1 : 4);
      this.#graph.initializers.push(
        externalTensor(name2, type, shape2, { location: this.#provide.file, offset: 0, byteLength })
      );
    }
  }
  output(name2, value, tensor) {
    this.#graph.nodes.push(nodeProto("Identity", "", [value], [name2], {}));
    this.#graph.outputs.push(valueInfo(name2, tensor));
  }
  finish() {
    return encodeModel(this.#graph);
  }
};

// src/runtime/library.node.ts
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

// src/runtime/telemetry.node.ts
import { isMainThread } from "node:worker_threads";
var NAME = "ORT_DISABLE_TELEMETRY";
function refuseTelemetry(koffi) {
  process.env[NAME] ??= "1";
  if (isMainThread || !koffi || process.platform !== "linux") return;
  try {
    const setenv = koffi.load("libc.so.6").func("int setenv(const char *name, const char *value, int overwrite)");
    setenv(NAME, "1", 0);
  } catch {
  }
}

// src/runtime/library.node.ts
var API = {
  getErrorMessage: [2, "const char *", "void *status"],
  createEnv: [3, "void *", "int level, const char *name, _Out_ void **env"],
  createSessionFromArray: [
    8,
    "void *",
    "void *env, void *model, size_t size, void *options, _Out_ void **session"
  ],
  run: [
    9,
    "void *",
    "void *session, void *options, void *inputNames, void *inputs, size_t inputCount, void *outputNames, size_t outputCount, void *outputs"
  ],
  createSessionOptions: [10, "void *", "_Out_ void **options"],
  enableProfiling: [14, "void *", "void *options, void *prefix"],
  disableMemPattern: [17, "void *", "void *options"],
  setLogSeverity: [22, "void *", "void *options, int level"],
  setGraphOptimizationLevel: [23, "void *", "void *options, int level"],
  setIntraOpNumThreads: [24, "void *", "void *options, int threads"],
  createTensor: [48, "void *", "void *allocator, void *shape, size_t rank, int type, _Out_ void **value"],
  createTensorWithData: [
    49,
    "void *",
    "void *memory, void *data, size_t size, void *shape, size_t rank, int type, _Out_ void **value"
  ],
  getTensorMutableData: [51, "void *", "void *value, _Out_ void **data"],
  getTensorElementType: [60, "void *", "void *info, _Out_ int *type"],
  getDimensionsCount: [61, "void *", "void *info, _Out_ size_t *count"],
  getDimensions: [62, "void *", "void *info, void *dimensions, size_t count"],
  getTensorTypeAndShape: [65, "void *", "void *value, _Out_ void **info"],
  createMemoryInfo: [68, "void *", "const char *name, int allocator, int id, int type, _Out_ void **memory"],
  createCpuMemoryInfo: [69, "void *", "int allocator, int type, _Out_ void **memory"],
  allocate: [75, "void *", "void *allocator, size_t size, _Out_ void **data"],
  free: [76, "void *", "void *allocator, void *data"],
  getDefaultAllocator: [78, "void *", "_Out_ void **allocator"],
  releaseStatus: [93, "void", "void *status"],
  releaseMemoryInfo: [94, "void", "void *memory"],
  releaseSession: [95, "void", "void *session"],
  releaseValue: [96, "void", "void *value"],
  releaseTensorTypeAndShapeInfo: [99, "void", "void *info"],
  releaseSessionOptions: [100, "void", "void *options"],
  endProfiling: [110, "void *", "void *session, void *allocator, _Out_ char **file"],
  addSessionConfigEntry: [130, "void *", "void *options, const char *key, const char *value"],
  createAllocator: [131, "void *", "void *session, void *memory, _Out_ void **allocator"],
  releaseAllocator: [132, "void", "void *allocator"],
  runWithBinding: [133, "void *", "void *session, void *options, void *binding"],
  createIoBinding: [134, "void *", "void *session, _Out_ void **binding"],
  releaseIoBinding: [135, "void", "void *binding"],
  bindInput: [136, "void *", "void *binding, const char *name, void *value"],
  bindOutput: [137, "void *", "void *binding, const char *name, void *value"],
  addInitializer: [150, "void *", "void *options, void *name, void *value"],
  addExternalInitializers: [210, "void *", "void *options, void *names, void *values, size_t count"],
  appendExecutionProvider: [
    216,
    "void *",
    "void *options, const char *name, void *keys, void *values, size_t count"
  ],
  copyTensors: [386, "void *", "void *env, void *from, void *to, void *stream, size_t count"]
};
var API_VERSION = 23;
var LIBRARY_VERSION = "1.30.0";
var ENGINE_NAME = `onnxruntime ${LIBRARY_VERSION}`;
var elementTypes2 = { float32: 1, uint8: 2, int32: 6, int64: 7, float16: 10 };
var require2 = createRequire(import.meta.url);
function libraryPath() {
  const folder = join(
    dirname(require2.resolve("onnxruntime-node/package.json")),
    "bin",
    "napi-v6",
    process.platform,
    process.arch
  );
  const names12 = {
    linux: "libonnxruntime.so.1",
    darwin: `libonnxruntime.${LIBRARY_VERSION}.dylib`,
    win32: "onnxruntime.dll"
  };
  const name2 = names12[process.platform];
  const path = name2 && join(folder, name2);
  return path !== void 0 && existsSync(path) ? path : void 0;
}
function openGlibc(koffi) {
  if (process.platform !== "linux") return void 0;
  try {
    const library = koffi.load("libc.so.6");
    return {
      trim: library.func("int malloc_trim(size_t pad)"),
      map: library.func(
        "void *mmap(void *at, size_t size, int protection, int flags, int file, long offset)"
      ),
      advise: library.func("int madvise(void *at, size_t size, int advice)"),
      unmap: library.func("int munmap(void *at, size_t size)")
    };
  } catch {
    return void 0;
  }
}
var [READ, SHARED, NOT_NEEDED] = [1, 1, 4];
var THREAD_STACK = 2 ** 23;
var LARGE = 2 ** 23;
var LARGE_PAGE = 2 ** 21;
var [READ_WRITE, PRIVATE, LARGE_PAGES] = [3, 34, 14];
var Library = class {
  constructor(koffi, path) {
    this.koffi = koffi;
    this.placeholder = { folder: dirname(path), file: basename(path) };
    const base = koffi.load(path).func("void *OrtGetApiBase()")();
    const [getApi, getVersion] = koffi.decode(base, koffi.array("void *", 2));
    const version = koffi.call(getVersion, koffi.proto("const char *RopewalkGetVersion()"));
    if (version !== LIBRARY_VERSION) throw new Error(`the library is version ${String(version)}`);
    const api = koffi.call(getApi, koffi.proto("void *RopewalkGetApi(uint32_t version)"), API_VERSION);
    const length = Math.max(...Object.values(API).map(([index]) => index)) + 1;
    const table = koffi.decode(api, koffi.array("void *", length));
    this.api = Object.fromEntries(
      Object.entries(API).map(([name2, [index, result, parameters]]) => {
        const type = koffi.proto(`${result} Ropewalk_${name2}(${parameters})`);
        return [name2, (...args) => koffi.call(table[index], type, ...args)];
      })
    );
    const inBackground = (name2) => {
      const [index, result, parameters] = API[name2];
      const type = koffi.proto(`${result} RopewalkBackground_${name2}(${parameters})`);
      const call = koffi.decode(table[index], type);
      return (...args) => new Promise((resolve, reject) => {
        call.async(...args, (error, status) => error ? reject(error) : resolve(status));
      });
    };
    this.runInBackground = inBackground("run");
    const hasStack = (koffi.config().async_stack_size ?? 0) >= THREAD_STACK;
    this.#createInBackground = hasStack ? inBackground("createSessionFromArray") : void 0;
    this.env = this.out((out) => this.api.createEnv(3, "ropewalk", out));
    this.cpu = this.out((out) => this.api.createCpuMemoryInfo(0, 0, out));
    this.allocator = this.out((out) => this.api.getDefaultAllocator(out));
    this.#glibc = openGlibc(koffi);
  }
  koffi;
  /** A file that always exists. */
  placeholder;
  api;
  /** `api.run` in another thread. @returns its status. */
  runInBackground;
  env;
  cpu;
  allocator;
  #glibc;
  #createInBackground;
  /**
   * Returns freed memory to the system if the C library keeps it (glibc): after loading, that is more than the model
   * itself takes.
   */
  trimMemory() {
    this.#glibc?.trim(0);
  }
  /** @throws Error when the memory cannot be allocated. */
  allocate(bytes2) {
    const { api, allocator } = this;
    const glibc = this.#glibc;
    if (glibc && bytes2 >= LARGE) {
      const size = Math.ceil(bytes2 / LARGE_PAGE) * LARGE_PAGE;
      const data2 = glibc.map(null, size, READ_WRITE, PRIVATE, -1, 0);
      if (BigInt.asIntN(64, BigInt(data2)) !== -1n) {
        glibc.advise(data2, size, LARGE_PAGES);
        return { data: data2, free: () => glibc.unmap(data2, size) };
      }
    }
    const data = this.out((out) => api.allocate(allocator, Math.max(4, bytes2), out));
    return { data, free: () => this.check(api.free(allocator, data)) };
  }
  /**
   * Maps the first bytes of an open file, which must never become shorter.
   *
   * @returns undefined where mapping is not supported.
   */
  mapFile(file, bytes2) {
    const glibc = this.#glibc;
    const data = glibc?.map(null, bytes2, READ, SHARED, file, 0);
    if (!glibc || data === void 0 || BigInt.asIntN(64, BigInt(data)) === -1n) return void 0;
    return {
      data,
      drop: () => glibc.advise(data, bytes2, NOT_NEEDED),
      free: () => glibc.unmap(data, bytes2)
    };
  }
  /** `createSessionFromArray`, in another thread if possible. */
  async createSession(model2, settings) {
    const { env, koffi, api } = this;
    const out = [null];
    const args = [env, koffi.address(model2), model2.byteLength, settings, out];
    this.check(await (this.#createInBackground ?? api.createSessionFromArray)(...args));
    return out[0];
  }
  /** Turns a status into an error. */
  check(status) {
    if (!status) return;
    const message = String(this.api.getErrorMessage(status));
    this.api.releaseStatus(status);
    throw new Error(message);
  }
  /** The value that a function writes to its last argument. */
  out(call) {
    const out = [null];
    this.check(call(out));
    return out[0];
  }
};
function enlargeStacks(koffi) {
  try {
    const settings = koffi.config();
    if ((settings.async_stack_size ?? 0) < THREAD_STACK)
      koffi.config({ ...settings, async_stack_size: THREAD_STACK });
  } catch {
  }
}
function openLibrary() {
  refuseTelemetry();
  try {
    const path = libraryPath();
    if (path === void 0) return void 0;
    const koffi = require2("koffi");
    enlargeStacks(koffi);
    refuseTelemetry(koffi);
    return new Library(koffi, path);
  } catch {
    return void 0;
  }
}

// src/runtime/device-memory.node.ts
var BYTES = { float32: 4, float16: 2, int32: 4 };
var EngineTensorOnDevice = class {
  constructor(dtype, shape2, byteLength, value, of) {
    this.dtype = dtype;
    this.shape = shape2;
    this.byteLength = byteLength;
    this.of = of;
    this.value = value;
  }
  dtype;
  shape;
  byteLength;
  of;
  value;
};
function valueOf(tensor) {
  const { value, of } = tensor;
  if (value === void 0 || of && of.value === void 0) throw new Error("the tensor was freed");
  return value;
}
function bindTensors(library, session, inputs, outputs) {
  const { api } = library;
  let binding = library.out((out) => api.createIoBinding(session, out));
  const release = () => {
    if (binding !== void 0) api.releaseIoBinding(binding);
    binding = void 0;
  };
  try {
    for (const [name2, tensor] of Object.entries(inputs))
      library.check(api.bindInput(binding, name2, valueOf(tensor)));
    for (const [name2, tensor] of Object.entries(outputs))
      library.check(api.bindOutput(binding, name2, valueOf(tensor)));
  } catch (error) {
    release();
    throw error;
  }
  return {
    run() {
      if (binding === void 0) throw new Error("the binding was released");
      library.check(api.runWithBinding(session, null, binding));
    },
    release
  };
}
var EngineDeviceMemory = class {
  #byteLength = 0;
  #tensors = /* @__PURE__ */ new Set();
  traffic = { written: 0, read: 0 };
  #library;
  #session;
  #memory;
  #allocator;
  /** @param session the allocator's, kept open for as long as the memory. */
  constructor(library, session, memory, allocator) {
    this.#library = library;
    this.#session = session;
    this.#memory = memory;
    this.#allocator = allocator;
  }
  get byteLength() {
    return this.#byteLength;
  }
  allocate(dtype, shape2) {
    const { api, koffi } = this.#library;
    const size = sizeOf(shape2);
    const dims = BigInt64Array.from(shape2, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    let value;
    try {
      value = this.#library.out(
        (out) => api.createTensor(this.#allocator, address, dims.length, elementTypes2[dtype], out)
      );
    } catch (error) {
      throw new RopewalkError(
        `the device has no room for ${dtype} ${shapeText(shape2)} (${size * BYTES[dtype]} bytes).`,
        { cause: error }
      );
    }
    const tensor = new EngineTensorOnDevice(dtype, shape2, size * BYTES[dtype], value);
    this.#tensors.add(tensor);
    this.#byteLength += tensor.byteLength;
    return tensor;
  }
  view(tensor, shape2) {
    const { api, koffi } = this.#library;
    const { dtype, byteLength } = tensor;
    if (sizeOf(shape2) * BYTES[dtype] !== byteLength)
      throw new Error(`${shapeText(shape2)} is no view of ${shapeText(tensor.shape)}`);
    const owner = tensor.of ?? tensor;
    const data = this.#library.out((out) => api.getTensorMutableData(valueOf(owner), out));
    const dims = BigInt64Array.from(shape2, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    const value = this.#library.out(
      (out) => api.createTensorWithData(
        this.#memory,
        data,
        byteLength,
        address,
        dims.length,
        elementTypes2[dtype],
        out
      )
    );
    const view = new EngineTensorOnDevice(dtype, shape2, byteLength, value, owner);
    this.#tensors.add(view);
    return view;
  }
  write(tensor, data) {
    this.#withHost(tensor, data, (host) => this.#copy(host, valueOf(tensor)));
    this.traffic.written += tensor.byteLength;
  }
  read(tensor, into) {
    this.#withHost(tensor, into, (host) => this.#copy(valueOf(tensor), host));
    this.traffic.read += tensor.byteLength;
  }
  copy(from, to) {
    if (from.dtype !== to.dtype || from.byteLength !== to.byteLength)
      throw new Error(`${shapeText(from.shape)} cannot be copied to ${shapeText(to.shape)}`);
    this.#copy(valueOf(from), valueOf(to));
  }
  free(tensor) {
    const own2 = tensor;
    if (own2.value === void 0) return;
    this.#library.api.releaseValue(own2.value);
    own2.value = void 0;
    this.#tensors.delete(own2);
    if (!own2.of) this.#byteLength -= own2.byteLength;
  }
  async release() {
    const views = [...this.#tensors].filter(({ of }) => of);
    for (const tensor of [...views, ...this.#tensors]) this.free(tensor);
    const { api } = this.#library;
    api.releaseAllocator(this.#allocator);
    api.releaseMemoryInfo(this.#memory);
    api.releaseSession(this.#session);
  }
  #withHost(tensor, data, use) {
    const { api, cpu: cpu2, koffi } = this.#library;
    const { dtype, shape: shape2, byteLength } = tensor;
    if (data.byteLength !== byteLength)
      throw new Error(`${data.byteLength} bytes were given for ${dtype} ${shapeText(shape2)}`);
    if (byteLength === 0) return;
    const dims = BigInt64Array.from(shape2, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    const host = this.#library.out(
      (out) => api.createTensorWithData(
        ...[cpu2, koffi.address(data), byteLength, address, dims.length, elementTypes2[dtype], out]
      )
    );
    try {
      use(host);
    } finally {
      api.releaseValue(host);
    }
  }
  #copy(from, to) {
    const { api, env, koffi } = this.#library;
    const [source5, target] = [BigUint64Array.of(BigInt(from)), BigUint64Array.of(BigInt(to))];
    this.#library.check(api.copyTensors(env, koffi.address(source5), koffi.address(target), null, 1));
  }
};
async function openDeviceMemory(library, createSession2) {
  const { api } = library;
  const model2 = emitModel(/* @__PURE__ */ new Map([["y", mul(input("x", "float32", [1]), scalar(2))]]), {
    dialect: "webgpu"
  });
  const session = await createSession2(model2.bytes);
  const memory = library.out((out) => api.createMemoryInfo("WebGPU_Buffer", 1, 0, 0, out));
  const allocator = library.out((out) => api.createAllocator(session, memory, out));
  return new EngineDeviceMemory(library, session, memory, allocator);
}

// src/runtime/from-layout.node.ts
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";

// src/onnx/layout-cache.ts
function tensorBytes({ type, shape: shape2 }) {
  return shape2.reduce((product, size) => product * size, type === "uint8" ? 1 : 4);
}

// src/runtime/provided.node.ts
var ProvidedWeights = class {
  #entries = [];
  #shared = [];
  #library;
  constructor(library) {
    this.#library = library;
  }
  async add({ tensors, fill: fill2 }) {
    const { koffi } = this.#library;
    const targets = tensors.map((tensor) => {
      const byteLength = tensorBytes(tensor);
      const block = this.#library.allocate(byteLength);
      this.#addAt(tensor, block.data, block);
      const memory = koffi.view(block.data, byteLength);
      return tensor.type === "uint8" ? new Uint8Array(memory) : new Float32Array(memory);
    });
    await fill2(targets);
  }
  /** Adds tensors that are already in memory, each at an offset, which `free` frees once the session is released. */
  addShared(tensors, offsets, memory) {
    this.#shared.push(memory);
    for (const [i, tensor] of tensors.entries())
      this.#addAt(tensor, BigInt(memory.data) + BigInt(offsets[i]), void 0);
  }
  #addAt(tensor, data, block) {
    const { api, koffi, cpu: cpu2 } = this.#library;
    const type = elementTypes2[tensor.type];
    const byteLength = tensorBytes(tensor);
    const sizes = BigInt64Array.from(tensor.shape, BigInt);
    const address = koffi.address(sizes);
    const value = this.#library.out(
      (out) => api.createTensorWithData(cpu2, data, byteLength, address, sizes.length, type, out)
    );
    this.#entries.push({ tensor, name: Buffer.from(`${tensor.name}\0`), value, byteLength, block });
  }
  /**
   * Weights of products are read in place. The engine copies the others, because it may compute with them while it
   * prepares the model; for another device it copies all.
   */
  giveTo(options3, device) {
    const library = this.#library;
    const { api, koffi } = library;
    const shared = this.#entries.filter(({ tensor }) => tensor.product && device === "cpu");
    for (const { name: name2, value } of shared)
      library.check(api.addInitializer(options3, koffi.address(name2), value));
    const copied = this.#entries.filter(({ tensor }) => !(tensor.product && device === "cpu"));
    if (copied.length === 0) return;
    const names12 = BigUint64Array.from(copied, ({ name: name2 }) => koffi.address(name2));
    const values = BigUint64Array.from(copied, ({ value }) => BigInt(value));
    library.check(
      api.addExternalInitializers(options3, koffi.address(names12), koffi.address(values), copied.length)
    );
  }
  /** Frees what the engine has packed. */
  async releasePacked(packs) {
    for (const entry of this.#entries) {
      const { product } = entry.tensor;
      if (product && (await packs(product.weight)).has(product.part)) this.#free(entry);
    }
  }
  /** Fills the memory of a part with zeros, which does not affect what has been packed. */
  overwrite(part) {
    for (const { tensor, block, byteLength } of this.#entries) {
      if (block && tensor.product?.part === part)
        new Uint8Array(this.#library.koffi.view(block.data, byteLength)).fill(0);
    }
  }
  /** Frees everything; the session must have been released. */
  release() {
    for (const entry of this.#entries) this.#free(entry);
    for (const { value } of this.#entries) this.#library.api.releaseValue(value);
    this.#entries.length = 0;
    for (const memory of this.#shared.splice(0)) memory.free();
  }
  #free(entry) {
    entry.block?.free();
    entry.block = void 0;
  }
};

// src/runtime/from-layout.node.ts
var STEP_MS = 10;
var READ_BYTES = 1 << 24;
var read = promisify(fs.read);
async function openFromLayout(library, provided, layouts, open) {
  for (let attempt = 0; attempt < 2; attempt++) {
    const layout = await layouts.obtain(provided, layoutEngine(library));
    if (!layout) return void 0;
    const file = await inMemory(library, layout);
    if (!file) return void 0;
    const weights = new ProvidedWeights(library);
    let isChecking = true;
    let isUnused = false;
    const free = () => {
      if (isChecking) isUnused = true;
      else file.free();
    };
    const tensors = provided.flatMap((weight) => weight.tensors);
    weights.addShared(tensors, layout.offsets, { data: file.data, free });
    let isPacking = true;
    const [opened, checked] = await Promise.allSettled([
      open(weights).finally(() => {
        isPacking = false;
      }),
      isIntact(library, layout, file).then(async (intact) => {
        for (; isPacking; file.drop()) await sleep(STEP_MS);
        return intact;
      })
    ]);
    isChecking = false;
    if (isUnused) file.free();
    const isWhole = checked.status === "fulfilled" && checked.value;
    if (isWhole && opened.status === "fulfilled") return { session: opened.value, weights };
    if (isWhole && opened.status === "rejected") throw opened.reason;
    if (opened.status === "fulfilled") await opened.value.release();
    await layout.discard();
  }
  return void 0;
}
async function inMemory(library, layout) {
  try {
    return library.mapFile(layout.file, layout.bytes) ?? await readWhole(library, layout);
  } finally {
    await layout.close();
  }
}
async function readWhole(library, { file, bytes: bytes2 }) {
  const { data, free } = library.allocate(bytes2);
  for (let done = 0; done < bytes2; ) {
    const length = Math.min(READ_BYTES, bytes2 - done);
    const view = new Uint8Array(library.koffi.view(BigInt(data) + BigInt(done), length));
    const { bytesRead } = await read(file, view, 0, length, done).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) {
      free();
      return void 0;
    }
    done += bytesRead;
  }
  return { data, free, drop() {
  } };
}
async function isIntact(library, layout, mapped) {
  for (const { offset, bytes: bytes2, crc } of layout.pieces) {
    const view = library.koffi.view(BigInt(mapped.data) + BigInt(offset), bytes2);
    if (crc32(new Uint8Array(view)) !== crc) return false;
    mapped.drop();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return true;
}
function layoutEngine(library) {
  return {
    name: ENGINE_NAME,
    allocate(bytes2) {
      const { data, free } = library.allocate(bytes2);
      return { memory: library.koffi.view(data, bytes2), free };
    }
  };
}

// src/runtime/packing.node.ts
import { Tensor as Tensor2 } from "onnxruntime-common";
var ROWS = 64;
var COLUMNS = 256;
var TOKENS = [1, 2, 24];
async function packedParts(library, product, create2) {
  const transB = !("transposed" in product && product.transposed);
  const shape2 = transB ? [ROWS, COLUMNS] : [COLUMNS, ROWS];
  const weight = parameter("weight", shape2);
  const outputs = TOKENS.map((tokens) => {
    const x = input(`x${tokens}`, "float32", [tokens, COLUMNS]);
    return [`y${tokens}`, matmul(x, weight, { transB })];
  });
  const sources = /* @__PURE__ */ new Map([["weight", exampleWeight(product)]]);
  const model2 = emitModel(new Map(outputs), { weights: sources, provide: library.placeholder });
  const weights = new ProvidedWeights(library);
  for (const provided of model2.provided) await weights.add(provided);
  const session = await create2(model2.bytes, weights);
  const run = async () => {
    const feeds = TOKENS.map((tokens) => {
      const values = Float32Array.from({ length: tokens * COLUMNS }, (_, i) => 1 + i % 7);
      return [`x${tokens}`, new Tensor2("float32", values, [tokens, COLUMNS])];
    });
    const fetches = Object.fromEntries(outputs.map(([name2]) => [name2, null]));
    const results = await session.run(Object.fromEntries(feeds), fetches);
    return outputs.flatMap(([name2]) => Array.from(results[name2].data));
  };
  const before = await run();
  const packed = /* @__PURE__ */ new Set();
  for (const part of ["numbers", "factors"]) {
    weights.overwrite(part);
    const after = await run();
    if (!before.every((value, i) => value !== 0 && value === after[i])) break;
    packed.add(part);
  }
  await session.release();
  return packed;
}
function exampleWeight(product) {
  if (!("bits" in product)) return { data: new Float32Array(ROWS * COLUMNS).fill(1) };
  const { bits, block, exact, zeroPoints } = product;
  const blocks = COLUMNS / block;
  const source5 = quantizedSource({
    rows: ROWS,
    columns: COLUMNS,
    bits,
    block,
    // 0xff: the largest code, whose value is not zero.
    data: new Uint8Array(ROWS * COLUMNS * bits / 8).fill(255),
    scales: new Float32Array(ROWS * blocks).fill(1),
    ...zeroPoints && { zeroPoints: new Uint8Array(ROWS * Math.ceil(blocks * bits / 8)).fill(51) }
  });
  return { quantized: { ...source5, exact } };
}

// src/runtime/direct.node.ts
var Slots = class {
  #described;
  names;
  values;
  #texts;
  #library;
  constructor(library, names12) {
    this.#library = library;
    this.#texts = names12.map((name2) => Buffer.from(`${name2}\0`));
    this.names = BigUint64Array.from(this.#texts, (text2) => library.koffi.address(text2));
    this.values = new BigUint64Array(names12.length);
    this.#described = new Array(names12.length).fill(void 0);
  }
  get count() {
    return this.values.length;
  }
  /** Points a slot to an array; the engine reads or writes it in place. */
  set(slot, tensor) {
    const data = tensor.data;
    const known = this.#described[slot];
    if (known && known.data.buffer === data.buffer && known.data.byteOffset === data.byteOffset && known.data.byteLength === data.byteLength && known.dims.length === tensor.dims.length && known.dims.every((size, axis) => size === tensor.dims[axis])) {
      return;
    }
    this.clear(slot);
    const { api, cpu: cpu2, koffi } = this.#library;
    const shape2 = BigInt64Array.from(tensor.dims, BigInt);
    const address = data.byteLength > 0 ? koffi.address(data) : koffi.address(this.names);
    const type = elementTypes2[tensor.type];
    const value = this.#library.out(
      (out) => api.createTensorWithData(cpu2, address, data.byteLength, koffi.address(shape2), shape2.length, type, out)
    );
    this.#described[slot] = { data, dims: tensor.dims, value };
    this.values[slot] = BigInt(value);
  }
  /** Lets the engine allocate an output. */
  clear(slot) {
    const known = this.#described[slot];
    if (known) this.#library.api.releaseValue(known.value);
    this.#described[slot] = void 0;
    this.values[slot] = 0n;
  }
  release() {
    for (let slot = 0; slot < this.count; slot++) this.clear(slot);
  }
};
var DirectSession = class {
  #inputs;
  #outputs;
  #signature = "";
  #released = false;
  #library;
  #session;
  #weights;
  #inBackground;
  /** @param inBackground whether runs leave this thread free. */
  constructor(library, session, weights, inBackground) {
    this.#library = library;
    this.#inBackground = inBackground;
    this.#session = session;
    this.#weights = weights;
  }
  async run(feeds, fetches) {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#released) throw new Error("the session was released");
    const names12 = { inputs: Object.keys(feeds), outputs: Object.keys(fetches) };
    const signature = JSON.stringify(names12);
    if (signature !== this.#signature) {
      this.#inputs?.release();
      this.#outputs?.release();
      this.#inputs = new Slots(this.#library, names12.inputs);
      this.#outputs = new Slots(this.#library, names12.outputs);
      this.#signature = signature;
    }
    const inputs = this.#inputs;
    const outputs = this.#outputs;
    names12.inputs.forEach((name2, slot) => {
      inputs.set(slot, feeds[name2]);
    });
    names12.outputs.forEach((name2, slot) => {
      const target = fetches[name2];
      if (target) outputs.set(slot, target);
      else outputs.clear(slot);
    });
    const { api, koffi, runInBackground } = this.#library;
    const given = [
      ...[this.#session, null, koffi.address(inputs.names)],
      ...[inputs.count > 0 ? koffi.address(inputs.values) : null, inputs.count],
      ...[koffi.address(outputs.names), outputs.count, koffi.address(outputs.values)]
    ];
    this.#library.check(this.#inBackground ? await runInBackground(...given) : api.run(...given));
    const results = {};
    names12.outputs.forEach((name2, slot) => {
      results[name2] = fetches[name2] ?? this.#take(outputs.values[slot]);
      if (!fetches[name2]) outputs.values[slot] = 0n;
    });
    return results;
  }
  bind(inputs, outputs) {
    if (this.#released) throw new Error("the session was released");
    return bindTensors(this.#library, this.#session, inputs, outputs);
  }
  endProfiling() {
    this.#library.out((out) => this.#library.api.endProfiling(this.#session, this.#library.allocator, out));
  }
  async release() {
    if (this.#released) return;
    this.#released = true;
    this.#inputs?.release();
    this.#outputs?.release();
    this.#library.api.releaseSession(this.#session);
    this.#weights.release();
  }
  /** Copies an output that the engine allocated into our own array, and frees it. */
  #take(value) {
    const { api, koffi } = this.#library;
    const info = this.#library.out((out) => api.getTensorTypeAndShape(value, out));
    const number = [0];
    this.#library.check(api.getTensorElementType(info, number));
    const type = Object.keys(elementTypes2).find((key) => elementTypes2[key] === number[0]);
    this.#library.check(api.getDimensionsCount(info, number));
    const shape2 = new BigInt64Array(Number(number[0]));
    if (shape2.length > 0) this.#library.check(api.getDimensions(info, koffi.address(shape2), shape2.length));
    api.releaseTensorTypeAndShapeInfo(info);
    const dims = Array.from(shape2, Number);
    const size = sizeOf(dims);
    const data = this.#library.out((out) => api.getTensorMutableData(value, out));
    const copy = (make, bytes2) => new make(size === 0 ? new ArrayBuffer(0) : koffi.view(data, size * bytes2).slice(0));
    try {
      if (type === "float32") return new OrtTensor("float32", copy(Float32Array, 4), dims);
      if (type === "int32") return new OrtTensor("int32", copy(Int32Array, 4), dims);
      if (type === "int64") return new OrtTensor("int64", copy(BigInt64Array, 8), dims);
      throw new Error(`an output has the element type ${String(number[0])}, which is not supported`);
    } finally {
      api.releaseValue(value);
    }
  }
};
function* configEntries(extra, prefix = "") {
  for (const [key, value] of Object.entries(extra)) {
    if (typeof value === "object" && value !== null) yield* configEntries(value, `${prefix}${key}.`);
    else yield [`${prefix}${key}`, String(value)];
  }
}
var PROVIDERS = { cpu: null, webgpu: "WebGPU" };
function providerOf({ executionProviders: [provider] = ["cpu"] }) {
  return provider ?? "cpu";
}
function directRuntime(binding) {
  const library = openLibrary();
  if (!library) return void 0;
  const { api, koffi } = library;
  const settingsOf2 = (options3, weights) => {
    const settings = library.out((out) => api.createSessionOptions(out));
    try {
      library.check(api.setGraphOptimizationLevel(settings, 99));
      library.check(api.setLogSeverity(settings, options3.logSeverityLevel ?? 3));
      if (options3.enableMemPattern === false) library.check(api.disableMemPattern(settings));
      if (options3.intraOpNumThreads !== void 0) {
        library.check(api.setIntraOpNumThreads(settings, options3.intraOpNumThreads));
      }
      for (const [key, value] of configEntries(options3.extra ?? {})) {
        library.check(api.addSessionConfigEntry(settings, key, value));
      }
      if (options3.enableProfiling) {
        const encoding = process.platform === "win32" ? "utf16le" : "utf8";
        const prefix = Buffer.from(`${options3.profileFilePrefix ?? "profile"}\0`, encoding);
        library.check(api.enableProfiling(settings, koffi.address(prefix)));
      }
      const provider = PROVIDERS[providerOf(options3)];
      if (provider) library.check(api.appendExecutionProvider(settings, provider, null, null, 0));
      weights.giveTo(settings, provider === null ? "cpu" : "other");
      return settings;
    } catch (error) {
      api.releaseSessionOptions(settings);
      throw error;
    }
  };
  const open = async (model2, options3, weights) => {
    try {
      const settings = settingsOf2(options3, weights);
      try {
        const session = await library.createSession(model2, settings);
        return new DirectSession(library, session, weights, options3.inBackground ?? false);
      } finally {
        api.releaseSessionOptions(settings);
      }
    } catch (error) {
      weights.release();
      throw error;
    }
  };
  const packingOptions = {
    intraOpNumThreads: 1,
    extra: { session: { model_external_initializers_file_folder_path: library.placeholder.folder } }
  };
  const known = /* @__PURE__ */ new Map();
  const packs = (product) => {
    const key = JSON.stringify(product);
    const found = known.get(key) ?? packedParts(library, product, (model2, weights) => open(model2, packingOptions, weights));
    known.set(key, found);
    return found;
  };
  const create2 = async (model2, options3 = {}, provided = [], layouts) => {
    const provider = providerOf(options3);
    if (!(provider in PROVIDERS) || options3.graphOptimizationLevel !== "all")
      return binding.InferenceSession.create(model2, options3);
    const { disable_prepacking } = options3.extra?.session ?? {};
    const isPacked = disable_prepacking !== "1" && provider === "cpu";
    const layout = layouts && await openFromLayout(library, provided, layouts, (weights2) => open(model2, options3, weights2));
    const weights = layout?.weights ?? new ProvidedWeights(library);
    let session = layout?.session;
    if (!session) {
      try {
        for (const weight of provided) await weights.add(weight);
      } catch (error) {
        weights.release();
        throw error;
      }
      session = await open(model2, options3, weights);
    }
    if (isPacked) await weights.releasePacked(packs);
    if (provided.length > 0) library.trimMemory();
    return session;
  };
  return {
    runtime: { InferenceSession: { create: create2 }, Tensor: OrtTensor },
    placeholder: library.placeholder,
    layouts: layoutEngine(library),
    openMemory: (provider) => openDeviceMemory(library, async (model2) => {
      const settings = settingsOf2({ executionProviders: [provider] }, new ProvidedWeights(library));
      try {
        return await library.createSession(model2, settings);
      } finally {
        api.releaseSessionOptions(settings);
      }
    })
  };
}

// src/runtime/webgpu.node.ts
import { listSupportedBackends } from "onnxruntime-node";
function webgpuRuntime(runtime) {
  return {
    Tensor: runtime.Tensor,
    InferenceSession: {
      async create(model2, options3, provided) {
        if (!listSupportedBackends().some(({ name: name2 }) => name2 === "webgpu")) {
          throw new RopewalkError(
            said`onnxruntime-node has no WebGPU for ${process.platform} on ${process.arch}; run on the CPU (${option("device", "cpu")}).`
          );
        }
        try {
          return await runtime.InferenceSession.create(model2, options3, provided);
        } catch (error) {
          throw noAdapter(error) ?? error;
        }
      }
    }
  };
}
var ON_LINUX = " for Vulkan and its loader, libvulkan.so.1 (Debian's libvulkan1); or select a software driver before the program starts, such as Chromium's: VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json LD_LIBRARY_PATH=/usr/lib/chromium";
function noAdapter(error) {
  if (!(error instanceof Error) || !error.message.includes("WebGPU adapter")) return void 0;
  return new RopewalkError(
    said`WebGPU found no usable graphics card. Install the card's driver${process.platform === "linux" ? ON_LINUX : ""}; or run on the CPU (${option("device", "cpu")}).`,
    { cause: error }
  );
}

// src/runtime/engine.node.ts
var direct = null;
function nodeEngine(defaults = {}, options3 = {}) {
  const { provider = "cpu" } = defaults;
  const binding = ort;
  if (direct === null) direct = directRuntime(binding);
  const served = provider === "cpu" || provider === "webgpu";
  const chosen = options3.binding || !served ? void 0 : direct;
  const runtime = chosen?.runtime ?? binding;
  return {
    name: chosen ? "onnxruntime (C interface)" : "onnxruntime-node",
    runtime: provider === "webgpu" ? webgpuRuntime(runtime) : runtime,
    writesOutputs: true,
    takesWeights: chosen?.placeholder,
    layouts: chosen?.layouts,
    sharesBuffers: chosen !== void 0 && provider === "cpu",
    ...chosen && provider === "webgpu" && { openMemory: () => chosen.openMemory("webgpu") },
    defaults
  };
}

// src/kernels/kernels.generated.ts
var kernelsBase64 = "AGFzbQEAAAABnwEPYAR/f39/AGAFf39/f38AYAN/f30AYAJ/fwF9YAZ/f39/f38AYAJ/fwF8YAV/f398fABgA39/fwBgDX9/f39/fHx8fHx8fHwAYAd/f39/fX1/AGASf39/f39/f398fHx8fHx8fH9/AGAPf39/f398fHx8fHx8fH9/AGAKf39/f39/fXx9fQBgCH9/f39/f3x8AXxgCH9/f39/fXx8AXwCDwEDZW52Bm1lbW9yeQIAAAMXFgMAAAEAAQAEAQUGAgIBBwgJCgsMDQ4GCQF9AUMAAAAACweKAhUFYWRhbXcADwNzZ2QACgxzdW1PZlNxdWFyZXMACQdhZGRJbnRvAA4HYWRkUm93cwANBXNjYWxlAAsEZmlsbAAMDWFkYWZhY3Rvck5vcm0AFQ1hZGFmYWN0b3JTdW1zABQPYWRhZmFjdG9yVXBkYXRlABMNYWRhbXdCZmxvYXQxNgASC2FkYW13QmxvY2tzABENcXVhbnRpemVCeXRlcwAID3F1YW50aXplTmliYmxlcwAHCnVucGFja1E0XzAABgp1bnBhY2tRNF9LAAUKdW5wYWNrUTVfMAAECnVucGFja1E1X0sAAwp1bnBhY2tRNl9LAAIKdW5wYWNrUThfMAABBm1lbW9yeQIACr5UFokBAQF/IABBBGohAiABQQRJBH8gASACai0AAEE/cQUgASACaiIBLQAEQQ9xIAFBBGstAABBAnZBMHFyCyEBAn0gAC8BACIAQYCAAnFBEHQiAkGAgID8B3IgAEH/B3FBDXRyviAAQf//AXEiAEGA+AFPDQAaIABBDXS+QwAAgHeUvCACcr4LIAGzlAu6AQEDfwNAIAEgBEsEQCADAn0gAC8BACIGQYCAAnFBEHQiBUGAgID8B3IgBkH/B3FBDXRyviAGQf//AXEiBkGA+AFPDQAaIAZBDXS+QwAAgHeUvCAFcr4LOAIAIAIgAP0ABAL9DICAgICAgICAgICAgICAgID9Uf0LBAAgAiAA/QAEEv0MgICAgICAgICAgICAgICAgP1R/QsEECAAQSJqIQAgAkEgaiECIANBBGohAyAEQQFqIQQMAQsLC80EAwR/A3sBfQNAIAEgBksEQAJ9IAAvAdABIgRBgIACcUEQdCIFQYCAgPwHciAEQf8HcUENdHK+IARB//8BcSIEQYD4AU8NABogBEENdL5DAACAd5S8IAVyvgshC0EAIQQDQCAEQRBJBEAgAyAEQQJ0aiALIABBwAFqIARqLAAAspQ4AgAgBEEBaiEEDAELC0EAIQUDQCAFQQJJBEBBACEEA0AgBEEgSQRAIAAgBUEGdGogBGoiB/0ABAAhCSAH/QAEICEKIAIgBGoiByAJ/QwPDw8PDw8PDw8PDw8PDw8P/U4gAEGAAWogBUEFdGogBGr9AAQAIghBBP2LAf0MMDAwMDAwMDAwMDAwMDAwMP1O/VD9DGBgYGBgYGBgYGBgYGBgYGD9bv0LBAAgByAK/QwPDw8PDw8PDw8PDw8PDw8P/U4gCEEC/YsB/QwwMDAwMDAwMDAwMDAwMDAw/U79UP0MYGBgYGBgYGBgYGBgYGBgYP1u/QsEICAHIAlBBP2NAf0MDw8PDw8PDw8PDw8PDw8PD/1OIAj9DDAwMDAwMDAwMDAwMDAwMDD9Tv1Q/QxgYGBgYGBgYGBgYGBgYGBg/W79CwRAIAcgCkEE/Y0B/QwPDw8PDw8PDw8PDw8PDw8P/U4gCEEC/Y0B/QwwMDAwMDAwMDAwMDAwMDAw/U79UP0MYGBgYGBgYGBgYGBgYGBgYP1u/QsEYCAEQRBqIQQMAQsLIAJBgAFqIQIgBUEBaiEFDAELCyAAQdIBaiEAIANBQGshAyAGQQFqIQYMAQsLC/gDAwZ/AX0CewNAIAEgB0sEQEEAIQUDQCAFQQhJBEAgBUECdCIGIANqIAAgBRAAOAIAIABBBGohCCAFQQRJBH8gBSAIai0ABEE/cQUgBSAIaiIILQAAQQJ2QTBxIAgtAARBBHZyCyEIIAAvAQIiCUGAgAJxQRB0IgpBgICA/AdyIAlB/wdxQQ10cr4hCyAEIAZqQwAAAAAgCUH//wFxIgZBgPgBSQR9IAZBDXS+QwAAgHeUvCAKcr4FIAsLIAizlJM4AgAgBUEBaiEFDAELC0EAIQYDQCAGQQRJBEAgAEEwaiAGQQV0aiEIIAZBAXQhCUEAIQUDQCAFQSBJBEAgAiAFaiIKIAUgCGr9AAQAIgz9DA8PDw8PDw8PDw8PDw8PDw/9TiAAQRBqIAVq/QAEACAJ/Y0BIg1BBP2LAf0MEBAQEBAQEBAQEBAQEBAQEP1O/VD9DICAgICAgICAgICAgICAgID9UP0LBAAgCiAMQQT9jQH9DA8PDw8PDw8PDw8PDw8PDw/9TiANQQP9iwH9DBAQEBAQEBAQEBAQEBAQEBD9Tv1Q/QyAgICAgICAgICAgICAgICA/VD9CwQgIAVBEGohBQwBCwsgAkFAayECIAZBAWohBgwBCwsgAEGwAWohACADQSBqIQMgBEEgaiEEIAdBAWohBwwBCwsLoAMCA38BewNAIAEgBEsEQCADAn0gAC8BACIFQYCAAnFBEHQiBkGAgID8B3IgBUH/B3FBDXRyviAFQf//AXEiBUGA+AFPDQAaIAVBDXS+QwAAgHeUvCAGcr4LOAIAIAIgAP0ABAYiB/0MDw8PDw8PDw8PDw8PDw8PD/1OIAAoAgIiBUH//wNx/RH9DAAAAAAAAAAAAQEBAQEBAQH9Dv0MAQIECBAgQIABAgQIECBAgP1O/QwBAgQIECBAgAECBAgQIECA/SP9DBAQEBAQEBAQEBAQEBAQEBD9Tv1Q/QxwcHBwcHBwcHBwcHBwcHBw/W79CwQAIAIgB0EE/Y0B/QwPDw8PDw8PDw8PDw8PDw8P/U4gBUEQdv0R/QwAAAAAAAAAAAEBAQEBAQEB/Q79DAECBAgQIECAAQIECBAgQID9Tv0MAQIECBAgQIABAgQIECBAgP0j/QwQEBAQEBAQEBAQEBAQEBAQ/U79UP0McHBwcHBwcHBwcHBwcHBwcP1u/QsEECAAQRZqIQAgAkEgaiECIANBBGohAyAEQQFqIQQMAQsLC5wEAwZ/A3sCfQNAIAEgBksEQEEAIQUDQCAFQQhJBEAgBUECdCIHIANqIAAgBRAAIg44AgAgAEEEaiEIIAVBBEkEfyAFIAhqLQAEQT9xBSAFIAhqIggtAABBAnZBMHEgCC0ABEEEdnILIQggAC8BAiIJQYCAAnFBEHQiCkGAgID8B3IgCUH/B3FBDXRyviEPIAQgB2ogCUH//wFxIgdBgPgBSQR9IAdBDXS+QwAAgHeUvCAKcr4FIA8LIAizlIy7IA67RAAAAAAAACBAoqC2OAIAIAVBAWohBQwBCwtBACEFA0AgBUEESQRAIAIgAEEQaiAFQQV0aiIH/QAEACIL/QwPDw8PDw8PDw8PDw8PDw8P/U4iDCAMQQT9jQH9UP0M/wD/AP8A/wD/AP8A/wD/AP1OIAf9AAQQIg39DA8PDw8PDw8PDw8PDw8PDw/9TiIMIAxBBP2NAf1Q/Qz/AP8A/wD/AP8A/wD/AP8A/U79Zv0LBAAgAiALQQT9jQH9DA8ADwAPAA8ADwAPAA8ADwD9TiALQQj9jQH9DPAA8ADwAPAA8ADwAPAA8AD9Tv1QIA1BBP2NAf0MDwAPAA8ADwAPAA8ADwAPAP1OIA1BCP2NAf0M8ADwAPAA8ADwAPAA8ADwAP1O/VD9Zv0LBBAgAkEgaiECIAVBAWohBQwBCwsgAEGQAWohACADQSBqIQMgBEEgaiEEIAZBAWohBgwBCwsL9wECA38CewNAIAEgBEsEQCADAn0gAC8BACIGQYCAAnFBEHQiBUGAgID8B3IgBkH/B3FBDXRyviAGQf//AXEiBkGA+AFPDQAaIAZBDXS+QwAAgHeUvCAFcr4LOAIAIAIgAP0ABAIiB/0MDw8PDw8PDw8PDw8PDw8PD/1OIgggCEEE/Y0B/VD9DP8A/wD/AP8A/wD/AP8A/wD9TiAHQQT9jQH9DA8ADwAPAA8ADwAPAA8ADwD9TiAHQQj9jQH9DPAA8ADwAPAA8ADwAPAA8AD9Tv1Q/Wb9CwQAIABBEmohACACQRBqIQIgA0EEaiEDIARBAWohBAwBCwsLyAoDCH0EfwV7IAJBAnQhEANAIAEgEUsEQP0MAAAAAAAAAAAAAAAAAAAAACES/QwAAAAAAAAAAAAAAAAAAAAAIRNBACEPA0AgDyAQSQRAIBIgACAPav0ABAAiFP3oASESIBMgFP3pASETIA9BEGohDwwBCwtDAAAAACEJQwAAAEEhBiAT/R8CIBP9HwOXIBP9HwAgE/0fAZeXIgcgEv0fAiAS/R8DliAS/R8AIBL9HwGWliIIkyIKIAqTQwAAAABcBEBDAADAfyEJBSAIIAeSQwAAAD+UIQsgCkMurVQFYARAQ///f38hB0EAIQ8DQCAPQQZIBEBDAABwQSAKQwAAgD8gD7JDj8J1PZSTlCIIlSEMAn39DAAAAAAAAAAAAAAAAAAAAAAhEkEAIQ79DAAAAAAAAAAAAAAAAAAAAAAhEyAIQwAAAD+UIAuTIAyUQwAAAD+SjkMAAHBBlkMAAAAAlyIN/RMhFCAM/RMhFgNAIA4gEEkEQCASIAAgDmr9AAQAIhIgFv3mAf0MAAAAPwAAAD8AAAA/AAAAP/3kAf1oIBT95AH9DAAAAAAAAAAAAAAAAAAAAAD96wH9DAAAcEEAAHBBAABwQQAAcEH96gEgFP3lASIVIBL95gH95AEhEiATIBUgFf3mAf3kASETIA5BEGohDgwBCwtD//9/fyAS/R8AIBL9HwGSIBL9HwIgEv0fA5KSIghDAAAAAF5FDQAaIAggE/0fACAT/R8BkiAT/R8CIBP9HwOSkpUkACMA/RMhE0MAAIA/IwCV/RMhFf0MAAAAAAAAAAAAAAAAAAAAACESQQAhDgNAIA4gEEkEQCASIAAgDmr9AAQAIhIgEyASIBX95gH9DAAAAD8AAAA/AAAAPwAAAD/95AH9aCAU/eQB/QwAAAAAAAAAAAAAAAAAAAAA/esB/QwAAHBBAABwQQAAcEEAAHBB/eoBIBT95QH95gH95QEiEiAS/eYB/eQBIRIgDkEQaiEODAELCyAS/R8AIBL9HwGSIBL9HwIgEv0fA5KSCyIIIAddBEAgCCEHIwAhCSANIQYLIA9BAWohDwwBCwsLCyAEIAk4AgAgBSAG/AE6AABDAACAPyAJlUMAAAAAIAlDAAAAAF4b/RMhEiAG/RMhE0EAIQ8DQCAPIBBJBEAgAyAPQQN2aiAAIA9qIg79AAQAIBL95gH9DAAAAD8AAAA/AAAAPwAAAD/95AH9aCAT/eQB/QwAAAAAAAAAAAAAAAAAAAAA/esB/QwAAHBBAABwQQAAcEEAAHBB/eoB/fgBIA79AAQQIBL95gH9DAAAAD8AAAA/AAAAPwAAAD/95AH9aCAT/eQB/QwAAAAAAAAAAAAAAAAAAAAA/esB/QwAAHBBAABwQQAAcEEAAHBB/eoB/fgB/YYBIhQgFEEM/a0B/VD9DP8AAAD/AAAA/wAAAP8AAAD9TiAOQSBq/QAEACAS/eYB/QwAAAA/AAAAPwAAAD8AAAA//eQB/WggE/3kAf0MAAAAAAAAAAAAAAAAAAAAAP3rAf0MAABwQQAAcEEAAHBBAABwQf3qAf34ASAO/QAEMCAS/eYB/QwAAAA/AAAAPwAAAD8AAAA//eQB/WggE/3kAf0MAAAAAAAAAAAAAAAAAAAAAP3rAf0MAABwQQAAcEEAAHBBAABwQf3qAf34Af2GASIUIBRBDP2tAf1Q/Qz/AAAA/wAAAP8AAAD/AAAA/U79hgEiFCAU/Wb9WwMAACAPQUBrIQ8MAQsLIAAgEGohACADIAJBAXZqIQMgBEEEaiEEIAVBAWohBSARQQFqIREMAQsLC+0DAwR/AXsCfSACQQJ0IQYDQCABIAhLBED9DAAAAAAAAAAAAAAAAAAAAAAhCUEAIQUDQCAFIAZJBEAgCSAAIAVq/QAEAP3gAf3pASEJIAVBEGohBQwBCwsgCf0fAiAJ/R8DlyAJ/R8AIAn9HwGXlyIKQy6tVAVdIQUgBEMAAAAAIApDAAD+QpUgBRsiC0MAAMB/IAogCpNDAAAAAFsbOAIAQwAAAABDAACAPyALlSAFG/0TIQlBACEFA0AgBSAGSQRAIAMgBUECdmogACAFaiIH/QAEACAJ/eYB/QwAAAA/AAAAPwAAAD8AAAA//eQB/Wj9+AH9DIAAAACAAAAAgAAAAIAAAAD9rgEgB/0ABBAgCf3mAf0MAAAAPwAAAD8AAAA/AAAAP/3kAf1o/fgB/QyAAAAAgAAAAIAAAACAAAAA/a4B/YUBIAf9AAQgIAn95gH9DAAAAD8AAAA/AAAAPwAAAD/95AH9aP34Af0MgAAAAIAAAACAAAAAgAAAAP2uASAH/QAEMCAJ/eYB/QwAAAA/AAAAPwAAAD8AAAA//eQB/Wj9+AH9DIAAAACAAAAAgAAAAIAAAAD9rgH9hQH9Zv0LBAAgBUFAayEFDAELCyAAIAZqIQAgAiADaiEDIARBBGohBCAIQQFqIQgMAQsLC9wCAwV7A38BfCABQQJ0IglBQHEhAQNAIAEgB0sEQCACIAAgB2oiCP0ABAAiAv1fIgYgBv3yAf3wASACIAL9DQgJCgsMDQ4PAAECAwQFBgf9XyICIAL98gH98AEhAiADIAj9AAQQIgP9XyIGIAb98gH98AEgAyAD/Q0ICQoLDA0ODwABAgMEBQYH/V8iAyAD/fIB/fABIQMgBCAI/QAEICIE/V8iBiAG/fIB/fABIAQgBP0NCAkKCwwNDg8AAQIDBAUGB/1fIgQgBP3yAf3wASEEIAUgCP0ABDAiBf1fIgYgBv3yAf3wASAFIAX9DQgJCgsMDQ4PAAECAwQFBgf9XyIFIAX98gH98AEhBSAHQUBrIQcMAQsLIAIgA/3wASAEIAX98AH98AEiAv0hACAC/SEBoCEKA0AgByAJSQRAIAogACAHaioCALsiCiAKoqAhCiAHQQRqIQcMAQsLIAoLtAEDBH8CewJ9IAO2Igv9EyEJIAS2Igz9EyEKIAJBAnQiB0FgcSEIA0AgBSAISQRAIAAgBWoiBiAG/QAEACAJIAEgBWoiAv0ABAAgCv3mAf3mAf3lAf0LBAAgBiAG/QAEECAJIAL9AAQQIAr95gH95gH95QH9CwQQIAVBIGohBQwBCwsDQCAFIAdJBEAgACAFaiICIAIqAgAgCyABIAVqKgIAIAyUlJM4AgAgBUEEaiEFDAELCwt5AgN/AXsgAv0TIQYgAUECdCIEQWBxIQUDQCADIAVJBEAgACADaiIBIAH9AAQAIAb95gH9CwQAIAEgAf0ABBAgBv3mAf0LBBAgA0EgaiEDDAELCwNAIAMgBEkEQCAAIANqIgEgASoCACAClDgCACADQQRqIQMMAQsLC18CA38BeyAC/RMhBiABQQJ0IgRBYHEhBQNAIAMgBUkEQCAAIANqIgEgBv0LBAAgASAG/QsEECADQSBqIQMMAQsLA0AgAyAESQRAIAAgA2ogAjgCACADQQRqIQMMAQsLC8ABAQl/IARBAnQhBwNAIAMgBksEQCAAIAEgBkECdGooAgAgB2xqIQggAiAGIAdsaiEJQQAhBSAEQQJ0IgpBYHEhDQNAIAUgDUkEQCAFIAhqIgwgDP0ABAAgBSAJaiIL/QAEAP3kAf0LBAAgDCAM/QAEECAL/QAEEP3kAf0LBBAgBUEgaiEFDAELCwNAIAUgCkkEQCAFIAhqIgsgCyoCACAFIAlqKgIAkjgCACAFQQRqIQUMAQsLIAZBAWohBgwBCwsLhAEBBH8gAkECdCIFQWBxIQYDQCADIAZJBEAgACADaiIEIAT9AAQAIAEgA2oiAv0ABAD95AH9CwQAIAQgBP0ABBAgAv0ABBD95AH9CwQQIANBIGohAwwBCwsDQCADIAVJBEAgACADaiICIAIqAgAgASADaioCAJI4AgAgA0EEaiEDDAELCwu0BAMGfwp7Cn1EAAAAAAAA8D8gBSAJoqG2Ih39EyETRAAAAAAAAPA/IAahtiIe/RMhFCAHtiIf/RMhFUQAAAAAAADwPyAHobYiIP0TIRYgCLYiIf0TIRdEAAAAAAAA8D8gC5+jtiIi/RMhGCAFIAqjtiIj/RMhGSAMtiIk/RMhGiAEQQJ0Ig5BYHEhDwNAIA0gD0kEQCACIA1qIhH9AAQAIhsgFCABIA1qIhD9AAQAIBr95gEiHCAb/eUB/eYB/eQBIRsgAyANaiIE/QAEACAV/eYBIBYgHP3mASAc/eYB/eQBIRwgESAb/QsEACAEIBz9CwQAIAAgDWoiEiAS/QAEACAT/eYBIBkgG/3mASAc/eMBIBj95gEgF/3kAf3nAf3lAf0LBAAgEUEQav0ABAAiGyAUIBD9AAQQIBr95gEiHCAb/eUB/eYB/eQBIRsgBEEQav0ABAAgFf3mASAWIBz95gEgHP3mAf3kASEcIBEgG/0LBBAgBCAc/QsEECASQRBqIBL9AAQQIBP95gEgGSAb/eYBIBz94wEgGP3mASAX/eQB/ecB/eUB/QsEACANQSBqIQ0MAQsLA0AgDSAOSQRAIAIgDWoiBCoCACIlIB4gASANaioCACAklCImICWTlJIhJSADIA1qIg8qAgAgH5QgICAmlCAmlJIhJiAEICU4AgAgDyAmOAIAIAAgDWoiBCAEKgIAIB2UICMgJZQgJpEgIpQgIZKVkzgCACANQQRqIQ0MAQsLC6EMAwZ/CHsBfSACQYAIaiEIIAT9EyENIAX9EyEOIAb9Ef0MAAAAAAEAAAACAAAAAwAAAP2uASEPIANBcHEhCQNAIAcgCUkEQCAAIAdqIAdBAnQiCiACaiIL/QAEACIQ/eABIA395gH9DAAAgD8AAIA/AACAPwAAgD/95AEgDyAH/RH9rgEiESARQRD9rQH9Uf0MLTXrfy01638tNet/LTXrf/21ASIRIBFBD/2tAf1R/QyLpmyEi6ZshIumbISLpmyE/bUBIhEgEUEQ/a0B/VEiEf0M//8AAP//AAD//wAA//8AAP1OQQT9qwH9rgFBFP2tAf0M+AMAAPgDAAD4AwAA+AMAAP2xAf0MfwAAAH8AAAB/AAAAfwAAAP22ASAQQR/9rQFBB/2rAf1QIAv9AAQQIhD94AEgDf3mAf0MAACAPwAAgD8AAIA/AACAP/3kASAPIAdBBGr9Ef2uASISIBJBEP2tAf1R/QwtNet/LTXrfy01638tNet//bUBIhIgEkEP/a0B/VH9DIumbISLpmyEi6ZshIumbIT9tQEiEiASQRD9rQH9USIS/Qz//wAA//8AAP//AAD//wAA/U5BBP2rAf2uAUEU/a0B/Qz4AwAA+AMAAPgDAAD4AwAA/bEB/Qx/AAAAfwAAAH8AAAB/AAAA/bYBIBBBH/2tAUEH/asB/VD9hQEgC/0ABCAiEP3gASAN/eYB/QwAAIA/AACAPwAAgD8AAIA//eQBIA8gB0EIav0R/a4BIhMgE0EQ/a0B/VH9DC01638tNet/LTXrfy0163/9tQEiEyATQQ/9rQH9Uf0Mi6ZshIumbISLpmyEi6ZshP21ASITIBNBEP2tAf1RIhP9DP//AAD//wAA//8AAP//AAD9TkEE/asB/a4BQRT9rQH9DPgDAAD4AwAA+AMAAPgDAAD9sQH9DH8AAAB/AAAAfwAAAH8AAAD9tgEgEEEf/a0BQQf9qwH9UCAL/QAEMCIQ/eABIA395gH9DAAAgD8AAIA/AACAPwAAgD/95AEgDyAHQQxq/RH9rgEiFCAUQRD9rQH9Uf0MLTXrfy01638tNet/LTXrf/21ASIUIBRBD/2tAf1R/QyLpmyEi6ZshIumbISLpmyE/bUBIhQgFEEQ/a0B/VEiFP0M//8AAP//AAD//wAA//8AAP1OQQT9qwH9rgFBFP2tAf0M+AMAAPgDAAD4AwAA+AMAAP2xAf0MfwAAAH8AAAB/AAAAfwAAAP22ASAQQR/9rQFBB/2rAf1Q/YUB/Wb9CwQAIAEgB2ogCCAKaiIK/QAEACAO/eYB/QwAAIA/AACAPwAAgD8AAIA//esBIBFBEP2tAUED/asB/a4BQRP9rQH9DPAHAADwBwAA8AcAAPAHAAD9sQH9DP8AAAD/AAAA/wAAAP8AAAD9tgEgCv0ABBAgDv3mAf0MAACAPwAAgD8AAIA/AACAP/3rASASQRD9rQFBA/2rAf2uAUET/a0B/QzwBwAA8AcAAPAHAADwBwAA/bEB/Qz/AAAA/wAAAP8AAAD/AAAA/bYB/YUBIAr9AAQgIA795gH9DAAAgD8AAIA/AACAPwAAgD/96wEgE0EQ/a0BQQP9qwH9rgFBE/2tAf0M8AcAAPAHAADwBwAA8AcAAP2xAf0M/wAAAP8AAAD/AAAA/wAAAP22ASAK/QAEMCAO/eYB/QwAAIA/AACAPwAAgD8AAIA//esBIBRBEP2tAUED/asB/a4BQRP9rQH9DPAHAADwBwAA8AcAAPAHAAD9sQH9DP8AAAD/AAAA/wAAAP8AAAD9tgH9hQH9Zv0LBAAgB0EQaiEHDAELCwNAIAMgB0sEQCAHQQJ0IgogAmoiCyoCAIsgBJRDAACAP5K8IAYgB2oiCSAJQRB2c0Gt6qz/B2wiCSAJQQ92c0GLzbKjeGwiCSAJQRB2cyIJQf//A3FBBHRqQRR2QfgHayEMIAAgB2ogCygCAEEfdkEHdEH/ACAMIAxB/wBOG3I6AAAgASAHakH/AUMAAIA/IAggCmoqAgAgBZQiFSAVQwAAgD9dG7wgCUEQdkEDdGpBE3ZB8A9rIgkgCUH/AU4bOgAAIAdBAWohBwwBCwsL8AcDCH8PfQ97RAAAAAAAAPA/IAggDKKhtiIc/RMhK0QAAAAAAADwPyAJobYiHf0TISwgCrYiHv0TIS1EAAAAAAAA8D8gCqG2Ih/9EyEuIAu2IiD9EyEvRAAAAAAAAPA/IA6fo7YiIf0TITAgCCANo7YiIv0TITEgD7YiI/0TITIgBkGACGohFANAIAcgE0sEQCADIBNBCHYiFkECdCISaioCAEMaiYg3lCIk/RMhMyAFIBJqKgIAQwghhDeUIiX9EyE0QYACIAcgE2siEiASQYACSxsiFUF8cSEX/QwAAAAAAAAAAAAAAAAAAAAAISn9DAAAAAAAAAAAAAAAAAAAAAAhKkEAIRIDQCASIBdJBEAgASASIBNqIhhBAnQiGWr9AAQAIDL95gEhNSAAIBlqIhkgGf0ABAAgK/3mASAxIAIgGGr9XAIA/YkB/akBIjb9DH8AAAB/AAAAfwAAAH8AAAD9Tv0M+AMAAPgDAAD4AwAA+AMAAP2uAUEU/asB/QwAAIA/AACAPwAAgD8AAIA//eUBIDP95gEgNv0MgAAAAIAAAACAAAAAgAAAAP1OQRj9qwH9UCI2ICwgNSA2/eUB/eYB/eQBIjb95gEgBCAYav1cAgD9iQH9qQH9DPAHAADwBwAA8AcAAPAHAAD9rgFBE/2rASA0/eYBIjcgN/3mASAt/eYBIC4gNf3mASA1/eYB/eQB/eMBIjUgMP3mASAv/eQB/ecB/eUB/QsEACASQQJ0IhggBmogNv0LBAAgFCAYaiA1/QsEACApIDb94AH96wEhKSAqIDX96wEhKiASQQRqIRIMAQsLICn9HwIgKf0fA5cgKf0fACAp/R8Bl5chGiAq/R8CICr9HwOXICr9HwAgKv0fAZeXIRsDQCASIBVJBEAgASASIBNqIhdBAnQiGGoqAgAgI5QhJiAAIBhqIhggGCoCACAclCAiIAIgF2otAAAiGEH/AHFB+AdqQRR0vkMAAIC/kiAklCInjCAnIBhBgAFxGyInIB0gJiAnk5SSIieUIAQgF2otAABB8A9qQRN0viAllCIoICiUIB6UIB8gJpQgJpSSkSImICGUICCSlZM4AgAgEkECdCIXIAZqICc4AgAgFCAXaiAmOAIAIBogJ4uXIRogGyAmlyEbIBJBAWohEgwBCwsgFkECdCISIANqQwAAAAAgGiAaQwAAgA1dGyIaOAIAIAUgEmpDAAAAACAbIBtDAACADV0bIhs4AgAgAiATaiAEIBNqIAYgFUMA/29HIBqVQwAAAAAgGkMAAAAAXhtDAAB4RyAblUMAAAAAIBtDAAAAAF4bIBAgEWogE2oQECATQYACaiETDAELCwvZBwMPewZ/Cn1EAAAAAAAA8D8gBSAJoqG2IiT9EyEQRAAAAAAAAPA/IAahtiIl/RMhESAHtiIm/RMhEkQAAAAAAADwPyAHobYiJ/0TIRMgCLYiKP0TIRREAAAAAAAA8D8gC5+jtiIp/RMhFSAFIAqjtiIq/RMhFiAMtiIr/RMhFyANIA5q/RH9DAAAAAABAAAAAgAAAAMAAAD9rgEhDyAEQXhxIR8DQCAeIB9JBEAgHkECdCIhIABqIiIgIv0ABAAgEP3mASAWIB5BAXQiICACav0ABAAiGf2pAUEQ/asBIhggESABICFqIiP9AAQAIBf95gEiGiAY/eUB/eYB/eQBIhj95gEgAyAgaiIh/QAEACIb/akBQRD9qwEgEv3mASATIBr95gEgGv3mAf3kASIa/eMBIBX95gEgFP3kAf3nAf3lAf0LBAAgDyAPQRD9rQH9Uf0MLTXrfy01638tNet/LTXrf/21ASIcIBxBD/2tAf1R/QyLpmyEi6ZshIumbISLpmyE/bUBIhwgHEEQ/a0B/VEhHCAiQRBqICL9AAQQIBD95gEgFiAZ/aoBQRD9qwEiGSARICP9AAQQIBf95gEiHSAZ/eUB/eYB/eQBIhn95gEgG/2qAUEQ/asBIBL95gEgEyAd/eYBIB395gH95AEiG/3jASAV/eYBIBT95AH95wH95QH9CwQAIA/9DAQAAAAEAAAABAAAAAQAAAD9rgEiDyAPQRD9rQH9Uf0MLTXrfy01638tNet/LTXrf/21ASIdIB1BD/2tAf1R/QyLpmyEi6ZshIumbISLpmyE/bUBIh0gHUEQ/a0B/VEhHSAP/QwEAAAABAAAAAQAAAAEAAAA/a4BIQ8gAiAgaiAYIBz9DP//AAD//wAA//8AAP//AAD9Tv2uAUEQ/a0BIBkgHf0M//8AAP//AAD//wAA//8AAP1O/a4BQRD9rQH9hgH9CwQAICEgGiAcQRD9rQH9rgFBEP2tASAbIB1BEP2tAf2uAUEQ/a0B/YYB/QsEACAeQQhqIR4MAQsLA0AgBCAeSwRAIB5BAXQiHyACai8BAEEQdL4iLCAlIB5BAnQiICABaioCACArlCItICyTlJIhLCAAICBqIiAgICoCACAklCAqICyUIAMgH2oiIC8BAEEQdL4gJpQgJyAtlCAtlJIiLZEgKZQgKJKVkzgCACACIB9qICy8IA0gDmogHmoiH0EQdiAfc0Gt6qz/B2wiH0EPdiAfc0GLzbKjeGwiH0EQdiAfcyIfQf//A3FqQRB2OwEAICAgLbwgH0EQdmpBEHY7AQAgHkEBaiEeDAELCwuQAgMGfwN9BXsgB7YiEP0TIRMgBv0TIRQgCP0TIRUgCf0TIRYgBUECdCILQXBxIQ4DQCAEIApLBEAgCiALbCIFIABqIQwgASAFaiENIAIgCkECdGoqAgAiEf0TIRdBACEFA0AgBSAOSQRAIAUgDGoiDyAP/QAEACAV/eYBIBYgBSANav0ABAAgE/3mASAXIAMgBWr9AAQA/eYBIBT96wH94wH95wH95gH95QH9CwQAIAVBEGohBQwBCwsDQCAFIAtJBEAgBSAMaiIPIA8qAgAgCJQgCSAFIA1qKgIAIBCUIAYgESADIAVqKgIAlCISIAYgEl4bkZWUkzgCACAFQQRqIQUMAQsLIApBAWohCgwBCwsL+gMEB38HewJ8AX0gBrYiGP0TIRMgBUECdCIKQXBxIQ0DQCAEIAlLBEAgCSAKbCIIIABqIQsgASAIaiEM/QwAAAAAAAAAAAAAAAAAAAAAIQ/9DAAAAAAAAAAAAAAAAAAAAAAhEP0MAAAAAAAAAAAAAAAAAAAAACER/QwAAAAAAAAAAAAAAAAAAAAAIRJBACEIA0AgCCANSQRAIA8gCCAMav0ABAAgE/3mASIV/V8iDyAP/fIBIhT98AEhDyAQIBUgFf0NCAkKCwwNDg8AAQIDBAUGB/1fIhAgEP3yASIV/fABIRAgAyAIQQF0aiIOIA79AAQAIBT98AH9CwQAIA4gDv0ABBAgFf3wAf0LBBAgESAIIAtq/QAEACIU/V8iESAR/fIB/fABIREgEiAUIBT9DQgJCgsMDQ4PAAECAwQFBgf9XyISIBL98gH98AEhEiAIQRBqIQgMAQsLIA8gEP3wASIP/SEAIA/9IQGgIQYgESAS/fABIg/9IQAgD/0hAaAhFgNAIAggCkkEQCADIAhBAXRqIg4gDisDACAIIAxqKgIAIBiUuyIXIBeiIhegOQMAIAYgF6AhBiAWIAggC2oqAgC7IhYgFqKgIRYgCEEEaiEIDAELCyACIAlBAnRqIAYgBbijtjgCACAHIBagIQcgCUEBaiEJDAELCyAHC88CAwZ7BH8DfSAGtiIS/RMhCiAF/RMhCyAEQQJ0Ig9BcHEhEQNAIAMgDksEQCAAIA4gD2xqIRAgASAOQQJ0aioCACIT/RMhDP0MAAAAAAAAAAAAAAAAAAAAACEI/QwAAAAAAAAAAAAAAAAAAAAAIQlBACEEA0AgBCARSQRAIAggBCAQav0ABAAgCv3mASAMIAIgBGr9AAQA/eYBIAv96wH94wH95wEiDf1fIgggCP3yAf3wASEIIAkgDSAN/Q0ICQoLDA0ODwABAgMEBQYH/V8iCSAJ/fIB/fABIQkgBEEQaiEEDAELCyAIIAn98AEiCP0hACAI/SEBoCEGA0AgBCAPSQRAIAYgBCAQaioCACASlCAFIBMgAiAEaioCAJQiFCAFIBReG5GVuyIGIAaioCEGIARBBGohBAwBCwsgByAGoCEHIA5BAWohDgwBCwsgBws=";

// src/kernels/kernel-module.ts
var compiled;
function kernelModule() {
  if (!compiled) {
    const bytes2 = Uint8Array.from(atob(kernelsBase64), (character) => character.charCodeAt(0));
    try {
      compiled = new WebAssembly.Module(bytes2);
    } catch (error) {
      throw new RopewalkError(
        `this JavaScript engine cannot load WebAssembly with SIMD (${error.message}). Use Node 20.19 or newer, or a current browser.`
      );
    }
  }
  return compiled;
}
var kernelsOf = /* @__PURE__ */ new WeakMap();
function attachKernels(memory) {
  const instance = new WebAssembly.Instance(kernelModule(), { env: { memory } });
  kernelsOf.set(memory.buffer, instance.exports);
}
function sharedKernels(first2, ...others) {
  for (const { buffer } of others) if (buffer !== first2.buffer) return void 0;
  return kernelsOf.get(first2.buffer);
}

// src/runtime/host-memory.ts
var alignment = 64;
var pageBytes = 65536;
var largestSlab = 65535 * pageBytes;
var sharedSlab = 64 * 2 ** 20;
var slabOf = /* @__PURE__ */ new WeakMap();
function aligned(bytes2) {
  return Math.ceil(bytes2 / alignment) * alignment;
}
function mebibytes(bytes2) {
  return `${Math.ceil(bytes2 / 2 ** 20).toLocaleString("en")} MiB`;
}
var HostMemory = class {
  #slabs = [];
  /** The slab for small requests. */
  #shared;
  /** Bytes of all memories, used or not. */
  get reservedBytes() {
    return this.#slabs.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }
  /** Bytes allocated, including padding. */
  get usedBytes() {
    return this.#slabs.reduce((sum, { used }) => sum + used, 0);
  }
  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be allocated. */
  allocFloat32(n) {
    return this.allocGroup([n])[0];
  }
  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be allocated. */
  allocInt32(n) {
    const view = this.allocFloat32(n);
    return new Int32Array(view.buffer, view.byteOffset, n);
  }
  /** Arrays of these lengths on one memory, so that one kernel call can use them together: at most 4 GiB. */
  allocGroup(lengths) {
    return this.allocGroups([lengths])[0];
  }
  /**
   * Several groups at once, packed into as few memories as possible. The members of a group are on one memory.
   *
   * @param room bytes to keep free on each group's memory for `allocBeside`; costs address space until used. A group
   *   that would exceed 4 GiB with its room gets none.
   * @throws RopewalkError when a length is not an integer, a group exceeds 4 GiB, or memory cannot be allocated.
   */
  allocGroups(groups, room) {
    const sizes = groups.map((lengths, g) => {
      const bytes2 = groupBytes(lengths);
      const more = aligned(room?.[g] ?? 0);
      return bytes2 + more <= largestSlab ? bytes2 + more : bytes2;
    });
    const places = [];
    for (let start = 0; start < groups.length; ) {
      let end = start;
      let bytes2 = 0;
      while (end < groups.length && bytes2 + sizes[end] <= largestSlab) bytes2 += sizes[end++];
      const slab = room ? this.#newSlab(bytes2) : this.#slabFor(bytes2);
      places.push(...new Array(end - start).fill(slab));
      start = end;
    }
    return groups.map((lengths, g) => lengths.map((n) => cutFloat32(places[g], n)));
  }
  /** Zeroed bytes, each array 64-byte aligned, all on one memory. @throws RopewalkError like {@link allocGroups}. */
  allocByteGroup(byteLengths) {
    const slab = this.#slabFor(groupBytes(byteLengths, 1));
    return byteLengths.map((bytes2) => cut(slab, bytes2));
  }
  #slabFor(bytes2) {
    if (bytes2 >= sharedSlab) return this.#newSlab(bytes2);
    if (!this.#shared || this.#shared.used + bytes2 > this.#shared.buffer.byteLength) {
      this.#shared = this.#newSlab(sharedSlab);
    }
    return this.#shared;
  }
  #newSlab(bytes2) {
    const pages = Math.ceil(bytes2 / pageBytes);
    let memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch (error) {
      throw new RopewalkError(
        `${mebibytes(bytes2)} of memory could not be allocated after ${mebibytes(this.reservedBytes)} (${error.message}). Close other programs, or choose a smaller model or batch.`
      );
    }
    attachKernels(memory);
    const slab = { buffer: memory.buffer, used: 0 };
    this.#slabs.push(slab);
    slabOf.set(slab.buffer, slab);
    return slab;
  }
};
function allocBeside(view, byteLengths) {
  const slab = slabOf.get(view.buffer);
  if (!slab || slab.used + groupBytes(byteLengths, 1) > slab.buffer.byteLength) return void 0;
  return byteLengths.map((bytes2) => cut(slab, bytes2));
}
function groupBytes(lengths, elementBytes = 4) {
  const bytes2 = lengths.reduce((sum, n) => {
    if (!Number.isSafeInteger(n) || n < 0) {
      throw new RopewalkError(`an array cannot have ${n} elements; give a whole number, 0 or more.`);
    }
    return sum + aligned(elementBytes * n);
  }, 0);
  if (bytes2 > largestSlab) {
    throw new RopewalkError(
      `arrays that are used together need ${mebibytes(bytes2)}, but one WebAssembly memory holds ${mebibytes(largestSlab)}; split the tensor or choose a smaller model.`
    );
  }
  return bytes2;
}
function cut(slab, bytes2) {
  const view = new Uint8Array(slab.buffer, slab.used, bytes2);
  slab.used += aligned(bytes2);
  return view;
}
function cutFloat32(slab, n) {
  const { buffer, byteOffset } = cut(slab, 4 * n);
  return new Float32Array(buffer, byteOffset, n);
}

// src/kernels/scalar-kernels.ts
var { fround, sqrt: sqrt2 } = Math;
function adamw(param, grad, m, v, coefficients) {
  const { lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale } = coefficients;
  const decay = fround(1 - lr * weightDecay);
  const weight1 = fround(1 - beta1);
  const beta = fround(beta2);
  const weight2 = fround(1 - beta2);
  const epsilon = fround(eps);
  const inverseRoot2 = fround(1 / sqrt2(biasCorrection2));
  const stepSize = fround(lr / biasCorrection1);
  const scaleBy = fround(gradScale);
  for (let i = 0; i < param.length; i++) {
    const g = fround(grad[i] * scaleBy);
    const m0 = m[i];
    const m1 = fround(m0 + fround(weight1 * fround(g - m0)));
    const v1 = fround(fround(v[i] * beta) + fround(fround(weight2 * g) * g));
    m[i] = m1;
    v[i] = v1;
    const denominator = fround(fround(fround(sqrt2(v1)) * inverseRoot2) + epsilon);
    param[i] = fround(param[i] * decay) - fround(fround(stepSize * m1) / denominator);
  }
}
function sgd(param, grad, lr, gradScale) {
  const rate = fround(lr);
  const scaleBy = fround(gradScale);
  for (let i = 0; i < param.length; i++) {
    param[i] = param[i] - fround(rate * fround(grad[i] * scaleBy));
  }
}
function sumOfSquares(x) {
  const whole = x.length - x.length % 16;
  const lanes = new Float64Array(8);
  for (let i = 0; i < whole; i++) {
    const value = x[i];
    lanes[(i >> 2 & 3) * 2 + (i & 1)] += value * value;
  }
  const even = lanes[0] + lanes[2] + (lanes[4] + lanes[6]);
  const odd = lanes[1] + lanes[3] + (lanes[5] + lanes[7]);
  let total = even + odd;
  for (let i = whole; i < x.length; i++) total += x[i] * x[i];
  return total;
}
function addInto(dst, src) {
  for (let i = 0; i < dst.length; i++) dst[i] += src[i];
}
function addRows(dst, ids, rows, width) {
  for (let r = 0; r < ids.length; r++) {
    const to = ids[r] * width;
    const from = r * width;
    for (let i = 0; i < width; i++) dst[to + i] += rows[from + i];
  }
}

// src/kernels/staging.ts
var CHUNK = 2 ** 15;
var SMALL = 512;
var ALIGNMENT = 64;
var scratch;
function scratchMemory(bytes2) {
  if (!scratch || scratch.buffer.byteLength < bytes2) {
    const pages = Math.max(16, Math.ceil(bytes2 / 65536));
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    attachKernels(memory);
    const { buffer } = memory;
    scratch = { buffer, kernels: sharedKernels(new Uint8Array(buffer)) };
  }
  return scratch;
}
function scratchViews(like, lengths) {
  const starts = [];
  let bytes2 = 0;
  for (const [i, { BYTES_PER_ELEMENT }] of like.entries()) {
    starts.push(bytes2);
    bytes2 += Math.ceil(lengths[i] * BYTES_PER_ELEMENT / ALIGNMENT) * ALIGNMENT;
  }
  const { buffer, kernels } = scratchMemory(bytes2);
  const views = like.map((view, i) => viewLike(view, buffer, starts[i], lengths[i]));
  return { kernels, views };
}
function runElementwise(n, operands, kernel, chunk) {
  const views = operands.map(({ view }) => view);
  const direct2 = sharedKernels(views[0], ...views);
  if (direct2) {
    kernel(direct2, views.map(({ byteOffset }) => byteOffset), 0, n);
    return true;
  }
  if (chunk === void 0 && n < SMALL) return false;
  inChunks(n, operands, kernel, chunk ?? CHUNK);
  return true;
}
function inChunks(n, operands, kernel, chunk) {
  const most = Math.min(n, chunk);
  const lengths = operands.map(
    ({ view, every = 1, use }) => use === "scratch" ? view.length : Math.ceil(most / every)
  );
  const staged = scratchViews(
    operands.map(({ view }) => view),
    lengths
  );
  const pointers = staged.views.map(({ byteOffset }) => byteOffset);
  for (let start = 0; start < n; start += chunk) {
    const count2 = Math.min(chunk, n - start);
    const part = ({ view, every = 1 }) => view.subarray(start / every, Math.ceil((start + count2) / every));
    for (const [i, operand] of operands.entries()) {
      if (operand.use !== "scratch") staged.views[i].set(part(operand));
    }
    kernel(staged.kernels, pointers, start, count2);
    for (const [i, operand] of operands.entries()) {
      const { every = 1, use } = operand;
      if (use === "update") part(operand).set(staged.views[i].subarray(0, Math.ceil(count2 / every)));
    }
  }
}
function viewLike(view, buffer, start, length) {
  if (view instanceof Float32Array) return new Float32Array(buffer, start, length);
  if (view instanceof Float64Array) return new Float64Array(buffer, start, length);
  if (view instanceof Uint16Array) return new Uint16Array(buffer, start, length);
  return new Uint8Array(buffer, start, length);
}

// src/kernels/kernels.ts
function coefficientList(c) {
  const { lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale } = c;
  return [lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale];
}
function checkLengths(kernel, arrays) {
  const [[firstName, first2] = ["", { length: 0 }], ...others] = Object.entries(arrays);
  for (const [name2, array] of others) {
    if (array.length !== first2.length) {
      throw new RopewalkError(
        `${kernel}: ${firstName} has ${first2.length} elements and ${name2} ${array.length}; give arrays of one length.`
      );
    }
  }
}
function adamw2(param, grad, m, v, coefficients, chunk) {
  checkLengths("adamw", { param, grad, m, v });
  const c = coefficientList(coefficients);
  const done = runElementwise(
    param.length,
    [{ view: param, use: "update" }, { view: grad }, { view: m, use: "update" }, { view: v, use: "update" }],
    (kernels, pointers, _start, count2) => kernels.adamw(...pointers, count2, ...c),
    chunk
  );
  if (!done) adamw(param, grad, m, v, coefficients);
}
function sgd2(param, grad, lr, gradScale = 1, chunk) {
  checkLengths("sgd", { param, grad });
  const done = runElementwise(
    param.length,
    [{ view: param, use: "update" }, { view: grad }],
    (kernels, [p, g], _start, count2) => kernels.sgd(p, g, count2, lr, gradScale),
    chunk
  );
  if (!done) sgd(param, grad, lr, gradScale);
}
function sumOfSquares2(x) {
  const kernels = sharedKernels(x);
  return kernels ? kernels.sumOfSquares(x.byteOffset, x.length) : sumOfSquares(x);
}
function addInto2(dst, src, chunk) {
  checkLengths("addInto", { dst, src });
  const done = runElementwise(
    dst.length,
    [{ view: dst, use: "update" }, { view: src }],
    (kernels, [d, s], _start, count2) => kernels.addInto(d, s, count2),
    chunk
  );
  if (!done) addInto(dst, src);
}
function addRows2(dst, ids, rows, width) {
  if (!Number.isInteger(width) || width < 1 || dst.length % width !== 0) {
    throw new RopewalkError(
      `addRows: ${dst.length} elements do not divide into rows of width ${width}; give the embedding's width.`
    );
  }
  if (rows.length !== ids.length * width) {
    throw new RopewalkError(
      `addRows: ${ids.length} ids of width ${width} need ${ids.length * width} elements in rows, but it has ${rows.length}.`
    );
  }
  const count2 = dst.length / width;
  for (let r = 0; r < ids.length; r++) {
    const id = ids[r];
    if (id < 0 || id >= count2) {
      throw new RopewalkError(
        `addRows: ids[${r}] is ${id}, but dst has rows 0 to ${count2 - 1}; check that the ids fit the vocabulary.`
      );
    }
  }
  const kernels = sharedKernels(dst, ids, rows);
  if (kernels) kernels.addRows(dst.byteOffset, ids.byteOffset, rows.byteOffset, ids.length, width);
  else addRows(dst, ids, rows, width);
}
function fill(x, value) {
  const kernels = sharedKernels(x);
  if (kernels) kernels.fill(x.byteOffset, x.length, value);
  else x.fill(value);
}

// src/training/clip.ts
function clipCoefficient(norm, maxNorm) {
  if (!(maxNorm > 0)) {
    throw new RopewalkError(`the largest gradient norm is ${maxNorm}; give a number above 0.`);
  }
  return Number.isFinite(norm) ? Math.min(1, maxNorm / (norm + 1e-6)) : Number.NaN;
}

// src/training/finite.ts
var NotFiniteError = class extends RopewalkError {
};
function notFinite(loss, parameters) {
  const bad = (values) => values?.some((value) => !Number.isFinite(value)) ?? false;
  const all2 = [...parameters];
  const weight = all2.find(({ value }) => bad(value));
  const gradient = all2.find(({ gradient: gradient2 }) => bad(gradient2));
  const where = weight ? `the weight ${weight.name} is not finite` : `the gradient of ${gradient?.name ?? "the loss"} is not finite`;
  return new NotFiniteError(`the loss is ${loss} and ${where}`);
}

// src/training/apply-gradients.ts
function aloneGradients(own2) {
  return {
    own: own2,
    sumOfSquares: async (some) => sumOfAll(some),
    update: async (some, step2) => step2(some)
  };
}
function sumOfAll(parameters) {
  return parameters.reduce((sum, { gradient }) => sum + sumOfSquares2(gradient), 0);
}
async function applyGradients(gradients, measured, { optimizer, learningRate, clip, accept, together: together2, select }) {
  const combined = together2 ? await together2.combine(gradients) : aloneGradients(gradients);
  const loss = together2 ? await together2.sumLoss(measured.loss) : measured.loss;
  const updating = select ? select(combined.own) : combined.own;
  const gradientNorm = Math.sqrt(await combined.sumOfSquares(updating));
  const updated = accept?.({ loss, gradientNorm }) ?? true;
  if (updated) {
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw notFinite(loss, gradients);
    const gradientScale = clip > 0 ? clipCoefficient(gradientNorm, clip) : 1;
    await combined.update(updating, (some) => optimizer.step(some, { learningRate, gradientScale }));
  }
  return { loss, tokens: measured.tokens, gradientNorm, updated };
}

// src/graph/differentiate.ts
function differentiate(loss, inputs, seed) {
  if (seed && !(sameShape(seed.shape, loss.shape) && seed.dtype === loss.dtype)) {
    throw new RopewalkError(
      `differentiate: the seed is ${seed.dtype}${shapeText(seed.shape)}, but its output is ${loss.dtype}${shapeText(loss.shape)}.`
    );
  }
  if (loss.rank !== 0 && !seed || loss.dtype !== "float32") {
    throw new RopewalkError(
      `differentiate: the loss must be a float32 scalar, but is ${loss.dtype}${shapeText(loss.shape)}; sum or average it first.`
    );
  }
  const order = topologicalOrder([loss]);
  const sources = new Set(inputs);
  const active = new Set(inputs);
  for (const node of order) {
    if (node.inputs.some((tensor) => active.has(tensor)) && !node.operator.stopsGradient) {
      for (const output of node.outputs) active.add(output);
    }
  }
  const gradients = /* @__PURE__ */ new Map([[loss, seed ?? scalar(1)]]);
  for (const node of order.reverse()) {
    if (node.outputs.every((output) => !gradients.has(output))) continue;
    if (!node.inputs.some((tensor) => active.has(tensor))) continue;
    const results = backward(node, gradients, active);
    node.inputs.forEach((tensor, i) => {
      const gradient = results[i];
      if (!gradient || !active.has(tensor)) return;
      if (!sameShape(gradient.shape, tensor.shape)) {
        throw new RopewalkError(
          `${node.operator.name}: its derivative returned ${shapeText(gradient.shape)} for an input of ${shapeText(tensor.shape)}.`
        );
      }
      const sum = gradients.get(tensor);
      gradients.set(tensor, sum ? add(sum, gradient) : gradient);
    });
    for (const output of node.outputs) if (!sources.has(output)) gradients.delete(output);
  }
  return inputs.map((tensor) => gradients.get(tensor));
}
function backward(node, gradients, active) {
  const { operator, inputs, outputs, attributes } = node;
  if (operator.stopsGradient) return [];
  const given = outputs.map((output) => gradients.get(output));
  const beyond = given.slice(operator.primaryOutputs ?? given.length).findIndex((gradient) => gradient);
  if (beyond >= 0) {
    throw new RopewalkError(
      `${operator.name}: it has no derivative through its output ${(operator.primaryOutputs ?? 0) + beyond}, which the loss uses.`
    );
  }
  const wanted = inputs.map((tensor) => active.has(tensor));
  if (operator.differentiate) {
    return operator.differentiate({ inputs, outputs, gradients: given, wanted, attributes });
  }
  throw new RopewalkError(
    `${operator.name}: it has no derivative, but the loss depends on a trained value through it.`
  );
}

// src/nn/attention.ts
var FullSequence = class {
  /**
   * @param ids int32 `[batch · time]`: the sequences, concatenated.
   * @param queryBlock approximate number of queries per block; the result does not depend on it.
   * @param packing undefined if each sequence is one text.
   * @param taps if attention is captured, a layer's queries form a single block.
   */
  constructor(ids, batch, time, queryBlock = QUERY_BLOCK, packing, taps) {
    this.ids = ids;
    this.batch = batch;
    this.time = time;
    this.taps = taps;
    this.#queryBlock = queryBlock;
    this.#packing = packing;
    this.positionIds = packing?.positions ?? constant(this.#positions(), [batch * time], "int32");
  }
  ids;
  batch;
  time;
  taps;
  positionIds;
  #masks = /* @__PURE__ */ new Map();
  #tables = /* @__PURE__ */ new Map();
  #layers = 0;
  #queryBlock;
  #packing;
  attend(q, k, v, settings, rope) {
    const { batch, time } = this;
    const { heads, kvHeads, headDim, scale: scale2, softcap: softcap2, window } = settings;
    const group = heads / kvHeads;
    if (rope) {
      const { cos, sin } = this.#table(rope);
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, kvHeads);
    }
    const queries = transpose(reshape(q, [batch, time, kvHeads, group, headDim]), [0, 2, 3, 1, 4]);
    const rows = (x) => transpose(reshape(x, [batch, time, kvHeads, headDim]), [0, 2, 1, 3]);
    const keys = rows(k);
    const values = rows(v);
    const layer = this.#layers++;
    const sizes = blockSizes(time, this.taps ? time : this.#queryBlock);
    let end = 0;
    const outputs = split(queries, 3, sizes).map((block, i) => {
      const size = sizes[i];
      const start = end;
      end += size;
      const first2 = window === null ? 0 : Math.max(0, start - window + 1);
      const stacked = reshape(block, [batch, kvHeads, group * size, headDim]);
      const mask = this.#mask(group, window, start, end, first2);
      const seen = [slice(keys, 2, first2, end), slice(values, 2, first2, end)];
      const out = this.taps ? this.#tapped(layer, [stacked, ...seen], mask, settings) : attention(stacked, ...seen, mask, { scale: scale2, softcap: softcap2 });
      return reshape(out, [batch, kvHeads, group, size, headDim]);
    });
    const back = transpose(concat(outputs, 3), [0, 3, 1, 2, 4]);
    return reshape(back, [batch * time, heads * headDim]);
  }
  /** Attention of all queries of a layer, step by step if one of the steps is captured. */
  #tapped(layer, inputs, mask, { heads, kvHeads, headDim, scale: scale2, softcap: cap }) {
    const { batch, time, taps } = this;
    const at = (name2, value, count2, columns) => {
      const path = `layers.${layer}.attention.${name2}`;
      if (!taps.wants(path)) return value;
      return reshape(taps.tap(path, reshape(value, [batch, count2, time, columns])), value.shape);
    };
    const queries = at("queries", inputs[0], heads, headDim);
    const keys = at("keys", inputs[1], kvHeads, headDim);
    const values = at("values", inputs[2], kvHeads, headDim);
    const steps2 = ["scores", "capped_scores", "probabilities"];
    if (!steps2.some((step2) => taps.wants(`layers.${layer}.attention.${step2}`))) {
      return attention(queries, keys, values, mask, { scale: scale2, softcap: cap });
    }
    const scores = at("scores", matmul(queries, keys, { transB: true, alpha: scale2 }), heads, time);
    const capped = at("capped_scores", cap === null ? scores : softcap(scores, cap), heads, time);
    const probabilities = at("probabilities", softmax(add(capped, mask)), heads, time);
    return matmul(probabilities, values);
  }
  #positions() {
    return Int32Array.from({ length: this.batch * this.time }, (_, row) => row % this.time);
  }
  #table(rope) {
    let table = this.#tables.get(rope);
    if (!table) {
      const { batch, time } = this;
      const packing = this.#packing;
      const count2 = packing ? time : batch * time;
      const { cos, sin } = rope.table(
        packing ? Int32Array.from({ length: time }, (_, i) => i) : this.#positions()
      );
      const shape2 = [count2, rope.headDim / 2];
      const rows = (data) => packing ? gatherRows(constant(data, shape2), packing.positions) : constant(data, shape2);
      table = { cos: rows(cos), sin: rows(sin) };
      this.#tables.set(rope, table);
    }
    return table;
  }
  /**
   * `[group · (end − start), end − first]`: 0 where key k ≤ q and k > q − window, a large negative number elsewhere;
   * packed, per sequence and also masked between texts.
   */
  #mask(group, window, start, end, first2) {
    const size = end - start;
    const keys = end - first2;
    const key = [group, window, start, end].join();
    let mask = this.#masks.get(key);
    if (!mask) {
      const data = new Float32Array(group * size * keys);
      for (let row = 0; row < group * size; row++) {
        const query = start + row % size;
        for (let column = 0; column < keys; column++) {
          const k = first2 + column;
          if (k > query || window !== null && k <= query - window) data[row * keys + column] = MASKED;
        }
      }
      mask = constant(data, [group * size, keys]);
      if (this.#packing) mask = add(mask, this.#betweenTexts(this.#packing, group, start, end, first2));
      this.#masks.set(key, mask);
    }
    return mask;
  }
  /** `[batch, 1, group · (end − start), end − first]`: 0 within a text, a large negative number between two. */
  #betweenTexts({ segments }, group, start, end, first2) {
    const { batch, time } = this;
    const rows = reshape(segments, [batch, time]);
    const queries = reshape(slice(rows, 1, start, end), [batch, 1, end - start, 1]);
    const keys = reshape(slice(rows, 1, first2, end), [batch, 1, 1, end - first2]);
    const apart = sub(queries, keys);
    const mask = mul(mul(apart, apart), scalar(MASKED));
    const stacked = broadcastTo(mask, [batch, group, end - start, end - first2]);
    return reshape(stacked, [batch, 1, group * (end - start), end - first2]);
  }
};
var QUERY_BLOCK = 128;
function blockSizes(time, block) {
  const count2 = Math.max(1, Math.round(time / block));
  const size = Math.ceil(time / count2);
  return Array.from({ length: count2 }, (_, i) => Math.min(size, time - i * size)).filter(
    (length) => length > 0
  );
}

// src/training/loss.ts
function headChunk(rows, vocabSize) {
  const bytes2 = 64 * 2 ** 20;
  return Math.max(1, Math.min(rows, Math.floor(bytes2 / (4 * vocabSize))));
}
var crossEntropy = ({ hidden, head, targets, weights, rows, vocabSize }) => linearCrossEntropy(hidden, head, targets, weights, headChunk(rows, vocabSize));

// src/training/graph.ts
var PACKING_INPUTS = { positions: "position_ids", segments: "segment_ids" };
function sequenceContext({ batch, seq, queryBlock, packed }) {
  const rows = batch * seq;
  const packing = packed && {
    positions: input(PACKING_INPUTS.positions, "int32", [rows]),
    segments: input(PACKING_INPUTS.segments, "float32", [rows])
  };
  return new FullSequence(input("input_ids", "int32", [rows]), batch, seq, queryBlock, packing || void 0);
}
function lossInputs(model2, hidden, rows) {
  const { weight, bias, softcap: softcap2 } = model2.head;
  return {
    hidden,
    head: { weight: weight.tensor, bias: bias?.tensor, softcap: softcap2 },
    targets: input("targets", "int32", [rows]),
    weights: input("weights", "float32", [rows]),
    rows,
    vocabSize: weight.shape[0]
  };
}
function gradientName(path) {
  return `grad.${path}`;
}

// src/training/feeds.ts
function countOf2({ inputs, weights }) {
  return weights ? weights.reduce((sum, weight) => sum + weight, 0) : inputs.length;
}
function contextFeeds({ inputs, positions, segments }, { seq, packed }) {
  const rows = inputs.length;
  const feeds = { input_ids: { data: inputs, shape: [rows] } };
  if (packed) {
    const inRow = () => Int32Array.from({ length: rows }, (_, i) => i % seq);
    feeds[PACKING_INPUTS.positions] = { data: positions ?? inRow(), shape: [rows] };
    feeds[PACKING_INPUTS.segments] = { data: segments ?? new Float32Array(rows), shape: [rows] };
  }
  return feeds;
}
function lossFeeds({ inputs, targets, weights, extra }, factor) {
  const rows = inputs.length;
  const scaled = weights?.map((weight) => weight * factor) ?? new Float32Array(rows).fill(factor);
  const feeds = {
    targets: { data: targets, shape: [rows] },
    weights: { data: scaled, shape: [rows] },
    ...extra
  };
  return feeds;
}

// src/training/optimizers/adafactor.ts
import { z as z3 } from "zod";

// src/kernels/scalar-adafactor.ts
var { fround: fround2, sqrt: sqrt3 } = Math;
function rowSum(width, square) {
  const whole = width - width % 4;
  const lanes = [0, 0, 0, 0];
  for (let i = 0; i < whole; i++) lanes[i & 3] += square(i);
  let sum = lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
  for (let i = whole; i < width; i++) sum += square(i);
  return sum;
}
function adafactorSums(param, grad, rowMeans, columns, gradScale) {
  const scaleBy = fround2(gradScale);
  const width = columns.length;
  let sum = 0;
  for (let row = 0; row < rowMeans.length; row++) {
    const start = row * width;
    const squares = rowSum(width, (i) => {
      const g = fround2(grad[start + i] * scaleBy);
      columns[i] += g * g;
      return g * g;
    });
    rowMeans[row] = squares / width;
    sum += rowSum(width, (i) => param[start + i] * param[start + i]);
  }
  return sum;
}
function updateOf(g, row, column, floor) {
  const product = fround2(row * column);
  return fround2(g / fround2(sqrt3(product < floor ? floor : product)));
}
function adafactorNorm(grad, factors, gradScale) {
  const scaleBy = fround2(gradScale);
  const floor = fround2(factors.floor);
  const { rows, columns } = factors;
  const width = columns.length;
  let sum = 0;
  for (const [row, factor] of rows.entries()) {
    sum += rowSum(width, (i) => {
      const g = fround2(grad[row * width + i] * scaleBy);
      return updateOf(g, factor, columns[i], floor) ** 2;
    });
  }
  return sum;
}
function adafactorUpdate(param, grad, factors, gradScale, decay, rate) {
  const scaleBy = fround2(gradScale);
  const floor = fround2(factors.floor);
  const keep = fround2(decay);
  const step2 = fround2(rate);
  const { rows, columns } = factors;
  const width = columns.length;
  for (const [row, factor] of rows.entries()) {
    for (let i = 0; i < width; i++) {
      const at = row * width + i;
      const u = updateOf(fround2(grad[at] * scaleBy), factor, columns[i], floor);
      param[at] = fround2(param[at] * keep) - fround2(step2 * u);
    }
  }
}

// src/kernels/adafactor-kernels.ts
var CHUNK2 = 2 ** 15;
var SMALL2 = 512;
function adafactorSums2(param, grad, rowMeans, columns, gradScale, chunk) {
  checkLengths("adafactor", { param, grad, rows: { length: rowMeans.length * columns.length } });
  if (isSmall(grad, chunk)) return adafactorSums(param, grad, rowMeans, columns, gradScale);
  const width = columns.length;
  const rows = rowsAtATime(rowMeans.length, width, chunk);
  const { kernels, views } = scratchViews(
    [param, grad, rowMeans, columns],
    [rows * width, rows * width, rows, width]
  );
  const [p, g, means, sums] = views;
  sums.set(columns);
  let sum = 0;
  for (const { start, end } of runs(rowMeans.length, rows)) {
    p.set(param.subarray(start * width, end * width));
    g.set(grad.subarray(start * width, end * width));
    sum = kernels.adafactorSums(
      p.byteOffset,
      g.byteOffset,
      means.byteOffset,
      sums.byteOffset,
      end - start,
      width,
      gradScale,
      sum
    );
    rowMeans.set(means.subarray(0, end - start), start);
  }
  columns.set(sums);
  return sum;
}
function adafactorNorm2(grad, factors, gradScale, chunk) {
  const { floor } = factors;
  const count2 = factors.rows.length;
  const width = factors.columns.length;
  checkLengths("adafactor", { grad, factors: { length: count2 * width } });
  if (isSmall(grad, chunk)) return adafactorNorm(grad, factors, gradScale);
  const rows = rowsAtATime(count2, width, chunk);
  const { kernels, views } = scratchViews([grad, factors.rows, factors.columns], [rows * width, rows, width]);
  const [g, rowFactors, columnFactors] = views;
  columnFactors.set(factors.columns);
  let sum = 0;
  for (const { start, end } of runs(count2, rows)) {
    g.set(grad.subarray(start * width, end * width));
    rowFactors.set(factors.rows.subarray(start, end));
    sum = kernels.adafactorNorm(
      g.byteOffset,
      rowFactors.byteOffset,
      columnFactors.byteOffset,
      end - start,
      width,
      floor,
      gradScale,
      sum
    );
  }
  return sum;
}
function adafactorUpdate2(param, grad, factors, gradScale, decay, rate, chunk) {
  const count2 = factors.rows.length;
  const width = factors.columns.length;
  checkLengths("adafactor", { param, grad, factors: { length: count2 * width } });
  if (isSmall(grad, chunk)) {
    adafactorUpdate(param, grad, factors, gradScale, decay, rate);
    return;
  }
  const rows = rowsAtATime(count2, width, chunk);
  const { kernels, views } = scratchViews(
    [param, grad, factors.rows, factors.columns],
    [rows * width, rows * width, rows, width]
  );
  const [p, g, rowFactors, columnFactors] = views;
  columnFactors.set(factors.columns);
  for (const { start, end } of runs(count2, rows)) {
    const part = param.subarray(start * width, end * width);
    p.set(part);
    g.set(grad.subarray(start * width, end * width));
    rowFactors.set(factors.rows.subarray(start, end));
    kernels.adafactorUpdate(
      p.byteOffset,
      g.byteOffset,
      rowFactors.byteOffset,
      columnFactors.byteOffset,
      end - start,
      width,
      factors.floor,
      gradScale,
      decay,
      rate
    );
    part.set(p.subarray(0, part.length));
  }
}
function isSmall({ length }, chunk) {
  return chunk === void 0 && length < SMALL2;
}
function rowsAtATime(rows, width, chunk = CHUNK2) {
  return Math.min(rows, Math.max(1, Math.floor(chunk / width)));
}
function* runs(rows, most) {
  for (let start = 0; start < rows; start += most) yield { start, end: Math.min(rows, start + most) };
}

// src/options.ts
import { z } from "zod";
var registry = z.registry();
function option2(schema, help, words2 = {}) {
  const own2 = schema.clone();
  registry.add(own2, { help, ...words2 });
  return own2;
}
var OptionError = class extends RopewalkError {
  /**
   * @param option its name in camelCase.
   * @param problem what is wrong and what would be valid.
   */
  constructor(option3, problem) {
    super([{ option: option3 }, ": ", ...typeof problem === "string" ? [problem] : problem]);
    this.option = option3;
  }
  option;
};
function kebab(name2) {
  return name2.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
var numberOf = (what) => `give ${what}`;
var [WHOLE, COUNT, ANY] = [
  "a whole number of at least 0",
  "a whole number of at least 1",
  "a whole number"
].map(numberOf);
var [POSITIVE, LEAST_0, SHARE, BELOW_1] = [
  "a number above 0",
  "a number of at least 0",
  "a number from 0 to 1",
  "a number of at least 0 and below 1"
].map(numberOf);
var wholeNumber = z.int(WHOLE).min(0, WHOLE);
var count = z.int(COUNT).min(1, COUNT);
var integer = z.int(ANY);
var positive = z.number(POSITIVE).positive(POSITIVE);
var notNegative = z.number(LEAST_0).min(0, LEAST_0);
var share = z.number(SHARE).min(0, SHARE).max(1, SHARE);
var below1 = z.number(BELOW_1).min(0, BELOW_1).lt(1, BELOW_1);
var text = z.string("give a string");
var texts = z.array(text, "give a list of strings");
var textOrTexts = z.union([texts, text], "give a string or a list of strings");
function together(records) {
  const shapes = [...records, ...records.toReversed()].map(({ options: options3 }) => options3);
  return Object.assign({}, ...shapes);
}
var UNITS = {
  ...{ "": 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 }
};
var SIZE = "give a size such as 500MB, 5GB or 2GiB";
var byteCount = z.int(SIZE).min(1, SIZE);
function oneOf(names12) {
  return z.enum(names12, `give ${listed(names12)}`);
}
function listed(names12) {
  return names12.length < 2 ? names12.join("") : `${names12.slice(0, -1).join(", ")} or ${names12.at(-1)}`;
}
function parseOptions(schema, input2) {
  const given = Object.fromEntries(
    Object.entries(input2).filter(([, value2]) => value2 !== void 0)
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(schema.shape).map(kebab).sort();
    throw new OptionError(issue.keys[0], `there is no such option; there are ${known.join(", ")}.`);
  }
  const name2 = String(issue.path[0] ?? "");
  const value = given[name2];
  throw new OptionError(
    name2,
    `${issue.message.replace(/\.$/, "")}, not ${JSON.stringify(value) ?? String(value)}.`
  );
}

// src/training/optimizers/optimizer-common.ts
function rangeOf({ shape: shape2, range }) {
  return range ?? { start: 0, end: sizeOf(shape2) };
}
function checkedSettings({ learningRate, gradientScale = 1 }) {
  if (!(Number.isFinite(learningRate) && learningRate >= 0)) {
    throw new RopewalkError(`the learning rate is ${learningRate}; give a number of 0 or more.`);
  }
  if (!Number.isFinite(gradientScale)) {
    throw new RopewalkError(
      `the gradient scale is ${gradientScale}: the gradients have overflowed; lower the learning rate or skip the step.`
    );
  }
  return { learningRate, gradientScale };
}
function checkSteps(optimizer, saved, names12) {
  for (const name2 of names12) {
    const step2 = saved[name2];
    if (step2 === void 0 || !Number.isSafeInteger(step2) || step2 < 0) {
      throw new RopewalkError(
        `${optimizer}: the saved step count of ${name2} is ${step2 ?? "missing"}; the state belongs to another model or is damaged.`
      );
    }
  }
}
var StepCounts = class {
  #ranges;
  #steps;
  /** Where the next range of an unfinished step must start. */
  #begun = /* @__PURE__ */ new Map();
  #optimizer;
  /** @param optimizer its name, for messages. */
  constructor(optimizer, parameters) {
    this.#optimizer = optimizer;
    const ranges = /* @__PURE__ */ new Map();
    for (const parameter2 of parameters) {
      const { name: name2 } = parameter2;
      if (ranges.has(name2)) throw new RopewalkError(`${optimizer}: the parameter ${name2} is listed twice.`);
      ranges.set(name2, rangeOf(parameter2));
    }
    this.#ranges = ranges;
    this.#steps = new Map([...ranges.keys()].map((name2) => [name2, 0]));
  }
  /**
   * Checks the arguments of a step.
   *
   * @returns the step count of this parameter, from 1, and where its elements begin.
   */
  begin({ name: name2, value, gradient, offset = 0 }) {
    const optimizer = this.#optimizer;
    const range = this.#ranges.get(name2);
    if (range === void 0) {
      throw new RopewalkError(
        `${optimizer} has no state for ${name2}; pass the parameter when creating the optimizer.`
      );
    }
    if (gradient.length !== value.length) {
      throw new RopewalkError(
        `${optimizer}: ${name2} has ${value.length} elements and its gradient ${gradient.length}; give arrays of one length.`
      );
    }
    const expected = this.#begun.get(name2) ?? range.start;
    if (offset !== expected || offset + value.length > range.end) {
      throw new RopewalkError(
        `${optimizer}: ${name2} has ${range.end - range.start} elements, and the next range must begin at ${expected}, but ${value.length} elements from ${offset} were passed; pass a step's ranges in order.`
      );
    }
    return { step: this.#steps.get(name2) + 1, offset };
  }
  /** Records that the range passed to {@link begin} is updated. */
  end({ name: name2, value }) {
    const { start, end } = this.#ranges.get(name2);
    const next = (this.#begun.get(name2) ?? start) + value.length;
    if (next < end) {
      this.#begun.set(name2, next);
      return;
    }
    this.#begun.delete(name2);
    this.#steps.set(name2, this.#steps.get(name2) + 1);
  }
  state() {
    return Object.fromEntries(this.#steps);
  }
  /** @throws RopewalkError if the counts belong to other parameters. */
  check(saved) {
    checkSteps(this.#optimizer, saved, this.#ranges.keys());
  }
  restore(saved) {
    this.check(saved);
    this.#begun.clear();
    for (const name2 of this.#ranges.keys()) this.#steps.set(name2, saved[name2]);
  }
};
function restoreTensors(optimizer, own2, saved) {
  for (const [name2, tensor] of own2) {
    const { dtype, data } = saved.get(name2) ?? {};
    checkTensor(
      optimizer,
      name2,
      { dtype: tensor.dtype, elements: tensor.data.length },
      data && dtype && { dtype, elements: data.length }
    );
  }
  for (const [name2, { data }] of own2) {
    const from = saved.get(name2).data;
    if (from !== data) data.set(from);
  }
}
function checkTensor(optimizer, name2, own2, saved) {
  if (!saved) {
    throw new RopewalkError(
      `${optimizer}: the saved state has no ${name2}; it belongs to another model or optimizer.`
    );
  }
  const { dtype, elements } = saved;
  if (elements !== own2.elements) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name2} has ${elements} elements, but the model needs ${own2.elements}.`
    );
  }
  if (dtype !== own2.dtype) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name2} is ${dtype}, but this run keeps ${own2.dtype}; resume with the optimizer states that the run was started with.`
    );
  }
}

// src/training/optimizers/record.ts
import { z as z2 } from "zod";
function defineOptimizer(record) {
  return record;
}
var decayOptions = {
  weightDecay: option2(
    notNegative,
    "decoupled weight decay, times the learning rate; not applied to norms and biases",
    {
      value: "w"
    }
  ),
  /** Whether a parameter decays, by its name and shape. */
  decays: z2.custom(
    (value) => typeof value === "function",
    "give a function of name and shape"
  )
};
var matricesDecay = (_name, shape2) => shape2.length >= 2;

// src/training/optimizers/adafactor.ts
var DEFAULTS = {
  beta2Decay: -0.8,
  epsilons: [2 ** -23, 1e-3],
  clipThreshold: 1,
  weightDecay: 0,
  decays: matricesDecay
};
var options = {
  beta2Decay: option2(
    z3.number("give a number of 0 or less").max(0, "give a number of 0 or less"),
    "new values enter the averages with weight step^d",
    { value: "d" }
  ),
  /** Lower bounds of a variance (its square) and of a weight's size. */
  epsilons: z3.tuple([notNegative, notNegative], "give two numbers"),
  clipThreshold: option2(
    z3.number("give a number of at least 1").min(1, "give a number of at least 1"),
    "largest root mean square of an update; larger ones are scaled down",
    { value: "u" }
  ),
  ...decayOptions
};
var adafactor = defineOptimizer({
  name: "adafactor",
  options,
  defaults: DEFAULTS,
  needsWholeWeights: true,
  stateBytes(shape2) {
    const size = sizeOf(shape2);
    return 4 * (shape2.length < 2 ? size : size / shape2.at(-1) + size / shape2.at(-2));
  },
  create: (parameters, { memory: _memory, seed: _seed, ...given }) => new Adafactor(parameters, given)
});
var Adafactor = class {
  /** Average bytes of state per weight. */
  bytesPerParameter;
  #options;
  #variances;
  #parameters;
  #counts;
  constructor(parameters, given = {}) {
    this.#options = { ...DEFAULTS, ...parseOptions(z3.strictObject(options).partial(), given) };
    this.#parameters = [...parameters];
    this.#counts = new StepCounts("Adafactor", this.#parameters);
    this.#variances = new Map(this.#parameters.map(({ name: name2, shape: shape2 }) => [name2, variancesOf(shape2)]));
    const size = this.#parameters.reduce((sum, { shape: shape2 }) => sum + sizeOf(shape2), 0);
    const bytes2 = [...this.#tensors().values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.bytesPerParameter = bytes2 / Math.max(1, size);
  }
  step(parameters, settings) {
    const { learningRate, gradientScale } = checkedSettings(settings);
    for (const parameter2 of parameters) {
      const { name: name2, shape: shape2, value } = parameter2;
      const { step: step2 } = this.#counts.begin(parameter2);
      if (value.length !== sizeOf(shape2)) {
        throw new RopewalkError(
          `Adafactor: it needs all of ${name2} before it updates any of it; pass all elements at once.`
        );
      }
      const variances = this.#variances.get(name2);
      if ("vector" in variances)
        this.#stepVector(parameter2, variances.vector, step2, learningRate, gradientScale);
      else this.#stepMatrices(parameter2, variances, step2, learningRate, gradientScale);
      this.#counts.end(parameter2);
    }
  }
  /** The state in a checkpoint: averages and step counts, by the names of the weights. */
  state() {
    return { steps: this.#counts.state(), tensors: this.#tensors() };
  }
  restore(state) {
    this.#counts.check(state.steps);
    restoreTensors("Adafactor", this.#tensors(), state.tensors);
    this.#counts.restore(state.steps);
  }
  #stepMatrices({ name: name2, shape: shape2, value, gradient }, { rows, columns, width }, step2, learningRate, gradientScale) {
    const matrices = columns.length / width;
    const height = rows.length / matrices;
    const share2 = step2 ** this.#options.beta2Decay;
    const [floorRoot] = this.#options.epsilons;
    const means = new Float32Array(height);
    const sums = new Float64Array(width);
    const part = (array, i, size) => array.subarray(i * size, (i + 1) * size);
    let valueSquares = 0;
    let updateSquares = 0;
    const factors = [];
    for (let i = 0; i < matrices; i++) {
      const g = part(gradient, i, height * width);
      sums.fill(0);
      valueSquares += adafactorSums2(part(value, i, height * width), g, means, sums, gradientScale);
      const row = part(rows, i, height);
      const column = part(columns, i, width);
      moveTowards(row, means, share2);
      moveTowards(
        column,
        sums.map((sum) => sum / height),
        share2
      );
      const mean = Math.max(row.reduce((sum, x) => sum + x, 0) / height, floorRoot);
      factors.push({ rows: row.map((x) => x / mean), columns: column, floor: floorRoot ** 2 });
      updateSquares += adafactorNorm2(g, factors[i], gradientScale);
    }
    const { decay, rate } = this.#rates(name2, shape2, { valueSquares, updateSquares, step: step2, learningRate });
    for (const [i, factor] of factors.entries()) {
      const size = height * width;
      adafactorUpdate2(part(value, i, size), part(gradient, i, size), factor, gradientScale, decay, rate);
    }
  }
  /** Vectors are small, so plain JavaScript suffices. */
  #stepVector({ name: name2, shape: shape2, value, gradient }, variance, step2, learningRate, gradientScale) {
    const g = gradient.map((x) => x * gradientScale);
    moveTowards(
      variance,
      g.map((x) => x * x),
      step2 ** this.#options.beta2Decay
    );
    const floor = this.#options.epsilons[0] ** 2;
    const update = g.map((x, i) => x / Math.sqrt(Math.max(variance[i], floor)));
    const squares = (array) => array.reduce((sum, x) => sum + x * x, 0);
    const [valueSquares, updateSquares] = [squares(value), squares(update)];
    const { decay, rate } = this.#rates(name2, shape2, { valueSquares, updateSquares, step: step2, learningRate });
    for (let i = 0; i < value.length; i++) value[i] = value[i] * decay - rate * update[i];
  }
  /** The decay factor and the update rate. */
  #rates(name2, shape2, measured) {
    const { weightDecay, decays, clipThreshold, epsilons } = this.#options;
    const { valueSquares, updateSquares, step: step2, learningRate } = measured;
    const size = sizeOf(shape2);
    const rho = Math.min(learningRate, 1 / Math.sqrt(step2));
    const alpha = Math.max(epsilons[1], Math.sqrt(valueSquares / size)) * rho;
    const clip = Math.max(1, Math.sqrt(updateSquares / size) / clipThreshold);
    return { decay: 1 - learningRate * (decays(name2, shape2) ? weightDecay : 0), rate: alpha / clip };
  }
  #tensors() {
    const tensors = /* @__PURE__ */ new Map();
    for (const { name: name2, shape: shape2 } of this.#parameters) {
      const variances = this.#variances.get(name2);
      if ("vector" in variances) {
        tensors.set(`variance.${name2}`, { dtype: "F32", data: variances.vector, shape: shape2 });
        continue;
      }
      const { rows, columns } = variances;
      const outer = shape2.slice(0, -2);
      tensors.set(`row.${name2}`, { dtype: "F32", data: rows, shape: [...outer, shape2.at(-2)] });
      tensors.set(`column.${name2}`, { dtype: "F32", data: columns, shape: [...outer, shape2.at(-1)] });
    }
    return tensors;
  }
};
function variancesOf(shape2) {
  if (shape2.length < 2) return { vector: new Float32Array(sizeOf(shape2)) };
  const outer = sizeOf(shape2.slice(0, -2));
  const width = shape2.at(-1);
  return {
    rows: new Float32Array(outer * shape2.at(-2)),
    columns: new Float32Array(outer * width),
    width
  };
}
function moveTowards(average, x, share2) {
  for (let i = 0; i < average.length; i++) average[i] += share2 * (x[i] - average[i]);
}

// src/training/optimizers/adamw.ts
import { z as z4 } from "zod";

// src/kernels/scalar-moments.ts
var { fround: fround3, sqrt: sqrt4, abs, imul, max, min } = Math;
var BLOCK = 256;
var LARGEST_M = 61439;
var LARGEST_S = 63488;
var SMALLEST = 2 ** -100;
var floats2 = new Float32Array(1);
var words = new Uint32Array(floats2.buffer);
function bitsOf(value) {
  floats2[0] = value;
  return words[0];
}
function floatOf(bits) {
  words[0] = bits;
  return floats2[0];
}
function randomBits(x) {
  let h = x ^ x >>> 16;
  h = imul(h, 2146121005);
  h ^= h >>> 15;
  h = imul(h, 2221713035);
  return (h ^ h >>> 16) >>> 0;
}
function rounded(c) {
  return {
    decay: fround3(1 - c.lr * c.weightDecay),
    weight1: fround3(1 - c.beta1),
    beta: fround3(c.beta2),
    weight2: fround3(1 - c.beta2),
    epsilon: fround3(c.eps),
    inverseRoot2: fround3(1 / sqrt4(c.biasCorrection2)),
    stepSize: fround3(c.lr / c.biasCorrection1),
    scale: fround3(c.gradScale)
  };
}
function adamwBfloat16(param, grad, m, v, coefficients, key, first2) {
  const c = rounded(coefficients);
  for (let i = 0; i < param.length; i++) {
    const g = fround3(grad[i] * c.scale);
    const m0 = floatOf(m[i] << 16);
    const v0 = floatOf(v[i] << 16);
    const m1 = fround3(m0 + fround3(c.weight1 * fround3(g - m0)));
    const v1 = fround3(fround3(v0 * c.beta) + fround3(fround3(c.weight2 * g) * g));
    const denominator = fround3(fround3(fround3(sqrt4(v1)) * c.inverseRoot2) + c.epsilon);
    param[i] = fround3(param[i] * c.decay) - fround3(fround3(c.stepSize * m1) / denominator);
    const random2 = randomBits(key + first2 + i | 0);
    m[i] = bitsOf(m1) + (random2 & 65535) >>> 16;
    v[i] = bitsOf(v1) + (random2 >>> 16) >>> 16;
  }
}
function adamwBlocks(param, grad, { m, mScales, s, sScales }, coefficients, key, first2) {
  const c = rounded(coefficients);
  const averages = new Float32Array(BLOCK);
  const roots = new Float32Array(BLOCK);
  for (let start = 0; start < param.length; start += BLOCK) {
    const length = min(BLOCK, param.length - start);
    const block = start / BLOCK;
    const unitM = fround3(mScales[block] * fround3(1 / LARGEST_M));
    const unitS = fround3(sScales[block] * fround3(1 / LARGEST_S));
    let mostM = 0;
    let mostS = 0;
    for (let i = 0; i < length; i++) {
      const at = start + i;
      const g = fround3(grad[at] * c.scale);
      const m0 = decodeM(m[at], unitM);
      const s0 = decodeS(s[at], unitS);
      const m1 = fround3(m0 + fround3(c.weight1 * fround3(g - m0)));
      const v1 = fround3(fround3(fround3(s0 * s0) * c.beta) + fround3(fround3(c.weight2 * g) * g));
      const s1 = fround3(sqrt4(v1));
      const denominator = fround3(fround3(s1 * c.inverseRoot2) + c.epsilon);
      param[at] = fround3(param[at] * c.decay) - fround3(fround3(c.stepSize * m1) / denominator);
      averages[i] = m1;
      roots[i] = s1;
      mostM = max(mostM, abs(m1));
      mostS = max(mostS, s1);
    }
    if (mostM < SMALLEST) mostM = 0;
    if (mostS < SMALLEST) mostS = 0;
    mScales[block] = mostM;
    sScales[block] = mostS;
    const inverseM = mostM > 0 ? fround3(LARGEST_M / mostM) : 0;
    const inverseS = mostS > 0 ? fround3(LARGEST_S / mostS) : 0;
    for (let i = 0; i < length; i++) {
      const random2 = randomBits(key + first2 + start + i | 0);
      m[start + i] = encodeM(averages[i], inverseM, random2 & 65535);
      s[start + i] = encodeS(roots[i], inverseS, random2 >>> 16);
    }
  }
}
function decodeM(code, unit) {
  const magnitude = fround3((floatOf((code & 127) + 1016 << 20) - 1) * unit);
  return code & 128 ? -magnitude : magnitude;
}
function decodeS(code, unit) {
  return fround3(floatOf(code + 2032 << 19) * unit);
}
function encodeM(m, inverse, random2) {
  const float = fround3(fround3(abs(m) * inverse) + 1);
  const code = min((bitsOf(float) + (random2 << 4) >>> 20) - 1016, 127);
  return code | bitsOf(m) >>> 31 << 7;
}
function encodeS(s, inverse, random2) {
  const scaled = fround3(s * inverse);
  const float = scaled < 1 ? 1 : scaled;
  return min((bitsOf(float) + (random2 << 3) >>> 19) - 2032, 255);
}

// src/kernels/moment-kernels.ts
var BLOCK2 = 256;
function adamwBfloat162(param, grad, m, v, coefficients, { key, first: first2 }, chunk) {
  checkLengths("adamwBfloat16", { param, grad, m, v });
  const c = coefficientList(coefficients);
  const done = runElementwise(
    param.length,
    [{ view: param, use: "update" }, { view: grad }, { view: m, use: "update" }, { view: v, use: "update" }],
    (kernels, pointers, start, count2) => kernels.adamwBfloat16(...pointers, count2, ...c, key, first2 + start),
    chunk
  );
  if (!done) adamwBfloat16(param, grad, m, v, coefficients, key, first2);
}
function adamwBlocks2(param, grad, codes, scratch2, coefficients, { key, first: first2 }, chunk) {
  const { m, mScales, s, sScales } = codes;
  checkLengths("adamwBlocks", { param, grad, m, s });
  if (first2 % BLOCK2 !== 0) {
    throw new RopewalkError(`adamwBlocks: the first element is ${first2}; begin at a multiple of ${BLOCK2}.`);
  }
  const c = coefficientList(coefficients);
  const done = runElementwise(
    param.length,
    [
      { view: param, use: "update" },
      { view: grad },
      { view: m, use: "update" },
      { view: mScales, use: "update", every: BLOCK2 },
      { view: s, use: "update" },
      { view: sScales, use: "update", every: BLOCK2 },
      { view: scratch2, use: "scratch" }
    ],
    (kernels, pointers, start, count2) => kernels.adamwBlocks(...pointers, count2, ...c, key, first2 + start),
    chunk
  );
  if (!done) adamwBlocks(param, grad, codes, coefficients, key, first2);
}

// src/training/optimizers/moments.ts
var Float32Moments = class {
  #m;
  #v;
  #parameter;
  #range;
  constructor(memory, parameter2) {
    this.#parameter = parameter2;
    this.#range = rangeOf(parameter2);
    const bytes2 = 4 * lengthOf(this.#range);
    const [m, v] = allocate(memory, parameter2, [bytes2, bytes2]);
    this.#m = float32(m);
    this.#v = float32(v);
  }
  update(value, gradient, offset, coefficients) {
    const start = offset - this.#range.start;
    const end = start + value.length;
    adamw2(value, gradient, this.#m.subarray(start, end), this.#v.subarray(start, end), coefficients);
  }
  tensors() {
    const { name: name2, shape: shape2 } = this.#parameter;
    const { start } = this.#range;
    return [
      [`m.${name2}`, { dtype: "F32", data: this.#m, shape: shape2, start }],
      [`v.${name2}`, { dtype: "F32", data: this.#v, shape: shape2, start }]
    ];
  }
};
var Bfloat16Moments = class {
  #m;
  #v;
  #parameter;
  #range;
  #seed;
  constructor(memory, parameter2, seed) {
    this.#parameter = parameter2;
    this.#range = rangeOf(parameter2);
    this.#seed = seed;
    const bytes2 = 2 * lengthOf(this.#range);
    const [m, v] = allocate(memory, parameter2, [bytes2, bytes2]);
    this.#m = uint16(m);
    this.#v = uint16(v);
  }
  update(value, gradient, offset, coefficients, step2) {
    const start = offset - this.#range.start;
    const end = start + value.length;
    const key = roundingKey(this.#seed, this.#parameter.name, step2);
    adamwBfloat162(value, gradient, this.#m.subarray(start, end), this.#v.subarray(start, end), coefficients, {
      key,
      first: offset
    });
  }
  tensors() {
    const { name: name2, shape: shape2 } = this.#parameter;
    const { start } = this.#range;
    return [
      [`m.${name2}`, { dtype: "BF16", data: this.#m, shape: shape2, start }],
      [`v.${name2}`, { dtype: "BF16", data: this.#v, shape: shape2, start }]
    ];
  }
};
var BlockMoments = class {
  #codes;
  #scratch;
  #parameter;
  #range;
  #seed;
  /** @param parameter its range, if any, begins at a block. */
  constructor(memory, parameter2, seed) {
    this.#parameter = parameter2;
    this.#range = rangeOf(parameter2);
    this.#seed = seed;
    const size = lengthOf(this.#range);
    const scales = 4 * Math.ceil(size / BLOCK2);
    const [m, s, mScales, sScales, scratch2] = allocate(memory, parameter2, [
      size,
      size,
      scales,
      scales,
      4 * 2 * BLOCK2
    ]);
    this.#codes = { m, s, mScales: float32(mScales), sScales: float32(sScales) };
    this.#scratch = float32(scratch2);
  }
  update(value, gradient, offset, coefficients, step2) {
    const { name: name2 } = this.#parameter;
    if (offset % BLOCK2 !== 0) {
      throw new RopewalkError(
        `AdamW: a range of ${name2} begins at ${offset}; with 8-bit states, begin at multiples of ${BLOCK2}.`
      );
    }
    const start = offset - this.#range.start;
    const end = start + value.length;
    const { m, s, mScales, sScales } = this.#codes;
    const codes = {
      m: m.subarray(start, end),
      s: s.subarray(start, end),
      mScales: mScales.subarray(start / BLOCK2, Math.ceil(end / BLOCK2)),
      sScales: sScales.subarray(start / BLOCK2, Math.ceil(end / BLOCK2))
    };
    const rounding = { key: roundingKey(this.#seed, name2, step2), first: offset };
    adamwBlocks2(value, gradient, codes, this.#scratch, coefficients, rounding);
  }
  tensors() {
    const { name: name2, shape: shape2 } = this.#parameter;
    const { m, s, mScales, sScales } = this.#codes;
    const { start } = this.#range;
    const blocks = { shape: [Math.ceil(sizeOf(shape2) / BLOCK2)], start: start / BLOCK2 };
    return [
      [`m.${name2}`, { dtype: "U8", data: m, shape: shape2, start }],
      [`m_scale.${name2}`, { dtype: "F32", data: mScales, ...blocks }],
      [`v_root.${name2}`, { dtype: "U8", data: s, shape: shape2, start }],
      [`v_root_scale.${name2}`, { dtype: "F32", data: sScales, ...blocks }]
    ];
  }
};
function lengthOf({ start, end }) {
  return end - start;
}
function roundingKey(seed, name2, step2) {
  let key = randomBits(seed | 0);
  for (let i = 0; i < name2.length; i++) key = randomBits(key + name2.charCodeAt(i) | 0);
  return randomBits(key + step2 | 0);
}
function allocate(memory, { value }, byteLengths) {
  return (value && allocBeside(value, byteLengths)) ?? memory.allocByteGroup(byteLengths);
}
function float32({ buffer, byteOffset, byteLength }) {
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}
function uint16({ buffer, byteOffset, byteLength }) {
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

// src/training/optimizers/adamw.ts
var OPTIMIZER_STATES = ["float32", "bfloat16", "int8"];
var DEFAULTS2 = {
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  states: "float32",
  decays: matricesDecay
};
var options2 = {
  beta1: option2(below1, "decay of the running mean of gradients", { value: "b" }),
  beta2: option2(below1, "decay of the running mean of squared gradients", { value: "b" }),
  eps: option2(notNegative, "added to the denominator", { value: "e" }),
  ...decayOptions,
  states: option2(oneOf(OPTIMIZER_STATES), "storage type of the running means", { value: "form" })
};
var adamw3 = defineOptimizer({
  name: "adamw",
  options: options2,
  defaults: DEFAULTS2,
  stateBytes(shape2, { states }) {
    const size = sizeOf(shape2);
    return { float32: 8 * size, bfloat16: 4 * size, int8: 2 * size + 8 * Math.ceil(size / BLOCK2) }[states];
  },
  create: (parameters, given) => new AdamW(parameters, given)
});
var AdamW = class {
  /** Bytes of state per weight. */
  bytesPerParameter;
  #options;
  #moments;
  #counts;
  /** @param parameters to update, as from `allocateTrainable` or a learner. */
  constructor(parameters, given = {}) {
    const { memory = new HostMemory(), seed = 0, ...own2 } = given;
    this.#options = { ...DEFAULTS2, ...parseOptions(z4.strictObject(options2).partial(), own2) };
    const all2 = [...parameters];
    this.#counts = new StepCounts("AdamW", all2);
    const { states } = this.#options;
    this.#moments = new Map(
      all2.map((parameter2) => [parameter2.name, makeMoments(states, memory, parameter2, seed)])
    );
    const size = all2.reduce((sum, { shape: shape2 }) => sum + sizeOf(shape2), 0);
    const bytes2 = [...this.#tensors().values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.bytesPerParameter = bytes2 / Math.max(1, size);
  }
  step(parameters, settings) {
    const { learningRate, gradientScale } = checkedSettings(settings);
    const { beta1, beta2, eps, weightDecay, decays } = this.#options;
    for (const parameter2 of parameters) {
      const { name: name2, shape: shape2, value, gradient } = parameter2;
      const { step: step2, offset } = this.#counts.begin(parameter2);
      const coefficients = {
        lr: learningRate,
        beta1,
        beta2,
        eps,
        weightDecay: decays(name2, shape2) ? weightDecay : 0,
        biasCorrection1: 1 - beta1 ** step2,
        biasCorrection2: 1 - beta2 ** step2,
        gradScale: gradientScale
      };
      this.#moments.get(name2).update(value, gradient, offset, coefficients, step2);
      this.#counts.end(parameter2);
    }
  }
  /** The state in a checkpoint: averages and step counts, by the names of the weights. */
  state() {
    return { steps: this.#counts.state(), tensors: this.#tensors() };
  }
  restore(state) {
    this.#counts.check(state.steps);
    restoreTensors("AdamW", this.#tensors(), state.tensors);
    this.#counts.restore(state.steps);
  }
  #tensors() {
    return new Map([...this.#moments.values()].flatMap((moments) => moments.tensors()));
  }
};
function makeMoments(states, memory, parameter2, seed) {
  switch (states) {
    case "float32":
      return new Float32Moments(memory, parameter2);
    case "bfloat16":
      return new Bfloat16Moments(memory, parameter2, seed);
    case "int8":
      return new BlockMoments(memory, parameter2, seed);
  }
}

// src/training/optimizers/sgd.ts
var sgd3 = defineOptimizer({
  name: "sgd",
  options: {},
  defaults: {},
  stateBytes: () => 0,
  create: (parameters) => new Sgd(parameters)
});
var Sgd = class {
  bytesPerParameter = 0;
  #steps = /* @__PURE__ */ new Map();
  #ends;
  /** @param parameters needed only where it updates ranges of weights. */
  constructor(parameters = []) {
    this.#ends = new Map([...parameters].map((parameter2) => [parameter2.name, rangeOf(parameter2).end]));
  }
  step(parameters, settings) {
    const { learningRate, gradientScale } = checkedSettings(settings);
    for (const { name: name2, shape: shape2, value, gradient, offset = 0 } of parameters) {
      sgd2(value, gradient, learningRate, gradientScale);
      const ends = offset + value.length === (this.#ends.get(name2) ?? sizeOf(shape2));
      this.#steps.set(name2, (this.#steps.get(name2) ?? 0) + (ends ? 1 : 0));
    }
  }
  /** The state in a checkpoint: step counts. */
  state() {
    return { steps: Object.fromEntries(this.#steps), tensors: /* @__PURE__ */ new Map() };
  }
  restore(state) {
    checkSteps("Sgd", state.steps, Object.keys(state.steps));
    this.#steps = new Map(Object.entries(state.steps));
  }
};

// src/training/optimizers/trainable.ts
var TOGETHER = 2 ** 29 - 2 ** 15;
function allocateTrainable(memory, parameters) {
  const sizes = parameters.map(({ shape: shape2 }) => sizeOf(shape2));
  const together2 = sizes.filter((size) => size <= TOGETHER);
  const groups = memory.allocGroups(
    together2.map((size) => [size, size]),
    together2.map((size) => 8 * size + 256)
  ).values();
  return parameters.map(({ name: name2, shape: shape2 }, i) => {
    const size = sizes[i];
    const pair = size <= TOGETHER ? groups.next().value : [memory.allocFloat32(size), memory.allocFloat32(size)];
    const [value, gradient] = pair;
    return { name: name2, shape: shape2, value, gradient };
  });
}

// src/graph/lowerings/add-rms-norm.ts
var addRmsNormOp = {
  name: "addRmsNorm",
  engineOnly: true,
  fits: (inputs, _, dialect) => dialect === "onnxruntime" && [2, 3].includes(inputs[0].shape.length),
  infer([x, y, weight]) {
    const inputs = [x, y, weight].filter((input2) => input2 !== void 0);
    const normed = checkNorm("addRmsNorm", [x, weight]);
    if (inputs.length < 3 || !sameShape(x.shape, y.shape))
      throw shapeError("addRmsNorm", inputs, "needs two tensors of one shape and a weight");
    return [normed, normed];
  },
  expand([x, y, weight], { epsilon }) {
    const sum = add(x, y);
    return [rmsNorm(sum, weight, epsilon), sum];
  },
  lower(e, inputs, { attributes: { epsilon } }) {
    const outputs = e.node(
      "SkipSimplifiedLayerNormalization",
      inputs,
      { epsilon: { float: epsilon } },
      { domain: "com.microsoft", outputs: 4 }
    );
    return [outputs[0], outputs[3]];
  },
  examples: [{ inputs: [floats(3, 6), floats(3, 6), floats(6)], attributes: { epsilon: 1e-5 } }]
};
function addRmsNorm(x, y, weight, epsilon) {
  return apply(addRmsNormOp, [x, y, weight], { epsilon });
}

// src/onnx/inference.ts
function prepareInference(outputs, weights) {
  if (weights.size === 0) return { outputs: [...outputs], weights: /* @__PURE__ */ new Map(), lookups: [] };
  const order = topologicalOrder(outputs);
  const changed = new Map(weights);
  const lookups = /* @__PURE__ */ new Map();
  const rules = [
    hostLookups(weights, lookups),
    joinedProducts(order, weights, changed),
    packedAttention,
    ...residualNorms(order)
  ];
  return { outputs: rewrite(outputs, rules), weights: changed, lookups: [...lookups.values()] };
}
function hostLookups(weights, found) {
  return {
    operator: gatherRowsOp,
    apply({ outputs: [looked] }, [table, ids]) {
      const name2 = parameterName(table.node);
      const rows = name2 === void 0 ? void 0 : weights.get(name2)?.rows;
      if (!rows || !isNodeOf(ids.node, inputOp)) return void 0;
      const lookup = { input: `${name2}[${ids.node.attributes.name}]`, ids: ids.node.attributes.name, rows };
      found.set(lookup.input, lookup);
      return [input(lookup.input, "float32", looked.shape)];
    }
  };
}
var packedAttention = {
  operator: cachedAttentionOp,
  apply({ attributes }, [q, k, v, ...rest]) {
    const { packed, rotates } = attributes;
    const { node } = q;
    const divides = isNodeOf(node, splitOp) && node.outputs.length === 3 && [q, k, v].every((tensor, i) => tensor === node.outputs[i]);
    if (packed || !rotates || !divides) return void 0;
    return apply(cachedAttentionOp, [node.inputs[0], ...rest], { ...attributes, packed: true });
  }
};
function residualNorms(order) {
  const sums = normedSums(order);
  const normed = /* @__PURE__ */ new Map();
  const sum = {
    operator: addOp,
    apply({ outputs }, [x, y]) {
      const norm2 = sums.get(outputs[0]);
      if (!norm2) return void 0;
      const [result, sum2] = addRmsNorm(x, y, norm2.inputs[1], norm2.attributes.epsilon);
      normed.set(norm2, result);
      return [sum2];
    }
  };
  const norm = {
    operator: rmsNormOp,
    apply(node) {
      const result = normed.get(node);
      return result && [result];
    }
  };
  return [sum, norm];
}
function normedSums(order) {
  const found = /* @__PURE__ */ new Map();
  for (const norm of order) {
    if (!isNodeOf(norm, rmsNormOp)) continue;
    const [sum, weight] = norm.inputs;
    const [x, y] = sum.node.inputs;
    const standing = topologicalOrder([weight]).every(
      (node) => isNodeOf(node, constantOp) || isNodeOf(node, addOp) || parameterName(node) !== void 0
    );
    const isSum = isNodeOf(sum.node, addOp) && sameShape(x.shape, y.shape);
    if (isSum && standing && !found.has(sum)) found.set(sum, norm);
  }
  return found;
}
function joinedProducts(order, weights, changed) {
  const groups = groupProducts(order, weights);
  const merged = /* @__PURE__ */ new Map();
  return {
    operator: matmulOp,
    apply(node, [x]) {
      const group = groups.get(node);
      if (!group) return void 0;
      const parts11 = merged.get(group) ?? mergeGroup(group, x, changed);
      merged.set(group, parts11);
      return [parts11[group.indexOf(node)]];
    }
  };
}
function groupProducts(order, weights) {
  const uses = /* @__PURE__ */ new Map();
  const byInput = /* @__PURE__ */ new Map();
  for (const node of order) {
    for (const tensor of node.inputs) {
      const name2 = parameterName(tensor.node);
      if (name2 !== void 0) uses.set(name2, (uses.get(name2) ?? 0) + 1);
    }
    const source5 = quantizedOf(node, weights);
    if (!source5) continue;
    const [x] = node.inputs;
    const kind = [
      x.node.id,
      x.index,
      source5.bits,
      source5.block,
      source5.hasOffsets,
      source5.hasZeroPoints,
      source5.exact
    ].join();
    byInput.set(kind, [...byInput.get(kind) ?? [], node]);
  }
  const groups = /* @__PURE__ */ new Map();
  for (const nodes of byInput.values()) {
    const alone = nodes.filter((node) => uses.get(linearWeight(node)) === 1);
    if (alone.length > 1) for (const node of alone) groups.set(node, alone);
  }
  return groups;
}
function quantizedOf(node, weights) {
  const name2 = linearWeight(node);
  const source5 = name2 === void 0 ? void 0 : weights.get(name2);
  return source5 && "quantized" in source5 ? source5.quantized : void 0;
}
function mergeGroup(group, x, weights) {
  const name2 = group.map((node) => linearWeight(node)).join("+");
  const quantized = group.map((node) => quantizedOf(node, weights));
  const sizes = group.map((node) => staticShape(node.inputs[1].shape, "a weight")[0]);
  const stacked = stackQuantized(quantized);
  weights.set(name2, { quantized: stacked });
  const weight = parameter(name2, [stacked.rows, stacked.columns]);
  return split(matmul(x, weight, { transB: true }), x.rank - 1, sizes);
}

// src/runtime/engine.ts
function dialectOf({ defaults }) {
  return defaults.provider === "webgpu" ? "webgpu" : "onnxruntime";
}
async function createSession(engine2, model2, settings, provided = [], layouts) {
  const all2 = { ...engine2.defaults, ...settings };
  const session = {};
  if (all2.weightsFolder !== void 0)
    session.model_external_initializers_file_folder_path = all2.weightsFolder;
  if (all2.prepack === false) session.disable_prepacking = "1";
  if (!all2.spinsBetweenRuns) session.force_spinning_stop = "1";
  session.use_device_allocator_for_initializers = "1";
  const extra = { session };
  if (all2.recomputes) extra.optimization = { disable_specified_optimizers: "CommonSubexpressionElimination" };
  const options3 = {
    executionProviders: [all2.provider ?? "cpu"],
    // Measured: planning memory by pattern raises a training graph's peak by half and is no faster.
    enableMemPattern: false,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    ...all2.threads !== void 0 && { intraOpNumThreads: all2.threads },
    ...all2.inBackground && { inBackground: true },
    ...all2.profile !== void 0 && { enableProfiling: true, profileFilePrefix: all2.profile },
    extra
  };
  return engine2.runtime.InferenceSession.create(model2, options3, provided, layouts);
}

// src/runtime/executable.ts
var Executable = class _Executable {
  constructor(engine2, session, plans, inputs, modelBytes, lookups) {
    this.inputs = inputs;
    this.modelBytes = modelBytes;
    this.#engine = engine2;
    this.#session = session;
    this.#plans = plans;
    this.#lookups = lookups;
  }
  inputs;
  modelBytes;
  #engine;
  #session;
  #plans;
  #lookups;
  /** @param outputs the results of a run, by name. */
  static async compile(engine2, outputs, options3 = {}) {
    const { weights: _, layouts, ...settings } = options3;
    const { model: model2, provide, plans, lookups } = await emit(engine2, outputs, options3);
    const session = await createSession(
      engine2,
      model2.bytes,
      { ...settings, ...provide && model2.provided.length > 0 && { weightsFolder: provide.folder } },
      model2.provided,
      model2.provided.length > 0 ? layouts : void 0
    );
    return new _Executable(engine2, session, plans, model2.inputs, model2.bytes.byteLength, lookups);
  }
  /**
   * Keeps the weights as {@link compile} would, without compiling anything: only one weight at a time is in memory.
   *
   * @returns whether they are kept.
   */
  static async keepWeights(engine2, outputs, options3) {
    if (!engine2.layouts) return false;
    const { model: model2 } = await emit(engine2, outputs, options3);
    const layout = await options3.layouts.obtain(model2.provided, engine2.layouts);
    await layout?.close();
    return layout !== void 0;
  }
  /**
   * Runs the graph.
   *
   * @param feeds a value for every name in {@link inputs}; arrays are not copied.
   * @param into arrays to write outputs into; other outputs get new ones. If the graph does not fix an output's size,
   *   pass its shape too.
   */
  async run(feeds, into = {}) {
    const fed = {};
    for (const [name2, attributes] of this.inputs) {
      const lookup = this.#lookups.find((each) => each.input === name2);
      const feed = lookup ? lookUp(lookup, feeds[lookup.ids]) : feeds[name2];
      fed[name2] = this.#toEngine(name2, attributes, feed);
    }
    const fetches = {};
    for (const [name2, plan] of this.#plans) {
      if (plan.dense !== void 0) {
        fetches[plan.dense] = this.#target(plan, into[name2]);
      }
      for (const { ids, rows } of plan.additions) {
        fetches[ids] = null;
        fetches[rows] = null;
      }
    }
    const results = await this.#session.run(fed, fetches);
    const outputs = {};
    for (const [name2, plan] of this.#plans) {
      const target = into[name2];
      const array = target && "data" in target ? target.data : target;
      outputs[name2] = collect(plan, results, array, plan.dense !== void 0 && fetches[plan.dense] !== null);
    }
    return outputs;
  }
  /**
   * Binds the graph to tensors on the engine's device, where it then runs without the host.
   *
   * @param inputs a tensor for every name in {@link inputs}.
   * @param outputs a tensor for every output, which none of the inputs may share memory with.
   */
  bind(inputs, outputs) {
    if (!this.#session.bind) throw new RopewalkError("this engine keeps no values on a device.");
    for (const [name2, { dtype, shape: shape2 }] of this.inputs) {
      const given = inputs[name2];
      if (!given) throw new RopewalkError(`the graph's input ${name2} was not given.`);
      const fits = given.shape.length === shape2.length && given.shape.every((size, i) => size === shape2[i]);
      if (given.dtype !== dtype || !fits) {
        throw new RopewalkError(
          `the graph's input ${name2} is ${dtype} ${shapeText(shape2)}, but got ${given.dtype} ${shapeText(given.shape)}.`
        );
      }
    }
    for (const name2 of this.#plans.keys())
      if (!outputs[name2]) throw new RopewalkError(`the graph's output ${name2} was not given.`);
    return this.#session.bind(
      Object.fromEntries([...this.inputs.keys()].map((name2) => [name2, inputs[name2]])),
      Object.fromEntries([...this.#plans.keys()].map((name2) => [name2, outputs[name2]]))
    );
  }
  /** Frees the engine's memory. Nothing can be run afterwards. */
  async release() {
    await this.#session.release();
  }
  /** Ends ONNX Runtime's profile of this graph and writes its file; see `SessionSettings.profile`. */
  endProfiling() {
    this.#session.endProfiling();
  }
  /** Where the engine writes an output, if the caller passed an array and the size is known beforehand. */
  #target(plan, into) {
    if (!into || !this.#engine.writesOutputs) return null;
    const { Tensor: Tensor3 } = this.#engine.runtime;
    if ("data" in into) return new Tensor3("float32", into.data, into.shape);
    const fixed = plan.shape.every((dim) => typeof dim === "number");
    return fixed ? new Tensor3("float32", into, plan.shape) : null;
  }
  #toEngine(name2, attributes, feed) {
    if (!feed) throw new RopewalkError(`the graph's input ${name2} was not given.`);
    const { data, shape: shape2 } = feed;
    const fits = shape2.length === attributes.shape.length && shape2.every(
      (size, axis) => typeof attributes.shape[axis] !== "number" || attributes.shape[axis] === size
    );
    if (!fits) {
      throw new RopewalkError(
        `the graph's input ${name2} has shape ${shapeText(shape2)}, but ${shapeText(attributes.shape)} is needed.`
      );
    }
    const { Tensor: Tensor3 } = this.#engine.runtime;
    if (attributes.dtype === "float32" && data instanceof Float32Array)
      return new Tensor3("float32", data, shape2);
    if (attributes.dtype === "int32" && data instanceof Int32Array) return new Tensor3("int32", data, shape2);
    if (attributes.dtype === "int64" && data instanceof BigInt64Array)
      return new Tensor3("int64", data, shape2);
    throw new RopewalkError(
      `the graph's input ${name2} is ${attributes.dtype}, but got a ${data.constructor.name}.`
    );
  }
};
async function emit(engine2, outputs, options3) {
  const { weights = /* @__PURE__ */ new Map(), layouts: _, ...settings } = options3;
  const { plans, sessionOutputs } = planOutputs(outputs, dialectOf(engine2) === "webgpu");
  const prepared = prepareInference([...sessionOutputs.values()], weights);
  const roots = new Map([...sessionOutputs.keys()].map((name2, i) => [name2, prepared.outputs[i]]));
  const provide = engine2.takesWeights && providedFrom(engine2.takesWeights, prepared.weights, settings);
  const sources = provide ? prepared.weights : await readIntoMemory(prepared.weights);
  const model2 = emitModel(roots, { dialect: dialectOf(engine2), weights: sources, provide });
  return { model: model2, provide, plans, lookups: prepared.lookups };
}
function providedFrom(known, weights, { weightsFolder }) {
  if (weightsFolder === void 0) return known;
  for (const source5 of weights.values())
    if ("file" in source5) return { folder: weightsFolder, file: source5.file.location };
  return known;
}
function lookUp({ ids: name2, rows, input: input2 }, ids) {
  if (!ids) throw new RopewalkError(`the graph's input ${name2}, which indexes ${input2}, was not given.`);
  const data = new Float32Array(ids.data.length * rows.width);
  for (let i = 0; i < ids.data.length; i++) rows.read(Number(ids.data[i]), data, i * rows.width);
  return { data, shape: [...ids.shape, rows.width] };
}
function planOutputs(outputs, whole) {
  const plans = /* @__PURE__ */ new Map();
  const sessionOutputs = /* @__PURE__ */ new Map();
  for (const [name2, tensor] of outputs) {
    const { dense, sparse } = whole ? { dense: tensor, sparse: [] } : splitSum(tensor);
    if (dense) sessionOutputs.set(name2, dense);
    const additions = sparse.map((scatter, i) => {
      const addition = { ids: `${name2}#ids${i}`, rows: `${name2}#rows${i}` };
      sessionOutputs.set(addition.ids, scatter.node.inputs[0]);
      sessionOutputs.set(addition.rows, scatter.node.inputs[1]);
      return addition;
    });
    plans.set(name2, { dense: dense ? name2 : void 0, additions, shape: tensor.shape });
  }
  return { plans, sessionOutputs };
}
function splitSum(tensor) {
  if (isNodeOf(tensor.node, scatterRowsOp)) return { dense: void 0, sparse: [tensor] };
  if (isNodeOf(tensor.node, addOp)) {
    const parts11 = tensor.node.inputs.map(splitSum);
    const sparse = parts11.flatMap((part) => part.sparse);
    if (sparse.length > 0) {
      const dense = parts11.flatMap((part) => part.dense ? [part.dense] : []);
      return { dense: dense.length > 1 ? add(dense[0], dense[1]) : dense[0], sparse };
    }
  }
  return { dense: tensor, sparse: [] };
}
function collect(plan, results, target, written) {
  const dense = plan.dense === void 0 ? void 0 : results[plan.dense];
  if (target && dense && !written) target.set(dense.data);
  if (plan.additions.length === 0) {
    return { data: target ?? dense.data, shape: dense.dims };
  }
  const shape2 = plan.shape;
  if (target && !dense) target.fill(0);
  const data = target ?? dense?.data ?? new Float32Array(sizeOf(shape2));
  for (const { ids, rows } of plan.additions) {
    const width = shape2[1];
    addRows2(data, toInt32(results[ids].data), results[rows].data, width);
  }
  return { data, shape: shape2 };
}
function toInt32(ids) {
  return ids instanceof Int32Array ? ids : Int32Array.from(ids, Number);
}

// src/graph/partition.ts
function partition(early, outputs, late, dialect) {
  const all2 = simplify([...early, ...outputs], dialect);
  const first2 = all2.slice(0, early.length);
  const second = all2.slice(early.length);
  const isLate = lateNodes(second, late);
  const kept = /* @__PURE__ */ new Set();
  const visited = /* @__PURE__ */ new Set();
  const need = (tensor) => {
    const { operator, inputs: inputs2 } = tensor.node;
    if (visited.has(tensor) || inputs2.length === 0) return;
    visited.add(tensor);
    if (operator.cheap) for (const each of inputs2) need(each);
    else kept.add(tensor);
  };
  for (const node of isLate) for (const tensor of node.inputs) if (!isLate.has(tensor.node)) need(tensor);
  for (const output of second) if (!isLate.has(output.node)) need(output);
  const entries = [...kept].map((tensor, i) => ({
    tensor,
    name: `kept.${i}`,
    shape: tensor.shape
  }));
  const inputs = new Map(
    entries.map(({ tensor, name: name2, shape: shape2 }) => [tensor, input(name2, tensor.dtype, shape2)])
  );
  return {
    first: [...first2, ...kept],
    kept: entries.map(({ tensor, name: name2, shape: shape2 }) => ({ name: name2, dtype: tensor.dtype, shape: shape2 })),
    second: substitute(second, inputs)
  };
}
function lateNodes(outputs, late) {
  const nodes = /* @__PURE__ */ new Set([late.node]);
  for (const node of topologicalOrder(outputs)) {
    if (node.inputs.some((tensor) => nodes.has(tensor.node))) nodes.add(node);
  }
  return nodes;
}

// src/training/blocks/block-graph.ts
function modelPieces(model2, shape2) {
  const { embed, layers, finish } = model2.stages;
  const context = sequenceContext(shape2);
  const first2 = embed(context);
  const x = input("x", "float32", first2.shape);
  return [piece(first2), ...layers.map((layer) => piece(layer(x, context), x)), piece(finish(x), x)];
}
function piece(y, x) {
  const inputs = topologicalOrder([y]).filter(({ operator }) => operator.name === "input");
  const weights = inputs.filter(({ attributes }) => attributes.parameter);
  const paths = weights.map(({ attributes }) => attributes.name);
  const prefix = commonPrefix(paths);
  const parameters = weights.map(({ outputs }, i) => {
    const path = paths[i];
    const name2 = path.slice(prefix.length);
    const shape2 = outputs[0].shape;
    return { path, name: name2, shape: shape2, tensor: parameter(name2, shape2) };
  });
  const renamed = new Map(weights.map(({ outputs }, i) => [outputs[0], parameters[i].tensor]));
  return { ...x && { x }, y: substitute([y], renamed)[0], parameters };
}
function commonPrefix(paths) {
  const parts11 = paths.map((path) => path.split(".").slice(0, -1));
  const [first2 = []] = parts11;
  let length = 0;
  while (length < first2.length && parts11.every((part) => part[length] === first2[length])) length++;
  return first2.slice(0, length).map((part) => `${part}.`).join("");
}
function forwardGraph({ y }) {
  return /* @__PURE__ */ new Map([["y", y]]);
}
function backwardGraph({ x, y, parameters }, trained, inputGradient, dy = input("dy", "float32", y.shape)) {
  const wanted = parameters.filter(({ name: name2 }) => trained.includes(name2)).reverse();
  const sources = [...wanted.map(({ tensor }) => tensor), ...inputGradient ? [x] : []];
  const gradients = differentiate(y, sources, dy);
  const names12 = [...wanted.map(({ name: name2 }) => gradientName(name2)), ...inputGradient ? ["dx"] : []];
  return new Map(
    names12.map((name2, i) => {
      const shape2 = sources[i].shape;
      return [name2, gradients[i] ?? constant(new Float32Array(sizeOf(shape2)), shape2)];
    })
  );
}
function keepingGraphs(piece2, trained, inputGradient, dialect) {
  const dy = input("dy", "float32", piece2.y.shape);
  const gradients = backwardGraph(piece2, trained, inputGradient, dy);
  const { first: first2, second, kept } = partition([piece2.y], [...gradients.values()], dy, dialect);
  return {
    forward: new Map(["y", ...kept.map(({ name: name2 }) => name2)].map((name2, i) => [name2, first2[i]])),
    backward: new Map([...gradients.keys()].map((name2, i) => [name2, second[i]])),
    kept
  };
}

// src/training/blocks/block-embedding.ts
var EmbeddingStage = class _EmbeddingStage {
  constructor(engine2, settings, piece2, values, trained, forwardPass) {
    this.trained = trained;
    this.#engine = engine2;
    this.#settings = settings;
    this.#piece = piece2;
    this.#values = values;
    this.#forwardPass = forwardPass;
    const names12 = piece2.parameters.filter(({ path }) => trained.includes(path)).map(({ name: name2 }) => name2);
    const gradients = backwardGraph(piece2, names12, false);
    for (const { path, name: name2 } of piece2.parameters) {
      const gradient = gradients.get(gradientName(name2));
      if (gradient) this.#plan(path, gradient);
    }
  }
  trained;
  #backwardPass;
  #shares = /* @__PURE__ */ new Map();
  #outputs = /* @__PURE__ */ new Map();
  #engine;
  #settings;
  #piece;
  #values;
  #forwardPass;
  static async create(engine2, piece2, values, trains, settings) {
    const trained = piece2.parameters.map(({ path }) => path).filter(trains);
    const forward = await Executable.compile(engine2, forwardGraph(piece2), settings);
    return new _EmbeddingStage(engine2, settings, piece2, values, trained, forward);
  }
  async compile() {
    if (this.trained.length > 0) await this.#backwardExecutable();
  }
  /** Writes the first layer's input, `[rows, width]`. */
  async forward(y, context) {
    await this.#forwardPass.run({ ...this.#feeds(), ...context }, { y });
  }
  async backward(dy, sink, context) {
    const pass = await this.#backwardExecutable();
    const feed = { data: dy, shape: this.#piece.y.shape };
    const results = await pass.run({ ...this.#feeds(), ...context, dy: feed });
    const open = sink.open(this.trained, "add");
    for (const [path, gradient] of open.arrays) {
      for (const share2 of this.#shares.get(path)) {
        if ("all" in share2) {
          addInto2(gradient, results[share2.all].data);
        } else {
          const ids = results[share2.ids].data;
          addRows2(gradient, ids, results[share2.rows].data, share2.width);
        }
      }
    }
    await open.close();
  }
  async release() {
    await this.#forwardPass.release();
    await (await this.#backwardPass)?.release();
  }
  #plan(path, gradient) {
    const { dense, sparse } = splitSum(gradient);
    const shares = sparse.map(({ node, shape: shape2 }, i) => {
      const share2 = { ids: `${path}#ids${i}`, rows: `${path}#rows${i}`, width: shape2[1] };
      this.#outputs.set(share2.ids, node.inputs[0]);
      this.#outputs.set(share2.rows, node.inputs[1]);
      return share2;
    });
    if (dense) {
      shares.push({ all: path });
      this.#outputs.set(path, dense);
    }
    this.#shares.set(path, shares);
  }
  #backwardExecutable() {
    this.#backwardPass ??= Executable.compile(this.#engine, this.#outputs, this.#settings);
    return this.#backwardPass;
  }
  #feeds() {
    const { parameters } = this.#piece;
    return Object.fromEntries(
      parameters.map(({ name: name2, path, shape: shape2 }) => [name2, { data: this.#values.get(path), shape: shape2 }])
    );
  }
};

// src/training/blocks/block-gradients.ts
var KeptGradients = class {
  constructor(trainables) {
    this.trainables = trainables;
    this.#gradients = new Map(trainables.map(({ name: name2, gradient }) => [name2, gradient]));
  }
  trainables;
  #written = /* @__PURE__ */ new Set();
  #scratch = new Float32Array(0);
  #gradients;
  /** Begins a step: the next writes replace the previous gradients. */
  begin() {
    this.#written.clear();
  }
  open(paths, mode2) {
    const again = paths.filter((path) => mode2 === "write" && this.#written.has(path));
    const shares = again.length > 0 ? this.#shares(again) : void 0;
    const arrays = new Map(paths.map((path) => [path, shares?.get(path) ?? this.#gradients.get(path)]));
    for (const path of paths) {
      if (mode2 === "add" && !this.#written.has(path)) fill(this.#gradients.get(path), 0);
      this.#written.add(path);
    }
    const close = async () => {
      for (const [path, share2] of shares ?? []) addInto2(this.#gradients.get(path), share2);
    };
    return { arrays, close };
  }
  /**
   * Arrays for further contributions to weights that already have a gradient, allocated once for the largest stage.
   */
  #shares(paths) {
    const size = (path) => this.#gradients.get(path).length;
    const total = paths.reduce((sum, path) => sum + size(path), 0);
    if (this.#scratch.length < total) this.#scratch = new Float32Array(total);
    let start = 0;
    return new Map(
      paths.map((path) => {
        const end = start + size(path);
        const share2 = this.#scratch.subarray(start, end);
        start = end;
        return [path, share2];
      })
    );
  }
};

// src/training/blocks/block-head.ts
function headGraph({ model: model2, rows, width, trains }, lossOf2) {
  const hidden = input("hidden", "float32", [rows, width]);
  const { loss } = lossOf2(lossInputs(model2, hidden, rows));
  const { weight, bias } = model2.head;
  const parameters = [...bias ? [bias] : [], weight].filter(({ path }) => trains(path));
  const trained = parameters.map(({ path }) => path);
  const sources = [hidden, ...parameters.map(({ tensor }) => tensor)];
  const names12 = ["dHidden", ...trained.map(gradientName)];
  const gradients = differentiate(loss, sources).map((gradient, i) => {
    const shape2 = sources[i].shape;
    return gradient ?? constant(new Float32Array(sizeOf(shape2)), shape2);
  });
  return { trained, loss, gradients: new Map(names12.map((name2, i) => [name2, gradients[i]])) };
}
var GraphHead = class {
  trained;
  #graph;
  #lossPass;
  #gradientPass;
  #parts;
  constructor(parts11, lossOf2) {
    this.#parts = parts11;
    this.#graph = headGraph(parts11, lossOf2);
    this.trained = this.#graph.trained;
  }
  async loss(hidden, feeds) {
    const { engine: engine2, settings } = this.#parts;
    this.#lossPass ??= Executable.compile(engine2, /* @__PURE__ */ new Map([["loss", this.#graph.loss]]), settings);
    return lossOf(await (await this.#lossPass).run(this.#feeds(hidden, feeds)));
  }
  async backward(hidden, feeds, dHidden, gradients) {
    const into = { dHidden };
    for (const path of this.trained) into[gradientName(path)] = gradients.get(path);
    return lossOf(await (await this.#gradients()).run(this.#feeds(hidden, feeds), into));
  }
  async compile() {
    await this.#gradients();
  }
  async release() {
    await (await this.#lossPass)?.release();
    await (await this.#gradientPass)?.release();
  }
  #gradients() {
    const { engine: engine2, settings } = this.#parts;
    const outputs = new Map([["loss", this.#graph.loss], ...this.#graph.gradients]);
    this.#gradientPass ??= Executable.compile(engine2, outputs, settings);
    return this.#gradientPass;
  }
  #feeds(data, feeds) {
    const { model: model2, values, rows, width } = this.#parts;
    const all2 = { ...feeds, hidden: { data, shape: [rows, width] } };
    const { weight, bias } = model2.head;
    for (const { path, shape: shape2 } of bias ? [weight, bias] : [weight]) {
      all2[path] = { data: values.get(path), shape: shape2 };
    }
    return all2;
  }
};
function lossOf(results) {
  return results.loss.data[0];
}

// src/training/blocks/block-head-chunks.ts
var CHUNK_BYTES = 64 * 2 ** 20;
var KEPT_BYTES = 256 * 2 ** 20;
function vocabularyChunk(rows, vocabSize) {
  const most = Math.max(64, Math.floor(CHUNK_BYTES / (4 * rows)));
  return Math.ceil(vocabSize / Math.ceil(vocabSize / most));
}
var WholeHeadChunks = class {
  sizes;
  #parts;
  #chunk;
  /** Of the step, by path. */
  into = /* @__PURE__ */ new Map();
  /** @param chunk vocabulary entries per chunk. */
  constructor(parts11, chunk) {
    this.#parts = parts11;
    this.#chunk = chunk;
    const vocabSize = parts11.model.head.weight.shape[0];
    this.sizes = Array.from(
      { length: Math.ceil(vocabSize / chunk) },
      (_, i) => Math.min(chunk, vocabSize - i * chunk)
    );
  }
  place(chunk, id) {
    const place = id - chunk * this.#chunk;
    return place >= 0 && place < this.sizes[chunk] ? place : void 0;
  }
  async open(chunk) {
    const { values, model: model2, width } = this.#parts;
    const { weight, bias } = model2.head;
    return {
      weight: this.#part(values.get(weight.path), chunk, width),
      ...bias && { bias: this.#part(values.get(bias.path), chunk, 1) }
    };
  }
  gradients(chunk) {
    const { model: model2, width } = this.#parts;
    const { weight, bias } = model2.head;
    const dWeight = this.into.get(weight.path);
    const dBias = bias && this.into.get(bias.path);
    return {
      ...dWeight && { dWeight: this.#part(dWeight, chunk, width) },
      ...dBias && { dBias: this.#part(dBias, chunk, 1) }
    };
  }
  async written() {
  }
  #part(data, chunk, width) {
    const start = chunk * this.#chunk * width;
    return data.subarray(start, start + this.sizes[chunk] * width);
  }
};
var ChunkedHead = class {
  trained;
  #passes = /* @__PURE__ */ new Map();
  #scratch;
  /** The logits of all chunks between the passes, if they are kept. */
  #logits;
  #parts;
  #chunks;
  /**
   * @param memory where logits may be kept, if all of them are at most 256 MiB.
   */
  constructor(parts11, chunks, memory) {
    this.#parts = parts11;
    this.#chunks = chunks;
    const { weight, bias } = parts11.model.head;
    const all2 = [weight, ...bias ? [bias] : []].map(({ path }) => path);
    this.trained = all2.filter(parts11.trains);
    this.#scratch = new Float32Array(parts11.rows * parts11.width);
    const size = parts11.rows * weight.shape[0];
    this.#logits = memory && 4 * size <= KEPT_BYTES ? memory.allocFloat32(size) : void 0;
  }
  async loss(hidden, feeds) {
    return (await this.#measure(hidden, feeds, "loss")).loss;
  }
  async backward(hidden, feeds, dHidden, gradients) {
    const { rows } = this.#parts;
    const chunks = this.#chunks;
    if (chunks instanceof WholeHeadChunks) chunks.into = gradients;
    const { loss, logSumExp: logSumExp2 } = await this.#measure(hidden, feeds, this.#logits ? "loss and logits" : "loss");
    const column = (data) => ({ data, shape: [rows, 1] });
    const targets = feeds.targets.data;
    for (const [chunk, size] of chunks.sizes.entries()) {
      const hit = Float32Array.from(targets, (id) => chunks.place(chunk, id) === void 0 ? 0 : -1);
      const pass = await this.#pass("gradients", size);
      const given = await chunks.open(chunk);
      const into = chunk === 0 ? dHidden : this.#scratch;
      await pass.run(
        {
          ...this.#feeds(hidden, targets, chunk, given),
          log_sum_exp: column(logSumExp2),
          weights: column(feeds.weights.data),
          hit: column(hit),
          ...this.#logits && {
            logits: { data: this.#keptLogits(chunk), shape: [rows, size] }
          }
        },
        { dHidden: into, ...chunks.gradients(chunk) }
      );
      await chunks.written(chunk);
      if (chunk > 0) addInto2(dHidden, this.#scratch);
    }
    return loss;
  }
  async compile() {
    for (const size of this.#chunks.sizes) {
      await this.#pass(this.#logits ? "loss and logits" : "loss", size);
      await this.#pass("gradients", size);
    }
  }
  async release() {
    for (const pass of this.#passes.values()) await (await pass).release();
  }
  /** Σ weight · loss, and log Σ exp(logits) of each row. */
  async #measure(hidden, feeds, kind) {
    const { rows } = this.#parts;
    const targets = feeds.targets.data;
    const logSumExp2 = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
    const targetLogits = new Float64Array(rows);
    for (const [chunk, size] of this.#chunks.sizes.entries()) {
      const pass = await this.#pass(kind, size);
      const into = kind === "loss" ? {} : { logits: this.#keptLogits(chunk) };
      const given = await this.#chunks.open(chunk);
      const results = await pass.run(this.#feeds(hidden, targets, chunk, given), into);
      const part = results.log_sum_exp.data;
      const logits = results.target_logits.data;
      for (let row = 0; row < rows; row++) {
        logSumExp2[row] = logAddExp(logSumExp2[row], part[row]);
        if (this.#chunks.place(chunk, targets[row]) !== void 0) targetLogits[row] = logits[row];
      }
    }
    const weights = feeds.weights.data;
    let loss = 0;
    for (let row = 0; row < rows; row++) loss += weights[row] * (logSumExp2[row] - targetLogits[row]);
    return { loss, logSumExp: Float32Array.from(logSumExp2) };
  }
  #feeds(hidden, targets, chunk, { weight, bias }) {
    const { rows, width } = this.#parts;
    const size = this.#chunks.sizes[chunk];
    const places = Int32Array.from(targets, (id) => this.#chunks.place(chunk, id) ?? 0);
    const feeds = {
      hidden: { data: hidden, shape: [rows, width] },
      places: { data: places, shape: [rows, 1] },
      weight: { data: weight, shape: [size, width] }
    };
    if (bias) feeds.bias = { data: bias, shape: [size] };
    return feeds;
  }
  #pass(kind, size) {
    const key = `${kind} ${size}`;
    const known = this.#passes.get(key);
    if (known) return known;
    const graph = kind === "gradients" ? this.#gradientGraph(size) : this.#lossGraph(size, kind === "loss and logits");
    const pass = Executable.compile(this.#parts.engine, graph, this.#parts.settings);
    this.#passes.set(key, pass);
    return pass;
  }
  #computeLogits(size) {
    const { rows, width, model: model2 } = this.#parts;
    const hidden = input("hidden", "float32", [rows, width]);
    const weight = parameter("weight", [size, width]);
    let logits = matmul(hidden, weight, { transB: true });
    if (model2.head.bias) logits = add(logits, parameter("bias", [size]));
    if (model2.head.softcap !== null) logits = softcap(logits, model2.head.softcap);
    return { hidden, weight, logits, places: input("places", "int32", [rows, 1]) };
  }
  #keptLogits(chunk) {
    const { rows } = this.#parts;
    const { sizes } = this.#chunks;
    const start = sizes.slice(0, chunk).reduce((sum, size) => sum + size, 0);
    return this.#logits?.subarray(start * rows, (start + sizes[chunk]) * rows);
  }
  #lossGraph(size, keeps) {
    const { logits, places } = this.#computeLogits(size);
    const largest = reduceMax(softmax(logits), [1]);
    return new Map([
      ["log_sum_exp", sub(reduceMax(logits, [1]), log(largest))],
      ["target_logits", takeAlong(logits, places)],
      ...keeps ? [["logits", logits]] : []
    ]);
  }
  #gradientGraph(size) {
    const { rows, model: model2, trains } = this.#parts;
    const computed = this.#computeLogits(size);
    const { hidden, weight, places } = computed;
    const logits = this.#logits ? input("logits", "float32", [rows, size]) : computed.logits;
    const column = (name2) => input(name2, "float32", [rows, 1]);
    const weights = column("weights");
    let dLogits = addAlong(exp(sub(logits, column("log_sum_exp"))), places, column("hit"));
    const { softcap: cap, bias } = model2.head;
    if (cap !== null) {
      const t2 = mul(logits, scalar(1 / cap));
      dLogits = mul(dLogits, sub(scalar(1), mul(t2, t2)));
    }
    const outputs = /* @__PURE__ */ new Map([["dHidden", mul(matmul(dLogits, weight), weights)]]);
    if (trains(model2.head.weight.path)) {
      outputs.set("dWeight", matmul(dLogits, mul(hidden, weights), { transA: true }));
    }
    if (bias && trains(bias.path)) {
      outputs.set("dBias", reshape(matmul(weights, dLogits, { transA: true }), [size]));
    }
    return outputs;
  }
};
function logAddExp(a, b) {
  const most = Math.max(a, b);
  return Number.isFinite(most) ? most + Math.log(Math.exp(a - most) + Math.exp(b - most)) : a + b;
}

// src/training/blocks/block-stage.ts
var StageKinds = class {
  #kinds = [];
  #engine;
  #settings;
  constructor(engine2, settings) {
    this.#engine = engine2;
    this.#settings = settings;
  }
  kindOf(piece2) {
    const { bytes: bytes2 } = emitModel(forwardGraph(piece2), { dialect: dialectOf(this.#engine) });
    const known = this.#kinds.find((kind2) => equalBytes(kind2.bytes, bytes2));
    if (known) return known.kind;
    const kind = new StageKind(this.#engine, piece2, this.#settings);
    this.#kinds.push({ bytes: bytes2, kind });
    return kind;
  }
  /** The number of different graphs among the stages. */
  get count() {
    return this.#kinds.length;
  }
  async release() {
    for (const { kind } of this.#kinds) await kind.release();
  }
};
var StageKind = class {
  #forwardPass;
  #backwardPasses = /* @__PURE__ */ new Map();
  #keepingPasses = /* @__PURE__ */ new Map();
  #engine;
  #piece;
  #settings;
  constructor(engine2, piece2, settings) {
    this.#engine = engine2;
    this.#piece = piece2;
    this.#settings = settings;
  }
  forward() {
    this.#forwardPass ??= Executable.compile(this.#engine, forwardGraph(this.#piece), this.#settings);
    return this.#forwardPass;
  }
  backward(trained, inputGradient) {
    const key = JSON.stringify([trained, inputGradient]);
    const known = this.#backwardPasses.get(key);
    if (known) return known;
    const graph = backwardGraph(this.#piece, trained, inputGradient);
    const made = Executable.compile(this.#engine, graph, this.#settings);
    this.#backwardPasses.set(key, made);
    return made;
  }
  /** Both passes, with activations kept in between. */
  keeping(trained, inputGradient) {
    const key = JSON.stringify([trained, inputGradient]);
    const known = this.#keepingPasses.get(key);
    if (known) return known;
    const engine2 = this.#engine;
    const settings = this.#settings;
    const graphs = keepingGraphs(this.#piece, trained, inputGradient, dialectOf(engine2));
    const made = (async () => ({
      forward: await Executable.compile(engine2, graphs.forward, settings),
      backward: await Executable.compile(engine2, graphs.backward, settings),
      kept: graphs.kept
    }))();
    this.#keepingPasses.set(key, made);
    return made;
  }
  async release() {
    await (await this.#forwardPass)?.release();
    for (const pass of this.#backwardPasses.values()) await (await pass).release();
    for (const passes of this.#keepingPasses.values()) {
      await (await passes).forward.release();
      await (await passes).backward.release();
    }
  }
};
var Stage = class {
  /** The weights whose gradients are wanted. */
  trained;
  /** Values of the forward pass that are kept for the backward pass. */
  #kept;
  #kind;
  #piece;
  #values;
  #inputGradient;
  constructor(kind, piece2, values, trains, inputGradient) {
    this.#kind = kind;
    this.#piece = piece2;
    this.#values = values;
    this.#inputGradient = inputGradient;
    this.trained = piece2.parameters.filter(({ path }) => trains(path));
  }
  /** Whether anything in it or before it is trained. */
  get isActive() {
    return this.#inputGradient || this.trained.length > 0;
  }
  /** @param memory for kept activations; without it they are recomputed. */
  async compile(memory) {
    if (!this.isActive) await this.#kind.forward();
    else if (!memory) await Promise.all([this.#kind.forward(), this.#backwardPass()]);
    else {
      const { kept } = await this.#keeping();
      const arrays = kept.map(({ name: name2, shape: shape2 }) => [
        name2,
        { data: memory.allocFloat32(sizeOf(shape2)), shape: shape2 }
      ]);
      this.#kept = Object.fromEntries(arrays);
    }
  }
  /**
   * @param context the feeds of packed rows.
   * @param keep whether a backward pass follows.
   */
  async forward(x, y, context, keep) {
    const kept = this.#kept;
    const pass = keep && kept ? (await this.#keeping()).forward : await this.#kind.forward();
    await pass.run({ ...this.#feeds(), ...context, x: this.#rows(x) }, { y, ...keep && kept });
  }
  /**
   * @param x the input of {@link forward}.
   * @param dx receives the gradient of x, if anything before is trained.
   * @param gradients receive those of {@link trained}, by path.
   */
  async backward({ x, dy, dx }, gradients, context) {
    const pass = this.#kept ? (await this.#keeping()).backward : await this.#backwardPass();
    const into = this.#inputGradient ? { dx } : {};
    for (const { path, name: name2 } of this.trained) into[gradientName(name2)] = gradients.get(path);
    const feeds = { ...this.#feeds(), ...context, ...this.#kept };
    await pass.run({ ...feeds, x: this.#rows(x), dy: this.#rows(dy) }, into);
  }
  #backwardPass() {
    return this.#kind.backward(this.#trainedNames(), this.#inputGradient);
  }
  #keeping() {
    return this.#kind.keeping(this.#trainedNames(), this.#inputGradient);
  }
  #trainedNames() {
    return this.trained.map(({ name: name2 }) => name2);
  }
  #feeds() {
    const { parameters } = this.#piece;
    return Object.fromEntries(
      parameters.map(({ name: name2, path, shape: shape2 }) => [name2, { data: this.#values.get(path), shape: shape2 }])
    );
  }
  #rows(data) {
    return { data, shape: this.#piece.y.shape };
  }
};
function equalBytes(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

// src/training/blocks/block-updates.ts
var LINE = 16;
var UpdatingGradients = class {
  #shared;
  #turn = 0;
  #waiting;
  #lasting;
  #parameters;
  #places = /* @__PURE__ */ new Map();
  #seen = /* @__PURE__ */ new Map();
  #settings;
  #sumOfSquares = 0;
  #loss = 0;
  /**
   * @param stages paths of the trained weights of each stage.
   * @param overlaps whether there are other ranks.
   */
  constructor(memory, parameters, stages, overlaps = false) {
    this.#parameters = new Map(parameters.map((parameter2) => [parameter2.name, parameter2]));
    for (const path of stages.flat()) this.#places.set(path, (this.#places.get(path) ?? 0) + 1);
    const sizes = stages.map(
      (paths) => paths.filter((path) => this.#places.get(path) === 1).reduce((sum, path) => sum + this.#paddedSize(path), 0)
    );
    const most = Math.max(0, ...sizes);
    this.#shared = Array.from({ length: overlaps ? 2 : 1 }, () => memory.allocFloat32(most));
    const several = [...this.#places].filter(([, count2]) => count2 > 1);
    this.#lasting = new Map(
      several.map(([path]) => [path, memory.allocFloat32(this.#parameters.get(path).value.length)])
    );
  }
  /** Begins a step. */
  begin() {
    this.#settings = void 0;
    this.#seen = /* @__PURE__ */ new Map();
    this.#sumOfSquares = 0;
  }
  /** From here on, complete gradients are used: the step's loss is known and accepted. */
  accept(settings, loss) {
    this.#settings = settings;
    this.#loss = loss;
  }
  /** Global norm of the step's gradients, before clipping. */
  get gradientNorm() {
    return Math.sqrt(this.#sumOfSquares);
  }
  open(paths, mode2) {
    let start = 0;
    this.#turn = (this.#turn + 1) % this.#shared.length;
    const shares = /* @__PURE__ */ new Map();
    const arrays = /* @__PURE__ */ new Map();
    for (const path of paths) {
      const { length } = this.#parameters.get(path).value;
      const lasting = this.#lasting.get(path);
      let array = lasting ?? this.#shared[this.#turn].subarray(start, start + length);
      if (!lasting) start += this.#paddedSize(path);
      if (mode2 === "add" && !this.#seen.has(path)) fill(array, 0);
      if (mode2 === "write" && this.#seen.has(path)) {
        array = new Float32Array(length);
        shares.set(path, array);
      }
      arrays.set(path, array);
    }
    const close = async () => {
      for (const [path, share2] of shares) addInto2(this.#lasting.get(path), share2);
      for (const path of paths) this.#seen.set(path, (this.#seen.get(path) ?? 0) + 1);
      const whole = paths.filter((path) => this.#seen.get(path) === this.#places.get(path));
      await this.#update(
        whole.map((path) => ({
          ...this.#parameters.get(path),
          gradient: this.#lasting.get(path) ?? arrays.get(path)
        }))
      );
    };
    return { arrays, close };
  }
  async #update(parameters) {
    if (!this.#settings) throw new RopewalkError("gradients came before their step was accepted.");
    await this.settle();
    const { together: together2 } = this.#settings;
    const combined = together2 ? together2.combine(parameters) : Promise.resolve(aloneGradients(parameters));
    combined.catch(() => {
    });
    this.#waiting = { parameters, combined };
    if (!together2) await this.settle();
  }
  /** Waits for gradients that are being added up, and updates with them. */
  async settle() {
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = void 0;
    const { parameters } = waiting;
    const combined = await waiting.combined;
    const { optimizer, learningRate, clip, select } = this.#settings;
    const updating = select ? select(combined.own) : combined.own;
    const squares = await combined.sumOfSquares(updating);
    if (!Number.isFinite(squares)) throw notFinite(this.#loss, parameters);
    this.#sumOfSquares += squares;
    const gradientScale = clip > 0 ? clipCoefficient(Math.sqrt(squares), clip) : 1;
    await combined.update(updating, (some) => optimizer.step(some, { learningRate, gradientScale }));
  }
  #paddedSize(path) {
    return Math.ceil(this.#parameters.get(path).value.length / LINE) * LINE;
  }
};

// src/training/blocks/block-learner.ts
var BlockLearner = class _BlockLearner {
  constructor(model2, shape2, parameters, weights, stages, activations, passed, sink) {
    this.model = model2;
    this.shape = shape2;
    this.parameters = parameters;
    this.#weights = weights;
    this.#stages = stages;
    this.#activations = activations;
    this.#passed = passed;
    this.#sink = sink;
  }
  model;
  shape;
  parameters;
  #weights;
  #stages;
  #activations;
  #passed;
  #sink;
  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(engine2, model2, shape2, options3) {
    const { memory = new HostMemory(), trains = () => true } = options3;
    const overlaps = options3.overlaps === true && options3.gradients === "as you go";
    const settings = { ...overlaps && { inBackground: true }, ...options3.settings };
    const pieces = modelPieces(model2, shape2);
    const all2 = [...model2.parameters()].map(([name2, { shape: shape3, size }]) => ({ name: name2, shape: shape3, size }));
    const trained = all2.filter(({ name: name2 }) => trains(name2));
    const kept = options3.gradients === "kept" ? allocateTrainable(memory, trained) : void 0;
    const parameters = kept ?? allocateValues(memory, trained);
    const own2 = new Map(parameters.map(({ name: name2, value }) => [name2, value]));
    const values = new Map(all2.map(({ name: name2, size }) => [name2, own2.get(name2) ?? memory.allocFloat32(size)]));
    const [first2, ...rest] = pieces;
    const embedding = await EmbeddingStage.create(engine2, first2, values, trains, settings);
    const kinds = new StageKinds(engine2, settings);
    let active = embedding.trained.length > 0;
    const blocks = rest.map((piece2) => {
      const stage = new Stage(kinds.kindOf(piece2), piece2, values, trains, active);
      active = stage.isActive;
      return stage;
    });
    const [rows, width] = first2.y.shape;
    const parts11 = { engine: engine2, settings, model: model2, values, trains, rows, width };
    const keepsIn = options3.activations === "kept" ? memory : void 0;
    const head = headStage(parts11, options3, keepsIn);
    for (const stage of [embedding, ...blocks, head]) await stage.compile(keepsIn);
    const array = () => memory.allocFloat32(rows * width);
    const activations = Array.from({ length: blocks.length + 1 }, array);
    const paths = [embedding.trained, ...blocks.map((block) => block.trained.map(({ path }) => path))];
    const sink = kept ? new KeptGradients(kept) : new UpdatingGradients(memory, parameters, [...paths, head.trained], overlaps);
    const stages = { embedding, blocks, head, kinds };
    return new _BlockLearner(model2, shape2, parameters, values, stages, activations, [array(), array()], sink);
  }
  /** The number of different graphs among the layers and the final norm. */
  get kinds() {
    return this.#stages.kinds.count;
  }
  values() {
    return new Map(this.#weights);
  }
  async fill(write) {
    await write(this.values());
  }
  /**
   * The gradients of the mean loss over the counted tokens of all micro-batches, as `WholeGraphLearner` computes
   * them.
   *
   * @param tokens counted tokens of the step, if other ranks have a share of it.
   * @returns the mean loss in nats, or this share of it, the number of tokens it is over, and the gradients, valid until the next call.
   * @throws RopewalkError when gradients are not kept.
   */
  async computeGradients(batches, tokens = batches.reduce((sum, batch) => sum + countOf2(batch), 0)) {
    if (!(this.#sink instanceof KeptGradients)) {
      throw new RopewalkError(
        "gradients are used as soon as they exist; create the learner with gradients: 'kept'."
      );
    }
    let loss = 0;
    this.#sink.begin();
    for (const batch of batches) {
      const feeds = this.#feeds(batch, 1 / Math.max(1, tokens));
      await this.#forward(feeds, true);
      const head = await this.#headBackward(feeds, this.#sink);
      loss += head.loss;
      await head.close();
      await this.#backward(feeds, this.#sink);
    }
    return { loss, tokens, trainables: this.#sink.trainables };
  }
  /**
   * One optimizer step. If gradients are kept, they are clipped by their global norm. As you go, each block is
   * clipped by its own norm, `accept` gets only the loss, and if a gradient is not finite, later blocks have already
   * been updated: resume from a checkpoint.
   *
   * @throws RopewalkError when values are not finite; as you go, when there are several micro-batches.
   */
  async step(batches, settings) {
    if (this.#sink instanceof UpdatingGradients) return this.#updateAsYouGo(batches, settings, this.#sink);
    const measured = await this.computeGradients(batches, settings.together?.tokens);
    return applyGradients(measured.trainables, measured, settings);
  }
  async evaluate(batches) {
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      const feeds = this.#feeds(batch, 1);
      await this.#forward(feeds, false);
      sum += await this.#stages.head.loss(this.#activations.at(-1), feeds.loss);
      tokens += countOf2(batch);
    }
    return { loss: sum / tokens, tokens };
  }
  async release() {
    const { embedding, head, kinds } = this.#stages;
    await embedding.release();
    await kinds.release();
    await head.release();
  }
  async #updateAsYouGo(batches, settings, sink) {
    const [batch, ...others] = batches;
    if (!batch || others.length > 0) {
      throw new RopewalkError(
        `a step has ${batches.length} micro-batches, but weights are updated as soon as their gradients exist, which allows one; keep gradients (gradients: 'kept') to accumulate several.`
      );
    }
    const { together: together2 } = settings;
    const tokens = together2?.tokens ?? countOf2(batch);
    const feeds = this.#feeds(batch, 1 / Math.max(1, tokens));
    sink.begin();
    await this.#forward(feeds, true);
    const head = await this.#headBackward(feeds, sink);
    const loss = together2 ? await together2.sumLoss(head.loss) : head.loss;
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss))
      throw notFinite(
        loss,
        [...this.#weights].map(([name2, value]) => ({ name: name2, value }))
      );
    sink.accept(settings, loss);
    await head.close();
    await this.#backward(feeds, sink);
    await sink.settle();
    return { loss, tokens, gradientNorm: sink.gradientNorm, updated: true };
  }
  #feeds(batch, factor) {
    return { context: contextFeeds(batch, this.shape), loss: lossFeeds(batch, factor) };
  }
  async #forward({ context }, keep) {
    const activations = this.#activations;
    await this.#stages.embedding.forward(activations[0], context);
    for (const [i, block] of this.#stages.blocks.entries()) {
      await block.forward(activations[i], activations[i + 1], context, keep);
    }
  }
  async #headBackward({ loss: feeds }, sink) {
    const { head } = this.#stages;
    const { arrays, close } = sink.open(head.trained, "write");
    const loss = await head.backward(this.#activations.at(-1), feeds, this.#passed[0], arrays);
    return { loss, close };
  }
  /** From the gradient of the final activations back to the first trained stage. */
  async #backward({ context }, sink) {
    let [dy, dx] = this.#passed;
    const { blocks, embedding } = this.#stages;
    for (let i = blocks.length - 1; i >= 0 && blocks[i].isActive; i--) {
      const block = blocks[i];
      const open = sink.open(
        block.trained.map(({ path }) => path),
        "write"
      );
      await block.backward({ x: this.#activations[i], dy, dx }, open.arrays, context);
      await open.close();
      [dy, dx] = [dx, dy];
    }
    if (embedding.trained.length > 0) await embedding.backward(dy, sink, context);
  }
};
function headStage(parts11, { loss = crossEntropy, headChunk: headChunk2 }, memory) {
  const vocabSize = parts11.model.head.weight.shape[0];
  const chunk = headChunk2 ?? vocabularyChunk(parts11.rows, vocabSize);
  return loss === crossEntropy && chunk < vocabSize ? new ChunkedHead(parts11, new WholeHeadChunks(parts11, chunk), memory) : new GraphHead(parts11, loss);
}
function allocateValues(memory, parameters) {
  const groups = memory.allocGroups(parameters.map(({ size }) => [size]));
  return parameters.map(({ name: name2, shape: shape2 }, i) => ({ name: name2, shape: shape2, value: groups[i][0] }));
}

// src/training/on-device/device-values.ts
function deviceType(name2, dtype) {
  if (dtype === "float32" || dtype === "int32") return dtype;
  throw new RopewalkError(
    `${name2} is ${dtype}, and values on a device are float32 or int32; use one of those in the loss.`
  );
}
var Feeds = class {
  #tensors = /* @__PURE__ */ new Map();
  #memory;
  constructor(memory) {
    this.#memory = memory;
  }
  /** The tensor of a graph's input. */
  tensor(name2, { dtype, shape: shape2 }) {
    const known = this.#tensors.get(name2);
    if (known) return known;
    const made = this.#memory.allocate(deviceType(name2, dtype), shape2);
    this.#tensors.set(name2, made);
    return made;
  }
  write(values) {
    for (const [name2, tensor] of this.#tensors) {
      const value = values[name2];
      if (!value) throw new RopewalkError(`the graph's input ${name2} was not given.`);
      this.#memory.write(tensor, value.data);
    }
  }
};
function bind(executable, inputs, outputs, feeds) {
  const all2 = {};
  for (const [name2, attributes] of executable.inputs)
    all2[name2] = inputs[name2] ?? feeds.tensor(name2, attributes);
  return executable.bind(all2, outputs);
}

// src/training/on-device/device-ends.ts
var LazyPass = class {
  #executable;
  #bindings = [];
  #compile;
  constructor(engine2, settings, outputs) {
    this.#compile = () => Executable.compile(engine2, outputs(), settings);
  }
  async bind(inputs, outputs, feeds) {
    this.#executable ??= this.#compile();
    const binding = bind(await this.#executable, inputs, outputs, feeds);
    this.#bindings.push(binding);
    return binding;
  }
  async release() {
    for (const binding of this.#bindings) binding.release();
    await (await this.#executable)?.release();
  }
};
var DeviceEmbedding = class {
  trained;
  #forwardPass;
  #backwardPass;
  #forward;
  #backward = /* @__PURE__ */ new Map();
  #piece;
  #weights;
  #y;
  #dy;
  #feeds;
  constructor(engine2, settings, piece2, { y, dy }, weights, trains, feeds) {
    this.#piece = piece2;
    this.#weights = Object.fromEntries(piece2.parameters.map(({ name: name2, path }) => [name2, weights.get(path)]));
    this.#y = y;
    this.#dy = dy;
    this.#feeds = feeds;
    const trained = piece2.parameters.filter(({ path }) => trains(path));
    this.trained = trained.map(({ path }) => path);
    this.#forwardPass = new LazyPass(engine2, settings, () => forwardGraph(piece2));
    const names12 = trained.map(({ name: name2 }) => name2);
    this.#backwardPass = new LazyPass(engine2, settings, () => backwardGraph(piece2, names12, false));
  }
  async prepare() {
    this.#forward = await this.#forwardPass.bind(this.#weights, { y: this.#y }, this.#feeds);
  }
  forward() {
    this.#forward.run();
  }
  async bindBackward(targets) {
    if (this.trained.length === 0) return;
    const outputs = {};
    for (const { name: name2, path } of this.#piece.parameters) {
      if (this.trained.includes(path)) outputs[gradientName(name2)] = targets.of(path);
    }
    const inputs = { ...this.#weights, dy: this.#dy };
    this.#backward.set(targets, await this.#backwardPass.bind(inputs, outputs, this.#feeds));
  }
  backward(targets) {
    this.#backward.get(targets)?.run();
  }
  async release() {
    await this.#forwardPass.release();
    await this.#backwardPass.release();
  }
};
var LOSS = "loss";
var DeviceHead = class {
  trained;
  #lossPass;
  #gradientPass;
  #loss;
  #backward = /* @__PURE__ */ new Map();
  #weights;
  #hidden;
  #dHidden;
  #feeds;
  constructor(engine2, settings, graph, { hidden, dHidden }, weights, feeds) {
    this.#weights = Object.fromEntries(weights);
    this.#hidden = hidden;
    this.#dHidden = dHidden;
    this.#feeds = feeds;
    this.trained = graph.trained;
    const loss = [LOSS, graph.loss];
    this.#lossPass = new LazyPass(engine2, settings, () => new Map([loss]));
    this.#gradientPass = new LazyPass(engine2, settings, () => new Map([loss, ...graph.gradients]));
  }
  /** Computes the loss alone. */
  async loss(into) {
    const hidden = this.#hidden;
    this.#loss ??= await this.#lossPass.bind({ ...this.#weights, hidden }, { [LOSS]: into }, this.#feeds);
    this.#loss.run();
  }
  async bindBackward(targets) {
    const outputs = { [LOSS]: targets.of(LOSS), dHidden: this.#dHidden };
    for (const path of this.trained) outputs[gradientName(path)] = targets.of(path);
    const inputs = { ...this.#weights, hidden: this.#hidden };
    this.#backward.set(targets, await this.#gradientPass.bind(inputs, outputs, this.#feeds));
  }
  backward(targets) {
    this.#backward.get(targets).run();
  }
  async release() {
    await this.#lossPass.release();
    await this.#gradientPass.release();
  }
};

// src/training/on-device/device-gradients.ts
var DeviceGradients = class {
  #gradients = /* @__PURE__ */ new Map();
  /** Tensors that stages share, by shape and how many of that shape the stage has. */
  #shared = /* @__PURE__ */ new Map();
  #adding = /* @__PURE__ */ new Map();
  #bindings = [];
  #engine;
  #settings;
  #memory;
  #shapes;
  /**
   * @param shapes of everything that is added up, by name.
   * @param stages in each of which gradients are used before the next one's are computed: they then share tensors. Without
   *   them, each gradient has its own.
   */
  constructor(engine2, settings, memory, shapes, stages = []) {
    this.#engine = engine2;
    this.#settings = settings;
    this.#memory = memory;
    this.#shapes = shapes;
    const uses = /* @__PURE__ */ new Map();
    for (const name2 of stages.flat()) uses.set(name2, (uses.get(name2) ?? 0) + 1);
    for (const names12 of stages) {
      const slots = new Slots2("gradient");
      for (const name2 of names12.filter((each) => uses.get(each) === 1)) {
        this.#gradients.set(name2, this.#sharedTensor(slots.next(this.#shape(name2)), this.#shape(name2)));
      }
    }
    for (const [name2, shape2] of shapes)
      if (!this.#gradients.has(name2)) this.#gradients.set(name2, memory.allocate("float32", shape2));
  }
  of(name2) {
    return this.#gradients.get(name2);
  }
  /**
   * The targets of a stage.
   *
   * @param adds which of its gradients are added to what is there; the others replace it.
   */
  async targets(names12, adds) {
    const slots = new Slots2("added");
    const targets = /* @__PURE__ */ new Map();
    const additions = [];
    for (const name2 of names12) {
      const gradient = this.of(name2);
      if (!adds(name2)) {
        targets.set(name2, gradient);
        continue;
      }
      const added = this.#sharedTensor(slots.next(gradient.shape), gradient.shape);
      targets.set(name2, added);
      additions.push(await this.#addition(gradient, added));
    }
    return {
      of: (name2) => targets.get(name2),
      add: () => {
        for (const addition of additions) addition();
      }
    };
  }
  async release() {
    for (const binding of this.#bindings) binding.release();
    for (const made of this.#adding.values()) await (await made).pass.release();
  }
  #shape(name2) {
    return this.#shapes.get(name2);
  }
  #sharedTensor(slot, shape2) {
    const known = this.#shared.get(slot) ?? this.#memory.allocate("float32", shape2);
    this.#shared.set(slot, known);
    return known;
  }
  async #addition(gradient, added) {
    const size = sizeOf(gradient.shape);
    const { pass, sum } = await this.#adder(size);
    const flat = (tensor) => this.#memory.view(tensor, [size]);
    const binding = pass.bind({ a: flat(gradient), b: flat(added) }, { sum });
    this.#bindings.push(binding);
    const target = flat(gradient);
    return () => {
      binding.run();
      this.#memory.copy(sum, target);
    };
  }
  #adder(size) {
    const known = this.#adding.get(size);
    if (known) return known;
    const make = async () => {
      const sum = add(input("a", "float32", [size]), input("b", "float32", [size]));
      const pass = await Executable.compile(this.#engine, /* @__PURE__ */ new Map([["sum", sum]]), this.#settings);
      return { pass, sum: this.#memory.allocate("float32", [size]) };
    };
    const made = make();
    this.#adding.set(size, made);
    return made;
  }
};
var Slots2 = class {
  #counts = /* @__PURE__ */ new Map();
  #use;
  constructor(use) {
    this.#use = use;
  }
  next(shape2) {
    const key = shape2.join("\xD7");
    const count2 = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count2 + 1);
    return `${this.#use} ${key} ${count2}`;
  }
};

// src/training/on-device/device-optimizer.ts
function isOnDevice(optimizer) {
  return "measure" in optimizer;
}

// src/training/on-device/device-stage.ts
var DeviceStage = class {
  /** Paths of the weights whose gradients are wanted. */
  trained;
  #forward;
  #backward = /* @__PURE__ */ new Map();
  #kind;
  #piece;
  #passed;
  #weights;
  #inputGradient;
  #feeds;
  #kept = {};
  /** @param inputGradient whether anything before it is trained. */
  constructor(kind, piece2, passed, weights, trains, inputGradient, feeds) {
    this.#kind = kind;
    this.#piece = piece2;
    this.#passed = passed;
    this.#weights = Object.fromEntries(piece2.parameters.map(({ name: name2, path }) => [name2, weights.get(path)]));
    this.#inputGradient = inputGradient;
    this.#feeds = feeds;
    this.trained = piece2.parameters.map(({ path }) => path).filter(trains);
  }
  /** Whether anything in it or before it is trained. */
  get isActive() {
    return this.#inputGradient || this.trained.length > 0;
  }
  /** @param keeps whether activations are kept for the backward pass, rather than recomputed in it. */
  async prepare(memory, keeps) {
    const { x, y } = this.#passed;
    if (!this.isActive || !keeps) {
      this.#forward = bind(await this.#kind.forward(), { ...this.#weights, x }, { y }, this.#feeds);
      return;
    }
    const { forward, kept } = await this.#kind.keeping(this.#names(), this.#inputGradient);
    this.#kept = Object.fromEntries(
      kept.map(({ name: name2, dtype, shape: shape2 }) => [name2, memory.allocate(deviceType(name2, dtype), shape2)])
    );
    this.#forward = bind(forward, { ...this.#weights, x }, { y, ...this.#kept }, this.#feeds);
  }
  forward() {
    this.#forward.run();
  }
  /** Binds the backward pass. */
  async bindBackward(targets, keeps) {
    if (!this.isActive || this.#backward.has(targets)) return;
    const names12 = this.#names();
    const pass = keeps ? (await this.#kind.keeping(names12, this.#inputGradient)).backward : await this.#kind.backward(names12, this.#inputGradient);
    const { x, dy, dx } = this.#passed;
    const outputs = this.#inputGradient ? { dx } : {};
    for (const { name: name2, path } of this.#piece.parameters) {
      if (this.trained.includes(path)) outputs[gradientName(name2)] = targets.of(path);
    }
    this.#backward.set(targets, bind(pass, { ...this.#weights, ...this.#kept, x, dy }, outputs, this.#feeds));
  }
  backward(targets) {
    this.#backward.get(targets).run();
  }
  release() {
    this.#forward?.release();
    for (const binding of this.#backward.values()) binding.release();
  }
  #names() {
    return this.#piece.parameters.filter(({ path }) => this.trained.includes(path)).map(({ name: name2 }) => name2);
  }
};

// src/training/on-device/device-weights.ts
var DeviceWeights = class {
  tensors;
  #memory;
  constructor(memory, model2) {
    this.#memory = memory;
    this.tensors = new Map(
      [...model2.parameters()].map(([path, { shape: shape2 }]) => [path, memory.allocate("float32", shape2)])
    );
  }
  /** Copies of all weights. */
  values() {
    return new Map([...this.tensors.keys()].map((path) => [path, this.value(path)]));
  }
  /** A copy of one weight. */
  value(path) {
    const tensor = this.tensors.get(path);
    const data = new Float32Array(tensor.byteLength / 4);
    this.#memory.read(tensor, data);
    return data;
  }
  write(values) {
    for (const [path, tensor] of this.tensors) this.#memory.write(tensor, values.get(path));
  }
};

// src/training/on-device/report.ts
var Report = class _Report {
  #bindings = /* @__PURE__ */ new Map();
  #both = new Float32Array(2);
  #one = new Float32Array(1);
  #memory;
  #executable;
  #loss;
  #report;
  constructor(memory, executable, loss, report) {
    this.#memory = memory;
    this.#executable = executable;
    this.#loss = loss;
    this.#report = report;
  }
  /** @param loss `[]`. */
  static async create(engine2, settings, memory, loss) {
    const both = concat([reshape(input("loss", "float32", []), [1]), input("norm", "float32", [1])], 0);
    const executable = await Executable.compile(engine2, /* @__PURE__ */ new Map([["both", both]]), settings);
    return new _Report(memory, executable, loss, memory.allocate("float32", [2]));
  }
  /** Waits for the device. @param norm `[1]`. */
  read(norm) {
    let binding = this.#bindings.get(norm);
    if (!binding) {
      binding = this.#executable.bind({ loss: this.#loss, norm }, { both: this.#report });
      this.#bindings.set(norm, binding);
    }
    binding.run();
    this.#memory.read(this.#report, this.#both);
    const [loss, gradientNorm] = this.#both;
    return { loss, gradientNorm };
  }
  /** Waits for the device. */
  readLoss() {
    this.#memory.read(this.#loss, this.#one);
    return this.#one[0];
  }
  async release() {
    for (const binding of this.#bindings.values()) binding.release();
    await this.#executable.release();
  }
};

// src/training/on-device/device-learner.ts
var DeviceLearner = class _DeviceLearner {
  constructor(model2, shape2, memory, parts11, options3) {
    this.model = model2;
    this.shape = shape2;
    this.#weights = parts11.weights;
    this.#stages = parts11.stages;
    this.#gradients = parts11.gradients;
    this.#feeds = parts11.feeds;
    this.#report = parts11.report;
    this.#keeps = options3.activations === "kept";
    this.#asYouGo = options3.gradients === "as you go";
    const parameters = parts11.trained.map((name2) => {
      const tensor = parts11.weights.tensors.get(name2);
      return { name: name2, shape: tensor.shape, value: [tensor], gradient: [parts11.gradients.of(name2)] };
    });
    this.onDevice = { memory, parameters };
  }
  model;
  shape;
  parameters = [];
  onDevice;
  #first;
  #further;
  #weights;
  #stages;
  #gradients;
  #feeds;
  #report;
  #keeps;
  #asYouGo;
  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(engine2, model2, shape2, options3) {
    if (!engine2.openMemory) throw new RopewalkError("this engine keeps no values on a device.");
    const memory = await engine2.openMemory();
    const { trains = () => true, settings, loss = crossEntropy } = options3;
    const keeps = options3.activations === "kept";
    const weights = new DeviceWeights(memory, model2);
    const feeds = new Feeds(memory);
    const [first2, ...rest] = modelPieces(model2, shape2);
    const [rows, width] = first2.y.shape;
    const activation2 = () => memory.allocate("float32", [rows, width]);
    const activations = Array.from({ length: rest.length + 1 }, activation2);
    const passed = [activation2(), activation2()];
    const gradientAt = (stage) => passed[rest.length - 1 - stage & 1];
    const ends = { y: activations[0], dy: gradientAt(-1) };
    const embedding = new DeviceEmbedding(engine2, settings, first2, ends, weights.tensors, trains, feeds);
    await embedding.prepare();
    const kinds = new StageKinds(engine2, settings);
    let active = embedding.trained.length > 0;
    const blocks = [];
    for (const [i, piece2] of rest.entries()) {
      const around2 = {
        ...{ x: activations[i], y: activations[i + 1] },
        ...{ dy: gradientAt(i), dx: gradientAt(i - 1) }
      };
      const stage = new DeviceStage(
        kinds.kindOf(piece2),
        piece2,
        around2,
        weights.tensors,
        trains,
        active,
        feeds
      );
      await stage.prepare(memory, keeps);
      active = stage.isActive;
      blocks.push(stage);
    }
    const around = { hidden: activations.at(-1), dHidden: passed[0] };
    const graph = headGraph({ model: model2, rows, width, trains }, loss);
    const head = new DeviceHead(engine2, settings, graph, around, weights.tensors, feeds);
    const trained = [...weights.tensors.keys()].filter(trains);
    const shapes = /* @__PURE__ */ new Map([[LOSS, []]]);
    for (const path of trained) shapes.set(path, weights.tensors.get(path).shape);
    const groups = [embedding.trained, ...blocks.map((block) => block.trained), head.trained];
    const gradients = new DeviceGradients(
      ...[engine2, settings, memory, shapes],
      options3.gradients === "as you go" ? groups : []
    );
    const report = await Report.create(engine2, settings, memory, gradients.of(LOSS));
    const stages = { embedding, blocks, head, kinds };
    const parts11 = { weights, stages, gradients, feeds, report, trained };
    const learner = new _DeviceLearner(model2, shape2, memory, parts11, options3);
    await learner.#targets(false);
    return learner;
  }
  /** Copies of the current weights. */
  values() {
    return this.#weights.values();
  }
  /** Replaces all weights: they are zeros before they are filled, and copied to the device afterwards. */
  async fill(write) {
    const { tensors } = this.#weights;
    const values = new Map([...tensors].map(([path, { byteLength }]) => [path, new Float32Array(byteLength / 4)]));
    await write(values);
    this.#weights.write(values);
  }
  async step(batches, settings) {
    const { optimizer, together: together2 } = settings;
    if (!isOnDevice(optimizer)) throw new Error("the optimizer is not on the device");
    if (together2) throw new RopewalkError("ranks train on processors only; leave out the device.");
    if (this.#asYouGo) return this.#updateAsYouGo(batches, settings, optimizer);
    const tokens = await this.#computeGradients(batches);
    const names12 = this.onDevice.parameters.map(({ name: name2 }) => name2);
    const { norm, scale: scale2 } = optimizer.measure(names12, settings.clip);
    const { loss, gradientNorm } = this.#report.read(norm);
    const updated = settings.accept?.({ loss, gradientNorm }) ?? true;
    if (updated) {
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw this.#notFinite(loss);
      optimizer.update(names12, { learningRate: settings.learningRate, scale: scale2 });
    }
    return { loss, tokens, gradientNorm, updated };
  }
  async evaluate(batches) {
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      await this.#forward(batch, 1);
      await this.#stages.head.loss(this.#gradients.of(LOSS));
      sum += this.#report.readLoss();
      tokens += countOf2(batch);
    }
    return { loss: sum / tokens, tokens };
  }
  async release() {
    const { embedding, blocks, head, kinds } = this.#stages;
    for (const block of blocks) block.release();
    await embedding.release();
    await head.release();
    await kinds.release();
    await this.#gradients.release();
    await this.#report.release();
    await this.onDevice.memory.release();
  }
  /** @returns the counted tokens of all micro-batches. */
  async #computeGradients(batches) {
    const tokens = batches.reduce((sum, batch) => sum + countOf2(batch), 0);
    for (const [i, batch] of batches.entries()) {
      const targets = await this.#targets(i > 0);
      await this.#forward(batch, 1 / Math.max(1, tokens));
      this.#stages.head.backward(targets.head);
      targets.head.add();
      this.#backward(targets);
    }
    return tokens;
  }
  async #updateAsYouGo(batches, settings, optimizer) {
    const [batch, ...others] = batches;
    if (!batch || others.length > 0) {
      throw new RopewalkError(
        `a step has ${batches.length} micro-batches, but weights are updated as soon as their gradients exist, which allows one; keep gradients (gradients: 'kept') to accumulate several.`
      );
    }
    const tokens = countOf2(batch);
    const targets = await this.#targets(false);
    await this.#forward(batch, 1 / Math.max(1, tokens));
    this.#stages.head.backward(targets.head);
    const loss = this.#report.readLoss();
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss)) throw this.#notFinite(loss);
    throw new RopewalkError(`${optimizer.constructor.name}: not ready`);
  }
  async #forward(batch, factor) {
    this.#feeds.write({ ...contextFeeds(batch, this.shape), ...lossFeeds(batch, factor) });
    this.#stages.embedding.forward();
    for (const block of this.#stages.blocks) block.forward();
  }
  #backward(targets) {
    const { blocks, embedding } = this.#stages;
    for (let i = blocks.length - 1; i >= 0 && blocks[i].isActive; i--) {
      blocks[i].backward(targets.blocks[i]);
      targets.blocks[i].add();
    }
    embedding.backward(targets.embedding);
    targets.embedding.add();
  }
  /** Binds the backward passes. @param further whether gradients are added to those of the micro-batch before. */
  #targets(further) {
    if (further) this.#further ??= this.#bindBackward(true);
    else this.#first ??= this.#bindBackward(false);
    return further ? this.#further : this.#first;
  }
  async #bindBackward(further) {
    const { embedding, blocks, head } = this.#stages;
    const seen = /* @__PURE__ */ new Set();
    const targetsOf = async (names12) => {
      const targets = await this.#gradients.targets(names12, (name2) => further || seen.has(name2));
      for (const name2 of names12) seen.add(name2);
      return targets;
    };
    const ofHead = await targetsOf([...head.trained, LOSS]);
    await head.bindBackward(ofHead);
    const ofBlocks = [];
    for (const block of [...blocks].reverse()) {
      const targets = await targetsOf(block.isActive ? block.trained : []);
      await block.bindBackward(targets, this.#keeps);
      ofBlocks.unshift(targets);
    }
    const ofEmbedding = await targetsOf(embedding.trained);
    await embedding.bindBackward(ofEmbedding);
    return { head: ofHead, blocks: ofBlocks, embedding: ofEmbedding };
  }
  /** Names the first weight, or else the first gradient, that is not finite. */
  #notFinite(loss) {
    const isBad = (data) => data.some((value2) => !Number.isFinite(value2));
    for (const name2 of this.#weights.tensors.keys()) {
      const value2 = this.#weights.value(name2);
      if (isBad(value2)) return notFinite(loss, [{ name: name2, value: value2 }]);
    }
    const value = new Float32Array();
    for (const { name: name2, gradient } of this.onDevice.parameters) {
      for (const tensor of gradient) {
        const data = new Float32Array(tensor.byteLength / 4);
        this.onDevice.memory.read(tensor, data);
        if (isBad(data)) return notFinite(loss, [{ name: name2, value, gradient: data }]);
      }
    }
    return notFinite(loss, []);
  }
};

// src/training/optimizers/create-optimizer.ts
import { z as z5 } from "zod";
var RECORDS = [adamw3, adafactor, sgd3];
var OPTIMIZERS = RECORDS.map(({ name: name2 }) => name2);
var optimizerOptions = together(RECORDS);
function optimizerRecord(kind) {
  const record = RECORDS.find(({ name: name2 }) => name2 === kind);
  if (!record)
    throw new RopewalkError(`there is no optimizer "${kind}"; there are ${OPTIMIZERS.join(", ")}.`);
  return record;
}
function optimizersWith(name2) {
  return RECORDS.filter(({ options: options3 }) => Object.hasOwn(options3, name2)).map((record) => record.name);
}
function optionsOf(kind, given, defaults = {}) {
  const record = optimizerRecord(kind);
  const known = ([name2, value]) => value !== void 0 && Object.hasOwn(record.options, name2);
  for (const [name2, value] of Object.entries(given)) {
    if (value === void 0 || Object.hasOwn(record.options, name2)) continue;
    const others = optimizersWith(name2);
    const choices = others.flatMap((other, i) => [
      i === 0 ? ", or choose " : " or ",
      option("optimizer", other)
    ]);
    throw new OptionError(name2, [
      ...[`the optimizer ${kind} has no such option; leave it out`, ...choices, "."]
    ]);
  }
  const own2 = Object.fromEntries(Object.entries(given).filter(known));
  const checked = parseOptions(z5.strictObject(record.options).partial(), own2);
  return { ...record.defaults, ...Object.fromEntries(Object.entries(defaults).filter(known)), ...checked };
}
function createOptimizer(kind, parameters, { memory, seed, ...options3 } = {}) {
  const means = { ...memory && { memory }, ...seed !== void 0 && { seed } };
  return optimizerRecord(kind).create(parameters, { ...optionsOf(kind, options3), ...means });
}

// ../aux/scratch/card/tryg.ts
var [name = "llama/tiny", mode = "fast", steps = "5", accumulate = "1"] = process.argv.slice(2);
var { family, preset } = findPreset(name);
var config8 = { ...preset.config, vocab_size: 300 };
var model = family.build(config8);
var shape = { batch: 2, seq: 16 };
var acts = mode === "fast" ? { activations: "kept" } : {};
var grads = mode === "light" ? "as you go" : "kept";
var cpu = await BlockLearner.create(nodeEngine({ threads: 1 }), model, shape, { gradients: grads, ...acts });
initializeWeights(model.parameters(), cpu.values(), new Random(1));
var engine = nodeEngine({ provider: "webgpu", threads: 1 });
var t = Date.now();
var gpu = await DeviceLearner.create(engine, model, shape, { gradients: grads, ...acts });
await gpu.fill((values) => {
  for (const [k, v] of cpu.values()) values.get(k).set(v);
});
var oc = createOptimizer("adamw", cpu.parameters);
var one = gpu.onDevice.memory.allocate("float32", [1]);
gpu.onDevice.memory.write(one, Float32Array.of(1));
var og = { measure: () => ({ norm: one, scale: one }), update() {
}, release: async () => {
}, prepare: async () => {
} };
await og.prepare();
console.log("created", Date.now() - t, "ms", gpu.onDevice.memory.byteLength);
var random = new Random(5);
for (let step2 = 0; step2 < Number(steps); step2++) {
  const batches = Array.from({ length: Number(accumulate) }, () => {
    const ids = () => Int32Array.from({ length: 32 }, () => random.nextInt(300));
    return { inputs: ids().map((x) => x % 7 === 0 ? 5 : x), targets: ids() };
  });
  const a = { ...await cpu.computeGradients(batches), gradientNorm: 0 };
  const ga = new Map(a.trainables.map(({ name: name2, gradient }) => [name2, gradient.slice()]));
  t = Date.now();
  const b = await gpu.step(batches, { optimizer: og, learningRate: 1e-3, clip: 1 });
  for (const { name: name2, gradient } of gpu.onDevice.parameters) {
    const g = new Float32Array(gradient[0].byteLength / 4);
    gpu.onDevice.memory.read(gradient[0], g);
    const c = ga.get(name2);
    let d = 0, n = 0;
    c.forEach((x, i) => {
      d += (x - g[i]) ** 2;
      n += x * x;
    });
    if (Math.sqrt(d / n) > 1e-5 || step2 === 0 && name2.includes("embed")) console.log(name2, Math.sqrt(d / n));
  }
  console.log(step2, a.loss, b.loss, a.gradientNorm, b.gradientNorm, Date.now() - t, "ms", JSON.stringify(gpu.onDevice.memory.traffic));
}
for (const { name: name2, gradient } of gpu.onDevice.parameters) {
  const g = new Float32Array(gradient[0].byteLength / 4);
  gpu.onDevice.memory.read(gradient[0], g);
  const c = cpu.computeGradients.length >= 0 && cpu;
  globalThis.G ??= /* @__PURE__ */ new Map();
  globalThis.G.set(name2, g);
}
var mine = gpu.values();
var worst = 0;
var wname = "";
for (const [k, v] of cpu.values()) {
  const w = mine.get(k);
  let d = 0, n = 0;
  v.forEach((x, i) => {
    d += (x - w[i]) ** 2;
    n += x * x;
  });
  if (Math.sqrt(d / n) > worst) {
    worst = Math.sqrt(d / n);
    wname = k;
  }
}
console.log("weights", worst, wname);
console.log("evaluate", await cpu.evaluate([{ inputs: new Int32Array(32).fill(3), targets: new Int32Array(32).fill(4) }]), await gpu.evaluate([{ inputs: new Int32Array(32).fill(3), targets: new Int32Array(32).fill(4) }]));
await og.release();
await gpu.release();
