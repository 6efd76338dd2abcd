"""What sample runs are about: clauses, known divergences, subjects, and which of them fails where."""

from __future__ import annotations

from collections.abc import Sequence

from lossparity.reports.records import ClauseInfo, DivergenceInfo, SubjectInfo

DTYPES = ("float16", "bfloat16", "float32", "float64")

_FAMILIES = {
    "SHAPE": ["MUST"] * 7 + ["RECORD"],
    "VALUE": ["MUST"] * 9,
    "IGN": ["MUST"] * 10,
    "WEIGHT": ["MUST"] * 4 + ["SHOULD", "MUST"],
    "SPECIAL": ["MUST", "MUST", "SHOULD", "RECORD"],
    "DTYPE": ["MUST"] * 3 + ["SHOULD"],
    "ACC": ["MUST"] * 3 + ["SHOULD", "MUST", "RECORD"],
    "ERR": ["MUST"] * 9 + ["RECORD"],
    "GRAD": ["MUST"] * 8 + ["RECORD"],
    "PURE": ["MUST"] * 5,
    "LAYOUT": ["MUST"] * 2,
    "REL": ["MUST"] * 8,
}
_STATEMENTS = {
    "SHAPE-6": "N=0 or any d=0: `none` gives an empty array of target's shape, `sum` 0, `mean` NaN",
    "VALUE-3": "`mean`: -S/W; without weights W is the count of kept positions",
    "VALUE-6": "entries of other classes than the target have no influence, NaN and inf included ",
    "IGN-4": "a sentinel outside [0, C) is accepted: -1, -100, C, C+1, 255, +-2^31, the int64 extremes",
    "IGN-8": "an ignore_index that the target's dtype cannot hold ignores nothing: uint8 156 is not -100",
    "ACC-3": "halves: within the any-order bound of a float32 accumulator plus one final rounding",
    "ACC-4": "float32/float64: within the logarithmic-depth bound (class E5): not a running sum",
    "ERR-1": "target >= C and not ignored: index error, at the first, a middle and the last position",
    "ERR-10": "exception type and message, side by side",
}
CLAUSES = tuple(
    ClauseInfo(
        f"{family}-{n}",
        family,
        level,
        _STATEMENTS.get(f"{family}-{n}", f"what clause {n} of {family} asks"),
        "T, D",
    )
    for family, levels in _FAMILIES.items()
    for n, level in enumerate(levels, 1)
)


def _known(
    name: str, title: str, subjects: str, clauses: str, cause: str, severity: str, *references: str
) -> DivergenceInfo:
    return DivergenceInfo(
        id=name,
        title=title,
        subjects=tuple(subjects.split()),
        clauses=tuple(clauses.split()),
        cause=cause,
        explanation=f"Why {name} happens, in a sentence or two that a person can check, "
        "long enough to be broken over two lines of a table and then some.",
        references=references,
        reproducer=f"import numpy as np\n\nx = np.full((4096, 2), -1.0)\nprint('{name}', x[0])\n",
        selector="dtype in {float16, bfloat16} and reduction == 'mean' and n_active > 256",
        vector=f"vector-of-{name}",
        severity=severity,
    )


_TF = "tensorflow tensorflow:function tensorflow:xla"
DIVERGENCES = (
    _known(
        "torch-half-mean-saturates",
        "`mean` of float16 and bfloat16 is divided after rounding",
        "torch torch:compile",
        "ACC-3 VALUE-3",
        "bug",
        "last digits",
        "pytorch/pytorch#61523",
        "https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html",
        "measured here",
    ),
    _known(
        "tf-uint8-sentinel-wraps",
        "uint8 156 is taken for -100",
        _TF,
        "IGN-8",
        "adapter_gap",
        "silent wrong number",
        "onnx/onnx#8433",
    ),
    _known("jax-x32-index-truncated", "2^32+1 becomes 1 without x64", "jax:x32", "ERR-1", "by_design", "missing error"),
    _known("xla-crash-on-empty", "an empty batch ends the process", "tensorflow:xla", "SHAPE-6", "bug", "loud refusal"),
    _known("tf-jvp-nan", "NaN spreads", "tensorflow", "GRAD-7", "bug", "silent wrong gradient"),
    _known("jax-of-an-early-file", "its file says no severity", "jax", "VALUE-7", "by_design", ""),
    _known("torch-compile-long-gone", "fixed upstream", "torch:compile", "GRAD-2", "bug", "silent wrong gradient"),
)
SHOWS = {
    (clause, subject): divergence.id
    for divergence in DIVERGENCES[:-1]
    for clause in divergence.clauses
    for subject in divergence.subjects
}
MISSES = {
    ("ACC-4", "tensorflow:xla"),
    ("ACC-4", "torch:compile"),
    ("SPECIAL-3", "jax"),
    ("SPECIAL-3", "tensorflow"),
    ("WEIGHT-5", "numpy"),
}

VARIANTS = {
    "numpy": [""],
    "torch": ["", ":compile"],
    "jax": ["", ":x32", ":jit"],
    "tensorflow": ["", ":function", ":xla"],
}
_VERSIONS = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "jax": "0.10.2", "tensorflow": "2.22.0"}


def subjects(backends: Sequence[str] = tuple(VARIANTS)) -> tuple[SubjectInfo, ...]:
    """The subjects of these backends."""
    return tuple(
        SubjectInfo(
            name=backend + variant,
            backend=backend,
            version=_VERSIONS[backend],
            device="cpu",
            binding="native" if backend == "torch" else "composed",
            style={"": "eager", ":x32": "eager"}.get(variant, "compiled"),
            dtypes=DTYPES[:3] if variant == ":x32" else DTYPES,
            target_dtypes=("int32", "int64", "uint8"),
            gradual_underflow=dict.fromkeys(DTYPES, backend in ("numpy", "torch")),
            notes=("x64 is off, as users run it.",) if variant == ":x32" else (),
        )
        for backend in backends
        for variant in VARIANTS[backend]
    )
