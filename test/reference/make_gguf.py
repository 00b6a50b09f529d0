"""Makes gguf/: blocks and files of llama.cpp's Python package `gguf`, to hold src/checkpoint/gguf against.

    pip install gguf==0.19.0 numpy==2.4.6
    python make_gguf.py

dequantize.bin, quantize.bin: parts that their .json lists as [offset, length in bytes].
python.gguf: a file with every metadata type and tensors of several types; python.json: what it says.
"""

import json
import pathlib

import numpy
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

folder = pathlib.Path(__file__).parent / "gguf"
folder.mkdir(exist_ok=True)
random = numpy.random.default_rng(20)

# Where the float16 scales of a block lie.
SCALES = {
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
TYPES = ["F32", "F16", "BF16", *SCALES]
EXTREMES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00]


def finite_halves(count):
    halves = random.integers(0, 0x10000, count, dtype=numpy.uint16)
    halves[(halves & 0x7C00) == 0x7C00] ^= 0x4000
    return halves


class Parts:
    """Byte strings one after another, and where they lie."""

    def __init__(self):
        self.bytes = b""

    def add(self, array):
        data = array.tobytes()
        self.bytes += data + bytes(-len(data) % 8)
        return [len(self.bytes) - len(data) - (-len(data) % 8), len(data)]


def write(name, parts, index):
    (folder / f"{name}.bin").write_bytes(parts.bytes)
    (folder / f"{name}.json").write_text(json.dumps(index, indent=1) + "\n")


# Random blocks, half of them with extreme scales; expected float32 numbers bit for bit.
parts, index = Parts(), {}
for name in TYPES:
    kind = GGMLQuantizationType[name]
    size, length = GGML_QUANT_SIZES[kind]
    if name == "F32":
        blocks = random.standard_normal(64, dtype=numpy.float32).view(numpy.uint8)
    elif name == "F16":
        blocks = numpy.concatenate([finite_halves(200), numpy.array(EXTREMES + [0x7C00, 0xFC00], numpy.uint16)])
        blocks = blocks.view(numpy.uint8)
    elif name == "BF16":
        blocks = random.integers(0, 0x10000, 200, dtype=numpy.uint16)
        blocks[(blocks & 0x7F80) == 0x7F80] ^= 0x4000
        blocks = blocks.view(numpy.uint8)
    else:
        blocks = random.integers(0, 256, (6 if size == 256 else 24, length), dtype=numpy.uint8)
        for at in SCALES[name]:
            scales = finite_halves(len(blocks))
            scales[::2] = random.choice(numpy.array(EXTREMES, numpy.uint16), len(scales[::2]))
            blocks[:, at : at + 2] = scales.view(numpy.uint8).reshape(-1, 2)
    values = dequantize(blocks.reshape(-1), kind)
    assert values.dtype == numpy.float32 and numpy.isfinite(values).all() or name == "F16"
    index[name] = {"blocks": parts.add(blocks), "values": parts.add(values)}
write("dequantize", parts, index)


# Numbers to quantize: all magnitudes, ties of magnitude and of rounding, zeros, large ones.
def rows():
    yield from random.standard_normal((20, 32), dtype=numpy.float32)
    for exponent in [-30, -20, -14, -9, -7, -4, 0, 3, 4]:
        yield (random.standard_normal(32) * 10.0**exponent).astype(numpy.float32)
    yield numpy.zeros(32, numpy.float32)
    yield -numpy.zeros(32, numpy.float32)
    yield numpy.full(32, -0.3, numpy.float32)
    yield numpy.resize(numpy.array([1, -1], numpy.float32), 32)
    yield numpy.resize(numpy.array([-1, 1], numpy.float32), 32)
    for most in [127, 254, 8, 16]:  # codes in halves: ties
        yield (numpy.arange(32) - 15.5).astype(numpy.float32) * numpy.float32(most / 15.5)
        halves = (random.integers(-most, most + 1, 32) + 0.5).clip(-most, most)
        halves[3] = most
        yield halves.astype(numpy.float32)


parts, index = Parts(), {}
values = numpy.concatenate(list(rows()))
wide = numpy.concatenate([
    values,
    random.integers(0, 2**32, 200, dtype=numpy.uint32).view(numpy.float32),  # any bits
    numpy.array([65504, 65519.99, 65520, -65520, 2**-24, 2**-25, 1.5 * 2**-25, 2**-14, numpy.inf, -numpy.inf], numpy.float32),
])
finite = wide[~numpy.isnan(wide)]
with numpy.errstate(over="ignore"):
    for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0"]:
        source = {"F32": wide, "BF16": wide, "F16": finite}.get(name, values)
        result = quantize(source, GGMLQuantizationType[name])
        index[name] = {"values": parts.add(source), "blocks": parts.add(result)}
write("quantize", parts, index)

# A file of every metadata type, with an alignment of its own.
path = folder / "python.gguf"
writer = GGUFWriter(path, "llama")
writer.add_custom_alignment(64)
says = {}


def field(key, kind, value, item=None):
    writer.add_key_value(key, value, kind, item)
    says[key] = {"type": kind.name, "value": str(value) if isinstance(value, int) and abs(value) > 2**53 else value}


field("a.u8", GGUFValueType.UINT8, 255)
field("a.i8", GGUFValueType.INT8, -128)
field("a.u16", GGUFValueType.UINT16, 65535)
field("a.i16", GGUFValueType.INT16, -32768)
field("a.u32", GGUFValueType.UINT32, 2**32 - 1)
field("a.i32", GGUFValueType.INT32, -(2**31))
field("a.f32", GGUFValueType.FLOAT32, 0.5)
field("a.bool", GGUFValueType.BOOL, True)
field("a.string", GGUFValueType.STRING, "한국어 ▁ \ufeff 🦙\n")
field("a.u64", GGUFValueType.UINT64, 2**53 - 1)
field("a.u64.large", GGUFValueType.UINT64, 2**64 - 1)
field("a.i64.large", GGUFValueType.INT64, -(2**63))
field("a.f64", GGUFValueType.FLOAT64, 0.1)
field("a.strings", GGUFValueType.ARRAY, ["", "<|eot|>", "ㄱ"], GGUFValueType.STRING)
field("a.floats", GGUFValueType.ARRAY, [0.5, -2.0, 1e10], GGUFValueType.FLOAT32)
field("a.ints", GGUFValueType.ARRAY, [1, -2, 3], GGUFValueType.INT32)
field("a.bools", GGUFValueType.ARRAY, [True, False], GGUFValueType.BOOL)
field("a.nested", GGUFValueType.ARRAY, [[1, 2], [3]], GGUFValueType.ARRAY)

tensors = {}
for name, kind, shape in [
    ("token_embd.weight", "Q8_0", (3, 64)),
    ("blk.0.attn_norm.weight", "F32", (5,)),
    ("blk.0.attn_q.weight", "F16", (2, 3)),
    ("blk.0.cube", "BF16", (2, 3, 4)),
    ("output.weight", "Q4_0", (2, 32)),
]:
    values = random.standard_normal(shape, dtype=numpy.float32)
    kind = GGMLQuantizationType[kind]
    stored = quantize(values, kind)
    writer.add_tensor(name, stored, raw_dtype=kind)
    tensors[name] = {"type": kind.name, "shape": shape, "values": dequantize(stored, kind).flatten().tolist()}
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
(folder / "python.json").write_text(json.dumps({"metadata": says, "tensors": tensors}, ensure_ascii=False, indent=1) + "\n")
