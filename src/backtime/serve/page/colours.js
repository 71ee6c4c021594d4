// Colours for activations: orange below zero, blue above; pale enough that the text on them stays readable.

const sides = () => {
  const style = getComputedStyle(document.documentElement);
  return [style.getPropertyValue("--negative"), style.getPropertyValue("--positive")];
};

export function colour(value, strength = 0.7) {
  const [negative, positive] = sides();
  const share = Math.min(1, Math.abs(value)) * strength;
  return `rgba(${value < 0 ? negative : positive}, ${share.toFixed(3)})`;
}

// One band a unit, one above the other.
export function bands(values) {
  if (values.length === 1) return colour(values[0]);
  const part = 100 / values.length;
  const stops = values.map((v, n) => `${colour(v)} ${n * part}% ${(n + 1) * part}%`);
  return `linear-gradient(${stops.join(", ")})`;
}

// Every unit as a square, in rows of `columns`; returns the number of columns.
export function drawGrid(canvas, values, marked) {
  const columns = Math.ceil(Math.sqrt(values.length * 2));
  const rows = Math.ceil(values.length / columns);
  const size = 16;
  canvas.width = columns * size;
  canvas.height = rows * size;
  const context = canvas.getContext("2d");
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  values.forEach((value, n) => {
    const x = (n % columns) * size, y = Math.floor(n / columns) * size;
    context.fillStyle = colour(value, 1);
    context.fillRect(x + 1, y + 1, size - 2, size - 2);
    if (marked.includes(n)) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, size - 2, size - 2);
    }
  });
  return columns;
}
