"""Devices: their names, where arrays lie, and that an accelerator's failures cost no more than the call.

No accelerator is at hand. In its place: further CPU devices of JAX and TensorFlow, torch's meta device, and NumPy
under the name of a CUDA device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import base, registry
from lossparity.adapters.base import Capabilities
from lossparity.conformance.items.isolation import Isolation
from lossparity.conformance.planning import plan, survey
from lossparity.conformance.running import floors
from lossparity.reports import records
from lossparity.reports.records import Finding, Item, Run
from lossparity.specs.call import Call, Crashed, Returned, Transform, dtype_of
from lossparity.specs.errors import AdapterUnavailable, UsageError
from lossparity.specs.layouts import LAYOUTS, extent, lay
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import pretend_devices
from .test_cli import ROOT, lossparity

TWO = {
    "jax": {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    "tensorflow": {"LOSSPARITY_TENSORFLOW_CPUS": "2"},
}


def run(out: Path, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], Run]:
    done = lossparity("run", "--out", str(out), *arguments, **environment)
    assert (out / "records.jsonl").exists(), done.stdout + done.stderr
    return done, records.read(out / "records.jsonl")


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cpu", "cpu:1", "cuda", "cuda:0", "cuda:12", "tpu:3"])
def test_devices_are_named_as_in_the_frameworks(name: str) -> None:
    assert plan.check_device(name) == name
    assert base.on_cpu(name) == name.startswith("cpu")


@pytest.mark.parametrize("name", ["", "gpu", "cudda", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1", "CUDA", ":1"])
def test_misspelt_devices_are_usage_errors(name: str) -> None:
    with pytest.raises(UsageError, match=r"cpu, cuda, .*cuda:1"):
        plan.check_device(name)


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_an_absent_device_exits_6_with_those_that_are_there(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    done = lossparity("run", "-b", framework, "--device", "cpu:7", "--out", str(tmp_path), **TWO.get(framework, {}))
    assert done.returncode == 6, done.stdout + done.stderr
    there = "cpu, cpu:1" if framework in TWO else "cpu"
    assert f"{framework} has no device 'cpu:7'; it has {there}" in done.stderr
    assert not (tmp_path / "records.jsonl").exists()


def test_a_broken_number_of_cpus_is_a_usage_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    done = lossparity("run", "-b", "tensorflow", "--out", str(tmp_path), LOSSPARITY_TENSORFLOW_CPUS="two")
    assert done.returncode == 4
    assert "LOSSPARITY_TENSORFLOW_CPUS is 'two'" in done.stderr


def test_without_any_such_device_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda: ["numpy"])
    with pytest.raises(AdapterUnavailable, match="numpy has no device 'xpu:9'; it has cpu") as caught:
        survey.survey((), "xpu:9")
    assert caught.value.exit_code == 6


# --- where arrays lie ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
def test_a_second_cpu_computes_as_the_first_does(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    named = ("-b", framework) if framework == "tensorflow" else ()  # NumPy is left out where nobody asked for it
    done, read = run(tmp_path, *named, "--device", "cpu:1", "--family", "vectors", **TWO[framework])
    # TensorFlow's eager operations race between threads on all CPUs but the first: "Input to reshape is a tensor with 4
    # values, but the requested shape has 2", or a segmentation fault (docs/devices.md). Nothing else may be wrong.
    races = {"PURE-5"} if framework == "tensorflow" else set[str]()
    wrong = {clause for finding in read.of(Finding) if not finding.expected for clause in finding.clauses}
    assert wrong <= races, done.stdout + done.stderr
    assert done.returncode == bool(wrong), done.stdout + done.stderr
    assert ("left out: numpy has no device 'cpu:1'; it has cpu" in done.stdout) is (not named)
    assert {subject.backend for subject in read.header.subjects} == {framework}
    devices = {subject.name: subject.device for subject in read.header.subjects}
    assert set(devices.values()) == {"cpu:1"}
    assert {item.subject for item in read.of(Item)} == set(devices)  # every record leads to its device
    assert "device cpu:1" in done.stdout


def calls() -> list[Call]:
    """One call of each kind."""
    x = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32))
    t, w = np.array([2, 0]), np.array([1, 2, 4], np.float32)
    g, v = np.array(1.5, np.float32), np.ones_like(x)
    kinds = {
        "gradient": Transform("gradient", g),
        "gradient_again": Transform("gradient_again", g),
        "gradient_between": Transform("gradient_between", g),
        "value_in_training": Transform("value_in_training"),
        "weight_gradient": Transform("gradient", g, wrt="weight"),
        "second": Transform("second", g, v),
        "second_upstream": Transform("second_upstream", g, v),
        "jvp": Transform("jvp", None, v),
    }
    made = [NLL_LOSS.call(x, t, w, reduction=reduction) for reduction in ("none", "sum", "mean")]
    made += [NLL_LOSS.call(x, t, w, transform=transform) for transform in kinds.values()]
    stacked = np.stack([x, 2 * x])
    made.append(NLL_LOSS.call(stacked, t, w, transform=Transform("vmap", batched=("input",))))
    made.append(NLL_LOSS.call(stacked, t, w, transform=Transform("vmap_gradient", g, batched=("input",))))
    return made


# Run in a process of its own, since the number of CPU devices is settled when a framework starts.
_EVERYWHERE = """
import sys
from lossparity.adapters import registry
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.conformance.planning import plan
from lossparity.specs.errors import BridgeError
from tests.test_devices import calls

