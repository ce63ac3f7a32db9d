"""The checkpoint folder in diffusers' layout: written in BF16, read back by diffusers' WanPipeline as it is."""

import json
import os

import torch

PARTS = {
    'scheduler': ['diffusers', 'UniPCMultistepScheduler'],
    'text_encoder': ['transformers', 'UMT5EncoderModel'],
    'tokenizer': ['transformers', 'PreTrainedTokenizerFast'],
    'transformer': ['diffusers', 'WanTransformer3DModel'],
    'vae': ['diffusers', 'AutoencoderKLWan'],
}


def _half(module):
    """A BF16 copy on the CPU; the module itself may be compiled and is left alone."""
    if hasattr(module, 'encoder') and hasattr(module.config, 'd_model'):
        copy = type(module)(module.config)
    else:
        copy = type(module).from_config({k: v for k, v in module.config.items() if k != '_name_or_path'})
    copy.load_state_dict({k: v.detach().cpu() for k, v in module.state_dict().items()})
    return copy.to(torch.bfloat16)


def save(path, dit, te, vae, tokenizer_path):
    import diffusers
    from transformers import PreTrainedTokenizerFast

    os.makedirs(path, exist_ok=True)
    for name, module in (('transformer', dit), ('text_encoder', te), ('vae', vae)):
        _half(module).save_pretrained(os.path.join(path, name))
    # transformers' T5 tokenizer classes rebuild the pipeline and would drop the lower-casing
    PreTrainedTokenizerFast(
        tokenizer_file=tokenizer_path, pad_token='<pad>', eos_token='</s>', unk_token='<unk>', model_max_length=512, padding_side='right'
    ).save_pretrained(os.path.join(path, 'tokenizer'))
    diffusers.UniPCMultistepScheduler(
        num_train_timesteps=1000,
        prediction_type='flow_prediction',
        use_flow_sigmas=True,
        flow_shift=3.0,
        solver_order=2,
        solver_type='bh2',
        predict_x0=True,
        lower_order_final=True,
        final_sigmas_type='zero',
    ).save_pretrained(os.path.join(path, 'scheduler'))
    index = {'_class_name': 'WanPipeline', '_diffusers_version': diffusers.__version__, **PARTS}
    with open(os.path.join(path, 'model_index.json'), 'w') as f:
        json.dump(index, f, indent=1)


def load_vae(path, device):
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan.from_pretrained(os.path.join(path, 'vae'), torch_dtype=torch.float32).to(device)


def load_dit(path, device):
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel.from_pretrained(os.path.join(path, 'transformer'), torch_dtype=torch.float32).to(device)


def load_text_encoder(path, device):
    from transformers import UMT5EncoderModel

    return UMT5EncoderModel.from_pretrained(os.path.join(path, 'text_encoder'), dtype=torch.float32).to(device)


def load_pipeline(path, device):
    from diffusers import WanPipeline

    pipe = WanPipeline.from_pretrained(path, torch_dtype=torch.bfloat16 if torch.device(device).type == 'cuda' else torch.float32).to(
        device
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_tokenizer(path):
    """The bare tokenizer of a checkpoint, and the path of its file."""
    from tokenizers import Tokenizer

    file = os.path.join(path, 'tokenizer', 'tokenizer.json')
    tok = Tokenizer.from_file(file)
    tok.no_padding()
    tok.no_truncation()
    return tok, file
