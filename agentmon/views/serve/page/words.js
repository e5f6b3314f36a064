// Words: figures and times as people read them, and foreign text made harmless to read. Unknown is "–", never 0.

export const UNKNOWN = "–";

// What has no shape of its own or turns the reading direction: controls, format characters (but for the joiners that
// scripts and emoji need), separators, halves of surrogate pairs.
const UNSEEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu;

/** Foreign text with what is unseen shown: a control as `^[`, a direction override as its code point. */
export function visible(text, longest = 4096) {
  const whole = String(text ?? "");
  const kept = whole.length > longest ? `${whole.slice(0, longest - 1)}…` : whole;
  return kept.replace(/\r\n/g, "\n").replace(UNSEEN, (sign) => {
    const code = sign.codePointAt(0);
    if (code < 0x20 || code === 0x7f) return `^${String.fromCharCode(code ^ 0x40)}`;
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** The same in one line. */
export const oneLine = (text, longest = 300) => visible(text, longest).replace(/\s+/g, " ").trim();

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en-US") : UNKNOWN);

/** 12, 3.4k, 56k, 7.8M. */
export function short(value) {
  if (!known(value)) return UNKNOWN;
  let amount = value;
  for (const unit of ["", "k", "M", "G"]) {
    if (Math.abs(amount) < 999.5 || unit === "G") {
      return unit && Math.abs(amount) < 99.95 ? amount.toFixed(1) + unit : Math.round(amount) + unit;
    }
    amount /= 1000;
  }
  return UNKNOWN;
}

/** US dollars, with as many places as a small sum needs. */
export function money(value) {
  if (!known(value)) return UNKNOWN;
  const places = Math.abs(value) >= 1 || value === 0 ? 2 : 4;
  return `$${value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places })}`;
}

export function hourly(value) {
  if (!known(value)) return UNKNOWN;
  const places = value >= 100 ? 0 : 2;
  return `${value >= 0.1 ? `$${value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places })}` : money(value)}/h`;
}

export function mebibytes(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 1000) return `${(value / 1024).toFixed(1)} GiB`;
  return `${value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value)} MiB`;
}

export const percent = (value) => (known(value) ? `${Math.round(value)} %` : UNKNOWN);

export function bytes(value) {
  return known(value) ? (value < 1048576 ? `${Math.round(value / 1024)} KiB` : mebibytes(value / 1048576)) : UNKNOWN;
}

const two = (number) => String(number).padStart(2, "0");

/** 12s, 3m05s, 2h07m, 3d04h. */
export function lasted(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all}s`;
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  if (all < 86400) return `${Math.floor(all / 3600)}h${two(Math.floor((all % 3600) / 60))}m`;
  return `${Math.floor(all / 86400)}d${two(Math.floor((all % 86400) / 3600))}h`;
}

/** A moment: Unix seconds, or ISO 8601. Null for what is no time. */
export function moment(at) {
  const date = typeof at === "string" ? new Date(at) : known(at) ? new Date(at * 1000) : null;
  return date && !Number.isNaN(date.getTime()) ? date : null;
}

/** 14:03:59, local. */
export function clock(at) {
  const date = moment(at);
  return date ? `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` : UNKNOWN;
}

/** 2026-11-22, local. */
export function day(at) {
  const date = moment(at);
  return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : UNKNOWN;
}

export const dated = (at) => (moment(at) ? `${day(at)} ${clock(at)}` : UNKNOWN);

/** `2 commits`, `1 branch create`. */
export const acts = (name, n) => many(n, String(name).replaceAll("_", " "), `${String(name).replaceAll("_", " ")}${/(h|s)$/.test(name) ? "es" : "s"}`);

export const many = (number, one, more = `${one}s`) => `${whole(number)} ${number === 1 ? one : more}`;

/** `error 1`, `error SIGKILL`, `running`. */
export function fate(agent) {
  const status = agent.status ?? "running";
  if (status !== "error") return status;
  return `error ${agent.signal ? oneLine(agent.signal, 20) : agent.exit_code ?? ""}`.trim();
}

export const SIGNS = { running: "●", stopped: "○", error: "✗", stalled: "◐", lost: "?" };

/** `budget: 5.1 of 5 (stop)`. */
export function alertWords(alert) {
  const figure = (value) => (known(value) ? String(Number(value.toPrecision(6))) : "");
  const value = figure(alert.value);
  const limit = figure(alert.limit);
  return oneLine(`${alert.rule}: ${value}${limit && ` of ${limit}`} (${alert.action})`);
}

/** `commit main 4270968 Start the project`. */
export function gitWords(act) {
  const parts = [String(act.operation ?? "").replaceAll("_", " "), act.branch, (act.sha ?? "").slice(0, 8)];
  return oneLine([...parts, String(act.message ?? "").split("\n")[0]].filter(Boolean).join(" "));
}

export function gitChange(act) {
  const plus = act.insertions == null && act.deletions == null ? "" : `+${act.insertions ?? 0} −${act.deletions ?? 0}`;
  return [act.files_changed == null ? "" : many(act.files_changed, "file"), plus].filter(Boolean).join(" ");
}
