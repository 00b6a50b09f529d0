"""
Small data files for test/data.test.ts, by pyarrow:

    pip install pyarrow==26.0.1 && python test/reference/make_data.py

pairs-<codec>.parquet: 5 rows of prompt and completion, in row groups of 2; messages.parquet: 3 chats as lists of
structures.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(__file__).parent / "data"
folder.mkdir(exist_ok=True)
pairs = pa.table(
    {
        "prompt": [f"What comes after {i}?" for i in range(5)],
        "completion": ["one", "two", None, "넷", "five, " * 40],
        "score": [0.5, 1.5, None, 2.5, 3.5],
    }
)
for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(pairs, folder / f"pairs-{codec}.parquet", compression=codec, row_group_size=2)
chats = [
    [("user", "Hello"), ("assistant", "Hi!")],
    [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because."), ("user", "Ah."), ("assistant", "Yes.")],
    [("user", "안녕"), ("assistant", "반가워요")],
]
kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
column = pa.array([[{"role": r, "content": c} for r, c in chat] for chat in chats], kind)
pq.write_table(pa.table({"messages": column}), folder / "messages.parquet")
