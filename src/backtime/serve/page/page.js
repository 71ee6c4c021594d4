// The page of `backtime serve`: a language model writes and is watched; any other model predicts.
import { bands, drawGrid } from "/page/colours.js";

const MOST_UNITS = 3, KEPT = 4000;  // bands; symbols that stay on the page
const $ = (id) => document.getElementById(id);
let models = [], model = null, socket = null, waiting = [], running = false, paused = false;
let marks = [], units = [0], columns = 1, token = "", turn = 0;

const headers = (type) => ({ ...(type && { "Content-Type": type }), ...(token && { Authorization: `Bearer ${token}` }) });
const SPOKEN_EVERY = 3000;  // milliseconds: whole words for who listens, not symbol by symbol
let unspoken = "";

const say = (text) => { $("status").textContent = text; };
const complain = (text) => { $("problem").textContent = text; };

// What has been written since the last time, up to the end of its last word; at the end all of it.
function speak(all) {
  const end = all ? unspoken.length : unspoken.search(/\s\S*$/) + 1;
  const words = unspoken.slice(0, end).trim();
  unspoken = unspoken.slice(end);
  if (!words) return;
  $("spoken").textContent = words;
  setTimeout(() => { if ($("spoken").textContent === words) $("spoken").textContent = ""; }, 2000);  // it stands in the text
}

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error ?? `status ${answer.status}`);
  return value;
}

async function loadModels() {
  complain("");
  try {
    models = (await ask("/v1/models", { headers: headers() })).models;
  } catch (error) {
    complain(error.message);
    $("access").open = true;
    return;
  }
  $("model").replaceChildren(...models.map((own) => new Option(`${own.name} (${own.task})`, own.name)));
  choose();
}

function choose() {
  model = models.find((own) => own.name === $("model").value);
  end();
  const writes = model.task === "language";
  $("writing").hidden = !writes;
  $("predicting").hidden = writes;
  $("about").textContent = writes
    ? `${model.cell.toUpperCase()}, ${model.layers} × ${model.hidden_size} units, ${model.vocabulary_size} symbols (${model.level})`
    : `task: ${model.task}`;
  if (writes) {
    $("layer").replaceChildren(...Array.from({ length: model.layers }, (_, n) => new Option(n, n)));
    $("layer").value = model.layers - 1;
    $("unit").max = model.hidden_size - 1;
    units = [0];
    clear();
  } else {
    $("record-label").textContent = `Record: ${model.records}`;
    $("record-help").textContent = model.records.startsWith("texts") ? "Text, or JSON" : "JSON";
    $("file").accept = model.files.join(",");
    $("answer").replaceChildren();
  }
}

// Sessions: one message out, one answer back.

function open() {
  return new Promise((resolve, reject) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const address = `${scheme}://${location.host}/v1/models/${encodeURIComponent(model.name)}/session`;
    const own = new WebSocket(address, token ? [`token.${token}`] : []);
    own.onopen = () => resolve(own);
    own.onerror = () => reject(new Error("the session could not be opened"));
    own.onmessage = (event) => {
      const [accept, refuse] = waiting.shift();
      const value = JSON.parse(event.data);
      value.error ? refuse(new Error(value.error)) : accept(value);
    };
    own.onclose = (event) => {
      waiting.splice(0).forEach(([, refuse]) => refuse(new Error(event.reason || "the session has ended")));
      if (socket === own) { socket = null; $("go-on").disabled = true; }
    };
  });
}

function tell(message) {
  return new Promise((accept, refuse) => {
    if (socket === null) return refuse(new Error("the session has ended"));
    waiting.push([accept, refuse]);
    socket.send(JSON.stringify(message));
  });
}

const drawing = () => ({ temperature: Number($("temperature").value), top_p: Number($("top-p").value), top: 10,
  units: { layer: Number($("layer").value) } });

