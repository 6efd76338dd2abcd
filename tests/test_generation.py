"""Generation and vectors: the same cases everywhere, every choice used, broken files refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from lossparity.specs import vectors
from lossparity.specs.call import Transform
from lossparity.specs.encoding import decode_call, encode_call
from lossparity.specs.errors import VectorError
from lossparity.specs.loss import Draw
from lossparity.specs.nll_loss.corpus import CORPUS, FAMILIES, MADE, SIZES, corpus
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.stream import Stream


@pytest.mark.parametrize("family", FAMILIES)
def test_the_corpus_is_the_same_in_another_process(family: str) -> None:
    code = (
        "from lossparity.specs.nll_loss.corpus import corpus\n"
        f"print([case.call.digest() for case in corpus({family!r}, 'float16', 'quick', 0)][::7])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [case.call.digest() for case in corpus(family, "float16", "quick", 0)][::7]
    assert done.stdout.strip() == str(here)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in MADE])
@pytest.mark.parametrize("tier", [1, 2, 3])
def test_planned_is_what_is_drawn(family: str, tier: int) -> None:
    digests = [case.call.digest() for case in corpus(family, "float32", "quick", 0) if case.tier <= tier]
    assert [case.call.digest() for case in corpus(family, "float32", "quick", 0, tier)] == digests
    assert CORPUS.size(family, Draw("float32", "quick", 0, tier)) == len(digests) > 0


def test_another_seed_draws_other_cases() -> None:
    first, second = ({case.call.digest() for case in corpus("value", "float32", "quick", seed)} for seed in (0, 1))
    assert len(first - second) > len(first) / 2


def test_signatures_stay_within_a_compilers_budget() -> None:
    """What a compiled subject meets in quick, in all dtypes: shapes, options and sentinels, legal calls only."""
    signatures: defaultdict[int, set[Any]] = defaultdict(set)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for family in FAMILIES:
            for case in corpus(family, dtype, "quick", 0):
                call = case.call
                if type(case.expectation).__name__ == "Raises":
                    continue
                shape = (call["input"].shape, call.dtype, call["weight"] is None, call["target"].dtype.name)
                signatures[case.tier].add((*shape, call["reduction"], call["ignore_index"] if case.tier == 1 else 0))
    assert len(signatures[1]) <= 90
    assert len(signatures[1] | signatures[2]) <= 500


def test_profiles_grow() -> None:
    assert SIZES["quick"].bases < SIZES["ci"].bases < SIZES["nightly"].bases


def test_streams_are_frozen() -> None:
    """Raw PCG64 words never change with NumPy's version; these would."""
    stream = Stream("a", 1)
    assert stream.integers(0, 1000, 5).tolist() == Stream("a", 1).integers(0, 1000, 5).tolist()
    assert Stream("a", 1).uniform(3).tolist() != Stream("a", 2).uniform(3).tolist()
    assert ((stream.uniform(1000) >= 0) & (stream.uniform(1000) < 1)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_survive_json(family: str) -> None:
    for case in list(corpus(family, "bfloat16", "quick", 0))[::11]:
        again = decode_call(json.loads(json.dumps(encode_call(case.call))), NLL_LOSS)
        assert again.digest() == case.call.digest()


def test_vectors_agree_with_the_oracle() -> None:
    for vector in vectors.vectors().values():
        assert list(vectors.problems(vector)) == []


def good_file() -> dict[str, Any]:
    call = encode_call(NLL_LOSS.call(np.zeros((1, 2), np.float32), np.zeros(1, np.int64)))
    vector = {"id": "v", "comment": "c", "clauses": ["VALUE-3"], "flags": ["MeanOfMeans"], "call": call, "expect": {}}
    return {"format": 1, "loss": "nll_loss", "vectors": [vector]}


def test_the_sample_file_is_good() -> None:
    (vector,) = vectors.parse(json.dumps(good_file()), "x.json")
    assert list(vectors.problems(vector))  # its expectation is empty, and lint says so


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format",), 2, "upgrade"),
        (("vectors", 0, "clauses"), ["VALUE-33"], "VALUE-33"),
        (("vectors", 0, "flags"), ["NoSuchFlag"], "NoSuchFlag"),
        (("vectors", 0, "colour"), "red", "colour"),
        (("vectors", 0, "call", "input", "dtype"), "float12", "vector v"),
        (("vectors", 0, "call", "input", "shape"), "two", "vector v"),
        (("vectors", 0, "call", "input", "values"), [], "no values"),
        (("vectors", 0, "call", "target"), None, "vector v"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_broken_vectors_are_refused(path: tuple[Any, ...], value: Any, words: str) -> None:
    file: Any = good_file()
    place = file
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(VectorError) as caught:
        vectors.parse(json.dumps(file), "x.json")
    assert "x.json" in str(caught.value)
    assert words in str(caught.value)


def test_a_vector_file_that_is_no_json_is_refused() -> None:
    with pytest.raises(VectorError, match=r"x\.json"):
        vectors.parse("{", "x.json")


def test_the_largest_integers_survive_json_beside_small_ones() -> None:
    target = np.array([2**64 - 100, 1, 3], np.uint64)
    again = decode_call(
        json.loads(json.dumps(encode_call(NLL_LOSS.call(np.zeros((3, 4), np.float32), target)))), NLL_LOSS
    )
    assert again["target"].tolist() == target.tolist()


def test_readers_are_told_of_free_entries() -> None:
    """An entry that is not listed has to be 0, so a free one has to be listed."""
    weight = np.array([2.0**127, 1.5 * 2.0**127], np.float32)
    call = NLL_LOSS.call(
        np.ones((2, 2), np.float32), np.array([0, 1]), weight, transform=Transform("gradient", np.float32(1))
    )
    expected = vectors.describe(case_of_call(call, "gradient", 3, "test").expectation)
    allowed = [(place, low, high) for place, _, low, high in expected["entries"]]
    assert allowed == [(0, "-inf", "inf"), (3, "-inf", "inf")]
