"""The transformer and its text encoder as they are trained: the same functions as diffusers' and transformers', laid out for speed.

diffusers gives the transformer 512 text rows, of which all but a few dozen are zero vectors behind the caption. Those rows are equal,
so training keeps ONE of them, with the logarithm of how many it stands for added to its attention score. The score bias travels in eight
extra channels of query and key, so that fused attention still applies.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

PIPELINE_ROWS = 512  # what WanPipeline pads the text to


class FastAttention:
    """Processor for diffusers' WanAttention; cross-attention expects TEXT_ROWS + 1 rows, the last standing for all the padding."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, cross):
        self.cross = cross

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None, **_):
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        heads = lambda t: t.unflatten(2, (attn.heads, -1))
        v = heads(attn.to_v(text))
        q, k = heads(attn.norm_q(attn.to_q(hidden_states))), heads(attn.norm_k(attn.to_k(text)))
        if rotary_emb is not None:
            cos, sin = rotary_emb[0][..., 0::2].float(), rotary_emb[1][..., 1::2].float()

            def rotate(t):
                a, b = t.float().unflatten(-1, (-1, 2)).unbind(-1)
                return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

            q, k = rotate(q), rotate(k)
        q, k, v = q.to(v.dtype).transpose(1, 2), k.to(v.dtype).transpose(1, 2), v.transpose(1, 2)
        if not self.cross:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            d, n = q.shape[-1], k.shape[2]
            last = torch.arange(n, device=k.device) == n - 1
            high = 6.125  # exact in bf16; the rest goes into a second channel
            bias = torch.stack((torch.where(last, high, 0.0), torch.where(last, math.log(PIPELINE_ROWS - (n - 1)) - high, 0.0)), -1).to(
                k.dtype
            )
            q = torch.cat((q, torch.full_like(q[..., :2], d**0.5), torch.zeros_like(q[..., :6])), -1)
            k = torch.cat((k, bias.expand(*k.shape[:2], n, 2), torch.zeros_like(k[..., :6])), -1)
            v = torch.cat((v, torch.zeros_like(v[..., :8])), -1)
            out = F.scaled_dot_product_attention(q, k, v, scale=d**-0.5)[..., :d]
        return attn.to_out[0](out.transpose(1, 2).flatten(2, 3))


def set_attention(dit, fast):
    from diffusers.models.transformers.transformer_wan import WanAttnProcessor

    for block in dit.blocks:
        block.attn1.processor = FastAttention(False) if fast else WanAttnProcessor()
        block.attn2.processor = FastAttention(True) if fast else WanAttnProcessor()


def new_dit(heads=5, layers=8, text=192):
    """Small output projections and open gates, so that every block starts near the identity; padding rows start with a low score,
    without which they would hold nearly all of the softmax."""
    from diffusers import WanTransformer3DModel

    width = heads * 64
    m = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=64,
        in_channels=16,
        out_channels=16,
        text_dim=text,
        freq_dim=256,
        ffn_dim=4 * width,
        num_layers=layers,
        cross_attn_norm=True,
        qk_norm='rms_norm_across_heads',
        eps=1e-6,
        rope_max_seq_len=1024,
    )
    for n, p in m.named_parameters():
        if p.dim() >= 2 and 'table' not in n:
            nn.init.xavier_uniform_(p.data.view(p.shape[0], -1))
        elif n.endswith('bias'):
            nn.init.zeros_(p.data)
    for b in m.blocks:
        for w in (b.attn1.to_out[0].weight, b.attn2.to_out[0].weight, b.ffn.net[2].weight):
            w.data.mul_(0.1)
        b.scale_shift_table.data.mul_(0.3)
        b.scale_shift_table.data[:, 2] = b.scale_shift_table.data[:, 5] = 1.0
        sign = torch.sign(torch.randn(width))  # the key of a zero row is its bias; queries lean the other way
        b.attn2.to_k.bias.data.copy_(0.02 * sign)
        b.attn2.to_q.bias.data.copy_(-0.8 * sign)
    m.condition_embedder.time_proj.weight.data.mul_(0.1)
    m.proj_out.weight.data.zero_()
    m.scale_shift_table.data.mul_(0.3)
    return m


