// Strokes of a finger, a pen or a mouse; when one ends, the picture is the value.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
let last = null;

function clear() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  Object.assign(pen, { lineWidth: canvas.width / 16, lineCap: "round", lineJoin: "round" });
}

function place(event) {
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function draw(event) {
  const [x, y] = place(event);
  pen.beginPath();
  pen.moveTo(...(last || [x, y]));
  pen.lineTo(x, y);
  pen.stroke();
  last = [x, y];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  draw(event);
});
canvas.addEventListener("pointermove", (event) => last && draw(event));
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!last) return;
    last = null;
    props.value = canvas.toDataURL("image/png");
    trigger("input");
  });
}
element.querySelector("button").addEventListener("click", () => {
  clear();
  props.value = "";
  trigger("input");
});
clear();
