"""Any causal language model of transformers behind one small face: what continues the prefix with a caption.

Sizes, the end token and the place of the embedding are read off the model; whether the parts fit together as the face promises is tried out once, when it is
loaded. Weights come from safetensors files only, and no code that lies beside them is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from clipcap_cli.captioner.lm_folders import hash_of_weights
from clipcap_cli.captioner.packing import packed
from clipcap_cli.errors import InputError
from clipcap_cli.storage.hub import quiet_transformers

SAMPLE = "a dog"  # what every tokenizer can write


class LanguageModel(nn.Module):
    """A causal language model with its tokenizer.

    Attributes:
        name: what the user calls it: "builtin:nano", a folder, a hub id.
        folder: where its files lie.
        width: size of its vectors.
        vocabulary: number of its logits.
        end_token: the id that ends a text.
        max_positions: places it has, prefix included; None where there is no limit.
        tuned: its weights may differ from those in `folder`, because they were trained or copied from elsewhere. Starts as False.
        adapters: the settings of the adapters that are trained beside its weights (see `adapters`), or None.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, folder: Path) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.folder = folder
        config = model.config.get_text_config()
        self.width: int = model.get_input_embeddings().embedding_dim
        self.vocabulary: int = model.get_output_embeddings().weight.shape[0]
        self.max_positions: int | None = getattr(config, "max_position_embeddings", None)
        self.end_token = end_token_of(tokenizer, config, folder)
        self.tuned = False
        self.adapters: Any | None = None
        self._step_dtype = torch.float32
        self._stepper: tuple[Any, ...] = ()  # the model that `step` uses, made at its first use; in a tuple, since it is no part of the state
        # Releases of transformers before 5.24 call it past_key_values.
        self._cache_name = "cache" if "cache" in inspect.signature(model.base_model.forward).parameters else "past_key_values"
        # What some families do to their logits; whoever does anything else is found out by `_probe`.
        self._logit_factor = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)

    @cached_property
    def content_hash(self) -> str:
        """64 hex digits of the stock weights that stand under its name."""
        return hash_of_weights(self.folder)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; no special tokens are added, and none that is spelled out in a text is taken for one."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def pieces(self) -> list[str]:
        """The text that each token adds to a text, [vocabulary]; "" for special tokens, and U+FFFD for parts of a letter."""
        [before] = self.tokenize([SAMPLE])
        start = len(self.detokenize(before))
        texts = self.tokenizer.batch_decode(
            [[*before, token] for token in range(self.vocabulary)], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [text[start:] for text in texts]

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids [...] to their vectors [..., width]."""
        vectors: Tensor = self.model.get_input_embeddings()(tokens)
        return vectors

    def hidden(self, embeddings: Tensor) -> Tensor:
        """The last hidden states [n, t, width] of the vectors [n, t, width]; padding, if any, stands at the end and needs no mask."""
        states: Tensor = self.model.base_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        return states

    @property
    def output_weight(self) -> Tensor | None:
        """[vocabulary, width] where `logits` is nothing but a product with it, else None."""
        head = self.model.get_output_embeddings()
        plain = getattr(head, "bias", None) is None and self._logit_factor == 1.0 and self._softcap is None
        weight: Tensor = head.weight
        return weight if plain else None

    def logits(self, hidden: Tensor) -> Tensor:
        """Last hidden states [..., width] to logits [..., vocabulary]."""
        return self._finished(self.model.get_output_embeddings()(hidden))

    def _finished(self, logits: Tensor) -> Tensor:
        """What some families do behind the output layer."""
        if self._logit_factor != 1.0:
            logits = logits * self._logit_factor
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits

    def step(self, embeddings: Tensor, cache: Any | None) -> tuple[Tensor, Any]:
        """Go on by some places.

        Args:
            embeddings: [n, t, width], what comes next.
            cache: what the step before gave, None at the beginning. It is used up.

        Returns:
            Logits of the last place, float32 [n, vocabulary], and the cache for the next step.
        """
        logits, _, cache = self.step_hidden(embeddings, cache)
        return logits, cache

    def step_hidden(self, embeddings: Tensor, cache: Any | None) -> tuple[Tensor, Tensor, Any]:
        """`step`, which also gives the last hidden states [n, t, width] of all places that came in."""
        if cache is None:
            from clipcap_cli.captioner.cache import new_cache

            cache = new_cache(self.model.config)
        model, cast = self._model_for_steps(embeddings.device)
        with cast:
            out = model.base_model(inputs_embeds=embeddings, use_cache=True, **{self._cache_name: cache})
        hidden = out.last_hidden_state.to(embeddings.dtype)
        return self._finished(model.get_output_embeddings()(hidden[:, -1])).float(), hidden, cache  # which has the new places in it now

    def step_in(self, dtype: torch.dtype) -> None:
        """Take the matrix products of `step` in float32, or in bfloat16: faster where the hardware has it, and now and then another word is chosen."""
        self._step_dtype = dtype
        self._stepper = ()

    def reorder(self, cache: Any, index: Tensor) -> Any:
        """The cache whose row i is the old row index[i]; rows may be left out or come twice."""
        cache.reorder_cache(index)
        return cache

    def save(self, folder: Path, model: Any | None = None) -> None:
        """Write configuration, weights (safetensors, in the precision they have) and tokenizer into `folder`.

        Args:
            model: a model of transformers to write in the place of its own.
        """
        with quiet_transformers():
            (self.model if model is None else model).save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def _model_for_steps(self, device: torch.device) -> tuple[Any, Any]:
        """The model to step with, and the context to do it in."""
        plain = self._step_dtype == torch.float32
        if device.type == "cpu" and not torch.is_grad_enabled() and not any(parameter.requires_grad for parameter in self.parameters()):
            if not self._stepper:
                self._stepper = (packed(self.model, self._step_dtype),)
            if self._stepper[0] is not None:
                return self._stepper[0], nullcontext()
        return self.model, nullcontext() if plain else torch.autocast(device.type, self._step_dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._stepper = ()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As `nn.Module.requires_grad_`; weights that ask for gradients count as tuned from then on."""
        self.tuned = self.tuned or requires_grad
        self._stepper = ()
        return super().requires_grad_(requires_grad)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As `nn.Module.load_state_dict`; weights from elsewhere count as tuned."""
        self.tuned = True
        self._stepper = ()
        return super().load_state_dict(state_dict, strict, assign)


def end_token_of(tokenizer: Any, config: Any, folder: Path) -> int:
    """The id that ends a text.

    Raises:
        InputError: there is none.
    """
    for found in (tokenizer.eos_token_id, config.eos_token_id):
        first = found[0] if isinstance(found, list) and found else found
        if isinstance(first, int):
            return first
    raise InputError(
        "this language model has no end token, so its captions would never end", where=str(folder), hint='Set "eos_token" in its tokenizer_config.json.'
    )
