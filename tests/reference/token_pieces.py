"""Two small tokenizers in the two forms that checkpoint folders have.

`hand_built` is the form of the bundled model: a Unigram list of whole words and single characters, NFKC and lower
case in front. `sentencepiece_like` is UMT5's form: the precompiled character map of SentencePiece (nmt_nfkc), no lower
casing, byte fallback; its pieces are trained on a few lines, which SentencePiece does the same way every time.
Both use UMT5's ids (<pad> 0, </s> 1, <s> 2, <unk> 3) and append </s> by a template.
"""

import io

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "</s>", "<s>", "<unk>"]

WORDS = """a the red green blue yellow ball cube cone ring bounces slides rolls spins on under near big small floor sky
night day camera slowly left right up down and is of in""".split()

CORPUS = """A shiny red ball bounces on a blue floor, the camera slowly orbits around.
Two cats play in the snow; a small dog watches from the window.
Ein Fuchs springt über den faulen Hund, während die Sonne untergeht.
Une fille marche au bord de la mer à l'aube, caméra fixe.
一只红色的球在蓝色的地板上弹跳，镜头缓慢移动。
赤いボールが青い床の上で跳ねる。
Красный мяч прыгает на синем полу, камера медленно движется.
The quick brown fox jumps over the lazy dog 0123456789 times: "why not?" (really!) - yes/no & more."""


def _assemble(model, normalizer) -> PreTrainedTokenizerFast:
    """A fast tokenizer with Metaspace, the </s> template and UMT5's special ids around `model`."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
        padding_side="right",
    )


def hand_built() -> PreTrainedTokenizerFast:
    """Whole words and single characters; anything else is <unk>."""
    pieces = [(piece, 0.0) for piece in SPECIAL]
    pieces += [("▁" + word, -3.0 - 0.1 * i) for i, word in enumerate(WORDS)]
    pieces += [(piece, -4.0) for piece in ",."] + [("▁", -11.0)]
    pieces += [(piece, -12.0) for piece in "abcdefghijklmnopqrstuvwxyz0123456789;:!?'\"()-/&"]
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return _assemble(models.Unigram(pieces, unk_id=3, byte_fallback=False), normalizer)


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """UMT5's form: precompiled map, byte fallback, pieces trained on `CORPUS`."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()),
        model_writer=trained,
        model_type="unigram",
        vocab_size=520,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="nmt_nfkc",
        pad_id=0, eos_id=1, bos_id=2, unk_id=3,
        num_threads=1,
        minloglevel=2,
    )
    proto = sentencepiece_model_pb2.ModelProto.FromString(trained.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    return _assemble(models.Unigram(pieces, unk_id=3, byte_fallback=True), normalizer)
