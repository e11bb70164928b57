"""Numbers come out of a safetensors file as they went in."""

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from cput.errors import InputError, SetupError
from cput.models.safetensors_file import open_safetensors


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_files_of_the_safetensors_library_are_read_exactly(dtype, tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(dtype)
    save_file({"a": values, "b": values[0].copy()}, str(tmp_path / "x.safetensors"), metadata={"format": "pt"})
    read = open_safetensors(tmp_path / "x.safetensors")
    assert set(read) == {"a", "b"}
    assert read["a"].shape == (3, 5)
    np.testing.assert_array_equal(read["a"].load(), values)
    np.testing.assert_array_equal(read["b"].load(), values[0])


@given(arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False)))
def test_bfloat16_is_widened_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("bf16") / "x.safetensors"
    tiny.write_safetensors(path, {"a": values}, "BF16")
    np.testing.assert_array_equal(open_safetensors(path)["a"].load(), tiny.bfloat16(values)[0])


def test_a_file_that_was_cut_off_is_noticed_before_any_weight_is_used(tmp_path):
    path = tmp_path / "x.safetensors"
    tiny.write_safetensors(path, {"a": np.ones((8, 8), np.float32)}, "F32")
    whole = path.read_bytes()
    for length in (0, 4, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"x.safetensors"):
            open_safetensors(path)


def test_quantized_weights_are_refused_with_their_type(tmp_path):
    save_file({"a": np.ones((2, 2), np.int8)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(SetupError, match=r"'a' as I8; allowed: F64, F32, F16, BF16"):
        open_safetensors(tmp_path / "x.safetensors")