async function start() {
  end();
  clear();
  const own = ++turn;
  try {
    socket = await open();
    const prompt = $("prompt").value;
    if (prompt) {
      const answer = await tell({ read: prompt, ...drawing() });
      show(answer, true);
    }
    await write(own, true);
  } catch (error) {
    complain(error.message);
    rest();
  }
}

async function write(own, fresh) {
  running = true;
  paused = false;
  buttons();
  complain("");
  say("Writing");
  $("text").classList.add("writing");
  const speaking = setInterval(() => speak(false), SPOKEN_EVERY);
  let seed = fresh ? Math.floor(Math.random() * 2 ** 31) : undefined;
  try {
    while (running && own === turn) {
      const began = performance.now();
      const answer = await tell({ write: 1, ...drawing(), ...(seed !== undefined && { seed }) });
      seed = undefined;
      if (own !== turn) return;
      show(answer, false);
      await new Promise((done) => setTimeout(done, Math.max(0, 1000 / $("pace").value - (performance.now() - began))));
    }
  } finally {
    clearInterval(speaking);
  }
  rest();
}

function rest() {
  running = false;
  $("text").classList.remove("writing");
  buttons();
  speak(true);
  if (marks.length) say(`Stopped after ${marks.length} symbols`);
}

function buttons() {
  $("start").disabled = false;
  $("stop").disabled = !running;
  $("go-on").disabled = running || socket === null || marks.length === 0;
}

function stop() {
  running = false;
  paused = true;
  $("stop").disabled = true;
  $("go-on").disabled = false;
  $("go-on").focus();
}

async function goOn() {
  const own = ++turn;
  $("stop").disabled = false;
  $("stop").focus();
  try { await write(own, false); } catch (error) { complain(error.message); rest(); }
}

function end() {
  turn += 1;
  running = false;
  if (socket) socket.close();
  socket = null;
  waiting = [];
  buttons();
}

function clear() {
  marks = [];
  unspoken = "";
  $("spoken").textContent = "";
  $("text").replaceChildren();
  $("next").tBodies[0].replaceChildren();
  say("");
  showUnits();
}

// What is seen.

function show(answer, given) {
  const atEnd = $("text").scrollHeight - $("text").scrollTop - $("text").clientHeight < 40;
  for (const symbol of answer.symbols) {
    const mark = document.createElement("span");
    mark.textContent = symbol.text;
    if (given) mark.className = "given";
    else unspoken += symbol.text;
    if (symbol.probability !== undefined) mark.title = `probability ${symbol.probability.toFixed(3)}`;
    marks.push({ mark, units: symbol.units });
    $("text").append(mark);
    paint(marks.at(-1));
  }
  while (marks.length > KEPT) marks.shift().mark.remove();
  if (atEnd) $("text").scrollTop = $("text").scrollHeight;
  showNext(answer.next);
  showGrid();
}

const visible = (symbol) => ({ "\n": "⏎", " ": "␣", "\t": "⇥" })[symbol] ?? symbol;

function showNext(next) {
  const rows = next.map(([symbol, p]) => {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.scope = "row";
    name.textContent = visible(symbol);
    const cell = document.createElement("td"), bar = document.createElement("span"), share = document.createElement("td");
    bar.className = "bar";
    cell.ariaHidden = "true";
    bar.style.width = `${p * 100}%`;
    cell.append(bar);
    share.textContent = `${(p * 100).toFixed(1)} %`;
    row.append(name, cell, share);
    return row;
  });
  $("next").tBodies[0].replaceChildren(...rows);
}

function paint({ mark, units: values }) {
  const own = values ? units.map((n) => values[n] ?? 0) : [];
  mark.style.background = own.length ? bands(own) : "";
}

function showGrid() {
  const last = marks.at(-1);
  if (!last?.units) return;
  columns = drawGrid($("grid"), last.units, units);
  const strongest = last.units.map((value, n) => [n, value]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3);
  const told = strongest.map(([n, value]) => `unit ${n}: ${value.toFixed(2)}`).join(", ");
  $("grid").setAttribute("aria-label", `Activation of ${last.units.length} units after the last symbol; the strongest are ${told}`);
}

