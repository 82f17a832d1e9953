"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function showClass(section, number) {
  for (const element of all("[data-class]", section)) element.toggleAttribute("hidden", element.dataset.class !== number);
  for (const button of all("button.class", section)) button.setAttribute("aria-pressed", String(button.value === number));
}

for (const box of all("input[name=method]"))
  box.addEventListener("change", () => {
    for (const part of all("[data-method]")) if (part.dataset.method === box.value) part.hidden = !box.checked;
  });

for (const radio of all("input[name=class]"))
  radio.addEventListener("change", () => all(".input").forEach((section) => showClass(section, radio.value)));

for (const section of all(".input"))
  for (const button of all("button.class", section))
    button.addEventListener("click", () => {
      showClass(section, button.value);
      for (const radio of all("input[name=class]")) radio.checked = false;
    });

const blend = document.querySelector("input[name=blend]");
if (blend) {
  const apply = () => document.documentElement.style.setProperty("--blend", String(blend.value / 100));
  blend.addEventListener("input", apply);
  apply();
}

// Paper cannot be unfolded.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = all("details:not([open])");
  for (const details of unfolded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
});
