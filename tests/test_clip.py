"""The small CLIP: what its sentences may say, and that it is trained as the loss says."""

import math

import pytest
import torch
from torch.nn.functional import log_softmax

from minidiff import recipes
from minidiff.apps import diffusionclip
from minidiff.data import faces
from minidiff.data.faces import STYLES, WORDS
from minidiff.nets import Clip, PretrainedClip


def small():
    torch.manual_seed(0)
    return Clip(("a", "face", "hat", "with"), length=6, size=16, width=8, dim=16)


def test_vectors_have_length_one_and_each_row_is_encoded_alone():
    clip = small().eval()
    x = torch.randn(3, 3, 16, 16, requires_grad=True)
    seen = clip.encode_image(x)
    assert seen.shape == (3, 16) and torch.allclose(seen.norm(dim=1), torch.ones(3))
    seen[0, 0].backward()
    assert (x.grad[0] != 0).any() and (x.grad[1:] == 0).all()
    said = clip.encode_text(["a face", "a face with a hat", "hat"])
    assert said.shape == (3, 16) and torch.allclose(said.norm(dim=1), torch.ones(3))
    # What pads the shorter sentence does not count, nor what stands beside it.
    assert torch.allclose(said[0], clip.encode_text(["a face"])[0], atol=1e-6)
    longer = Clip(("a", "face", "hat", "with"), length=6, size=16, width=8, dim=16)
    longer.load_state_dict(clip.state_dict())
    assert not torch.allclose(said[0], said[1], atol=1e-3)


def test_the_order_of_words_counts_and_commas_and_capitals_do_not():
    clip = small().eval()
    one, turned = clip.encode_text(["a face with a hat", "a hat with a face"])
    assert (one - turned).norm() > 1e-3
    assert torch.equal(clip.tokens(["A face, with a hat"]), clip.tokens(["a face with a hat"]))


def test_tokens_are_the_places_of_the_words():
    assert small().tokens(["hat a", "face"]).tolist() == [[3, 1, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("captions", "error", "message"),
    [
        ("a face", TypeError, "captions: expected a list of sentences, got 'a face'"),
        ([""], ValueError, "captions: expected 1..6 words, got 0 in ''"),
        (["a " * 7], ValueError, "captions: expected 1..6 words, got 7 in"),
        (["a dog"], ValueError, "expected known words, got 'dog' in 'a dog'; known are a, face"),
    ],
)
def test_refuses_sentences_that_it_cannot_read(captions, error, message):
    with pytest.raises(error) as info:
        small().encode_text(captions)
    assert message in str(info.value)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 3, 32, 32), ValueError, "x: expected shape (B, 3, 16, 16), got a tensor"),
        (torch.zeros(3, 16, 16), ValueError, "x: expected shape (B, 3, 16, 16)"),
        (torch.zeros(2, 3, 16, 16).double(), TypeError, "x: expected the dtype of the network"),
    ],
)
def test_refuses_other_pictures(x, error, message):
    with pytest.raises(error) as info:
        small().encode_image(x)
    assert message in str(info.value)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"size": 20}, ValueError, "size: expected a multiple of 8, got 20"),
        ({"width": 4}, ValueError, "width: expected an int >= 8, got 4"),
        ({"dim": 8.0}, TypeError, "dim: expected an int"),
        ({"length": 0}, ValueError, "length: expected an int >= 1, got 0"),
        ({"words": ()}, ValueError, "words: expected different words, at least one, got ()"),
        ({"words": ("a", "a")}, ValueError, "words: expected different words, at least one"),
    ],
)
def test_refuses_other_sizes(given, error, message):
    with pytest.raises(error) as info:
        Clip(**({"words": ("a",)} | given))
    assert message in str(info.value)


@pytest.mark.slow
def test_the_vocabulary_is_exactly_what_captions_say():
    said = set()
    for style in STYLES:
        drawn = faces(2000, style=style, size=8, generator=torch.Generator().manual_seed(0))
        said |= {word for line in drawn.captions for word in line.replace(",", " ").split()}
    assert sorted(said) == list(WORDS)


