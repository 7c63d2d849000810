(() => {
  // The chart that this script stands in: rows are pointed at, and a part of them is drawn larger.
  const figure = document.currentScript.parentElement;
  const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
  const svg = figure.querySelector("svg"), path = svg.querySelector("path"), here = svg.querySelector(".here");
  const alarms = svg.querySelector(".alarms"), output = figure.querySelector("output");
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const all = [0, data.height.length - 1];
  let view = all, pressed = null;

  const across = (row) => (width * (row - view[0])) / Math.max(view[1] - view[0], 1);
  const rowAt = (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return Math.round(view[0] + share * (view[1] - view[0]));
  };
  const up = (value) => height * (1 - (value - data.low) / (data.high - data.low));

  function draw() {
    const points = [];
    for (let row = view[0]; row <= view[1]; row += 1) points.push(`${across(row)} ${up(data.height[row])}`);
    path.setAttribute("d", `M${points.join("L")}`);
    alarms.replaceChildren(
      ...data.alarm
        .filter((row) => row >= view[0] && row <= view[1])
        .map((row) => {
          const band = document.createElementNS(svg.namespaceURI, "rect");
          const size = { x: across(row - 0.5), width: Math.max(across(view[0] + 1), 1), y: 0, height };
          for (const [name, value] of Object.entries(size)) band.setAttribute(name, value);
          return band;
        }),
    );
  }

  function tell(row) {
    const named = data.top[row].map(([place, share]) => `${data.columns[place]} ${share}`).join(", ");
    const value = data.excess[row] === null ? "not judged" : `${data.excess[row]} times the limit`;
    const alarm = data.alarm.includes(row) ? ", alarm" : "";
    output.textContent = `${data.label[row]}: ${value}${alarm}${named && `; ${named}`}`;
    here.setAttribute("x1", across(row));
    here.setAttribute("x2", across(row));
    here.setAttribute("visibility", "visible");
  }

  svg.addEventListener("pointermove", (event) => tell(rowAt(event)));
  svg.addEventListener("pointerdown", (event) => {
    pressed = rowAt(event);
    event.preventDefault();
  });
  svg.addEventListener("pointerup", (event) => {
    const part = [pressed ?? 0, rowAt(event)].sort((first, second) => first - second);
    if (pressed !== null && part[1] - part[0] > 2) {
      view = part;
      draw();
    }
    pressed = null;
  });
  svg.addEventListener("dblclick", () => {
    view = all;
    draw();
  });
})();
