"""Writes charsmaps.json: small character maps in SentencePiece's format, each of a few rules, for Precompiled."""
import base64, io, json, sys, tempfile
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

RULES = {
    "letters": [("a", "b"), ("A", "aa"), ("ab", "z"), ("é", "e"), ("é", "E"), ("😀", "x"), ("x", "")],
    "spaces": [("  ", " "), ("\t", " "), ("\u00a0", " "), ("\u3000", " "), ("½", "1⁄2"), ("\u200b", "")],
    "korean": [("가", "나"), ("\u1100\u1161", "가"), ("각", "가ㄱ"), ("Ａ", "A"), ("ﬁ", "fi"), ("👨‍👩‍👧", "👪")],
}

def charsmap(rules):
    code = lambda text: " ".join(f"{ord(c):X}" for c in text)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("".join(f"{code(a)}\t{code(b)}\n" for a, b in rules))
        file.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["abc def"] * 50), model_writer=model, vocab_size=20, hard_vocab_limit=False,
            normalization_rule_tsv=file.name, minloglevel=2,
        )
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()

json.dump({name: charsmap(rules) for name, rules in RULES.items()}, sys.stdout, indent=1)
