/*
 * view.js: what the chat looks like. Reads a room, writes elements, knows
 * nothing of the network. What others wrote reaches the page as text nodes
 * only, cleaned, isolated from the direction of its surroundings, and clipped
 * if it is long.
 */

export const $ = (id) => document.getElementById(id);

const CLIP_AT = 1500; // characters
const NAME_MAX = 32;
const GROUP_MS = 5 * 60 * 1000;
const NEAR_END_PX = 80;

/** Control characters do nothing good on a page; line ends and tabs may stay. */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;

export const cleanText = (text) => String(text).replace(/\r\n?/g, "\n").replace(CONTROLS, "\ufffd");

/** One line of at most 32 characters; "somebody" if nothing is left. */
export function cleanName(text) {
  const line = cleanText(String(text).slice(0, 4 * NAME_MAX)).replace(/\s+/g, " ").trim();
  return Array.from(line).slice(0, NAME_MAX).join("") || "somebody";
}

export function el(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** The same colour for the same name, on every page. */
function colour(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) >>> 0;
  return `c${sum % 8}`;
}

function avatar(name) {
  const made = el("span", `avatar ${colour(name)}`, Array.from(name)[0].toUpperCase());
  made.setAttribute("aria-hidden", "true");
  return made;
}

function timeOf(at) {
  const date = new Date(at);
  const made = el("time", "", date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = date.toISOString();
  return made;
}

function textOf(text) {
  const made = el("p", "text", text);
  made.dir = "auto";
  if (text.length <= CLIP_AT) return [made];
  const toggle = el("button", "link");
  const show = (all) => {
    made.classList.toggle("clip", !all);
    toggle.textContent = all ? "Show less" : `Show all ${text.length.toLocaleString()} characters`;
    toggle.setAttribute("aria-expanded", String(all));
  };
  toggle.type = "button";
  toggle.onclick = () => show(toggle.getAttribute("aria-expanded") !== "true");
  show(false);
  return [made, toggle];
}

/** An entry of a room. @param before the entry above it */
function lineOf(entry, before) {
  if (entry.kind === "event") return el("li", "event", entry.text);
  const made = el("li", entry.mine ? "mine" : "");
  const goesOn = before?.kind === "text" && before.from === entry.from && before.mine === entry.mine &&
    entry.at - before.at < GROUP_MS;
  if (goesOn) made.classList.add("more");
  const head = el("p", "head", el("bdi", "", entry.from), " ", timeOf(entry.at));
  const body = el("div", "body", head, ...textOf(entry.text));
  if (entry.mine) head.prepend(el("span", "hidden", "You "));
  else made.append(avatar(entry.from));
  made.append(body);
  return made;
}

/** A message that the server has not taken yet. @param retry for one that failed */
function pendingOf(entry, retry) {
  const made = lineOf(entry, null);
  made.classList.add(entry.failure ? "failed" : "sending");
  const state = el("p", "state", entry.failure ? `Not sent: ${entry.failure}. ` : entry.waiting ? "Waiting for the connection" : "Sending");
  if (entry.failure) {
    const again = el("button", "link", "Try again");
    again.type = "button";
    again.onclick = () => retry(entry);
    state.append(again);
  }
  made.lastElementChild.append(state);
  return made;
}

const nearEnd = () => {
  const { scrollHeight, scrollTop, clientHeight } = $("scroll");
  return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
};

export function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
  $("newer").hidden = true;
}

/** Change the list; keep its end in sight if it was. */
function changeLog(change) {
  const follow = nearEnd();
  change();
  $("empty").hidden = $("log").childElementCount + $("pending").childElementCount > 0;
  if (follow) toEnd();
  return follow;
}

/** @param max lines that are kept */
export function appendLine(room, entry, max) {
  const follow = changeLog(() => {
    $("log").append(lineOf(entry, room.entries.at(-2)));
    while ($("log").childElementCount > max) $("log").firstElementChild.remove();
  });
  if (!follow && entry.kind === "text") $("newer").hidden = false;
}

export function showPending(room, retry) {
  changeLog(() => $("pending").replaceChildren(...room.pending.map((entry) => pendingOf(entry, retry))));
}

/** The whole room. A screen reader must not read all of it as news. */
export function showRoom(room, retry) {
  const scroll = $("scroll");
  scroll.setAttribute("aria-busy", "true");
  $("title").replaceChildren(...(room ? ["# ", el("bdi", "", room.name)] : ["No room"]));
  $("log").replaceChildren(...(room?.entries ?? []).map((entry, i, all) => lineOf(entry, all[i - 1])));
  $("pending").replaceChildren(...(room?.pending ?? []).map((entry) => pendingOf(entry, retry)));
  $("empty").textContent = room ? "Nothing here yet. Say hello." : "Join a room to begin.";
  $("empty").hidden = $("log").childElementCount + $("pending").childElementCount > 0;
  toEnd();
  setTimeout(() => scroll.removeAttribute("aria-busy"), 100);
}

export function showRooms(rooms, active, enter) {
  const focused = document.activeElement?.closest?.("#rooms") ? document.activeElement.dataset.room : null;
  $("rooms").replaceChildren(...[...rooms.values()].map((room) => {
    const button = el("button", "", el("bdi", "", room.name));
    button.type = "button";
    button.dataset.room = room.name;
    if (room === active) button.setAttribute("aria-current", "true");
    if (room.unread) button.append(el("span", "badge", String(room.unread), el("span", "hidden", " unread")));
    button.onclick = () => enter(room.name);
    const item = el("li", "", button);
    if (focused === room.name) queueMicrotask(() => button.focus());
    return item;
  }));
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  $("menu-unread").hidden = unread === 0;
  $("menu-unread").replaceChildren(String(unread), el("span", "hidden", " unread"));
  document.title = `${unread ? `(${unread}) ` : ""}${active ? `${active.name} – ` : ""}ws_hub chat`;
  $("leave").hidden = !active;
  $("text").disabled = $("send").disabled = !active || active.refused;
}

/** @param known the server says who is here: else those who have written */
export function showPeople(names, me, known) {
  const person = (name, you) => el("li", "", avatar(name), el("bdi", "", name), ...(you ? [el("span", "", "(you)")] : []));
  $("people-title").textContent = known ? "Here now" : "People";
  $("people").replaceChildren(person(me, true), ...names.map((name) => person(name, false)));
  $("people-note").textContent = known ? "" : "Others appear when they write: this server does not tell who is here.";
}

/** Seconds until the next try; the words change once, for screen readers. */
let countdown = 0;

const WORDS = {
  connecting: "Connecting", open: "Connected", waiting: "Reconnecting", closed: "Disconnected",
};

export function showState({ state, retryInMs, code }) {
  const until = performance.now() + retryInMs;
  const tick = () => {
    const seconds = Math.ceil((until - performance.now()) / 1000);
    $("countdown").textContent = state === "waiting" && seconds > 0 ? `in ${seconds} s` : "";
  };
  clearInterval(countdown);
  if (state === "waiting") countdown = setInterval(tick, 500);
  tick();
  $("state").dataset.state = state;
  $("state-text").textContent = state === "closed" && code >= 4401 ? "Not allowed here" : WORDS[state];
  $("retry").hidden = state !== "waiting" && state !== "closed";
}