@pytest.mark.equation("eq-clip-contrast")
def test_the_contrastive_loss_is_two_cross_entropies_over_the_batch():
    clip = small().eval()
    x, tokens = torch.randn(5, 3, 16, 16), torch.randint(1, 5, (5, 1, 6))
    got = recipes.pairing(clip, x, tokens)
    seen, said = clip.encode_image(x).detach(), clip.encode_tokens(tokens[:, 0]).detach()
    scale = math.exp(clip.log_scale.item())
    for i in range(5):  # by its definition, one pair at a time
        rows = torch.stack([scale * (seen[i] @ said[j]) for j in range(5)])
        columns = torch.stack([scale * (seen[j] @ said[i]) for j in range(5)])
        want = -0.5 * (log_softmax(rows, 0)[i] + log_softmax(columns, 0)[i])
        assert abs(got[i].item() - want.item()) < 1e-5
    # Vectors that say nothing of each other: every guess is as good as another, log 5.
    with torch.no_grad():
        clip.log_scale.fill_(-100)
    assert torch.allclose(recipes.pairing(clip, x, tokens), torch.full((5,), math.log(5)))


def save_pretrained(folder):
    """Writes a CLIP of random weights and a tokenizer of single letters, as published."""
    import transformers as hf

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = small | {"vocab_size": 60, "num_hidden_layers": 1, "max_position_embeddings": 40}
    seen = small | {"num_hidden_layers": 1, "image_size": 48, "patch_size": 16}
    letters = "abcdefghijklmnopqrstuvwxyz"
    ends = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {w: i for i, w in enumerate([*letters, *(x + "</w>" for x in letters), *ends])}
    text |= {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    config = hf.CLIPConfig(text_config=text, vision_config=seen, projection_dim=8)
    hf.CLIPModel(config).save_pretrained(folder)
    hf.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)


@pytest.mark.slow
def test_a_clip_of_the_hub_takes_the_place_of_ours(tmp_path):
    save_pretrained(tmp_path)
    clip = PretrainedClip.load(str(tmp_path))
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    seen = clip.encode_image(x.requires_grad_())
    assert seen.shape == (2, 8) and torch.allclose(seen.norm(dim=1), torch.ones(2))
    seen[0, 0].backward()
    assert (x.grad[0] != 0).any() and (x.grad[1] == 0).all()
    assert not any(weight.requires_grad for weight in clip.model.parameters())
    # Pictures of the right size are normalised by colour, and nothing else.
    exact = torch.rand(1, 3, 48, 48)
    scaled = (exact - torch.tensor([0.4815, 0.4578, 0.4082]).view(3, 1, 1)) / torch.tensor(
        [0.2686, 0.2613, 0.2758]
    ).view(3, 1, 1)
    want = clip.model.get_image_features(pixel_values=scaled).pooler_output[0]
    got = clip.encode_image(exact * 2 - 1)[0]
    assert torch.allclose(got, want / want.norm(), atol=1e-3)
    # Sentences of different length, together as alone.
    said = clip.encode_text(["a hat", "a person with glasses"])
    assert torch.allclose(said[0], clip.encode_text(["a hat"])[0], atol=1e-5)
    assert torch.allclose(said.norm(dim=1), torch.ones(2)) and (said[0] - said[1]).norm() > 1e-3
    toward = diffusionclip.direction(clip, ["a person"], ["a hat"])
    loss = diffusionclip.directional_loss(
        diffusionclip.alignment(clip, x, torch.zeros_like(x), toward)
    )
    assert loss.shape == (2,) and loss.requires_grad
    for ask, error, message in (
        (lambda: clip.encode_text("a hat"), TypeError, "captions: expected a list of sentences"),
        (lambda: clip.encode_text([" "]), ValueError, "captions: expected words in each"),
        (lambda: clip.encode_image(x[:, :1]), ValueError, "x: expected shape (B, 3, H, W)"),
        (lambda: clip.encode_image(x.long()), TypeError, "x: expected a floating-point tensor"),
    ):
        with pytest.raises(error) as info:
            ask()
        assert message in str(info.value)