backend = registry.backend(sys.argv[1])
first, second = (plan.start(backend, NLL_LOSS, device) for device in ("cpu", "cpu:1"))
assert backend.devices() == ["cpu", "cpu:1"], backend.devices()
for here, there in zip(first, second, strict=True):
    assert (here.device, there.device) == ("cpu", "cpu:1")
    for call in calls():
        assert there.capabilities.refuses(call) is None
        result, bits = there.prepare(call)(), here.read(here.prepare(call)())
        where = str(getattr(result, "devices", lambda: result.device)())
        assert where in ("{CpuDevice(id=1)}", "/job:localhost/replica:0/task:0/device:CPU:1"), (call.kind, where)
        assert there.read(result).tobytes() == bits.tobytes(), (there.name, call.kind)
    try:
        here.read(result)
    except BridgeError as error:
        assert "not computed there" in str(error)
    else:
        raise AssertionError("a result of another device was read")
    print(there.name)
"""


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
def test_everything_is_computed_on_the_device(framework: str) -> None:
    pytest.importorskip(framework)
    done = in_process(_EVERYWHERE, framework, **TWO[framework])
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3


def test_a_users_function_has_to_stay_on_the_device(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (tmp_path / "mine.py").write_text(
        "import jax\nfrom lossparity.adapters.jax import nll_loss\n"
        "def staying(*arguments, **options):\n"
        "    return nll_loss(*arguments, **options) + jax.numpy.zeros((), arguments[0].dtype)\n"
        "def leaving(*arguments, **options):\n"
        "    return jax.device_put(nll_loss(*arguments, **options), jax.devices()[0])\n"
    )
    options = ("--framework", "jax", "--device", "cpu:1", "--family", "vectors", "--out", str(tmp_path))
    for name, code in (("staying", 0), ("leaving", 1)):
        done = lossparity("check", f"{tmp_path}/mine.py:{name}", *options, **TWO["jax"])
        assert done.returncode == code, done.stdout + done.stderr
    assert any(
        "it was not computed there" in found.observed for found in records.read(tmp_path / "records.jsonl").of(Finding)
    )


# --- torch, without computing ----------------------------------------------------------------------------


def torch_bridge() -> Any:
    pytest.importorskip("torch")
    from lossparity.adapters.torch import subject

    return subject


def test_torch_knows_devices_by_their_names() -> None:
    device = torch_bridge().device_of
    for name, kind, number in (("cpu", "cpu", None), ("cuda", "cuda", 0), ("cuda:1", "cuda", 1)):
        assert (device(name).type, device(name).index) == (kind, number)


@pytest.mark.parametrize("call", [call for call in calls() if call.kind != "weight_gradient"], ids=Call.describe)
def test_torch_puts_everything_on_the_device(call: Call) -> None:
    bridge = torch_bridge()
    import torch

    seen: set[str] = set()

    def loss(*tensors: Any, **options: Any) -> Any:
        seen.update(one.device.type for one in (*tensors, options["weight"]))
        return torch.nn.functional.nll_loss(*tensors, **options)

    subject = bridge.TorchSubject("torch", loss, "meta", Capabilities(binding="native", style="eager"))
    assert subject.prepare(call)().device.type == "meta"
    assert seen == {"meta"}


def test_torch_promises_no_shared_memory_on_accelerators() -> None:
    pytest.importorskip("torch")
    from lossparity.adapters.torch.adapter import BACKEND

    subjects = BACKEND.subjects
    for here, there in zip(subjects(NLL_LOSS, "cpu"), subjects(NLL_LOSS, "cuda:1"), strict=True):
        assert "mutable arrays" not in here.capabilities.without
        assert "mutable arrays" in there.capabilities.without
        assert there.device == "cuda:1"


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "negative"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64"])
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_torch_keeps_arrangements_on_the_device(layout: str, dtype: str) -> None:
    bridge = torch_bridge()
    import torch

    array = lay(np.arange(24).reshape(2, 3, 4).astype(dtype_of(dtype)), layout)
    tensor = bridge.to_tensor(array)
    for device in ("cpu", "meta"):
        moved = bridge.laid_on(torch.device(device), array, tensor)
        assert (moved.shape, moved.stride(), moved.dtype) == (tensor.shape, tensor.stride(), tensor.dtype)
        assert moved.untyped_storage().nbytes() == extent(array).nbytes
        assert device == "meta" or torch.equal(moved, tensor)


# --- what accelerators do --------------------------------------------------------------------------------


def test_calls_that_must_fail_run_in_children_on_accelerators(tmp_path: Path) -> None:
    arguments = ("-b", "tests.pretend_devices:CHILDREN", "--family", "vectors")
    done, read = run(tmp_path / "cuda", *arguments, "--device", "cuda")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [subject.device for subject in read.header.subjects] == ["cuda"]
    done, _ = run(tmp_path / "cpu", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr


def test_an_assertion_on_the_device_is_a_crash_of_its_call_alone(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.pretend_devices:ASSERTING", "--family", "vectors", "--device", "cuda:1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(read.footer.statuses if read.footer else {}) <= {"pass", "crash", "unsupported"}
    crashed = [found for found in read.of(Finding) if not found.expected]
    assert crashed
    for finding in crashed:
        assert finding.status == "crash"
        assert "RuntimeError: CUDA error: device-side assert triggered; the device is of no use" in finding.observed


def test_each_assertion_ends_its_child_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    (subject,) = pretend_devices.ASSERTING.subjects(NLL_LOSS, "cuda:0")
    bad, good = (NLL_LOSS.call(np.ones((2, 3), np.float32), np.array([0, last])) for last in (3, 2))
    isolation = Isolation("tests.pretend_devices:ASSERTING", "cuda:0", 60)
    try:
        outcomes = [isolation.run(subject, call) for call in (good, bad, bad, good)]
    finally:
        isolation.close()
    assert [type(outcome) for outcome in outcomes] == [Returned, Crashed, Crashed, Returned]


def test_a_legal_call_that_spoils_the_device_costs_one_item(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.pretend_devices:SPOILING", "--family", "shape", "--device", "cuda:0")
    assert done.returncode == 1, done.stdout + done.stderr
    statuses = {item.id: item.statuses for item in read.of(Item)}
    assert statuses["shape[spoiling/nll_loss-float16]"]["crash"] == 1
    assert len(statuses) == 4
    assert all("error" not in counts for counts in statuses.values())
    assert "crash" not in statuses["shape[spoiling/nll_loss-float32]"]


def test_floors_ask_nothing_of_accelerators_that_cannot_be_seen_there() -> None:
    blind = {on_cpu: " ".join(floors.blind_spots("nll_loss", ["torch"], {}, on_cpu=on_cpu)) for on_cpu in (True, False)}
    assert "PURE-1 " in blind[True]
    assert "PURE-1 " not in blind[False]
    assert "PURE-3 " in blind[False]


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_tf32_is_off_and_memory_is_shared(framework: str) -> None:
    pytest.importorskip(framework)
    done = in_process(_SETTINGS, framework)
    assert done.returncode == 0, done.stderr


_SETTINGS = """
import os, sys
from lossparity.adapters import registry
from lossparity.specs.nll_loss.signature import NLL_LOSS
backend = registry.backend(sys.argv[1])
registry.start(backend)
assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
if backend.name == "torch":
    import torch
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    backend.subjects(NLL_LOSS, "cuda:0")
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
elif backend.name == "jax":
    import jax
    from lossparity.adapters.jax.adapter import _start
    _start("cpu")
    assert jax.config.jax_default_matmul_precision is None
    _start("cuda:0")
    assert jax.config.jax_default_matmul_precision == "highest"
else:
    import tensorflow as tf
    backend.subjects(NLL_LOSS, "cuda:0")
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
"""


def in_process(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
