const { dataset } = document.documentElement;
dataset.mode ||= "auto"; // on a first visit it is empty, which the theme reports as an error

// What the theme does not do for readers who use a keyboard or a screen reader.
addEventListener("load", () => {
  for (const button of document.querySelectorAll("summary:has(.toctree-toggle)")) {
    button.ariaLabel = "Show or hide its pages";
  }

  // What scrolls sideways in its own box can be reached with Tab, and then scrolled with the arrows.
  const boxes = "mjx-container[display], figure.minidiff, .minidiff-player .frame";
  const reach = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible") {
        box.tabIndex = 0;
      } else {
        box.removeAttribute("tabindex");
      }
    }
  };
  window.MathJax?.startup?.promise.then(reach);
  addEventListener("resize", reach);
  reach();
});

// Paper is white, also for who reads in the dark.
let reading;
addEventListener("beforeprint", () => {
  reading = dataset.theme;
  dataset.theme = "light";
});
addEventListener("afterprint", () => {
  dataset.theme = reading;
});
