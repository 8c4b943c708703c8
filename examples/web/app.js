/*
 * app.js: the chat. A room is the channel "room:NAME"; a message's data is
 * {id, from, text}. The server keeps nothing: the history is that of this
 * page's session, kept in sessionStorage over a reload.
 */
import { WsHub } from "./ws_hub.js";
import {
  $, appendLine, cleanName, cleanText, showPending, showPeople, showRoom, showRooms, showState, toEnd,
} from "./view.js";

const ENTRIES_MAX = 500; // of one room
const SAVED_MAX = 200;
const ECHO_MS = 3000;

const rooms = new Map();
let active = null;
let me = "";

/** Storage may be switched off, full, or hold what somebody else put there. */
function stored(storage, key) {
  try {
    return JSON.parse(globalThis[storage].getItem(key));
  } catch {
    return null;
  }
}

function store(storage, key, value) {
  try {
    globalThis[storage].setItem(key, JSON.stringify(value));
  } catch {
    // The chat works without.
  }
}

const hub = new WsHub("/", { offline: "queue", queueMax: 50 });

// Rooms

function add(room, entry) {
  const full = { at: Date.now(), ...entry };
  room.entries.push(full);
  if (room.entries.length > ENTRIES_MAX) room.entries.shift();
  if (room === active) appendLine(room, full, ENTRIES_MAX);
  if (entry.kind === "text" && !entry.mine && (room !== active || document.hidden)) room.unread++;
  showRooms(rooms, active, enter);
}

const note = (room, text) => add(room, { kind: "event", text });

function people(room) {
  if (room !== active) return;
  const names = room.members ? [...room.members.values()] : [...room.seen];
  showPeople([...new Set(names)].filter((name) => name !== me).sort((a, b) => a.localeCompare(b)), me, room.members !== null);
}

/** What has arrived: from anybody, so anything may be in it. */
function received(room, data) {
  const plain = typeof data === "object" && data !== null;
  const text = plain ? data.text : data;
  const mine = plain ? room.pending.find(({ id }) => id === data.id) : undefined;
  if (mine) {
    confirmed(room, mine);
  } else if (typeof text === "string") {
    const from = cleanName(plain ? data.from ?? "" : "");
    room.seen.add(from);
    add(room, { kind: "text", from, text: cleanText(text) });
    people(room);
  } else {
    note(room, "somebody sent what this page cannot show");
  }
}

const WHY = {
  reconnect: "You were away: messages may be missing here.",
  backpressure: "The connection is slow.",
  broker: "The server was cut off from the others.",
};

function missed(room, { missed: count, reason }) {
  const many = count === null ? "" : `${count} ${count === 1 ? "message was" : "messages were"} missed.`;
  note(room, [WHY[reason] ?? "", many].filter(Boolean).join(" ") || "Messages may be missing here.");
  whoIsHere(room);
}

/** Old servers do not say; then `members` stays null. */
function whoIsHere(room) {
  const nameOf = ({ user, conn }) => cleanName(user || `guest ${conn.slice(-4)}`);
  hub.presence(room.channel).then((members) => {
    room.members = new Map(members.map((member) => [member.conn, nameOf(member)]));
    people(room);
  }, () => {});
  room.joined = (member) => { room.members?.set(member.conn, nameOf(member)); people(room); };
  room.left = (member) => { room.members?.delete(member.conn); people(room); };
}

function makeRoom(name, entries = []) {
  const room = {
    name, channel: `room:${name}`, entries, pending: [], seen: new Set(), members: null,
    unread: 0, draft: "", refused: false,
  };
  for (const entry of entries) if (entry.from && !entry.mine) room.seen.add(entry.from);
  room.sub = hub.subscribe(room.channel, (data) => received(room, data), {
    gap: (gap) => missed(room, gap),
    join: (member) => room.joined?.(member),
    leave: (member) => room.left?.(member),
  });
  room.sub.ready.then(() => whoIsHere(room), (error) => {
    room.refused = true;
    note(room, `This room is closed to you (${error.code}).`);
  });
  rooms.set(name, room);
  return room;
}

function show(room) {
  if (active) active.draft = $("text").value;
  active = room;
  if (room) {
    room.unread = 0;
    $("text").value = room.draft;
    history.replaceState(null, "", `#room=${encodeURIComponent(room.name)}`);
  }
  showRoom(room, retry);
  showRooms(rooms, room, enter);
  if (room) people(room);
}

function enter(name) {
  const clean = cleanName(name);
  show(rooms.get(clean) ?? makeRoom(clean));
  drawer(false);
  $("text").focus();
}

function leave() {
  active.sub.unsubscribe();
  rooms.delete(active.name);
  active = null;
  show(rooms.values().next().value ?? null);
  $(active ? "text" : "room").focus();
}

function step(by) {
  const all = [...rooms.values()];
  if (all.length > 1) enter(all.at((all.indexOf(active) + by) % all.length).name);
}

// Sending

/** The echo gives a message its place, the same one on every page. */
function confirmed(room, entry) {
  room.pending = room.pending.filter((other) => other !== entry);
  if (room === active) showPending(room, retry);
  add(room, { kind: "text", from: entry.from, text: entry.text, mine: true });
}

