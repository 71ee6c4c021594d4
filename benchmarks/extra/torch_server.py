"""A server in 40 lines with ``torch.nn.LSTM``, as one writes it: ``benchmarks.serving`` measures it too."""

import json
import sys

import torch
import uvicorn
from safetensors.torch import load_file
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute

tensors = load_file(sys.argv[1])
V, H = tensors["head.weight"].shape
lstm, head = torch.nn.LSTM(V, H), torch.nn.Linear(H, V)
lstm.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("rnn.")})
head.load_state_dict({name[5:]: value for name, value in tensors.items() if name.startswith("head.")})
eye = torch.eye(V)


@torch.inference_mode()
def step(token, state):
    y, state = lstm(eye[token].view(1, 1, V), state)
    return head(y[0, 0]), state


def write(length, seed):
    token, state, draw = 0, None, torch.Generator().manual_seed(seed)
    for _ in range(length):
        logits, state = step(token, state)
        token = int(torch.multinomial(logits.softmax(0), 1, generator=draw))
        yield f"data: {json.dumps({'text': chr(65 + token % 26)})}\n\n"


async def stream(request):
    body = await request.json()
    events = iterate_in_threadpool(write(body["length"], body["seed"]))
    return StreamingResponse(events, media_type="text/event-stream")


async def session(socket):
    await socket.accept()
    state = None
    async for message in socket.iter_json():
        logits, state = step(message["tokens"][0], state)
        await socket.send_json({"next": logits.topk(5).indices.tolist()})


app = Starlette(routes=[Route("/stream", stream, methods=["POST"]), WebSocketRoute("/session", session)])
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", ws_per_message_deflate=False)
