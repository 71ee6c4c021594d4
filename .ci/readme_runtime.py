"""Run README's snippet of the runtime on a trained model, where nothing but NumPy and safetensors is.

python readme_runtime.py README.md MODEL
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

readme, model = sys.argv[1:]
snippets = re.findall(r"```python\n(.*?)```", Path(readme).read_text(), re.DOTALL)
snippet = next(text for text in snippets if "runtime.load(" in text)
snippet = re.sub(r'runtime\.load\(".*?"\)', f"runtime.load({model!r})", snippet)
snippet = snippet.replace('"Once upon"', '"The "')
exec(compile(snippet, readme, "exec"))

from backtime import kernels  # noqa: E402

assert find_spec("torch") is None, "PyTorch is installed here: this proves nothing"
assert kernels.available(), "the wheel has no engine"