const FAILURES = {
  offline: "not connected", queue_full: "too many are waiting", too_large: "too long",
  lost: "the connection broke, it may have arrived", timeout: "the server does not answer",
  rate: "too fast", forbidden: "not allowed",
};

function publish(room, entry) {
  const update = () => { if (room === active) showPending(room, retry); };
  entry.failure = null;
  entry.waiting = hub.state !== "open";
  hub.publish(room.channel, { id: entry.id, from: entry.from, text: entry.text }).then(() => {
    // Taken, but the echo may have been dropped on a slow link.
    setTimeout(() => { if (room.pending.includes(entry)) confirmed(room, entry); }, ECHO_MS);
  }, (error) => {
    entry.failure = FAILURES[error.code] ?? error.code;
    update();
  });
  update();
}

function retry(entry) {
  publish(active, entry);
  $("text").focus();
}

function send(text) {
  const id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  const entry = { kind: "text", mine: true, id, from: me, text, at: Date.now(), failure: null, waiting: false };
  active.pending.push(entry);
  publish(active, entry);
  toEnd();
}

// The page

function drawer(open) {
  if ($("side").classList.contains("open") === open) return;
  $("side").classList.toggle("open", open);
  $("menu").setAttribute("aria-expanded", String(open));
  $("shade").hidden = !open;
  if (open) $("room").focus();
}

function rename(name) {
  me = cleanName(name);
  $("name").value = me;
  store("localStorage", "ws_hub.name", me);
  if (active) people(active);
}

function showQuality() {
  const network = navigator.connection?.effectiveType ?? "";
  $("slow").hidden = !(hub.quality.slow || network.endsWith("2g"));
}

function save() {
  const kept = [...rooms.values()].map(({ name, entries }) =>
    [name, entries.filter(({ kind, text }) => kind === "text" && text.length < 5000).slice(-SAVED_MAX)]);
  store("sessionStorage", "ws_hub.rooms", kept);
}

function restore() {
  const kept = stored("sessionStorage", "ws_hub.rooms");
  if (!Array.isArray(kept)) return;
  for (const [name, entries] of kept) makeRoom(name, entries);
}

/** "#room=NAME"; a bare name could be the id of an element. */
function wanted() {
  try {
    return decodeURIComponent(/^#room=(.*)$/.exec(location.hash)?.[1] ?? "").trim();
  } catch {
    return "";
  }
}

function onSubmit(form, call) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    call();
  });
}

function wire() {
  onSubmit("join", () => {
    if ($("room").value.trim()) enter($("room").value);
    $("room").value = "";
  });
  onSubmit("me", () => {
    rename($("name").value);
    drawer(false);
    $("text").focus();
  });
  onSubmit("talk", () => {
    const text = cleanText($("text").value).trim();
    if (text && active) send(text);
    $("text").value = "";
    $("text").focus();
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("talk").requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey && event.key === "ArrowUp") step(-1);
    else if (event.altKey && event.key === "ArrowDown") step(1);
    else if (event.key === "Escape" && $("side").classList.contains("open")) {
      drawer(false);
      $("menu").focus();
    } else return;
    event.preventDefault();
  });
  $("leave").onclick = leave;
  $("newer").onclick = toEnd;
  $("retry").onclick = () => hub.reconnect();
  $("menu").onclick = () => drawer($("menu").getAttribute("aria-expanded") !== "true");
  $("shade").onclick = () => drawer(false);
  $("scroll").addEventListener("scroll", () => {
    const { scrollHeight, scrollTop, clientHeight } = $("scroll");
    if (scrollHeight - scrollTop - clientHeight < 2) $("newer").hidden = true;
  });
  addEventListener("hashchange", () => { if (wanted()) enter(wanted()); });
  addEventListener("pagehide", save);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (active) active.unread = 0;
    showRooms(rooms, active, enter);
  });
}

function follow() {
  hub.on("state", (event) => {
    showState(event);
    if (event.state !== "open") return;
    for (const room of rooms.values()) for (const entry of room.pending) entry.waiting = false;
    if (active) showPending(active, retry);
  });
  hub.on("quality", showQuality);
  navigator.connection?.addEventListener?.("change", showQuality);
  hub.on("goaway", ({ reconnectMs }) => {
    if (active) note(active, `The server is about to restart: back in ${Math.ceil(reconnectMs / 1000)} s.`);
  });
  hub.on("error", (error) => {
    if (active && !error.channel) note(active, `The server complains: ${error.message}`);
  });
}

/** Ask for a name on the first visit; Escape takes one that is free. */
function welcome() {
  const dialog = $("hello");
  $("hello-room").value = wanted() || "lobby";
  dialog.addEventListener("close", () => {
    const guest = `guest ${1 + (crypto.getRandomValues(new Uint16Array(1))[0] % 999)}`;
    rename(dialog.returnValue === "join" ? $("hello-name").value : guest);
    enter($("hello-room").value); // not at "submit": closing moves the focus
  });
  dialog.showModal();
}

wire();
follow();
restore();
showState({ state: hub.state, retryInMs: 0, code: 0 });
showQuality();
show(null);
const name = stored("localStorage", "ws_hub.name");
if (typeof name === "string" && name) {
  rename(name);
  enter(wanted() || rooms.keys().next().value || "lobby");
} else {
  welcome();
}
