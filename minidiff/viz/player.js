// Runs every player on the page that is not running yet, so it may be included many times.
for (const root of document.querySelectorAll(".minidiff-player")) {
  if (root.running) continue;
  root.running = true;

  // axes: [[name, [value, ...]], ...]; frames[k]: what each slot shows, last axis fastest.
  const { axes, frames } = JSON.parse(root.querySelector("[type='application/json']").textContent);
  const slots = root.querySelectorAll("img, .frame"); // an image, a path for each colour, a box
  const ranges = root.querySelectorAll("input");
  const outputs = root.querySelectorAll("output");
  const button = root.querySelector("button");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;

  const draw = () => {
    let k = 0;
    axes.forEach(([name, values], i) => {
      const value = values[ranges[i].value];
      k = k * values.length + Number(ranges[i].value);
      ranges[i].setAttribute("aria-valuetext", value);
      const text = `${name} = ${value}`; // read aloud only where it changes
      if (outputs[i].textContent !== text) outputs[i].textContent = text;
    });
    frames[k].forEach((data, i) => {
      if (slots[i].tagName === "DIV") slots[i].innerHTML = data;
      else slots[i].setAttribute(slots[i].tagName === "IMG" ? "src" : "d", data);
    });
  };

  const rest = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = calm.matches ? "Step" : "Play";
    outputs[0].setAttribute("aria-live", "polite"); // but silent while it runs
  };

  const step = () => {
    const end = ranges[0].value === ranges[0].max;
    ranges[0].value = end ? 0 : Number(ranges[0].value) + 1;
    draw();
    if (ranges[0].value === ranges[0].max) rest();
  };

  button.onclick = () => {
    if (timer) return rest();
    if (!calm.matches) {
      timer = setInterval(step, Math.max(80, 4000 / axes[0][1].length));
      button.textContent = "Pause";
      outputs[0].setAttribute("aria-live", "off");
    }
    step();
  };
  ranges.forEach((range) => {
    range.oninput = () => {
      rest();
      draw();
    };
  });
  calm.onchange = rest;
  rest();
  draw();
  root.querySelector(".controls").style.display = "grid"; // no controls without a script
}
