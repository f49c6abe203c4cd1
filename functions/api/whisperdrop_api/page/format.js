// Times, sizes and dates for people. Durations are in seconds.

/** 75.2 → "1:15"; with hours where there are any. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(m).padStart(h ? 2 : 1, "0")}:${String(s).padStart(2, "0")}`;
  return h ? `${h}:${tail}` : tail;
}

/** 75.2 → "1 minute 15 seconds", for screen readers. */
export function spoken(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const parts = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ].filter(([count]) => count > 0);
  if (!parts.length) return "0 seconds";
  return parts.map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`).join(" ");
}

/** 90 → "2 min"; for what is only roughly known. */
export function roughly(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(units.length, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power - 1]}`;
}

const DAY_MS = 86_400_000;
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });

/** "just now", "5 min ago", "14:05", "yesterday", "3 Mar", "3 Mar 2024". */
export function when(iso, now = new Date()) {
  const date = new Date(iso);
  const age = (now - date) / 1000;
  if (age < 60) return "just now";
  if (age < 3600) return `${Math.floor(age / 60)} min ago`;
  if (date.toDateString() === now.toDateString()) return TIME.format(date);
  if (date.toDateString() === new Date(now - DAY_MS).toDateString()) return "yesterday";
  return (date.getFullYear() === now.getFullYear() ? DATE : YEAR).format(date);
}

export const fullDate = (iso) => FULL.format(new Date(iso));

/** The file's name without its extension. */
export const stem = (name) => name.replace(/\.[^.]{1,5}$/, "") || name;
