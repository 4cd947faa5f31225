// Draws what the server found: the image, a canvas of segments for each model, legend and hover.
// Names are set as text, never as markup.
const TITLES = { panoptic: "Panoptic", instance: "Instance", semantic: "Semantic" };
const state = { data: null, image: "", result: "", hidden: new Set(), opacity: 60, split: 50, maps: [], turn: 0 };

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
};
const rgb = (colour, alpha = 1) => `rgb(${colour.join(" ")} / ${alpha})`;
const percent = (score) => (score === null || score === undefined ? "" : `${Math.round(100 * score)} %`);
const part = (name) => element.querySelector(`.${name}`);

async function decode(url, width, height) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  const ids = new Int32Array(width * height);
  for (let i = 0; i < ids.length; i++) ids[i] = pixels[4 * i] + 256 * pixels[4 * i + 1] + 65536 * pixels[4 * i + 2];
  return ids;
}

function paint(canvas, ids, segments) {
  const { width, height } = state.data;
  const scale = Math.max(1, Math.round(900 / Math.max(width, height)));
  const [w, h] = [width * scale, height * scale];
  Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(w, h);
  const out = new Uint32Array(drawn.data.buffer);
  const colours = new Map(segments.filter((s) => !state.hidden.has(s.name)).map((s) => [s.id, s]));
  const pack = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const line = Math.max(1, Math.round(Math.min(w, h) / 300));
  const at = (x, y) => ids[Math.floor(y / scale) * width + Math.floor(x / scale)];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const id = at(x, y), segment = colours.get(id);
      if (!segment) continue;
      const edge = (x >= line && at(x - line, y) !== id) || (y >= line && at(x, y - line) !== id)
        || (x < w - line && at(x + line, y) !== id) || (y < h - line && at(x, y + line) !== id);
      const star = segment.unseen || segment.added;
      if (edge) out[y * w + x] = star ? pack(255, 214, 10, 255) : pack(255, 255, 255, 255);
      else if (star && (x + y) % (14 * line) < 2 * line) out[y * w + x] = pack(255, 214, 10, 230);
      else out[y * w + x] = pack(...segment.colour, 255);
    }
  }
  context.putImageData(drawn, 0, 0);
}

function labels(layer, segments) {
  const shown = segments.filter((s) => !state.hidden.has(s.name) && (s.share > 0.01 || s.unseen || s.added));
  layer.replaceChildren(...shown.map((s) => {
    const label = make("span", { class: s.unseen || s.added ? "label star" : "label", text: `${s.unseen || s.added ? "★ " : ""}${s.name}` });
    Object.assign(label.style, { left: `${100 * s.x}%`, top: `${100 * s.y}%` });
    return label;
  }));
}

function place() {
  const two = state.data.sides.length > 1;
  part("stage").style.setProperty("--split", two ? `${state.split}%` : "100%");
  part("stage").style.setProperty("--opacity", state.opacity / 100);
  for (const name of ["handle", "compare"]) part(name).hidden = !two;
  part("titles").replaceChildren(...(two ? state.data.sides.map((s) => make("span", { text: s.title })) : []));
}

function legend() {
  const rows = new Map();
  for (const side of state.data.sides) {
    for (const s of side.results[state.result]?.segments ?? []) {
      const row = rows.get(s.name) ?? { ...s, best: s.score, count: 0 };
      row.count += 1;
      if (s.score !== null && s.score !== undefined) row.best = Math.max(row.best ?? 0, s.score);
      rows.set(s.name, row);
    }
  }
  const sorted = [...rows.values()].sort((a, b) => (b.added - a.added) || (b.unseen - a.unseen) || a.name.localeCompare(b.name));
  part("legend").replaceChildren(...sorted.map((row) => {
    const box = make("input", { type: "checkbox", onchange: (event) => {
      if (event.target.checked) state.hidden.delete(row.name); else state.hidden.add(row.name);
      draw();
    } });
    box.checked = !state.hidden.has(row.name);
    const swatch = make("i", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = rgb(row.class_colour);
    const kind = row.added ? "added" : row.unseen ? "unseen" : "seen";
    return make("label", { class: "entry" }, box, swatch, make("span", { class: "name", text: row.name }),
      make("span", { class: `kind ${kind}`, text: (kind === "seen" ? "" : "★ ") + kind }),
      make("span", { class: "score", text: percent(row.best) }));
  }));
  if (!rows.size) part("legend").replaceChildren(make("p", { text: "Nothing was found. Turn the dial, or add a class by its name." }));
}

function tabs() {
  const found = Object.keys(TITLES).filter((name) => state.data.sides.some((side) => side.results[name]));
  if (!found.includes(state.result)) state.result = found[0];
  const choose = (name) => { state.result = name; refresh().then(() => part("tabs").querySelector("[aria-selected=true]").focus()); };
  part("tabs").replaceChildren(...found.map((name, n) => make("button", {
    type: "button", role: "tab", "aria-selected": name === state.result, tabindex: name === state.result ? 0 : -1, text: TITLES[name],
    onclick: () => choose(name),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose(found[(n + step + found.length) % found.length]);
    },
  })));
}