def new_text_encoder(vocabulary, width=192, layers=3):
    """A small UMT5 encoder whose heads start by looking at neighbours (-1, +1, -2, +2, a few before, a few after), in all layers.
    With T5's random position biases it becomes a bag of words: "red ball on blue floor" = "blue ball on red floor"."""
    from transformers import UMT5Config, UMT5EncoderModel

    te = UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=width,
            d_kv=32,
            d_ff=512,
            num_layers=layers,
            num_heads=width // 32,
            relative_attention_num_buckets=32,
            relative_attention_max_distance=128,
            dropout_rate=0.0,
            feed_forward_proj='gated-gelu',
            pad_token_id=0,
            eos_token_id=1,
            tie_word_embeddings=True,
            decoder_start_token_id=0,
        )
    )
    for block in te.encoder.block:
        bias = block.layer[0].SelfAttention.relative_attention_bias.weight.data  # [bucket, head]; 0-15: key at or before, 16-31: after
        bias.normal_(0, 0.05)
        for head, buckets, push in (
            (0, [1], 4.0),
            (1, [17], 4.0),
            (2, [2], 4.0),
            (3, [18], 4.0),
            (4, range(1, 6), 2.4),
            (5, range(17, 22), 2.4),
        ):
            bias[list(buckets), head] += push
    return te


def encode_text(te, ids):
    """Token ids [B, TEXT_ROWS], 0 behind the end -> [B, TEXT_ROWS + 1, width] with zero rows for padding; the same as the Hugging Face
    forward, written out so that it reads nothing back from the device (a captured graph may not)."""
    stack = te.encoder
    mask = ids != 0
    n = ids.shape[1]
    x = look_up(stack.embed_tokens.weight, ids)
    place = torch.arange(n, device=ids.device)
    for block in stack.block:
        a = block.layer[0].SelfAttention
        y = block.layer[0].layer_norm(x)
        q, k, v = (p(y).unflatten(2, (a.n_heads, -1)).transpose(1, 2) for p in (a.q, a.k, a.v))
        bucket = relative_bucket(place[None] - place[:, None])
        bias = look_up(a.relative_attention_bias.weight, bucket).permute(2, 0, 1)[None].masked_fill(~mask[:, None, None], -1e9)
        weights = (q @ k.mT + bias).float().softmax(-1).to(v.dtype)  # T5 does not scale the scores
        x = x + a.o((weights @ v).transpose(1, 2).flatten(2))
        f = block.layer[1]
        y = f.layer_norm(x)
        x = x + f.DenseReluDense.wo(F.gelu(f.DenseReluDense.wi_0(y), approximate='tanh') * f.DenseReluDense.wi_1(y))
    x = stack.final_layer_norm(x) * mask.unsqueeze(-1)
    return F.pad(x, (0, 0, 0, 1))


def look_up(table, index):
    """Rows of a small table as a product with one-hot rows: the gradient of an indexed read would sort, and may wait for the host."""
    return (index.unsqueeze(-1) == torch.arange(len(table), device=index.device)).to(table.dtype) @ table


def relative_bucket(distance, buckets=32, far=128):
    """T5's bidirectional bucket of key position minus query position."""
    half, exact = buckets // 2, buckets // 4
    n = distance.abs()
    wide = exact + (torch.log(n.clamp(min=1).float() / exact) / math.log(far / exact) * (half - exact)).long()
    return (distance > 0).long() * half + torch.where(n < exact, n, wide.clamp(max=half - 1))


def sample_times(n, device, shift):
    """Noise levels in (0, 1): logit-normal with a tenth uniform, moved towards noise as the sampler's flow shift does."""
    t = torch.sigmoid(torch.randn(n, device=device))
    t = torch.where(torch.rand(n, device=device) < 0.1, torch.rand(n, device=device), t)
    return (shift * t / (1 + (shift - 1) * t)).clamp(1e-3, 0.999)


def flow_loss(dit, te, latents, ids, shift, weight=1.0, dropout=0.1):
    """Mean squared error of the predicted velocity (noise - latents), times `weight` (broadcast over [B, 16, t, h, w]).

    A tenth of the captions becomes the empty prompt, for guidance."""
    b, dev = len(latents), latents.device
    empty = torch.zeros_like(ids)
    empty[:, 0] = 1
    ids = torch.where(torch.rand(b, 1, device=dev) < dropout, empty, ids)
    t = sample_times(b, dev, shift)
    x = latents.float()
    noise = torch.randn_like(x)
    level = t.view(-1, 1, 1, 1, 1)
    dtype = torch.bfloat16 if dev.type == 'cuda' else torch.float32
    with torch.autocast(dev.type, torch.bfloat16, enabled=dev.type == 'cuda'):
        text = encode_text(te, ids)
        v = dit(
            hidden_states=((1 - level) * x + level * noise).to(dtype),
            timestep=t * 1000,
            encoder_hidden_states=text.to(dtype),
            return_dict=False,
        )[0]
    return ((v.float() - (noise - x)).square() * weight).mean()