function showUnits() {
  const items = units.map((n) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = `unit ${n} ×`;
    button.setAttribute("aria-label", `Remove unit ${n}`);
    button.onclick = () => { units = units.filter((own) => own !== n); showUnits(); $("unit").focus(); };
    item.append(button);
    return item;
  });
  $("chosen").replaceChildren(...items);
  $("legend").textContent = units.length ? `Coloured by unit ${units.join(", ")}, layer ${$("layer").value}` : "No unit is chosen";
  marks.forEach(paint);
  showGrid();
}

function addUnit(n) {
  if (!Number.isInteger(n) || n < 0 || n >= model.hidden_size || n >= 512) return complain(`There is no unit ${n} to show`);
  complain("");
  units = [...units.filter((own) => own !== n), n].slice(-MOST_UNITS);
  showUnits();
}

// Other tasks.

function record() {
  const text = $("record").value;
  try { return JSON.parse(text); } catch { return text; }
}

async function predict(address, type, body) {
  complain("");
  $("answer").textContent = "Working";
  try {
    const { rows } = await ask(address, { method: "POST", headers: headers(type), body });
    $("answer").replaceChildren(...rows.slice(0, 200).map(result));
  } catch (error) {
    $("answer").replaceChildren();
    complain(error.message);
  }
}

function result(row) {
  const box = document.createElement("div");
  box.className = "result";
  if (row.probabilities && row.label !== undefined) {
    const strong = document.createElement("strong"), table = document.createElement("table");
    strong.textContent = row.label;
    table.className = "shares";
    const caption = table.createCaption();
    caption.className = "hidden";
    caption.textContent = "Labels and their probabilities";
    const body = table.createTBody();
    const best = Object.entries(row.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 12);
    for (const [label, p] of best) {
      const line = body.insertRow(), name = document.createElement("th"), cell = document.createElement("td");
      name.scope = "row";
      const bar = document.createElement("span"), share = document.createElement("td");
      name.textContent = label;
      bar.className = "bar";
      cell.ariaHidden = "true";
      bar.style.width = `${p * 100}%`;
      cell.append(bar);
      share.textContent = `${(p * 100).toFixed(1)} %`;
      line.append(name, cell, share);
    }
    box.append(strong, table);
  } else {
    const text = document.createElement("pre");
    text.textContent = JSON.stringify(row, null, 1);
    box.append(text);
  }
  return box;
}

const own = () => `/v1/models/${encodeURIComponent(model.name)}`;

function send(file) {
  if (file) predict(`${own()}/predict-file?name=${encodeURIComponent(file.name)}`, "application/octet-stream", file);
}

$("model").onchange = choose;
$("start").onclick = start;
$("stop").onclick = stop;
$("go-on").onclick = goOn;
$("use-token").onclick = () => { token = $("token").value.trim(); loadModels(); };
$("add-unit").onclick = () => addUnit(Number($("unit").value));
$("unit").onkeydown = (event) => { if (event.key === "Enter") addUnit(Number($("unit").value)); };
$("layer").onchange = () => { marks.forEach((own) => { own.units = null; }); showUnits(); };
$("grid").onclick = (event) => {
  const box = $("grid").getBoundingClientRect(), size = box.width / columns;
  addUnit(Math.floor((event.clientY - box.top) / size) * columns + Math.floor((event.clientX - box.left) / size));
};
for (const [id, digits] of [["temperature", 2], ["top-p", 2], ["pace", 0]]) {
  $(id).oninput = () => { $(`${id}-value`).textContent = Number($(id).value).toFixed(digits); };
}
$("predict").onclick = () => predict(`${own()}/predict`, "application/json", JSON.stringify({ records: [record()] }));
$("file").onchange = () => send($("file").files[0]);
$("drop").ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = (event) => { event.preventDefault(); $("drop").classList.remove("over"); send(event.dataTransfer.files[0]); };
loadModels();
