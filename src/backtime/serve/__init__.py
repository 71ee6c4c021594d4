"""``backtime serve``: trained models over HTTP, with a page. Needs Starlette and uvicorn, no PyTorch.

``settings`` says what is allowed; ``served`` is a model by its name; ``batcher`` steps all that a language
model reads and writes together; ``guard`` stands before every request; ``app`` has the addresses.
"""
