"""The generators: the one-token layer against PyTorch's own attention, noise, and the baseline."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.config import load_config
from pading.layers.attention import MultiheadAttention
from pading.models.pading.generator import MLPGenerator, PrimitiveGenerator, build_generator
from tests.models.recordings import ROOT

DIM, HEADS, FFN = 16, 4, 32
VECTORS = torch.eye(5, 12)


def primitives(**changes) -> PrimitiveGenerator:
    settings = {
        "num_primitives": 7,
        "num_layers": 2,
        "num_heads": HEADS,
        "ffn_dim": FFN,
        "dropout": 0.0,
        "noise": False,
    }
    return PrimitiveGenerator(DIM, **(settings | changes))


def reference(generator: PrimitiveGenerator, tokens: Tensor) -> Tensor:
    """The same weights in PyTorch's decoder: a batch of sequences of one token each."""
    layer = nn.TransformerDecoderLayer(DIM, HEADS, FFN, dropout=0.0, batch_first=True)
    decoder = nn.TransformerDecoder(layer, len(generator.layers), nn.LayerNorm(DIM))
    weights = generator.state_dict()
    memory = weights.pop("primitives.weight")
    decoder.load_state_dict(weights)
    return decoder(tokens[:, None], memory.expand(len(tokens), -1, -1))[:, 0]


def test_generator_equals_pytorchs_decoder(rng: torch.Generator, seed: int) -> None:
    generator, tokens = primitives(), torch.randn(5, DIM, generator=rng)
    torch.testing.assert_close(generator(tokens), reference(generator, tokens))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_equals_pytorchs(dropout: float, rng: torch.Generator, seed: int) -> None:
    ours = MultiheadAttention(DIM, HEADS, dropout)
    theirs = nn.MultiheadAttention(DIM, HEADS, dropout, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, key = torch.randn(2, 3, DIM, generator=rng), torch.randn(2, 6, DIM, generator=rng)
    visible = torch.rand(2, 3, 6, generator=rng) < 0.5
    visible[..., 0] = True
    hidden = (~visible).repeat_interleave(HEADS, 0)
    torch.manual_seed(seed)
    wanted, _ = theirs(query, key, key, attn_mask=hidden)
    torch.manual_seed(seed)  # the same weights are dropped
    torch.testing.assert_close(ours(query, key, key, visible), wanted)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 does not divide into 4 heads"):
        MultiheadAttention(10, 4)


def test_a_single_token_attends_to_itself(rng: torch.Generator, seed: int) -> None:
    attention = MultiheadAttention(DIM, HEADS)
    token = torch.randn(5, 1, DIM, generator=rng)
    torch.testing.assert_close(
        attention.attend_to_itself_alone(token), attention(token, token, token)
    )


def test_dropout_of_the_only_weight_drops_whole_heads(seed: int) -> None:
    attention = MultiheadAttention(DIM, HEADS, dropout=0.5)
    with torch.no_grad():
        attention.in_proj_bias.fill_(1.0)
        attention.in_proj_weight.zero_()
        attention.out_proj.weight.copy_(torch.eye(DIM))
    heads = attention.attend_to_itself_alone(torch.zeros(200, DIM)).unflatten(-1, (HEADS, -1))
    assert set(heads.unique().tolist()) == {0.0, 2.0}
    assert (heads == heads[..., :1]).all()


@pytest.mark.parametrize("make", [primitives, lambda **k: MLPGenerator(DIM, hidden_dim=FFN, **k)])
def test_noise_gives_one_class_many_embeddings(make, rng: torch.Generator, seed: int) -> None:
    tokens = torch.randn(1, DIM, generator=rng).expand(2, DIM)
    noisy, plain = make(noise=True).eval()(tokens), make(noise=False).eval()(tokens)
    assert not torch.allclose(noisy[0], noisy[1])
    torch.testing.assert_close(plain[0], plain[1])


def test_mlp_generator(rng: torch.Generator, seed: int) -> None:
    generator, tokens = MLPGenerator(DIM, hidden_dim=FFN, noise=False), torch.randn(3, DIM)
    both = torch.cat((tokens, torch.zeros_like(tokens)), dim=1)
    hidden = both @ generator.linear1.weight.T + generator.linear1.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    wanted = F.linear(hidden, generator.linear2.weight, generator.linear2.bias)
    torch.testing.assert_close(generator(tokens), wanted)


@pytest.mark.parametrize("make", [primitives, lambda **k: MLPGenerator(DIM, hidden_dim=FFN, **k)])
def test_nothing_wanted_nothing_given(make) -> None:
    assert make(noise=True)(torch.zeros(0, DIM)).shape == (0, DIM)


def config(*overrides: str):
    return load_config(str(ROOT / "configs" / "shapes" / "PADing.yaml"), overrides)


def test_configured_generators() -> None:
    primitives = ("MODEL.GENERATOR.NAME", "primitives", "MODEL.GENERATOR.NUM_PRIMITIVES", "9")
    found = build_generator(config(*primitives), 64, VECTORS)
    assert isinstance(found, PrimitiveGenerator)
    assert found.primitives.weight.shape == (9, 64)
    assert isinstance(
        build_generator(config("MODEL.GENERATOR.NAME", "mlp"), 64, VECTORS), MLPGenerator
    )