function draw() {
  state.data.sides.forEach((side, n) => {
    const segments = side.results[state.result]?.segments ?? [];
    paint(element.querySelectorAll("canvas")[n], state.maps[n], segments);
    labels(element.querySelectorAll(".labels")[n], segments);
  });
  for (let n = 0; n < 2; n++) element.querySelectorAll(".side")[n].hidden = n >= state.data.sides.length;
}

async function refresh() {
  const turn = ++state.turn;
  tabs();
  const { width, height, sides } = state.data;
  const maps = await Promise.all(sides.map((side) => side.results[state.result]
    ? decode(side.results[state.result].map, width, height) : new Int32Array(width * height)));
  if (turn !== state.turn) return; // a newer result has come meanwhile
  state.maps = maps;
  legend(); place(); draw();
  part("viewer").dataset.drawn = String(turn);
}

function hover(event) {
  const box = part("stage").getBoundingClientRect(), tip = part("tip");
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  const side = state.data.sides.length > 1 && 100 * x > state.split ? 1 : 0;
  const { width, height } = state.data;
  const id = state.maps[side]?.[Math.floor(y * height) * width + Math.floor(x * width)];
  const s = state.data.sides[side].results[state.result]?.segments.find((segment) => segment.id === id);
  tip.hidden = !s || state.hidden.has(s.name);
  if (tip.hidden) return;
  tip.textContent = [s.name, percent(s.score), s.added ? "added" : s.unseen ? "unseen" : "seen"].filter(Boolean).join(" · ");
  tip.style.left = `${Math.min(100 * x, 70)}%`;
  tip.style.top = `${100 * y}%`;
}

function save(name, blob) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
const each = (write) => () => state.data.sides.forEach((side, n) => write(side, state.data.sides.length > 1 ? `_${n + 1}` : "", n));
const saveJson = each((side, mark) => save(`${state.data.name}${mark}.json`, new Blob([JSON.stringify(side.coco)], { type: "application/json" })));
const saveMap = each(async (side, mark) => {
  const result = side.results[state.result]; // the other model may give others
  if (result) save(`${state.data.name}${mark}_${state.result}.png`, await (await fetch(result.map)).blob());
});
const savePicture = each((side, mark, n) => {
  const overlay = element.querySelectorAll("canvas")[n];
  const canvas = make("canvas", { width: overlay.width, height: overlay.height });
  const context = canvas.getContext("2d");
  context.drawImage(part("photo"), 0, 0, canvas.width, canvas.height);
  context.globalAlpha = state.opacity / 100;
  context.drawImage(overlay, 0, 0);
  canvas.toBlob((blob) => save(`${state.data.name}${mark}_picture.png`, blob));
});

function build() {
  const slider = (label, name, value, change) => make("label", { class: name }, make("span", { text: label }),
    make("input", { type: "range", min: 0, max: 100, value, oninput: (event) => { change(Number(event.target.value)); place(); } }));
  const side = (n) => make("div", { class: `side side${n}` }, make("canvas", {}), make("div", { class: "labels", "aria-hidden": "true" }));
  const stage = make("div", { class: "stage", onpointermove: hover, onpointerdown: hover, onpointerleave: () => { part("tip").hidden = true; } },
    make("img", { class: "photo", alt: `photograph ${state.data.name}` }), side(0), side(1),
    make("div", { class: "handle", "aria-hidden": "true" }), make("div", { class: "tip", role: "tooltip", hidden: "" }));
  stage.style.setProperty("--aspect", state.data.width / state.data.height);
  const button = (text, onclick) => make("button", { type: "button", text, onclick });
  element.replaceChildren(make("div", { class: "viewer" },
    make("div", { class: "tabs", role: "tablist", "aria-label": "Results" }),
    make("div", { class: "titles" }), stage,
    make("div", { class: "controls" }, slider("Opacity of the overlay", "opacity", state.opacity, (v) => { state.opacity = v; }),
      slider("Border between the two models", "compare", state.split, (v) => { state.split = v; })),
    make("fieldset", { class: "classes" }, make("legend", { text: "Classes found (clear a box to switch one off)" }), make("div", { class: "legend" })),
    make("div", { class: "downloads" }, button("Download COCO JSON", saveJson), button("Download PNG of segments", saveMap), button("Download picture", savePicture))));
}

function show() {
  if (!props.value) return;
  const data = JSON.parse(props.value);
  if (data.image) { state.image = data.image; state.hidden.clear(); }
  state.data = data;
  build();
  part("photo").src = state.image;
  refresh();
}
watch("value", show);
show();
