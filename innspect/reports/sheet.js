"use strict";
const find = (id) => document.getElementById(id);
const sheet = find("sheet").dataset;
const items = [...document.querySelectorAll("section[data-item]")];
const given = items.map(() => null);
const spent = items.map(() => 0);
let at = 0;
let since = performance.now();
let saved = true;

function record() {
  const answers = items.flatMap((_, item) =>
    given[item] === null ? [] : [{ item, answer: given[item], seconds: Math.round(spent[item] / 10) / 100 }],
  );
  const rater = find("rater").value.trim();
  return JSON.stringify({ format: sheet.format, version: 1, sheet: sheet.sheet, rater, answers, key: sheet.key }, null, 1);
}

function show(number, focus = true) {
  if (at < items.length) spent[at] += performance.now() - since;
  since = performance.now();
  at = Math.max(0, Math.min(items.length, number));
  items.forEach((item, n) => (item.hidden = n !== at));
  find("end").hidden = at < items.length;
  const done = given.filter((answer) => answer !== null).length;
  document.querySelector(".bar i").style.width = `${(100 * done) / items.length}%`;
  find("place").textContent = at < items.length ? `${at + 1} of ${items.length}` : `${done} of ${items.length} answered`;
  find("left").textContent =
    done < items.length ? `${items.length - done} questions have no answer yet. You may go back, or leave them.` : "You answered all.";
  find("back").disabled = at === 0;
  find("on").disabled = at === items.length;
  if (at === items.length) find("text").value = record();
  if (focus) (at < items.length ? items[at] : find("end")).querySelector("h2").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function answer(value) {
  const buttons = items[at] ? [...items[at].querySelectorAll(".answers button")] : [];
  if (!buttons[value]) return;
  given[at] = value;
  saved = false;
  buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === value)));
  show(at + 1);
}

for (const item of items)
  item.querySelectorAll(".answers button").forEach((button) => {
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => answer(Number(button.value)));
  });
find("back").addEventListener("click", () => show(at - 1));
find("on").addEventListener("click", () => show(at + 1));
find("rater").addEventListener("input", () => (find("text").value = record()));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (/^[1-9]$/.test(event.key)) answer(Number(event.key) - 1);
  else if (event.key === "ArrowLeft") show(at - 1);
  else if (event.key === "ArrowRight") show(at + 1);
});
find("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([record()], { type: "application/json" }));
  const rater = find("rater").value.replace(/[^\p{L}\p{N}]+/gu, " ").trim().replace(/ /g, "_");
  link.download = `answers_${sheet.sheet}${rater && `_${rater}`}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved = true;
});
addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
show(0, false);
